"""Every CSV file that mnbench writes, as pandas, polars and DuckDB read it when nobody tells them how."""

from __future__ import annotations

import csv
import gzip
import io
import math

import pytest

from mnbench import backends, report, store
from mnbench.commands import tool_environments
from mnbench.errors import UsageError
from mnbench.records import ToolEnvironment
from mnbench.report.view import view_of
from tests.builders import make_run
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run
from tests.integration.command import ROOT
from tests.situations import situation

REFERENCE = ROOT / "results" / "reference"
COMMITTED = sorted(path for path in REFERENCE.rglob("*.csv*") if path.stat().st_size < 1 << 20)
"""Of a run, a comparison and each study: every file but the largest tables of raw samples, which have the same columns."""
MISLEADING = ("NA", "nan", "None", "null", "true", "F", "no", "inf", "epoch", "1.10", "007", "2026.4.1", "1e5")


def with_pandas(path):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(path)
    return list(table.columns), [
        [None if pandas.isna(cell) else cell for cell in row] for row in table.itertuples(index=False, name=None)
    ]


def with_polars(path):
    table = pytest.importorskip("polars").read_csv(path)
    return table.columns, table.rows()


def with_duckdb(path):
    table = pytest.importorskip("duckdb").read_csv(str(path))
    return table.columns, table.fetchall()


READERS = {"pandas": with_pandas, "polars": with_polars, "duckdb": with_duckdb}


def as_written(path):
    """Return heading and rows as text, exactly as they are in the file."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    heading, *rows = csv.reader(io.StringIO(data.decode()))
    return heading, rows


def kept(cell, text):
    """Say whether a reader's value is what the file says: missing where empty, the same number, truth value or text."""
    if cell is None or text == "":
        return cell is None and text == ""
    if isinstance(cell, str):
        return cell == text
    if str(cell) in ("True", "False"):
        return str(cell).casefold() == text.casefold()
    return str(cell) == text or math.isclose(float(cell), float(text), rel_tol=1e-9)


def assert_read(path, reader):
    heading, rows = as_written(path)
    columns, read = READERS[reader](path)
    assert columns == heading
    assert len(read) == len(rows)
    changed = {
        (name, cell, text)
        for row, texts in zip(read, rows, strict=True)
        for name, cell, text in zip(heading, row, texts, strict=True)
        if not kept(cell, text)
    }
    assert not changed


@situation(
    "terminals and tables",
    "A CSV file is read by pandas, polars or DuckDB with their defaults",
    "gives every reader the same rows: no name is read as missing, as a number or as a date",
)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: str(path.relative_to(REFERENCE)))
def test_every_csv_file_of_the_reference_runs_is_read_as_it_was_written(path, reader):
    assert_read(path, reader)


@pytest.mark.parametrize("reader", READERS)
def test_a_new_run_is_read_as_it_was_written(tmp_path, reader):
    run, analysis = make_run(backends=("ort", "openvino", "torch"))
    report.write_all(view_of(run, analysis), tmp_path, ("summary", "comparison"))
    environments = (ToolEnvironment(label="v1.10"), ToolEnvironment(label="v1.9"))
    cases = tuple(a_case(environment=known.label) for known in environments)
    writer = store.RunWriter(tmp_path / "run", a_run(a_plan(*cases, environments=environments), finished=False))
    for launch in range(3):
        for place, case in enumerate(cases):
            writer.launch(a_launch(case, launch))
            order = 2 * launch + place
            writer.round(case, launch, a_round([10_000 + order], order=order, throttled_ns=launch or None))
    writer.finish(finished=True)
    compared = store.load(tmp_path / "run")
    report.write_all(view_of(compared), tmp_path / "run", ("summary", "comparison"))
    paths = sorted(tmp_path.rglob("*.csv*"))
    assert {path.name for path in paths} == {"summary.csv", "comparison.csv", "rounds.csv", "samples.csv.gz"}
    for path in paths:
        assert_read(path, reader)


def test_the_harness_has_no_row_in_the_summary(tmp_path):
    report.write_all(view_of(*make_run()), tmp_path, ("summary",))
    heading, rows = as_written(tmp_path / "summary.csv")
    assert {row[heading.index("backend")] for row in rows} == {"ort", "openvino"}


@situation(
    "terminals and tables",
    "A label of `--env` such as `NA`, `nan`, `true`, `1.10` or `2026.4.1`, which CSV readers take for something else",
    "refuses it with one sentence before anything is measured (exit code 2)",
)
@pytest.mark.parametrize("label", MISLEADING)
def test_a_label_that_no_csv_reader_keeps_is_refused(label):
    with pytest.raises(UsageError, match="would be read from a CSV file as") as refused:
        tool_environments.parse([f"{label}=.", "NEW=."])
    assert "\n" not in str(refused.value)


def test_a_label_that_is_text_to_every_reader_is_taken():
    assert [label for label, _ in tool_environments.parse(["v1.10=.", "Nan2=."])] == ["v1.10", "Nan2"]


@situation(
    "terminals and tables",
    "A backend of another package that is called `NA`",
    "refuses it with one sentence where it is chosen; the others can be used",
)
def test_a_backend_whose_name_no_csv_reader_keeps_is_refused(monkeypatch):
    class Entry:
        name, value = "NA", "package:Backend"

    monkeypatch.setattr(backends, "_entry_points", lambda: iter([Entry()]))
    with pytest.raises(UsageError, match=r"backend 'NA' \(package:Backend\) cannot be used: its name would be read"):
        backends.require("NA", "fp32")
    assert backends.get("null").name == "null"
