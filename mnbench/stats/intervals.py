"""Intervals of a mean, and the correction for many comparisons. Oracles: scipy.stats, closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import stdtr, stdtrit

from mnbench.records import Estimate

FEWEST_LAUNCHES = 3
"""Below it there is no interval: with two launches, and two memory layouts that differ by 3 %, the simulator found the nominal
95 % interval to hold the truth in 92.3 % of runs (docs/methodology.md)."""
WITH_DRIFT = "; drift of the host's memory speed added"


def geometric_mean(logs: Sequence[float], level: float, method: str) -> Estimate | None:
    """Return the geometric mean of exp(logs) with Student's t interval on the log scale; None for fewer than three values.

    `logs` are natural logarithms of independent repetitions (one per launch). With n values the interval is
    exp(mean ± t(level, n - 1) · s / sqrt(n)).
    """
    n = len(logs)
    if n < FEWEST_LAUNCHES:
        return None
    mean = float(np.mean(logs))
    reach = t_quantile(level, n - 1) * float(np.std(logs, ddof=1)) / math.sqrt(n)
    return Estimate(value=math.exp(mean), low=math.exp(mean - reach), high=math.exp(mean + reach), level=level, method=method)


def arithmetic_mean(values: Sequence[float], level: float, method: str) -> Estimate | None:
    """Return the mean of `values` with Student's t interval; None for fewer than three. For figures that may be negative."""
    n = len(values)
    if n < FEWEST_LAUNCHES:
        return None
    mean = float(np.mean(values))
    reach = t_quantile(level, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate(value=mean, low=mean - reach, high=mean + reach, level=level, method=method)


def widened(estimate: Estimate | None, variance: float, degrees: float) -> Estimate | None:
    """Return the estimate with `variance` (of its logarithm) added to what its interval holds already, on both sides.

    Variances add, so half widths of logarithms add as the sides of a right angle do; `degrees` are those of the interval's t.
    """
    if estimate is None or variance <= 0.0:
        return estimate
    reach = t_quantile(estimate.level, degrees) * math.sqrt(variance)
    middle = math.log(estimate.value)
    return replace(
        estimate,
        low=math.exp(middle - math.hypot(middle - math.log(estimate.low), reach)),
        high=math.exp(middle + math.hypot(math.log(estimate.high) - middle, reach)),
        method=f"{estimate.method}{WITH_DRIFT}",
    )


def widened_p(estimate: Estimate, variance: float, degrees: float) -> float:
    """Return the two-sided p of "the value is 1", with `variance` (of its logarithm) added to what the interval holds.

    By Student's t; the estimate's own error is the distance to that end of its interval which faces 1. So it agrees with
    `widened` whatever test the interval is of: p is below 1 - level where the widened interval ends before 1.
    """
    facing = estimate.low if estimate.value > 1.0 else estimate.high
    own = abs(math.log(estimate.value / facing)) / t_quantile(estimate.level, degrees)
    return 2.0 * float(stdtr(degrees, -abs(math.log(estimate.value)) / math.hypot(own, math.sqrt(variance))))


def t_quantile(level: float, degrees: float) -> float:
    """Return t such that a Student variable lies within ±t with probability `level`."""
    return float(stdtrit(degrees, 0.5 + level / 2))


def t_test_p(logs: Sequence[float]) -> float | None:
    """Return the two-sided p of Student's one-sample t test for mean zero; None for fewer than three values."""
    n = len(logs)
    if n < FEWEST_LAUNCHES:
        return None
    spread = float(np.std(logs, ddof=1))
    if spread == 0.0:
        return 1.0 if float(np.mean(logs)) == 0.0 else 0.0
    t = float(np.mean(logs)) / (spread / math.sqrt(n))
    return 2.0 * float(stdtr(n - 1, -abs(t)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p values (S. Holm 1979): rejecting those below α keeps the family-wise error at α."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
