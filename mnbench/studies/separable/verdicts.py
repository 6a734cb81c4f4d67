"""What intervals let the study `separable` say of its claims, and the median over many shapes.

A verdict rests on several intervals, and each of them is computed at the level at which all of them hold together.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from mnbench.records import Estimate
from mnbench.records.study import Holds
from mnbench.stats.intervals import FEWEST_LAUNCHES, geometric_mean
from mnbench.studies.common.cell_verdicts import combine, family_level, within

WITHIN = 0.10
"""How far a figure may be from what is claimed. This and `LITTLE` are choices of this study, which no source names."""
LITTLE = 0.5
"""Share of the formula's speed-up below which the time does not fall as the multiply-adds do."""
LEAST_CELLS = 0.5
"""Share of the grid's shapes that a verdict on the grid needs figures for."""
MOST_MISSING = 0.5
"""Share of the cells that a launch may lack and still count for a median over cells."""
MEDIAN_METHOD = "median over shapes in each launch, geometric mean over launches, Student t on logs"
ByLaunch = Mapping[int, float]
"""A logarithm by launch."""
AtLevel = Callable[[float], Estimate | None]
"""A figure, whose interval is computed at the level asked for."""
K = TypeVar("K", bound=Hashable)


def judge_shares(medians: Sequence[AtLevel], level: float, *, cells: int, planned: int) -> Holds:
    """Judge whether the time falls as the multiply-adds do, from each runtime's median share of the formula's speed-up.

    A runtime agrees where its median reaches the formula within 10 %, not where it stays below half of it, in part between
    the two. Not decided with figures for fewer than half of the `planned` shapes: so few may lie where the formula fits best.
    """
    if cells < LEAST_CELLS * planned:
        return Holds.UNDECIDED
    return combine([_of_share(median) for median in at_family_level(medians, level)])


def judge_steps(steps: Sequence[AtLevel], level: float) -> Holds:
    """Judge whether each row of Table 3 is faster than the row before; `steps` are those speed-ups."""
    return combine([within(step, 1.0, math.inf) for step in at_family_level(steps, level)])


def judge_gains(gains: Sequence[AtLevel], level: float) -> Holds:
    """Judge whether speed-ups reach what the multiply-adds promise, within 10 %; `gains` are measured per promised speed-up."""
    return combine([within(gain, 1 - WITHIN, math.inf) for gain in at_family_level(gains, level)])


def judge_within(ratios: Sequence[AtLevel], level: float) -> Holds:
    """Judge whether every ratio lies within 10 % of 1."""
    return combine([within(ratio, 1 - WITHIN, 1 + WITHIN) for ratio in at_family_level(ratios, level)])


def at_family_level(figures: Sequence[AtLevel], level: float) -> list[Estimate | None]:
    """Return each figure with the interval that it needs for all of them to hold together at `level`."""
    strict = family_level(level, len(figures))
    return [figure(strict) for figure in figures]


def _of_share(median: Estimate | None) -> Holds:
    if median is None:
        return Holds.UNDECIDED
    if median.low >= 1 - WITHIN:
        return Holds.YES
    if median.high < LITTLE:
        return Holds.NO
    return Holds.PARTLY if median.low >= LITTLE and median.high < 1 - WITHIN else Holds.UNDECIDED


def usable(by_cell: Mapping[K, ByLaunch]) -> dict[K, ByLaunch]:
    """Return the cells with as many launches as an interval needs."""
    return {cell: logs for cell, logs in by_cell.items() if len(logs) >= FEWEST_LAUNCHES}


def in_common(by_backend: Mapping[str, Mapping[K, ByLaunch]]) -> dict[str, dict[K, ByLaunch]]:
    """Return of each runtime the usable cells that every runtime has which has any: over others, medians do not compare."""
    found = {backend: usable(by_cell) for backend, by_cell in by_backend.items()}
    some = [set(by_cell) for by_cell in found.values() if by_cell]
    common = set.intersection(*some) if some else set()
    return {backend: {c: logs for c, logs in by_cell.items() if c in common} for backend, by_cell in found.items()}


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
