"""The tables of columns: one entry is a column in every view."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from mnbench import report
from mnbench.report import columns
from mnbench.report.columns import COMPARISON, SUMMARY, Column
from mnbench.report.html import page
from mnbench.report.json_text import to_json
from mnbench.report.markdown import Shown, backends_table, results_table
from mnbench.report.terminal import render
from mnbench.report.view import view_of
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


@pytest.mark.parametrize("table", [SUMMARY, COMPARISON], ids=["summary", "comparison"])
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
