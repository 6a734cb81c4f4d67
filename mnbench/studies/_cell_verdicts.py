"""Verdicts out of many cells. A cell is one comparison of two operators in one runtime, or one operator's figure."""

from __future__ import annotations

from collections.abc import Sequence

from mnbench.records import Estimate
from mnbench.study_records import Holds


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


def combine(judgements: Sequence[bool | None]) -> Holds:
    """Return the verdict on a claim about every cell.

    It holds in part when some cells agree and others contradict it. When none agrees, it is refuted by half of the cells at
    least: the others may be the part in which it holds. A cell that is not decided leaves open whether it holds everywhere.
    """
    if True in judgements and False in judgements:
        return Holds.PARTLY
    if 2 * judgements.count(False) >= len(judgements) > 0:
        return Holds.NO
    return Holds.YES if judgements and None not in judgements else Holds.UNDECIDED


def tally(judgements: Sequence[bool | None]) -> str:
    """Return `7 of 10 cells agree, 2 contradict, 1 is not decided`."""
    yes, no, open_ = (sum(1 for one in judgements if one is kind) for kind in (True, False, None))
    parts = [f"{yes} of {len(judgements)} cells agree", f"{no} contradict"]
    if open_:
        parts.append(f"{open_} {'is' if open_ == 1 else 'are'} not decided")
    return ", ".join(parts)
