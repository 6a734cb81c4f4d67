"""What intervals let the study `separable` say of its claims, and the median over many shapes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mnbench.records import Estimate
from mnbench.stats.intervals import geometric_mean
from mnbench.study_records import Holds

WITHIN = 0.10
"""How far a figure may be from what is claimed."""
MOST_MISSING = 0.5
"""Share of the cells that a launch may lack and still count for a median over cells."""
MEDIAN_METHOD = "median over shapes in each launch, geometric mean over launches, Student t on logs"
ByLaunch = Mapping[int, float]
"""A logarithm by launch."""


def judge_shares(medians: Sequence[Estimate | None]) -> Holds:
    """Holds where every runtime's median reaches the formula within 10 %; not at all where each stays below half of it."""
    if not medians or None in medians:
        return Holds.UNDECIDED
    known = [median for median in medians if median is not None]
    if all(median.low >= 1 - WITHIN for median in known):
        return Holds.YES
    if all(median.high < 0.5 for median in known):
        return Holds.NO
    return Holds.PARTLY if any(median.high < 1 - WITHIN for median in known) else Holds.UNDECIDED


def judge_steps(steps: Sequence[Estimate | None], gains: Sequence[Estimate | None]) -> Holds:
    """Holds where every row is faster than the first by as much as its multiply-adds are fewer, within 10 %.

    In part where each is faster than the row before, but by less. `steps` are speed-ups over the row before, `gains` those over
    the first row, per promised one.
    """
    if not steps or None in steps or None in gains:
        return Holds.UNDECIDED
    if any(step.high <= 1 for step in steps if step):
        return Holds.NO
    if any(step.low <= 1 for step in steps if step):
        return Holds.UNDECIDED
    if all(gain.low >= 1 - WITHIN for gain in gains if gain):
        return Holds.YES
    return Holds.PARTLY if any(gain.high < 1 - WITHIN for gain in gains if gain) else Holds.UNDECIDED


def judge_within(ratios: Sequence[Estimate | None]) -> Holds:
    """Holds where every interval lies within 10 % of 1; not where each lies outside; in part where some do and some do not."""
    if not ratios or None in ratios:
        return Holds.UNDECIDED
    known = [one for one in ratios if one is not None]
    inside = [one.low >= 1 - WITHIN and one.high <= 1 + WITHIN for one in known]
    outside = [one.high < 1 - WITHIN or one.low > 1 + WITHIN for one in known]
    if all(inside):
        return Holds.YES
    if all(outside):
        return Holds.NO
    return Holds.PARTLY if any(inside) and any(outside) else Holds.UNDECIDED


def median_over(by_cell: Iterable[ByLaunch], level: float) -> Estimate | None:
    """Return exp of the median over cells, with its interval over launches; None below three launches.

    `by_cell` holds a logarithm by launch for each cell. Where a launch lacks a cell, the cell's mean stands in, so that every
    median is over the same cells, and the interval is widened for it; a launch that lacks over half of them does not count.
    """
    cells = [logs for logs in by_cell if logs]
    launches = sorted({launch for logs in cells for launch in logs})
    counting = [launch for launch in launches if sum(launch in logs for logs in cells) >= (1 - MOST_MISSING) * len(cells)]
    means = [statistics.fmean(logs.values()) for logs in cells]
    medians = [
        statistics.median(logs.get(launch, mean) for logs, mean in zip(cells, means, strict=True)) for launch in counting
    ]
    there = sum(launch in logs for logs in cells for launch in counting)
    return widened(geometric_mean(medians, level, MEDIAN_METHOD), there / max(1, len(cells) * len(counting)))


def widened(estimate: Estimate | None, measured_share: float) -> Estimate | None:
    """Return the estimate with a wider interval where only a share of its data was measured, and the rest filled in by means.

    n values of which k are means spread by sqrt((n - k) / n) too little, and count for sqrt(n / (n - k)) too many: the interval
    on the log scale is divided by the share that was measured.
    """
    if estimate is None or not 0 < measured_share < 1:
        return estimate
    low, high = ((end / estimate.value) ** (1 / measured_share) * estimate.value for end in (estimate.low, estimate.high))
    return replace(estimate, low=low, high=high)
