"""Two independent groups of launches: the ratio of their latencies, its interval and its p value. Oracle: scipy.stats."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr

from mnbench.records import Estimate
from mnbench.stats.intervals import FEWEST_LAUNCHES, WITH_DRIFT, t_quantile

METHOD = "independent launches of two runs, Welch's t on log latencies"
LARGEST_LOG = 700.0
"""exp of more overflows; an interval that wide says nothing anyway."""


def ratio_of_independent(
    new: Sequence[float], old: Sequence[float], level: float, drift: float = 0.0
) -> tuple[Estimate, float] | None:
    """Return (new / old with its interval, two-sided p for equal means); None with fewer than three launches in either.

    Both are natural logarithms of launch latencies. Welch's t (B. L. Welch 1947): the runs may differ in spread and in number
    of launches; degrees of freedom after Satterthwaite (1946). Groups without any spread are certain: p is 1 when their means
    agree and 0 when they do not. `drift` is a variance of the difference beside what the launches scatter (`stats/drift.py`).
    """
    if min(len(new), len(old)) < FEWEST_LAUNCHES:
        return None
    difference = float(np.mean(new)) - float(np.mean(old))
    variances = [float(np.var(logs, ddof=1)) / len(logs) for logs in (new, old)]
    if sum(variances) == 0.0:
        return _estimate(difference, 0.0, level), 1.0 if difference == 0.0 else 0.0
    error = math.sqrt(sum(variances) + drift)
    # Shares, not squares of variances: those of very steady launches would underflow.
    shares = [variance / sum(variances) for variance in variances]
    degrees = 1 / sum(share**2 / (len(logs) - 1) for share, logs in zip(shares, (new, old), strict=True))
    p = 2.0 * float(stdtr(degrees, -abs(difference) / error))
    return _estimate(difference, t_quantile(level, degrees) * error, level, WITH_DRIFT if drift else ""), p


def equivalence_p(new: Sequence[float], old: Sequence[float], margin: float, drift: float = 0.0) -> float | None:
    """Return the p of "new / old lies outside ± `margin`" (a logarithm); None with fewer than three launches in either.

    Two one-sided tests (D. J. Schuirmann 1987) by Welch's t: the larger of their p values, doubled, so that p < 1 - level
    says what an interval of `ratio_of_independent` within the margin says.
    """
    if min(len(new), len(old)) < FEWEST_LAUNCHES:
        return None
    if abs(float(np.mean(new)) - float(np.mean(old))) >= margin:
        return 1.0
    edges = (ratio_of_independent([log - edge for log in new], old, 0.95, drift) for edge in (margin, -margin))
    return max(test[1] for test in edges if test is not None)


def _estimate(log_ratio: float, reach: float, level: float, remark: str = "") -> Estimate:
    low, value, high = (
        math.exp(max(-LARGEST_LOG, min(LARGEST_LOG, log))) for log in (log_ratio - reach, log_ratio, log_ratio + reach)
    )
    return Estimate(value=value, low=low, high=high, level=level, method=METHOD + remark)
