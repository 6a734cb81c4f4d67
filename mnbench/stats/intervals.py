"""Means with their errors: intervals, tests of a difference and of equivalence. Oracles: scipy.stats, closed forms.

Everything here is a mean of logarithms with a standard error and its degrees of freedom, so that an interval, a p value and an
equivalence test of one figure can never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mnbench.records import Estimate
from mnbench.stats.distributions import student_below, student_quantile

FEWEST_LAUNCHES = 3
"""Below it there is no interval: with two launches, and two memory layouts that differ by 3 %, the simulator found the nominal
95 % interval to hold the truth in 92.3 % of runs (docs/methodology.md)."""
PAIRED_METHOD = "mean over launches of paired log ratios, Student t"
LARGEST_LOG = 700.0
"""exp of more overflows; an interval that wide says nothing anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean of logarithms, its standard error, and the degrees of freedom of that error."""

    value: float
    error: float
    degrees: float

    def reach(self, level: float) -> float:
        """Return half the width of the interval at `level`."""
        return t_quantile(level, self.degrees) * self.error

    def estimate(self, level: float, method: str) -> Estimate:
        """Return the ratio or latency behind the mean of its logarithm."""
        reach = self.reach(level)
        low, value, high = (math.exp(_bounded(log)) for log in (self.value - reach, self.value, self.value + reach))
        return Estimate(value=value, low=low, high=high, level=level, method=method)

    def p(self) -> float:
        """Return the two-sided p of "the mean is 0". Without any spread it is 1 or 0."""
        return 2.0 * self._p_below(-abs(self.value))

    def p_outside(self, margin: float) -> float:
        """Return the p of "the mean lies outside ± `margin`": two one-sided tests, the larger p (D. J. Schuirmann 1987).

        It is below α exactly when the interval at level 1 - 2α lies within the margin: nothing is doubled.
        """
        return self._p_below(abs(self.value) - margin)

    def _p_below(self, distance: float) -> float:
        """Return the one-sided p of a `distance` (negative: on the side that speaks against the hypothesis)."""
        if self.error == 0.0:
            return 0.0 if distance < 0.0 else 0.5 if distance == 0.0 else 1.0
        return student_below(self.degrees, distance / self.error)


def mean_of(values: Iterable[float]) -> Mean | None:
    """Return the mean of independent repetitions (one a launch) with Student's error; None for fewer than three."""
    array = np.fromiter(values, dtype=float)
    if array.size < FEWEST_LAUNCHES:
        return None
    error = float(np.std(array, ddof=1)) / math.sqrt(array.size)
    return Mean(value=float(np.mean(array)), error=error, degrees=array.size - 1)


def total(*parts: Mean) -> Mean:
    """Return the sum of independent means; degrees of freedom after Welch (1947) and Satterthwaite (1946)."""
    variance = sum(part.error**2 for part in parts)
    # Shares, not squares of variances: those of very steady launches would underflow.
    shares = [part.error**2 / variance for part in parts] if variance else [1.0 / len(parts)] * len(parts)
    degrees = 1 / sum(share**2 / part.degrees for share, part in zip(shares, parts, strict=True))
    return Mean(value=sum(part.value for part in parts), error=math.sqrt(variance), degrees=degrees)


def difference(new: Mean, old: Mean) -> Mean:
    """Return new - old of two independent means (Welch's t)."""
    return total(new, Mean(value=-old.value, error=old.error, degrees=old.degrees))


def geometric_mean(logs: Sequence[float], level: float, method: str) -> Estimate | None:
    """Return the geometric mean of exp(logs) with Student's t interval on the log scale; None for fewer than three values.

    `logs` are natural logarithms of independent repetitions (one per launch). With n values the interval is
    exp(mean ± t(level, n - 1) · s / sqrt(n)).
    """
    mean = mean_of(logs)
    return None if mean is None else mean.estimate(level, method)


def arithmetic_mean(values: Sequence[float], level: float, method: str) -> Estimate | None:
    """Return the mean of `values` with Student's t interval; None for fewer than three. For figures that may be negative."""
    mean = mean_of(values)
    if mean is None:
        return None
    reach = mean.reach(level)
    return Estimate(value=mean.value, low=mean.value - reach, high=mean.value + reach, level=level, method=method)


def t_quantile(level: float, degrees: float) -> float:
    """Return t such that a Student variable lies within ±t with probability `level`."""
    return student_quantile(degrees, 0.5 + level / 2)


def t_test_p(logs: Sequence[float]) -> float | None:
    """Return the two-sided p of Student's one-sample t test for mean zero; None for fewer than three values."""
    mean = mean_of(logs)
    return None if mean is None else mean.p()


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p values (S. Holm 1979): rejecting those below α keeps the family-wise error at α."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _bounded(log: float) -> float:
    return max(-LARGEST_LOG, min(LARGEST_LOG, log))
