"""The networks of the study `width-resolution` as a run measured them, which its findings are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mnbench.records import ModelCard, Run
from mnbench.stats.analysis import LaunchLogs
from mnbench.studies import _measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What the findings are made from."""

    run: Run
    cards: Mapping[str, ModelCard]
    madds: Mapping[str, int]
    logs: Mapping[tuple[str, str], LaunchLogs]
    """By backend and network."""

    @property
    def backends(self) -> tuple[str, ...]:
        return _measured.backends_of(self.run.plan.cases)

    def of_backend(self, backend: str) -> dict[str, LaunchLogs]:
        """Return the networks that one backend timed often enough for an interval."""
        return {network: logs for (name, network), logs in self.logs.items() if name == backend and len(logs) >= 3}


def parts(network: str) -> tuple[str, float, int]:
    """Return (family, width, resolution) of a network of the grids: `mobilenet_v2_0.35_96` and the like."""
    family, width, resolution = network.rsplit("_", 2)
    return family, float(width), int(resolution)
