"""summary.csv: one row per case that times a network.

The harness's own case has none: CSV readers take its backend's name, `null`, for a missing value. Its time is in run.json, in
the page and in the terminal's notes.
"""

from __future__ import annotations

from pathlib import Path

from mnbench.records import NULL_BACKEND, Analysis, Run
from mnbench.report.files import write_atomically
from mnbench.report.rows import SummaryRow, summary_rows
from mnbench.report.table_csv import csv_text


def write(run: Run, analysis: Analysis, directory: Path) -> list[Path]:
    """Write summary.csv into `directory`. Raises StoreError when it cannot be written."""
    rows = [row for row in summary_rows(run, analysis) if row.backend != NULL_BACKEND]
    return [write_atomically(directory / "summary.csv", csv_text(SummaryRow, rows))]
