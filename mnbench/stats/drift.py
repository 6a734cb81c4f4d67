"""What the drift of a host's memory speed adds to the uncertainty of a figure.

The tenants of a host share its outermost cache and its memory, and networks feel it to different degrees: over 9 minutes on a
virtualised EPYC, MobileNetV2's time followed that of the reference stream with a slope of 0.45 (logarithms), MobileNetV1's
with 0.2, so that their ratio followed with 0.3 (docs/methodology.md). The stream's speed has no mean that a longer run would
settle on: its Allan deviation was 3.1 to 3.6 % for every averaging time from 1 to 45 s (flicker noise; D. W. Allan 1966).
Then the next run differs from this one as the parts of this one differ from each other, however many launches each has. That
part of the uncertainty is not in the scatter of launches; it is added to it here.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mnbench.records import Round, Samples

FEWEST_WAVES = 8
"""Below it neither the slope nor the drift can be told from chance; the intervals of so few launches are wide."""
PARTS = 4
"""Of a run, whose means are compared."""


def stream_logs(launches: Iterable[Samples]) -> dict[int, float]:
    """Return, by wave, the median log time of the reference stream beside the undisturbed steady rounds of all cases.

    Empty for a run without readings. The median, because nothing watches the readings themselves: one may be interrupted.
    """
    readings: dict[int, list[float]] = {}
    for samples in launches:
        for measured in samples.rounds:
            if not measured.disturbances and (logs := readings_of(measured)):
                readings.setdefault(samples.launch, []).extend(logs)
    return {wave: statistics.median(logs) for wave, logs in readings.items()}


def readings_of(measured: Round) -> list[float]:
    """Return the logarithms of a round's readings of the stream; empty where it was not timed."""
    return [math.log(ns) for ns in (measured.stream_before_ns, measured.stream_after_ns) if ns]


def drift_variance(logs: Mapping[int, float], stream: Mapping[int, float]) -> float:
    """Return the variance that drift adds to the mean of `logs`, beyond what their scatter says; 0 below 8 waves.

    `logs` are logarithms by wave, of a latency or of a ratio; `stream` those of the reference stream. It is the squared
    slope of the one on the other (Theil-Sen's, which a few stray waves do not bend) times the Allan variance of the stream over
    quarters of the run, less what the scatter of waves holds of that already. The slope's own error makes it larger, not
    smaller: by a tenth of an interval's width or two, in simulation, for a figure that does not feel the stream.
    """
    waves = sorted(logs.keys() & stream.keys())
    if len(waves) < FEWEST_WAVES:
        return 0.0
    x, y = [stream[wave] for wave in waves], [logs[wave] for wave in waves]
    return theil_sen(x, y) ** 2 * max(0.0, allan_variance(x) - statistics.variance(x) / len(x))


def theil_sen(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the median slope of y on x over all pairs that differ in x; 0 when none does (P. K. Sen 1968)."""
    first, second = np.triu_indices(len(x), 1)
    run, rise = np.subtract.outer(x, x)[first, second], np.subtract.outer(y, y)[first, second]
    return float(np.median(rise[run != 0.0] / run[run != 0.0])) if run.any() else 0.0


def allan_variance(values: Sequence[float]) -> float:
    """Return half the mean square of the differences between the means of adjacent quarters of `values`."""
    bounds = [round(part * len(values) / PARTS) for part in range(PARTS + 1)]
    means = [statistics.fmean(values[first:last]) for first, last in itertools.pairwise(bounds)]
    return statistics.fmean((later - earlier) ** 2 for earlier, later in itertools.pairwise(means)) / 2
