"""The ratio of two cases from launches of the same waves: its estimate, its interval and its p value. Oracle: scipy.stats.

With few launches, Student's t on the differences of logarithms. From twelve on, the Hodges-Lehmann estimate with the
interval of Wilcoxon's signed-rank test: on a shared host some waves meet a neighbour the kernel does not show, and a single
difference of 20 % makes t's interval twice as wide (docs/methodology.md). The rank test gives up 5 % of t's efficiency where
noise is normal and gains where it is not; below twelve differences its interval has no room to leave one out. Which of the
two is used depends on numbers known beforehand alone (launches, level, comparisons), never on what the launches say.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnbench.records import Estimate
from mnbench.stats.intervals import FEWEST_LAUNCHES, geometric_mean, t_test_p, widened, widened_p

FEWEST_FOR_RANKS = 12
LEAST_CORRECTED_P = 0.01
LEVEL = 0.95
"""Of the interval whose width tells how uncertain a ratio is by itself, where drift is added to a p."""
T_METHOD = "paired launches, Student t on log ratios"
RANK_METHOD = "paired launches, Hodges-Lehmann estimate and signed-rank interval on log ratios"


def paired_ratio(differences: Sequence[float], level: float, drift: float = 0.0) -> Estimate | None:
    """Return the ratio behind `differences` of logarithms, one per wave; None for fewer than three.

    `drift` is a variance to add to what they scatter (`stats/drift.py`), here and below.

    Student's t also where so few differences cannot carry a signed-rank interval at `level`: even the one from the least to
    the greatest holds the truth in only 1 - 2^(1 - n).
    """
    outside = ranks_outside(len(differences), level)
    if len(differences) < FEWEST_FOR_RANKS or outside < 0:
        return widened(geometric_mean(differences, level, T_METHOD), drift, len(differences) - 1)
    averages = walsh_averages(differences)
    estimate = Estimate(
        value=math.exp(float(np.median(averages))),
        low=math.exp(averages[outside]),
        high=math.exp(averages[-1 - outside]),
        level=level,
        method=RANK_METHOD,
    )
    return widened(estimate, drift, len(differences) - 1)


def paired_p(differences: Sequence[float], comparisons: int = 1, drift: float = 0.0) -> float | None:
    """Return the two-sided p of "no difference"; None for fewer than three differences.

    The rank test of n differences knows no p below 2^(1 - n). Where that, corrected for so many `comparisons`, could not fall
    below 1 %, Student's t decides: again by numbers that are known before anything is measured.
    """
    ranks = _ranks_can_decide(len(differences), comparisons)
    if drift > 0.0 and (estimate := paired_ratio(differences, LEVEL)) is not None:
        return widened_p(estimate, drift, len(differences) - 1)
    return _signed_rank_p(differences) if ranks else t_test_p(differences)


def _signed_rank_p(differences: Sequence[float]) -> float:
    values = np.array([d for d in differences if d != 0.0])
    if not values.size:
        return 1.0
    sizes = np.abs(values)
    # A tie gets the mean of its ranks; logarithms of nanoseconds seldom tie.
    ranks = np.array([(np.sum(sizes < size) + 1 + np.sum(sizes <= size)) / 2 for size in sizes])
    smaller = min(ranks[values > 0].sum(), ranks[values < 0].sum())
    return min(1.0, 2.0 * float(_distribution(values.size)[math.floor(smaller)]))


def equivalence_p(differences: Sequence[float], margin: float, comparisons: int = 1, drift: float = 0.0) -> float | None:
    """Return the p of "the ratio lies outside ± `margin`" (a logarithm); None for fewer than three differences.

    Two one-sided tests (D. J. Schuirmann 1987), by the test that `paired_p` uses for so many `comparisons`: the larger of
    their p values. It is doubled, so that p < 1 - level says what an interval of `paired_ratio` within the margin says.
    """
    if len(differences) < FEWEST_LAUNCHES:
        return None
    if abs(_middle(differences, _ranks_can_decide(len(differences), comparisons))) >= margin:
        return 1.0
    # From inside the margin a two-sided p is twice the one-sided p of "not beyond this edge".
    return max(paired_p([d - edge for d in differences], comparisons, drift) or 0.0 for edge in (margin, -margin))


def _middle(differences: Sequence[float], ranks: bool) -> float:
    """Return what the test of ranks, or else Student's, takes for the value of `differences`."""
    return float(np.median(walsh_averages(differences)) if ranks else np.mean(differences))


def walsh_averages(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the mean of every pair of values (each with itself, too), sorted; their median is the Hodges-Lehmann estimate."""
    array = np.asarray(values, dtype=float)
    first, second = np.triu_indices(array.size)
    return np.sort((array[first] + array[second]) / 2)


def ranks_outside(n: int, level: float) -> int:
    """Return how many Walsh averages lie below the interval (and as many above), for it to hold the truth at least at `level`.

    The truth lies below t + 1 of them or more unless the statistic is t or less. -1 where no interval of n does.
    """
    return int(np.searchsorted(_distribution(n), (1 - level) / 2, side="right")) - 1


def _ranks_can_decide(n: int, comparisons: int) -> bool:
    return n >= FEWEST_FOR_RANKS and comparisons * 2.0 ** (1 - n) <= LEAST_CORRECTED_P


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
