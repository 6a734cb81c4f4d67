"""Kendall's rank correlation between a published list of figures and measured latencies, with an interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
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
    from scipy.stats import kendalltau  # here: it takes half a second to import, and most commands need none of it

    means = [math.fsum(logs[name].values()) / len(logs[name]) for name in measured]
    value = float(kendalltau([published[name] for name in measured], means).statistic)
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


def _scale(published: list[float]) -> float:
    """Return tau-b's denominator when only the published figures have ties: sqrt((n0 - ties) · n0)."""
    pairs = math.comb(len(published), 2)
    tied = sum(math.comb(count, 2) for count in Counter(published).values())
    return math.sqrt((pairs - tied) * pairs)
