"""The ratio of two cases from launches of the same waves: its estimate, its interval and its p value. Oracle: scipy.stats.

With few launches, Student's t on the differences of logarithms. From twelve on, the Hodges-Lehmann estimate with the
interval of Wilcoxon's signed-rank test: on a shared host some waves meet a neighbour the kernel does not show, and a single
difference of 20 % makes t's interval twice as wide (docs/methodology.md). The rank test gives up 5 % of t's efficiency where
noise is normal and gains where it is not; below twelve differences its interval has no room to leave one out. Which of the
two is used depends on the number of launches alone, never on what they say.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnbench.records import Estimate
from mnbench.stats.intervals import geometric_mean, t_test_p

FEWEST_FOR_RANKS = 12
LEAST_CORRECTED_P = 0.01
T_METHOD = "paired launches, Student t on log ratios"
RANK_METHOD = "paired launches, Hodges-Lehmann estimate and signed-rank interval on log ratios"


def paired_ratio(differences: Sequence[float], level: float) -> Estimate | None:
    """Return the ratio behind `differences` of logarithms, one per wave; None for fewer than three."""
    if len(differences) < FEWEST_FOR_RANKS:
        return geometric_mean(differences, level, T_METHOD)
    averages = walsh_averages(differences)
    outside = ranks_outside(len(differences), level)
    return Estimate(
        value=math.exp(float(np.median(averages))),
        low=math.exp(averages[outside]),
        high=math.exp(averages[-1 - outside]),
        level=level,
        method=RANK_METHOD,
    )


def paired_p(differences: Sequence[float], comparisons: int = 1) -> float | None:
    """Return the two-sided p of "no difference"; None for fewer than three differences.

    The rank test of n differences knows no p below 2^(1 - n). Where that, corrected for so many `comparisons`, could not fall
    below 1 %, Student's t decides: again by numbers that are known before anything is measured.
    """
    n = len(differences)
    if n < FEWEST_FOR_RANKS or comparisons * 2.0 ** (1 - n) > LEAST_CORRECTED_P:
        return t_test_p(differences)
    values = np.array([d for d in differences if d != 0.0])
    if not values.size:
        return 1.0
    sizes = np.abs(values)
    # A tie gets the mean of its ranks; logarithms of nanoseconds seldom tie.
    ranks = np.array([(np.sum(sizes < size) + 1 + np.sum(sizes <= size)) / 2 for size in sizes])
    smaller = min(ranks[values > 0].sum(), ranks[values < 0].sum())
    return min(1.0, 2.0 * float(_distribution(values.size)[math.floor(smaller)]))


def walsh_averages(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the mean of every pair of values (each with itself, too), sorted; their median is the Hodges-Lehmann estimate."""
    array = np.asarray(values, dtype=float)
    first, second = np.triu_indices(array.size)
    return np.sort((array[first] + array[second]) / 2)


def ranks_outside(n: int, level: float) -> int:
    """Return how many Walsh averages lie below the interval (and as many above), for it to hold the truth at least at `level`.

    The truth lies below t + 1 of them or more unless the statistic is t or less.
    """
    return int(np.searchsorted(_distribution(n), (1 - level) / 2, side="right")) - 1


@functools.lru_cache(maxsize=1024)
def _distribution(n: int) -> NDArray[np.float64]:
    """Return P(T ≤ t) of the signed-rank statistic of n values without a difference, for t = 0 … n(n + 1)/2."""
    chances = np.zeros(n * (n + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, n + 1):  # each rank counts or does not, with probability one half
        chances[rank:] += chances[:-rank].copy()
        chances /= 2.0
    cumulated: NDArray[np.float64] = np.cumsum(chances)
    return cumulated
