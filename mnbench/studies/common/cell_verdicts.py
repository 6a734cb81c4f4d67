"""Verdicts out of many cells, the same way in every study. A cell is one comparison in one runtime, or one figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mnbench.records import Estimate
from mnbench.records.study import Holds

CORRECTED = "Judged by intervals that hold for all cases at once (Bonferroni); those of the figures stand alone."
OF_CELL = {True: Holds.YES, False: Holds.NO, None: Holds.UNDECIDED}


def family_level(level: float, comparisons: int) -> float:
    """Return the level of each of several intervals for all of them to hold together at `level` (Bonferroni)."""
    return 1 - (1 - level) / max(1, comparisons)


def within(estimate: Estimate | None, low: float, high: float) -> bool | None:
    """Say whether the truth lies between `low` and `high`: None when the interval reaches over an end, or there is none."""
    if estimate is None:
        return None
    if low <= estimate.low and estimate.high <= high:
        return True
    return False if estimate.high < low or estimate.low > high else None


def combine(cells: Iterable[Holds | bool | None]) -> Holds:
    """Return the verdict on a claim about every cell. A cell is a verdict, or what `within` says of an interval.

    The claim holds when every cell holds, and does not when every cell contradicts it. It holds in part as soon as decided
    cells disagree, or one holds in part: an open cell cannot change that. In all other cases it is not decided, because the
    open cells may join either side, or there is no cell.
    """
    verdicts = {cell if isinstance(cell, Holds) else OF_CELL[cell] for cell in cells}
    if Holds.PARTLY in verdicts or verdicts >= {Holds.YES, Holds.NO}:
        return Holds.PARTLY
    return verdicts.pop() if len(verdicts) == 1 else Holds.UNDECIDED


def tally(judgements: Sequence[bool | None]) -> str:
    """Return `7 of 10 cells agree, 2 contradict, 1 is not decided`."""
    yes, no, open_ = (sum(1 for one in judgements if one is kind) for kind in (True, False, None))
    parts = [f"{yes} of {len(judgements)} cells agree", f"{no} contradict"]
    if open_:
        parts.append(f"{open_} {'is' if open_ == 1 else 'are'} not decided")
    return ", ".join(parts)
