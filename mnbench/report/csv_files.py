"""summary.csv: a row for each case that times a network. comparison.csv: a row for each comparison.

The harness's own case has no row: CSV readers take its backend's name, `null`, for a missing value. Its time is in run.json, in
the page and in the terminal's notes.
"""

from __future__ import annotations

from pathlib import Path

from mnbench.report import columns
from mnbench.report.files import write_atomically
from mnbench.report.naming import is_null
from mnbench.report.table_csv import csv_text
from mnbench.report.view import View


def write_summary(view: View, directory: Path) -> list[Path]:
    """Write summary.csv into `directory`. Raises StoreError when it cannot be written."""
    table = columns.summary(columns.CSV)
    rows = (columns.cells(table, row) for row in view.rows if not is_null(row.case))
    return [write_atomically(directory / "summary.csv", csv_text(columns.fields(table), rows))]


def write_comparison(view: View, directory: Path) -> list[Path]:
    """Write comparison.csv into `directory`. Raises StoreError when it cannot be written."""
    table = columns.comparison(columns.CSV)
    rows = (columns.cells(table, row) for row in view.comparisons)
    return [write_atomically(directory / "comparison.csv", csv_text(columns.fields(table), rows))]
