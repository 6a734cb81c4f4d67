"""Kendall's rank correlation between a published list of figures and measured latencies, with an interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from mnbench.records import Estimate
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import FEWEST_LAUNCHES
from mnbench.studies.common.ordering import Order, order_of_all

KENDALL_METHOD = (
    "Kendall's tau-b; its ends: every pair of networks that is not decided (Holm, all pairs) in the worse and the better order"
)


def kendall(published: Mapping[str, float], logs: Mapping[str, LaunchLogs], level: float) -> Estimate | None:
    """Return tau-b between `published` and the mean latency of the networks that both name; None for fewer than three measured.

    A network of fewer than three launches (none at all, too) is open against every other: it widens the interval, and has no
    part in the value.

    The interval is about these networks, not about others one might have drawn: it holds what measuring leaves open. A pair
    whose order is beyond doubt counts as it is; the others count against the correlation in `low` and for it in `high`. Each
    decided pair is right with probability `level` at once, so the interval is rather too wide than too narrow. A bootstrap of
    five or six launches would be too narrow.
    """
    names = [name for name in published if name in logs]
    measured = [name for name in names if len(logs[name]) >= FEWEST_LAUNCHES]
    if len(measured) < 3:
        return None
    means = [math.fsum(logs[name].values()) / len(logs[name]) for name in measured]
    value = tau_b([published[name] for name in measured], means)
    order = order_of_all({name: logs[name] for name in names}, level)
    agree = against = open_pairs = 0
    for first, second in combinations(names, 2):
        if published[first] == published[second]:
            continue
        expected = Order.FASTER if published[first] < published[second] else Order.SLOWER
        agree += order[first, second] is expected
        against += order[first, second] is Order(-expected)
        open_pairs += order[first, second] is Order.UNDECIDED
    scale = _scale([published[name] for name in names])
    return Estimate(
        value=value,
        low=(agree - against - open_pairs) / scale,
        high=(agree - against + open_pairs) / scale,
        level=level,
        method=KENDALL_METHOD,
    )


def tau_b(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's tau-b of two lists of figures (M. G. Kendall 1945); NaN where all figures of one list are the same."""
    signs = [(_sign(first[j] - first[i]), _sign(second[j] - second[i])) for i, j in combinations(range(len(first)), 2)]
    scale = math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    return sum(a * b for a, b in signs) / scale if scale else math.nan


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _scale(published: list[float]) -> float:
    """Return tau-b's denominator when only the published figures have ties: sqrt((n0 - ties) · n0)."""
    pairs = math.comb(len(published), 2)
    tied = sum(math.comb(count, 2) for count in Counter(published).values())
    return math.sqrt((pairs - tied) * pairs)
