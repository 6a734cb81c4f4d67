"""comparison.csv: each case against its baseline, and each backend against the first one named."""

from __future__ import annotations

from pathlib import Path

from mnbench.records import Analysis, Run
from mnbench.report.files import write_atomically
from mnbench.report.rows import ComparisonRow, comparison_rows
from mnbench.report.table_csv import csv_text


def write(_run: Run, analysis: Analysis, directory: Path) -> list[Path]:
    """Write comparison.csv into `directory`. Raises StoreError when it cannot be written."""
    rows = comparison_rows(analysis)
    return [write_atomically(directory / "comparison.csv", csv_text(ComparisonRow, rows))]
