"""What is said of a slow-down next to the limit of a gate, in `mnbench diff` and in `mnbench compare --env`."""

from __future__ import annotations

from collections.abc import Iterable

from mnbench.records import Case, Estimate
from mnbench.report.numbers import DASH


def slower_by(ratio: Estimate | None, limit_pct: float) -> str:
    """Return the slow-down with its interval, and on which side of the limit that lies."""
    if ratio is None:
        return DASH
    value, low, high = (100 * (bound - 1) for bound in (ratio.value, ratio.low, ratio.high))
    where = "the whole interval is above" if low > limit_pct else "the interval reaches below"
    return f"{value:.1f} % [{low:.1f}, {high:.1f}] ({where} {limit_pct:g} %)"


def not_ruled_out(cases: Iterable[tuple[Case, Estimate | None]]) -> str:
    """Return the sentence that names the cases whose intervals reach further than what was asked about."""
    names = ", ".join(f"{case.id} up to {_upper_pct(ratio)}" for case, ratio in cases)
    return f"Not ruled out: a slow-down of {names} (the interval's upper end)."


def _upper_pct(ratio: Estimate | None) -> str:
    return DASH if ratio is None else f"{100 * (ratio.high - 1):.1f} %"
