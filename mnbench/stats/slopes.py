"""The cost of one operator as the slope over chains of it, in which dispatch and the graph's edges cancel.

A graph of one operator is mostly something else: a 32→64 pointwise convolution at 112x112 took 2.6 ms in OpenVINO as a graph
of its own, nearly all of it layout conversion at the edges (docs/methodology.md). With k copies the latency is intercept + k
· slope. The line is fitted within a launch, where the lengths of a chain stand side by side; the interval is over launches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mnbench.records import Estimate
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import arithmetic_mean, geometric_mean
from mnbench.stats.paired import paired_ratio

SLOPE_METHOD = "slope over copies in each launch, geometric mean over launches, Student t on logs"
INTERCEPT_METHOD = "intercept over copies in each launch, mean over launches, Student t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one launch says of an operator."""

    slope_ns: float
    """Time of one copy."""
    intercept_ns: float
    """Time of everything else: dispatch, the graph's edges."""


def lines(logs_by_copies: Mapping[int, LaunchLogs]) -> dict[int, Line]:
    """Return the fitted line of each launch that has every number of copies; at least two numbers are needed.

    `logs_by_copies` maps the number of copies to log(latency in ns) by launch. Least squares weighted by 1/latency², because
    the spread of a latency is a share of it.
    """
    if len(logs_by_copies) < 2:
        return {}
    common = set.intersection(*(set(logs) for logs in logs_by_copies.values()))
    return {launch: fit({k: math.exp(logs[launch]) for k, logs in logs_by_copies.items()}) for launch in sorted(common)}


def fit(latency_ns: Mapping[int, float]) -> Line:
    """Return the line through latencies by number of copies, weighted by 1/latency²."""
    copies = np.array(list(latency_ns), dtype=float)
    latencies = np.array(list(latency_ns.values()))
    slope, intercept = np.polyfit(copies, latencies, 1, w=1 / latencies)
    return Line(slope_ns=float(slope), intercept_ns=float(intercept))


def slope_logs(fitted: Mapping[int, Line]) -> LaunchLogs:
    """Return log(slope in ns) by launch; empty when a slope is not positive: noise then outweighs the operator."""
    if any(line.slope_ns <= 0 for line in fitted.values()):
        return {}
    return {launch: math.log(line.slope_ns) for launch, line in fitted.items()}


def slope(fitted: Mapping[int, Line], level: float) -> Estimate | None:
    """Return the time of one copy in ns; None below three launches, or when noise outweighs it."""
    return geometric_mean(list(slope_logs(fitted).values()), level, SLOPE_METHOD)


def intercept(fitted: Mapping[int, Line], level: float) -> Estimate | None:
    """Return the time of everything else in ns; None below three launches."""
    return arithmetic_mean([line.intercept_ns for line in fitted.values()], level, INTERCEPT_METHOD)


def ratio(over: LaunchLogs, under: LaunchLogs, level: float) -> Estimate | None:
    """Return the ratio of two latencies paired by launch, from their logarithms; None below three common launches."""
    return paired_ratio([over[launch] - under[launch] for launch in sorted(over.keys() & under.keys())], level)


def sum_logs(parts: list[LaunchLogs]) -> LaunchLogs:
    """Return log of the sum of latencies, by launch that has them all."""
    if not parts:
        return {}
    common = set.intersection(*(set(part) for part in parts))
    return {launch: math.log(sum(math.exp(part[launch]) for part in parts)) for launch in sorted(common)}
