"""The Pareto front of latency and accuracy when latencies have intervals: on it, off it, or not decided."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from mnbench.studies.common.ordering import Order


class Place(StrEnum):
    """Where a network stands."""

    ON = "on the front"
    OFF = "off the front"
    UNDECIDED = "undecided"


def front(accuracy: Mapping[str, float], order: Mapping[tuple[str, str], Order]) -> dict[str, Place]:
    """Return the place of each network.

    Off: another is at least as accurate and faster beyond doubt. On: all that are at least as accurate are slower beyond
    doubt. Otherwise undecided. `order[a, b]` says how a's latency stands to b's.
    """
    return {name: _place(name, accuracy, order) for name in accuracy}


def _place(name: str, accuracy: Mapping[str, float], order: Mapping[tuple[str, str], Order]) -> Place:
    rivals = [order[other, name] for other in accuracy if other != name and accuracy[other] >= accuracy[name]]
    if Order.FASTER in rivals:
        return Place.OFF
    return Place.UNDECIDED if Order.UNDECIDED in rivals else Place.ON
