"""One number of a launch. Pure: its rounds in, nanoseconds out.

Two are used, and the report says which. The *median* is what a user waits: it is the latency that is shown. The *typical*
latency is the lower quartile: interruptions and neighbours only ever make an inference slower, so the quiet side of a launch
compares two networks with less noise. Ratios, `diff`, the self-test and studies rest on it. What neither of them sees, a
slow-down of some inferences only, the *mean* does. docs/methodology.md has the rule that chose them and what was measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mnbench.records import Round, Samples

Statistic = Callable[[Sequence[int]], float]
"""From the latencies of a launch's undisturbed rounds, in ns, to one number."""
TYPICAL_PCT = 25.0
TYPICAL_METHOD = "geometric mean of the launches' lower quartiles, Student t on logs"


def typical_ns(latencies_ns: Sequence[int]) -> float:
    """Return the lower quartile (linear interpolation), in ns."""
    return float(np.percentile(latencies_ns, TYPICAL_PCT))


def mean_ns(latencies_ns: Sequence[int]) -> float:
    """Return the arithmetic mean, in ns: the inverse of the throughput."""
    return statistics.fmean(latencies_ns)


def median_ns(latencies_ns: Sequence[int]) -> float:
    """Return the median, in ns."""
    return float(statistics.median(latencies_ns))


def usable_rounds(samples: Samples, regime: str = "steady") -> list[Round]:
    """Return the undisturbed rounds of one regime of a launch."""
    return [r for r in samples.rounds if r.regime == regime and not r.disturbances and r.latencies_ns]


def launch_logs(launches: Iterable[Samples], regime: str = "steady", statistic: Statistic = typical_ns) -> dict[int, float]:
    """Return, by launch, log(`statistic` in ns) of the timed inferences of its undisturbed rounds.

    A launch without an undisturbed round is left out.
    """
    logs: dict[int, float] = {}
    for samples in launches:
        pooled = [ns for r in usable_rounds(samples, regime) for ns in r.latencies_ns]
        if pooled:
            logs[samples.launch] = math.log(max(statistic(pooled), 1.0))
    return logs


def unsettled_logs(launches: Iterable[Samples]) -> list[float]:
    """Return, by launch, log(median of the first half of its timed inferences / median of the second half)."""
    logs = []
    for samples in launches:
        halves = [_halves(r) for r in usable_rounds(samples) if len(r.latencies_ns) >= 8]
        if halves:
            logs.append(statistics.fmean(halves))
    return logs


def _halves(measured: Round) -> float:
    middle = len(measured.latencies_ns) // 2
    first, second = (statistics.median(part) for part in (measured.latencies_ns[:middle], measured.latencies_ns[middle:]))
    return math.log(max(first, 1) / max(second, 1))
