"""Waves of one run are not independent: the machine's speed drifts, and neighbours in time share it.

Pairing removes this from ratios. A latency has no partner, so the mean of a series of waves needs an error that holds their
dependence. The model is stationary: y_w = μ + e_w, e_w = ρ e_(w-1) + noise. Its correlation ρ cannot be known from a dozen
waves, so it is integrated out (a Bayesian marginal; the prior of ρ is a power of 1 - ρ from 0 to 0.95, that of μ is flat, that
of the noise's scale 1/σ). docs/methodology.md has its coverage beside that of other ways.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnbench.stats.distributions import normal_below, student_within
from mnbench.stats.intervals import FEWEST_LAUNCHES, Mean, t_quantile

CORRELATIONS = np.linspace(0.0, 0.95, 20)
USUAL, CAUTIOUS = 1.0, -0.5
"""Powers of 1 - ρ in the prior. The first suits what many cases share. The second is the shape of the reference prior
(J. O. Berger and R.-Y. Yang 1994, 1 / sqrt(1 - ρ²)): it is for a single case, whose own drift nothing else tells."""
LEVEL = 0.95
"""Of the interval that the error is taken from."""
DRIFT_P = 0.01
"""Below it a run's waves are called drifting; one steady run in a hundred is, too."""


def series_mean(values: Sequence[float], prior: float = USUAL) -> Mean | None:
    """Return the mean of successive waves, with an error that holds their dependence; None for fewer than three.

    `prior` is the power of 1 - ρ in the prior of their correlation: the smaller it is, the wider the interval.
    """
    y = np.asarray(values, dtype=float)
    n = y.size
    if n < FEWEST_LAUNCHES:
        return None
    middle = float(y.mean())
    if np.ptp(y) == 0.0:
        return Mean(value=middle, error=0.0, degrees=n - 1)
    weights, centres, errors = _posterior(y, prior)
    # The smallest h for which μ lies within middle ± h with probability LEVEL.
    low, high = 0.0, 1e3 * float(errors.max())
    for _ in range(60):
        half = (low + high) / 2
        above, below = student_within(n - 1, (np.array([[middle + half], [middle - half]]) - centres) / errors)
        inside = (above - below) / 2
        low, high = (half, high) if float(weights @ inside) < LEVEL else (low, half)
    return Mean(value=middle, error=high / t_quantile(LEVEL, n - 1), degrees=n - 1)


def drift_p(values: Sequence[float]) -> float | None:
    """Return the one-sided p of "successive values are independent", against neighbours that are alike; None below eight.

    Von Neumann's ratio (1941) of the mean square successive difference to the variance, by its normal approximation.
    """
    y = np.asarray(values, dtype=float)
    n = y.size
    squares = float(((y - y.mean()) ** 2).sum()) if n else 0.0
    if n < 8 or squares == 0.0:
        return None
    ratio = float((np.diff(y) ** 2).sum()) / squares
    return normal_below((ratio - 2.0) / math.sqrt(4.0 * (n - 2) / ((n - 1) * (n + 1))))


def _posterior(y: NDArray[np.float64], power: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return, by correlation: its posterior weight, and centre and scale of Student's distribution of μ given it."""
    n = y.size
    logs, centres, errors = [], [], []
    for rho, (whiten, log_determinant) in zip(CORRELATIONS, _whiteners(n), strict=True):
        ones, values = whiten.sum(axis=1), whiten @ y
        information = float(ones @ ones)
        centre = float(ones @ values) / information
        rest = values - centre * ones
        squares = float(rest @ rest)
        centres.append(centre)
        errors.append(math.sqrt(squares / ((n - 1) * information)))
        prior = power * math.log(1 - rho)
        logs.append(prior + log_determinant - 0.5 * math.log(information) - (n - 1) / 2 * math.log(squares))
    weights = np.exp(np.array(logs) - max(logs))
    return weights / weights.sum(), np.array(centres), np.array(errors)


@functools.lru_cache(maxsize=256)
def _whiteners(n: int) -> tuple[tuple[NDArray[np.float64], float], ...]:
    """Return, by correlation, the matrix that makes n correlated values independent, and the logarithm of its determinant."""
    found = []
    for rho in CORRELATIONS:
        whiten = np.eye(n)
        scale = 1 / math.sqrt(1 - rho**2)
        for row in range(1, n):
            whiten[row, row], whiten[row, row - 1] = scale, -rho * scale
        found.append((whiten, (n - 1) * math.log(scale)))
    return tuple(found)
