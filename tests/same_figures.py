"""Do the derived tables hold the same figures as those of another commit, whatever their columns are called?

    python -m tests.same_figures main                      # the committed reports against those of the branch main

Run it before a commit that changes how tables are made from the same raw data. Columns are matched by name in today's spelling
of intervals (`x_ms`, `x_low_ms`, `x_high_ms`); new columns are allowed. Exit code 1 when a figure differs or is gone.
"""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mnbench.report.columns import interval_fields

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
RAW = ("rounds.csv",)
END = {"ci_low": "value_low", "ci_high": "value_high", "low": "with_over_without_low", "high": "with_over_without_high"}
"""Columns that once named the end of an interval and not the figure, of ceilings.csv and shortcut.csv."""


def todays(name: str) -> str:
    """Return a column's name in today's spelling: `latency_ci_low_ms` and `latency_us_low` have their end before the unit."""
    if name in END:
        return END[name]
    plain = name.replace("_ci", "").replace("_median", "")
    for place, end in ((1, "_low"), (2, "_high")):
        if f"{end}_" in f"{plain}_":
            return interval_fields(f"{plain}_".replace(f"{end}_", "_", 1).rstrip("_"))[place]
    return plain


def table(text: str) -> list[dict[str, str]]:
    return [{todays(name): cell for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]


def same(old: str, new: str) -> bool:
    """Say whether two cells are the same text, or the same number up to rounding in the sixth decimal."""
    try:
        return old == new or math.isclose(float(old), float(new), rel_tol=1e-9, abs_tol=1.1e-6)
    except ValueError:
        return False


def differences(old: str, new: str) -> Iterator[str]:
    """Yield what of one CSV text is not in another."""
    before, after = table(old), table(new)
    if len(before) != len(after):
        yield f"{len(before)} rows, now {len(after)}"
    for place, (was, now) in enumerate(zip(before, after, strict=False), start=1):
        for name, cell in was.items():
            if name not in now or not same(cell, now[name]):
                yield f"row {place}, {name}: {cell!r}, now {now.get(name)!r}"


def main(commit: str) -> int:
    paths = sorted(path for path in REFERENCE.rglob("*.csv") if path.name not in RAW)
    found = False
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        old = subprocess.run(["git", "show", f"{commit}:{name}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
        for difference in differences(old, path.read_text(encoding="utf-8")):
            print(f"{name}: {difference}")
            found = True
    print(f"{len(paths)} tables compared with {commit}: {'they differ' if found else 'the same figures'}")
    return int(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
