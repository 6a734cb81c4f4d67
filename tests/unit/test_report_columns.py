"""The tables of columns: one entry is a column in every view."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from mnbench import report
from mnbench.records import Verdict
from mnbench.report import columns, diff_table
from mnbench.report.columns import COMPARISON, DIFF, SUMMARY, Column
from mnbench.report.html import page
from mnbench.report.json_text import to_json
from mnbench.report.markdown import Shown, backends_table, results_table
from mnbench.report.terminal import render
from mnbench.report.view import view_of
from mnbench.stats.between_runs import CaseDiff, RunDiff
from tests.builders import estimate, make_run

SPEED = Column(
    name="images_per_s",
    value=lambda row: row.latency_ms and row.latency_ms.under(1000.0),
    meaning="Images in a second, one after the other.",
    interval=True,
    heading="images per second",
)


@pytest.mark.parametrize(
    ("table", "file", "block", "key"),
    [("SUMMARY", "summary", results_table, "summary"), ("COMPARISON", "comparison", backends_table, "comparisons")],
)
def test_one_entry_is_a_column_in_every_view(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: str, file: str, block: object, key: str
) -> None:
    monkeypatch.setattr(columns, table, (*getattr(columns, table), SPEED))
    view = view_of(*make_run())
    report.write_all(view, tmp_path, [file])
    (first, *_) = csv.DictReader((tmp_path / f"{file}.csv").open())
    fields = ["images_per_s", "images_low_per_s", "images_high_per_s"]
    found = json.loads(to_json(view))[key][0]
    assert [float(first[name]) for name in fields] == [found[name] for name in fields]
    assert float(first["images_low_per_s"]) < float(first["images_per_s"]) < float(first["images_high_per_s"])
    console = Console(file=StringIO(), width=400)
    render(view, console)
    assert isinstance(console.file, StringIO)
    assert callable(block)
    cell = SPEED.shown(next(row for row in view.comparisons if row.kind == "backend"))
    for text in (console.file.getvalue(), page(view), block(Shown(view=view, folder="."))):
        assert "images per second" in text
        assert cell in text


def test_one_entry_is_a_column_in_every_view_of_a_diff(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = make_run()
    slower = Column(
        name="slower_pct",
        value=lambda row: None if row.found.new_ns is None else 12.5,
        meaning="By how much.",
        heading="slower %",
        text=lambda pct: f"{pct} %",
    )
    monkeypatch.setattr(columns, "DIFF", (*columns.DIFF, slower))
    case = run.plan.cases[0]
    times = {"old_ns": estimate(5e6, 2.0), "new_ns": estimate(6e6, 2.0), "ratio": estimate(1.2, 3.0)}
    entry = CaseDiff(
        case=case, **times, old_launches=6, new_launches=6, p_adjusted=0.01, verdict=Verdict.SLOWER, not_compared=None,
        regression=False,
    )  # fmt: skip
    found = RunDiff(
        old_id="a", new_id="b", cpu_model="CPU", level=0.95, equivalence_pct=1.0, fail_if_slower_pct=None, cases=(entry,),
        common=(), only_in_new=(), changes=(), caveats=(),
    )  # fmt: skip
    (record,) = json.loads(diff_table.to_json(found))["cases"]
    assert (record["slower_pct"], record["old_ms"], record["verdict"]) == (12.5, 5.0, "slower")
    assert record["new_low_ms"] < record["new_ms"] < record["new_high_ms"]
    for width in (60, 400):
        console = Console(file=StringIO(), width=width)
        diff_table.render(found, console)
        assert isinstance(console.file, StringIO)
        assert "12.5 %" in console.file.getvalue()
    assert "slower %" in diff_table.to_markdown(found)
    assert "| 12.5 % |" in diff_table.to_markdown(found)


@pytest.mark.parametrize("table", [SUMMARY, COMPARISON, DIFF], ids=["summary", "comparison", "diff"])
def test_every_column_says_what_it_means_in_one_sentence_and_no_two_share_a_field(table: tuple[Column, ...]) -> None:
    assert [column.name for column in table if not column.meaning.endswith(".") or ". " in column.meaning] == []
    names = [name for column in table if column.views & columns.DATA for name in column.fields]
    assert len(names) == len(set(names))


def test_the_ends_of_an_interval_are_named_before_the_unit() -> None:
    assert columns.interval_fields("latency_p99_9_ms") == ("latency_p99_9_ms", "latency_p99_9_low_ms", "latency_p99_9_high_ms")
    assert columns.interval_fields("gmadds_per_s") == ("gmadds_per_s", "gmadds_low_per_s", "gmadds_high_per_s")
    assert columns.interval_fields("ratio") == ("ratio", "ratio_low", "ratio_high")
    assert [columns.unit_of(name) for name in ("roofline_pct", "peak_memory_mib", "params")] == ["pct", "mib", ""]


def test_a_figure_has_its_ends_in_the_cells_beside_it_and_an_exact_one_has_none() -> None:
    found = estimate(2.0, 10.0)
    assert columns.interval_cells(found) == (found.value, found.low, found.high)
    assert columns.interval_cells(1.0) == (1.0, None, None)
    assert columns.interval_cells(None) == (None, None, None)


def test_the_plots_of_a_view_are_drawn_once() -> None:
    view = view_of(*make_run())
    assert view.plots is view.plots
    assert view.plots["ratio-vs-paper"].svg is view.plots["ratio-vs-paper"].svg
