"""Terminals of any width, and pipes: every table keeps its names and digits."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from mnbench import catalog, environment, store, studies
from mnbench.commands import listing
from mnbench.commands.selftest import SelfTest
from mnbench.report import diff_table, findings, grid, host, selftest_text, terminal
from mnbench.report import listing as lists
from mnbench.report.numbers import bracketed, plus_minus
from mnbench.report.view import view_of
from mnbench.stats.between_runs import diff
from mnbench.stats.selftest import Power, Rate
from tests.builders import make_run, v2_grid
from tests.integration.command import ROOT
from tests.integration.command import environment as of_tests
from tests.situations import situation
from tests.unit.test_report_text import with_percentiles

WIDTHS = (40, 60, 80)
REFERENCE = ROOT / "results" / "reference"


def on(width, draw):
    """Return what `draw` prints on a console of this width, after checking that no line is longer or was cut."""
    console = Console(file=StringIO(), width=width)
    draw(console)
    text = console.file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    return text


def joined(text):
    """Return the text without spaces and line ends, so that a sentence is found wherever it was broken."""
    return re.sub(r"\s+", "", text)


def assert_whole(text, *names):
    missing = [name for name in names if name not in text]
    assert not missing


@situation(
    "terminals and tables",
    "The terminal has 40, 60 or 80 columns",
    "keeps every name and every digit of every table: fewer columns, ± for brackets, or names above their figures",
)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("made", [make_run(), make_run(*v2_grid()), with_percentiles(make_run(), 50.0, 90.0)])
def test_a_comparison_keeps_names_and_digits(width, made):
    text = on(width, lambda console: terminal.render(view_of(*made), console))
    for row in view_of(*made).rows:
        if row.case.backend != "null":
            assert_whole(text, row.case.model, row.case.backend)
            assert all(bracketed(figure) in text or plus_minus(figure) in text for figure in (row.latency_ms, row.shown_ratio))
    for row in view_of(*made).comparisons:
        assert_whole(text, row.verdict)
    assert "params" in text
    assert "4.23M" in text or "3.50M" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_diff_keeps_names_and_digits(width):
    old = store.load(next(path for path in sorted(REFERENCE.iterdir()) if (path / store.RUN_FILE).exists()))
    found = diff(old, old, (), None)
    text = on(width, lambda console: diff_table.render(found, console))
    for entry in found.cases:
        assert_whole(text, entry.case.model, entry.case.backend)
        assert entry.not_compared or any(form(entry.old_ns.per(1e6)) in text for form in (bracketed, plus_minus))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_doctor_keeps_names_and_digits(width):
    seen = environment.capture()
    text = joined(on(width, lambda console: host.render(seen, environment.findings(seen), console)))
    if width > 40:
        assert_whole(text, seen.kernel, *(f"{name}" for name in seen.packages))
    assert_whole(text, *(joined(name) for name, _ in host.facts(seen)))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_self_test_keeps_names_and_digits(width):
    rate = Rate(hits=3, trials=200, low=0.005, high=0.043)
    powers = tuple(
        Power(
            method=method,
            launches=launches,
            seconds=31.5,
            false_positives=rate,
            found=dict.fromkeys(("1", "2", "3", "5"), rate),
        )
        for method in ("paired", "naive")
        for launches in (3, 12)
    )
    judged = SelfTest(run_id="r", powers=powers, floor_ns=420.0, sentence="On this machine …".replace("…", "nothing is known."))
    text = on(width, lambda console: selftest_text.render(judged, console))
    assert_whole(text, "paired", "naive", "31.5", "1.5 % [0.5, 4.3]", "3/200", "[0, 4]", "+5 %", "false positives")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("study", ["layers", "separable"])
def test_a_studys_findings_keep_names_and_digits(width, study):
    stored = findings.read_findings(REFERENCE / "studies" / study)
    text = joined(on(width, lambda console: findings.render(stored, console)))
    for found in stored.findings:
        assert_whole(text, joined(found.claim), joined(found.measured), joined(found.limits))
        assert_whole(text, *(joined(findings.figure_text(figure)) for figure in found.figures))


@pytest.mark.parametrize("width", WIDTHS)
def test_lists_keep_names_and_digits(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    models = lists.models(catalog.card(name) for name in catalog.names())
    shown = lists.show(models, as_json=False)
    assert_whole(shown, *(row["model"] for row in models), *(row["top-1 %"] for row in models))
    backends = listing.rows_of("backends", ROOT)
    shown = lists.show(backends, as_json=False)
    assert_whole(shown, *(cell for row in backends for cell in (row["backend"], row["versions"], row["precisions"])))
    runs = [{"run": "20260101T000000-12", "started": "2026-01-01T00:00:00+00:00", "cases": "13", "launches": "130",
             "state": f"{ROOT}/results/20260101T000000-12/run.json cannot be read: JSON is malformed."}]  # fmt: skip
    assert_whole(joined(lists.show(runs, as_json=False)), *(joined(cell) for cell in runs[0].values()))
    questions = {name: studies.get(name).question for name in studies.names()}
    shown = lists.studies(questions)
    assert max(map(len, shown.splitlines())) <= width
    assert_whole(joined(shown), *map(joined, questions.values()))


@situation("terminals and tables", "Standard output is a pipe or a file", "gives each row and each sentence one whole line")
@pytest.mark.parametrize("command", [("list", "models"), ("list", "runs", "--out", str(REFERENCE.parent)), ("study", "--list")])
def test_a_pipe_gets_whole_lines(command):
    done = subprocess.run(
        [sys.executable, "-m", "mnbench", *command],
        capture_output=True, text=True, check=True, env={k: v for k, v in of_tests().items() if k != "COLUMNS"},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if command[1] == "models":
        assert len(lines) == len(catalog.names()) + 2
        assert any(line.startswith("mobilenet_v1_1.0_224 ") and "Table 4, row MobileNetV1" in line for line in lines)
    elif command[1] == "runs":
        assert len(lines) == len(store.run_directories(REFERENCE.parent)) + 2
    else:
        assert len(lines) == len(studies.names())


def test_a_report_in_a_pipe_has_each_sentence_on_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    with (tmp_path / "out").open("w") as output:
        terminal.render(view_of(*make_run()), grid.standard_console(output))
    lines = (tmp_path / "out").read_text().splitlines()
    assert [line for line in lines if line.startswith("Latency: geometric mean") and "published, not measured here" in line]
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize(("columns", "width"), [("", 80), ("0", 80), ("nonsense", 80), ("7", grid.NARROWEST), ("132", 132)])
def test_the_width_is_that_of_the_variable_or_of_the_terminal(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as tty:  # which has no size: 0 columns
        assert grid.standard_console(tty).width == width
    os.close(ours)
