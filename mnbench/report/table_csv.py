"""Records as CSV text: the fields are the columns, and None is an empty cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def csv_text(kind: type[DataclassInstance], rows: Sequence[DataclassInstance]) -> str:
    """Return `rows`, all records of `kind`, as CSV with a header; without rows, the header alone."""
    columns = [field.name for field in fields(kind)]
    # dtype=object keeps whole numbers whole in a column that also has empty cells.
    frame = pd.DataFrame([asdict(row) for row in rows], columns=columns, dtype=object)
    return str(frame.to_csv(index=False, lineterminator="\n"))
