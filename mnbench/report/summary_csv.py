"""summary.csv: one row per case."""

from __future__ import annotations

from pathlib import Path

from mnbench.records import Analysis, Run
from mnbench.report.files import write_atomically
from mnbench.report.rows import SummaryRow, summary_rows
from mnbench.report.table_csv import csv_text


def write(run: Run, analysis: Analysis, directory: Path) -> list[Path]:
    """Write summary.csv into `directory`. Raises StoreError when it cannot be written."""
    rows = summary_rows(run, analysis)
    return [write_atomically(directory / "summary.csv", csv_text(SummaryRow, rows))]
