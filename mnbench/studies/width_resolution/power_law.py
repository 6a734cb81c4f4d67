"""Exponents: how a latency grows with a size (y = c · x^exponent), as the slope of a line on logarithms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mnbench.records import Estimate
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import arithmetic_mean, t_quantile

LAUNCH_METHOD = "slope of log latency on log size in each launch, mean over launches, Student t"
NETWORKS_METHOD = "least squares on logarithms over networks, Student t with n - 2 degrees"


def over_launches(logs_by_size: Mapping[float, LaunchLogs], level: float) -> Estimate | None:
    """Return the exponent of latency in size, fitted in each launch that has every size.

    None below three launches or two sizes.

    The interval holds what launches differ by. It does not say that a power law fits: for that, look at the exponents
    between neighbouring sizes.
    """
    if len(logs_by_size) < 2:
        return None
    common = sorted(set.intersection(*(set(logs) for logs in logs_by_size.values())))
    sizes = [math.log(size) for size in logs_by_size]
    return arithmetic_mean([slope(sizes, [logs[n] for logs in logs_by_size.values()]) for n in common], level, LAUNCH_METHOD)


def over_networks(sizes: Sequence[float], values: Sequence[float], level: float) -> Estimate | None:
    """Return the exponent of `values` in `sizes`, one pair a network; None for fewer than three.

    The interval holds how far networks scatter about the line: the exponent that other networks of the kind would give.
    Both logarithms enter as they are; the line is fitted for predicting `values` from `sizes`.
    """
    if len(sizes) < 3:
        return None
    x, y = np.log(np.asarray(sizes, dtype=float)), np.log(np.asarray(values, dtype=float))
    value = slope(x.tolist(), y.tolist())
    residuals = (y - y.mean()) - value * (x - x.mean())
    error = math.sqrt(float(residuals @ residuals) / (len(sizes) - 2) / float((x - x.mean()) @ (x - x.mean())))
    reach = t_quantile(level, len(sizes) - 2) * error
    return Estimate(value=value, low=value - reach, high=value + reach, level=level, method=NETWORKS_METHOD)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the least-squares slope of `y` on `x`."""
    offsets = np.asarray(x, dtype=float) - np.mean(x)
    return float(offsets @ np.asarray(y, dtype=float) / (offsets @ offsets))
