"""The speed of the host's memory as a covariate: a figure is stated at a given speed, and what follows it is no scatter.

The tenants of a host share its outermost cache and its memory, and networks feel it to different degrees. Each steady round has
readings of a reference stream (`measure/workload.py`). A figure's logarithm y is regressed on the stream's x, wave by wave:
y = a + b (x - x0). A run's own ratio is a at the run's mean stream, so that the estimate is the plain mean of its launches; two
runs are compared at a common x0. docs/methodology.md has what this gains and where it ends.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mnbench.records import Round, Samples
from mnbench.stats.intervals import Mean, difference, mean_of, total

FEWEST_WAVES = 8
"""Below it the slope costs more than it gives. The number of launches decides, never what they say."""


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


def adjusted_mean(logs: Mapping[int, float], stream: Mapping[int, float]) -> Mean | None:
    """Return the mean of `logs` (by wave) at the mean of the stream in these waves.

    Least squares; the error has n - 2 degrees of freedom. The plain mean (n - 1) where fewer than eight waves have a reading,
    or the stream did not move; None for fewer than three launches.
    """
    fit = _fit(logs, stream)
    if fit is None:
        return mean_of(logs.values())
    return Mean(value=fit.middle, error=math.sqrt(fit.residual / fit.degrees / fit.waves), degrees=fit.degrees)


def adjusted_difference(
    new: Mapping[int, float], new_stream: Mapping[int, float], old: Mapping[int, float], old_stream: Mapping[int, float]
) -> Mean | None:
    """Return new - old at a common speed of the memory; None for fewer than three launches in either.

    Analysis of covariance: both runs share a slope on the stream, and the difference of their streams, times what is unknown of
    that slope, is part of the error: runs of two speeds have a wide interval. Each run has a noise of its own (Welch 1947,
    Satterthwaite 1946): pooled, a short noisy run next to a long quiet one had the truth in 82 of 100 intervals of 95 %.
    Plain Welch's t where either run has no fit.
    """
    fits = [_fit(new, new_stream), _fit(old, old_stream)]
    if fits[0] is None or fits[1] is None:
        means = mean_of(new.values()), mean_of(old.values())
        return None if means[0] is None or means[1] is None else difference(means[0], means[1])
    later, earlier = fits[0], fits[1]
    squares = later.squares + earlier.squares
    slope = (later.slope * later.squares + earlier.slope * earlier.squares) / squares
    apart = later.at - earlier.at
    parts = [_about(fit, slope, apart, squares) for fit in (later, earlier)]
    both = total(*parts)
    return Mean(value=later.middle - earlier.middle - slope * apart, error=both.error, degrees=both.degrees)


def _about(fit: _Fit, slope: float, apart: float, squares: float) -> Mean:
    """Return a run's part in the error of a difference at a common slope; its value is none.

    About that slope its residuals have what its own slope explained beyond it, and as many degrees of freedom more as it has
    of the slope's one. Its noise moves its own mean, and the slope by its share in the sum of `squares`.
    """
    degrees = fit.degrees + 1 - fit.squares / squares
    variance = (fit.residual + (fit.slope - slope) ** 2 * fit.squares) / degrees
    return Mean(value=0.0, error=math.sqrt(variance * (1 / fit.waves + apart**2 * fit.squares / squares**2)), degrees=degrees)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """A line through the waves of a run: log figure on log stream."""

    waves: int
    middle: float
    """Mean of the figure."""
    at: float
    """Mean of the stream."""
    slope: float
    squares: float
    """Sum of squares of the stream about its mean."""
    residual: float
    """Sum of squares of the figure about the line."""

    @property
    def degrees(self) -> int:
        return self.waves - 2


def _fit(logs: Mapping[int, float], stream: Mapping[int, float]) -> _Fit | None:
    """Return the line; None where fewer than eight waves, or not all of `logs`, have a reading, or the stream did not move."""
    waves = sorted(logs.keys() & stream.keys())
    if len(waves) < max(FEWEST_WAVES, len(logs)):
        return None
    x, y = np.array([stream[wave] for wave in waves]), np.array([logs[wave] for wave in waves])
    away, spread = x - x.mean(), y - y.mean()
    squares = float(away @ away)
    if squares == 0.0:
        return None
    slope = float(away @ spread) / squares
    rest = spread - slope * away
    return _Fit(
        waves=len(waves), middle=float(y.mean()), at=float(x.mean()), slope=slope, squares=squares, residual=float(rest @ rest)
    )
