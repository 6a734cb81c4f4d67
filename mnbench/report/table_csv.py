"""Records as CSV text: the fields are the columns, and None is an empty cell."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def csv_text(kind: type[DataclassInstance], rows: Sequence[DataclassInstance]) -> str:
    """Return `rows`, all records of `kind`, as CSV with a header; without rows, the header alone."""
    columns = [field.name for field in fields(kind)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = asdict(row)
        writer.writerow([_cell(cells[name]) for name in columns])
    return text.getvalue()


def _cell(value: object) -> object:
    """Return what a cell holds: nothing for None and for a number that is none."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
