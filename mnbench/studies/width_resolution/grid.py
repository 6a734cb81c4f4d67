"""The networks of the study `width-resolution` as a run measured them, which its findings are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mnbench.records import ModelCard, Run
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import FEWEST_LAUNCHES
from mnbench.studies.common import readings
from mnbench.studies.common.readings import Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What the findings are made from."""

    run: Run
    cards: Mapping[str, ModelCard]
    madds: Mapping[str, int]
    logs: Mapping[tuple[str, str], LaunchLogs]
    """By backend and network, of all that was planned; empty for one whose rounds were too disturbed to be trusted."""
    noisy: frozenset[tuple[str, str]]
    """Backends and networks of those."""

    @property
    def backends(self) -> tuple[str, ...]:
        return readings.backends_of(self.run.plan.cases)

    def planned(self, backend: str) -> dict[str, LaunchLogs]:
        """Return the networks that one backend was to time, also those without an interval.

        A claim about all of them is judged over all of them: one that is missing could be what contradicts it.
        """
        return {network: logs for (name, network), logs in self.logs.items() if name == backend}

    def measured(self, backend: str) -> dict[str, LaunchLogs]:
        """Return the networks that one backend timed often enough for an interval."""
        return {network: logs for network, logs in self.planned(backend).items() if len(logs) >= FEWEST_LAUNCHES}

    def coverage(self, backend: str, networks: Iterable[str]) -> Coverage:
        """Return which of `networks` have an interval in a backend, and why the others have none."""
        names = {network: short_name(network) for network in networks}
        return readings.coverage(names, self.planned(backend), [network for name, network in self.noisy if name == backend])

    def lacking(self, networks: Iterable[str]) -> str:
        """Return as sentences what the backends lack of `networks`; nothing when each has an interval."""
        wanted = list(networks)
        found = {backend: self.coverage(backend, wanted) for backend in self.backends}
        return "".join(f" In {backend} {one}." for backend, one in found.items() if not one.complete)


def short_name(network: str) -> str:
    """Return `V1 0.75 128`."""
    family, width, resolution = parts(network)
    return f"{family.removeprefix('mobilenet_').upper()} {width:g} {resolution}"


def parts(network: str) -> tuple[str, float, int]:
    """Return (family, width, resolution) of a network of the grids: `mobilenet_v2_0.35_96` and the like."""
    family, width, resolution = network.rsplit("_", 2)
    return family, float(width), int(resolution)
