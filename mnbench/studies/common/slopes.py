"""The cost of one operator as the slope over chains of it, in which dispatch and the graph's edges cancel.

A graph of one operator is mostly something else: a 32→64 pointwise convolution at 112x112 took 2.6 ms in OpenVINO as a graph
of its own, nearly all of it layout conversion at the edges (docs/methodology.md). With k copies the latency is intercept + k
· slope. The line is fitted within a launch, where the lengths of a chain stand side by side; the interval is over launches.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mnbench.records import Estimate
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import FEWEST_LAUNCHES, PAIRED_METHOD, arithmetic_mean, geometric_mean, t_quantile

SLOPE_METHOD = "slope over copies in each launch, geometric mean over launches, Student t on logs"
SUM_METHOD = "sum of means over launches, over a mean; errors added as squares, Student t after Satterthwaite, on logs"
INTERCEPT_METHOD = "intercept over copies in each launch, mean over launches, Student t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one launch says of an operator."""

    slope_ns: float
    """Time of one copy."""
    intercept_ns: float
    """Time of everything else: dispatch, the graph's edges."""


def lines(logs_by_copies: Mapping[int, LaunchLogs], *, partly: bool = False) -> dict[int, Line]:
    """Return the fitted line of each launch that has every number of copies; at least two numbers are needed.

    With `partly`, two of them are enough: what is missing was left out for the machine's sake, not for what it says.

    `logs_by_copies` maps the number of copies to log(latency in ns) by launch. Least squares weighted by 1/latency², because
    the spread of a latency is a share of it.
    """
    if len(logs_by_copies) < 2:
        return {}
    found = {}
    for launch in sorted(set().union(*logs_by_copies.values())):
        latency_ns = {k: math.exp(logs[launch]) for k, logs in logs_by_copies.items() if launch in logs}
        if len(latency_ns) == len(logs_by_copies) or (partly and len(latency_ns) >= 2):
            found[launch] = fit(latency_ns)
    return found


def fit(latency_ns: Mapping[int, float]) -> Line:
    """Return the line through latencies by number of copies, weighted by 1/latency²."""
    copies = np.array(list(latency_ns), dtype=float)
    latencies = np.array(list(latency_ns.values()))
    slope, intercept = np.polyfit(copies, latencies, 1, w=1 / latencies)
    return Line(slope_ns=float(slope), intercept_ns=float(intercept))


def slope_logs(fitted: Mapping[int, Line]) -> LaunchLogs:
    """Return log(slope in ns) by launch; empty when a slope is not positive: noise then outweighs the operator."""
    return positive_logs(slopes_of(fitted))


def slopes_of(fitted: Mapping[int, Line]) -> dict[int, float]:
    """Return the slope of each launch's line, in ns."""
    return {launch: line.slope_ns for launch, line in fitted.items()}


def positive_logs(slopes_ns: Mapping[int, float]) -> LaunchLogs:
    """Return the logarithms of slopes by launch; empty when one is not positive."""
    if any(slope_ns <= 0 for slope_ns in slopes_ns.values()):
        return {}
    return {launch: math.log(slope_ns) for launch, slope_ns in slopes_ns.items()}


def slope(fitted: Mapping[int, Line], level: float) -> Estimate | None:
    """Return the time of one copy in ns; None below three launches, or when noise outweighs it."""
    return geometric_mean(list(slope_logs(fitted).values()), level, SLOPE_METHOD)


def intercept(fitted: Mapping[int, Line], level: float) -> Estimate | None:
    """Return the time of everything else in ns; None below three launches."""
    return arithmetic_mean([line.intercept_ns for line in fitted.values()], level, INTERCEPT_METHOD)


def ratio(over: LaunchLogs, under: LaunchLogs, level: float) -> Estimate | None:
    """Return the ratio of two latencies paired by launch, from their logarithms; None below three common launches."""
    return ratio_of(log_ratio(over, under), level)


def ratio_of(logs: LaunchLogs, level: float) -> Estimate | None:
    """Return the ratio behind log ratios by launch; None below three launches."""
    return geometric_mean(list(logs.values()), level, PAIRED_METHOD)


def log_ratio(over: LaunchLogs, under: LaunchLogs) -> LaunchLogs:
    """Return log(over / under) by launch that has both."""
    return {launch: over[launch] - under[launch] for launch in sorted(over.keys() & under.keys())}


def mean_logs(parts: Sequence[LaunchLogs]) -> LaunchLogs:
    """Return the mean of logarithms by launch that has them all; empty when one of `parts` is."""
    if not parts:
        return {}
    common = set.intersection(*(set(part) for part in parts))
    return {launch: statistics.fmean(part[launch] for part in parts) for launch in sorted(common)}


def scaled(factor: float, logs: LaunchLogs) -> LaunchLogs:
    """Return the logs of `factor` times what `logs` are of."""
    return {launch: value + math.log(factor) for launch, value in logs.items()}


def ratio_of_sum(parts: Sequence[Sequence[float]], whole: Sequence[float], level: float) -> Estimate | None:
    """Return the sum of the means of `parts` over the mean of `whole`; None where one has fewer than three values.

    Each part is a list of one figure by launch; the launches need not be the same. The errors of the means are taken as
    independent and added as squares, with degrees of freedom after Satterthwaite (1946). That is too wide for what drifts in
    parts and whole alike, which cancels in the ratio, and too narrow for what drifts in several parts and not in the whole, as
    in graphs that are timed one after another in a sweep: there the errors of the parts add up, and not as squares.
    """
    if not parts or min(len(whole), *(len(part) for part in parts)) < FEWEST_LAUNCHES:
        return None
    total, mean = sum(float(np.mean(part)) for part in parts), float(np.mean(whole))
    if total <= 0 or mean <= 0:
        return None
    # Variances of the logarithm of the ratio, each with the launches behind it.
    errors = [(float(np.var(part, ddof=1)) / len(part) / total**2, len(part)) for part in parts]
    errors.append((float(np.var(whole, ddof=1)) / len(whole) / mean**2, len(whole)))
    variance = sum(error for error, _ in errors)
    if variance == 0.0:
        reach = 0.0
    else:
        shares = [(error / variance, launches) for error, launches in errors]
        degrees = 1 / sum(share**2 / (launches - 1) for share, launches in shares)
        reach = t_quantile(level, degrees) * math.sqrt(variance)
    value = total / mean
    return Estimate(value=value, low=value * math.exp(-reach), high=value * math.exp(reach), level=level, method=SUM_METHOD)


def sum_logs(parts: Sequence[LaunchLogs]) -> LaunchLogs:
    """Return log of the sum of latencies, by launch that has them all; empty when one of `parts` is."""
    if not parts:
        return {}
    common = set.intersection(*(set(part) for part in parts))
    return {launch: math.log(sum(math.exp(part[launch]) for part in parts)) for launch in sorted(common)}
