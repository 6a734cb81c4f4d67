"""Percentiles of what a user meets, with the interval that the launches carry.

Every launch weighs the same, however many inferences it has. F(q) is the mean over launches of the share of a launch's
inferences that take q or less. The estimate is the smallest measured q with F(q) >= p: the `inverted_cdf` of numpy, which
does not interpolate.

The interval is that of R. S. Woodruff (1952, "Confidence intervals for medians and other position measures") with launches
as clusters. A q belongs to it unless Student's interval of the launches' shares at q lies wholly above or wholly below p.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnbench.records import Estimate
from mnbench.stats.intervals import t_quantile

METHOD = "percentile of steady rounds, disturbed ones included; each launch weighs 1; Woodruff interval over launches"
FEWEST_LAUNCHES = 10
"""Below it there is no percentile: of p90 intervals shown, too few hold the truth (docs/methodology.md, "Percentiles")."""
ROUNDING = 1e-9
"""By how much a sum of shares may miss the share that it is, because 1/n is no binary fraction."""

Array = NDArray[np.float64]


def percentile(launches: Sequence[Sequence[float]], percent: float, level: float) -> Estimate | None:
    """Return a percentile, 50 or above, of the latencies of `launches`, in their unit, with an interval at `level`.

    None for fewer than `FEWEST_LAUNCHES` launches with a latency. None too where the interval has no upper end: the data then
    do not exclude that the percentile lies beyond all that was measured. A lower end there always is: from ten launches on,
    the half width of a mean share is below 0.38.
    """
    ranked = [np.sort(np.asarray(launch, dtype=np.float64)) for launch in launches if len(launch)]
    if len(ranked) < FEWEST_LAUNCHES:
        return None
    share = percent / 100
    values, shares, variances = _mean_shares(ranked)
    place = int(np.argmax(shares >= share - ROUNDING))
    # Where all shares are 1 they have no spread, yet slower inferences may have been missed. So the variance at any q is taken
    # to be at least what it would be if q were the percentile: what it is at the estimate, and what independent inferences
    # give. Inferences of one launch resemble each other, which only adds to the latter.
    independent = share * (1 - share) * float(np.mean([1 / len(launch) for launch in ranked])) / len(ranked)
    least = max(variances[place], independent)
    reach = t_quantile(level, len(ranked) - 1) * np.sqrt(np.maximum(variances, least))
    not_above = np.flatnonzero(shares - reach <= share + ROUNDING)
    after = int(not_above[-1]) + 1 if len(not_above) else 0
    if after == len(values):
        return None
    low = values[int(np.argmax(shares + reach >= share - ROUNDING))]
    return Estimate(value=float(values[place]), low=float(low), high=float(values[after]), level=level, method=METHOD)


def _mean_shares(ranked: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Return the distinct values q of sorted launches; for each the mean share <= q, and the variance of that mean."""
    count = len(ranked)
    values = np.concatenate(ranked)
    order = np.argsort(values, kind="stable")
    # At its inference number c (from 0) a launch's share grows by 1/n, the square of its share by (2c + 1)/n².
    steps = np.concatenate([np.full(len(launch), 1 / len(launch)) for launch in ranked])
    squares = np.concatenate([(2 * np.arange(len(launch)) + 1) / len(launch) ** 2 for launch in ranked])
    last = np.flatnonzero(np.append(np.diff(values[order]) > 0, True))  # of equal values
    sums, sums_of_squares = np.cumsum(steps[order])[last], np.cumsum(squares[order])[last]
    variances = np.maximum(0.0, sums_of_squares - sums**2 / count) / (count - 1) / count
    return values[order][last], sums / count, variances
