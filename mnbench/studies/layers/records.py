"""What the study `layers` derives of each case, and the rows of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mnbench.records import Estimate, LayerCost
from mnbench.stats.analysis import LaunchLogs
from mnbench.studies.layers.shares import Part, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One network in one runtime: its profile, mapped to its layers."""

    profile: Profile
    layers: tuple[LayerCost, ...]
    parts: tuple[Part, ...]
    counts: Mapping[str, tuple[float, float]]
    """Share of MAdds and of parameters by kind, in per cent."""
    times: Mapping[str, Estimate]
    """Share of the sum of the parts by kind, in per cent; empty with fewer than three launches."""
    steady: LaunchLogs
    """Latency without profiling."""
    unclaimed: tuple[str, ...]
    """Layers that no node of the profile could be said to be."""
    sum_over_whole: Estimate | None
    """Over the profiled inference."""
    sum_over_plain: Estimate | None
    """Over an inference without profiling, in the same processes."""
    sum_over_steady: Estimate | None
    """Over the run's latency, from other launches."""
    cut_pct: float
    excess_pct: float | None
    """What the nodes take beyond a plain inference, in per cent of their sum; None unless it is established that they do."""
    less_profiling: Mapping[str, float]
    """Share of the time by kind without that excess, if it is the same for each node; empty where it cannot be."""

    @property
    def where(self) -> str:
        return f"{self.profile.model} in {self.profile.backend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """One kind of layer of a network in a runtime."""

    model: str
    backend: str
    kind: str
    nodes: int
    madds_pct: float
    params_pct: float
    """Of the parameters of layers that multiply: normalisation is folded into them."""
    time_pct: Estimate | None
    time_less_profiling_pct: float | None
    """If the profiler's own work, where the nodes take longer together than a plain inference, were the same in each node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SumRow:
    """Whether the parts of a profile add up to the whole."""

    model: str
    backend: str
    launches: int
    launches_disturbed: int
    """Left out."""
    layers: int
    layers_mapped: int
    nodes: int
    sum_us: float
    profiled_us: float
    plain_us: float | None
    steady_us: float | None
    sum_over_profiled: Estimate | None
    sum_over_plain: Estimate | None
    sum_over_steady: Estimate | None
    cut_pct: float
    """What the profile's cutting of times to whole microseconds takes off the sum on average, in per cent of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One node that is a layer (or several fused ones), or all other nodes of one type."""

    model: str
    backend: str
    module: str
    """Dotted name of the torch module; empty for nodes that multiply nothing."""
    kind: str
    node: str
    type: str
    nodes: int
    mapped: str
    madds: int | None
    params: int | None
    bytes: int | None
    madds_per_byte: float | None
    time_us: Estimate | None
    gmadds_per_s: Estimate | None
    share_pct: Estimate | None
