"""Which of two cases is faster beyond doubt, over all pairs of a set at once.

Statements about a whole set (a Pareto front, a rank correlation) rest on every pair in it. A pair is decided only when its
difference stands after Holm's correction over all pairs, so that with probability `level` not one decided pair is wrong.
Student's t is used whatever the number of launches: the smallest p of a signed-rank test over twelve launches, 1/2048, could
decide nothing among a hundred pairs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from enum import IntEnum
from itertools import combinations
from typing import TypeVar

from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import holm, t_test_p

Key = TypeVar("Key", bound=Hashable)


class Order(IntEnum):
    """How the first of a pair stands to the second."""

    FASTER = -1
    UNDECIDED = 0
    SLOWER = 1


def decide_all(differences: Mapping[Key, Sequence[float]], level: float) -> dict[Key, Order]:
    """Return what each list of paired differences of logarithms (first minus second, one a launch) lets one say.

    Undecided below three differences, and where the corrected p is 1 - `level` or more.
    """
    p_values = {key: p for key, logs in differences.items() if (p := t_test_p(logs)) is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {
        key: _sign(sum(logs)) if adjusted.get(key, 1.0) < 1 - level else Order.UNDECIDED for key, logs in differences.items()
    }


def order_of_all(logs: Mapping[Key, LaunchLogs], level: float) -> dict[tuple[Key, Key], Order]:
    """Return how each case stands to each other, in both directions, from log(latency) by launch."""
    differences = {
        (first, second): [logs[first][n] - logs[second][n] for n in sorted(logs[first].keys() & logs[second].keys())]
        for first, second in combinations(logs, 2)
    }
    decided = decide_all(differences, level)
    return {**decided, **{(second, first): Order(-order) for (first, second), order in decided.items()}}


def _sign(value: float) -> Order:
    return Order.FASTER if value < 0 else Order.SLOWER
