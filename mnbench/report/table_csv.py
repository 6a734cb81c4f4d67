"""Tables as CSV text; None is an empty cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mnbench.report.columns import interval_cells, interval_fields

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def csv_text(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a heading and rows as CSV; without rows, the heading alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    return text.getvalue()


def records_csv(kind: type[DataclassInstance], rows: Sequence[DataclassInstance]) -> str:
    """Return records of `kind` as CSV: their fields are the columns, and an `Estimate` has three (`interval_fields`)."""
    with_interval = {field.name: "Estimate" in str(field.type) for field in fields(kind)}
    heading = [name for field, three in with_interval.items() for name in (interval_fields(field) if three else (field,))]
    return csv_text(heading, [_cells(row, with_interval) for row in rows])


def _cells(row: Any, with_interval: dict[str, bool]) -> list[object]:
    cells: list[object] = []
    for name, three in with_interval.items():
        cells += interval_cells(getattr(row, name)) if three else [getattr(row, name)]
    return cells
