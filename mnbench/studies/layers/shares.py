"""Where the time of an inference goes: profiles mapped to layers, shares by kind of layer, and whether the parts add up.

A profile names the nodes of a runtime's graph. Each node that holds the weights of a torch module is that layer; where a
runtime fused several layers into one node, their times cannot be told apart. Shares are of the sum of the parts: what lies
between nodes belongs to none. A share is computed within a launch; its interval is over launches.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.records import Estimate, LayerCost
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import arithmetic_mean, difference, geometric_mean, mean_of

PRODUCT, FUSED, UNJOINED, LAYOUT, OTHER = "product", "fused", "unjoined", "layout", "other"
"""A layer that multiplies two activations. Then kinds of nodes that are no single kind of layer: several layers in one kernel;
a node that multiplies and could not be said to be any layer; data moved or renumbered; everything else (elementwise operators,
normalisation, pooling)."""
KINDS = ("standard", "depthwise", "pointwise", "grouped", "linear", PRODUCT, FUSED, UNJOINED, LAYOUT, OTHER)
FLOAT_BYTES = 4

SHARE_METHOD = "share within each launch, mean over launches, Student t"
TIME_METHOD = "mean over the inferences of each launch, geometric mean over launches, Student t on logs"
SUM_METHOD = "ratio within each launch, geometric mean over launches, Student t on logs"

_LAYOUT_TYPES = re.compile(
    r"reorder|reshape|transpose|permute|concat|^cat$|slice|^pad$|constant_pad|shuffle|split|squeeze|flatten|^view$|narrow|^chunk|"
    r"clone|copy|contiguous|gather|tile|^select$",
    re.IGNORECASE,
)
"""Types of nodes that only move data, in the words of all runtimes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTimes:
    """One node of a profile (or all nodes of one type that multiply nothing), over the launches."""

    name: str
    type: str
    nodes: int = 1
    multiplies: bool = False
    modules: tuple[str, ...] = ()
    ns: tuple[float, ...]
    """Mean time in an inference, for each launch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The profiles of one case: its nodes' times, and the time of the whole inference beside them."""

    model: str
    backend: str
    cut_ns: float
    """What the profile loses of each node's time on average."""
    whole_ns: tuple[float, ...]
    """Mean time of a profiled inference, for each launch."""
    nodes: tuple[NodeTimes, ...]
    plain_ns: tuple[float, ...] = ()
    """Mean time of an inference without profiling in the same process, for each launch."""
    disturbed: int = 0
    """Launches that something disturbed; they are not among the times."""
    disturbances: tuple[str, ...] = ()
    """What disturbed them."""
    failures: tuple[str, ...] = ()
    """Why other launches gave nothing."""

    @property
    def refused(self) -> str:
        """Why there is no profile, in words; empty where there is one."""
        if self.whole_ns:
            return ""
        if self.disturbed:
            by = f": {', '.join(self.disturbances)}" if self.disturbances else ""
            return f"{self.disturbed} of {self.disturbed + len(self.failures)} profiles were disturbed{by}"
        return self.failures[-1].rstrip(".") if self.failures else "no profile was made"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A node with the layers it computes."""

    node: NodeTimes
    kind: str
    layers: tuple[LayerCost, ...] = ()
    certain: bool = True
    """False when the layer was found by its place in the order of execution, not by a name."""


def parts_of(profile: Profile, layers: Sequence[LayerCost]) -> list[Part]:
    """Return every node with its kind and layers; each layer is claimed at most once.

    A module that runs several times is claimed by its nodes in their order. Nodes that multiply and whose names lead nowhere
    get the layers that are left, in the order of execution, if there are as many of them.
    """
    waiting: dict[str, deque[LayerCost]] = defaultdict(deque)
    for layer in layers:
        waiting[_plain(layer.name)].append(layer)
    claimed: list[tuple[LayerCost, ...]] = []
    for node in profile.nodes:
        names = [_plain(name) for name in node.modules]
        claimed.append(tuple(waiting[name].popleft() for name in names if waiting.get(name)))
    left = [layer for layer in layers if layer in waiting[_plain(layer.name)]]
    nameless = [place for place, node in enumerate(profile.nodes) if node.multiplies and not claimed[place]]
    by_order = dict(zip(nameless, left, strict=True)) if len(nameless) == len(left) else {}
    return [
        Part(
            node=node,
            layers=(by_order[place],) if place in by_order else claimed[place],
            kind=_kind(node, (by_order[place],) if place in by_order else claimed[place]),
            certain=place not in by_order,
        )
        for place, node in enumerate(profile.nodes)
    ]


def unclaimed(parts: Sequence[Part], layers: Sequence[LayerCost]) -> list[str]:
    """Return the names of the layers that no node claimed."""
    names = [layer.name for part in parts for layer in part.layers]
    return [layer.name for layer in layers if layer.name not in names]


def time_shares(parts: Sequence[Part], level: float) -> dict[str, Estimate]:
    """Return each kind's share of the sum of the parts, in per cent; empty with fewer than three launches."""
    occurring = {part.kind for part in parts}
    shares = {kind: share_of_kinds(parts, (kind,), level) for kind in KINDS if kind in occurring}
    return {kind: share for kind, share in shares.items() if share is not None}


def share_of_kinds(parts: Sequence[Part], kinds: Collection[str], level: float) -> Estimate | None:
    """Return the share that several kinds have together, in per cent, added up within each launch: 0 if there is none of them.

    None with fewer than three launches.
    """
    sums = sums_ns(parts)
    own = sums_ns([part for part in parts if part.kind in kinds]) or [0.0] * len(sums)
    share = _share(own, sums, level)
    return None if share is None else replace(share, low=max(0.0, share.low))


def share_of(part: Part, sums: Sequence[float], level: float) -> Estimate | None:
    """Return one part's share of the sum of the parts, in per cent; None with fewer than three launches."""
    return _share(part.node.ns, sums, level)


def _share(own_ns: Sequence[float], sums: Sequence[float], level: float) -> Estimate | None:
    """Return the mean over launches of a share; None too where a launch saw no time at all."""
    if any(whole <= 0 for whole in sums):
        return None
    return arithmetic_mean([100 * ns / whole for ns, whole in zip(own_ns, sums, strict=True)], level, SHARE_METHOD)


def sums_ns(parts: Sequence[Part]) -> list[float]:
    """Return the sum of the parts' times, for each launch; empty without parts."""
    return [sum(times) for times in zip(*(part.node.ns for part in parts), strict=True)]


def time_ns(part: Part, level: float) -> Estimate | None:
    """Return a part's time in one inference; None with fewer than three launches, or where a launch saw none."""
    if any(ns <= 0 for ns in part.node.ns):
        return None
    return geometric_mean([math.log(ns) for ns in part.node.ns], level, TIME_METHOD)


def sum_over_whole(parts: Sequence[Part], whole_ns: Sequence[float], level: float) -> Estimate | None:
    """Return the sum of the parts over the whole inference of the same launch; None with fewer than three launches."""
    sums = sums_ns(parts)
    if any(ns <= 0 for ns in sums) or len(sums) != len(whole_ns):
        return None
    logs = [math.log(ns / whole) for ns, whole in zip(sums, whole_ns, strict=True)]
    return geometric_mean(logs, level, SUM_METHOD)


def sum_over_steady(parts: Sequence[Part], steady: LaunchLogs, level: float) -> Estimate | None:
    """Return the sum of the parts over the latency without profiling, of other launches; None with too few of either."""
    parts_of_launch, whole = mean_of(math.log(ns) for ns in sums_ns(parts) if ns > 0), mean_of(steady.values())
    if parts_of_launch is None or whole is None:
        return None
    return difference(parts_of_launch, whole).estimate(level, "launches of two runs, Welch's t on logs")


def cut_pct(profile: Profile, parts: Sequence[Part]) -> float:
    """Return what cutting times to whole microseconds takes off the sum of the parts on average, in per cent of the whole."""
    nodes = sum(part.node.nodes for part in parts if any(ns > 0 for ns in part.node.ns))
    return 100 * nodes * profile.cut_ns / (sum(profile.whole_ns) / len(profile.whole_ns))


def shares_less_profiling(parts: Sequence[Part], plain_ns: Sequence[float]) -> dict[str, float]:
    """Return each kind's share, in per cent, if what the parts take beyond a plain inference were spread evenly over the nodes.

    Nodes cannot take longer together than the inference they are part of: what they take beyond it is the profiler's own work
    inside them. It weighs on short nodes. Empty when the sum is not beyond the plain inference, and where nodes of some type
    are so short that it cannot be the same in each.
    """
    sums = sums_ns(parts)
    timed = [part for part in parts if any(ns > 0 for ns in part.node.ns)]
    if not timed or not plain_ns or len(sums) != len(plain_ns) or sum(sums) <= sum(plain_ns):
        return {}
    per_node = (sum(sums) - sum(plain_ns)) / sum(part.node.nodes for part in timed)
    shares: dict[str, float] = {}
    for part in timed:
        own = sum(part.node.ns) - per_node * part.node.nodes
        if own < 0:
            return {}
        shares[part.kind] = shares.get(part.kind, 0.0) + 100 * own / sum(plain_ns)
    return shares


def count_shares(layers: Sequence[LayerCost]) -> Mapping[str, tuple[float, float]]:
    """Return each kind's share of the (MAdds, parameters) of the layers that multiply, in per cent; 0 of none."""
    madds, params = sum(layer.madds for layer in layers), sum(layer.params for layer in layers)
    found = {}
    for kind in dict.fromkeys(kind_of(layer) for layer in layers):
        own = [layer for layer in layers if kind_of(layer) == kind]
        found[kind] = (
            100 * sum(layer.madds for layer in own) / madds if madds else 0.0,
            100 * sum(layer.params for layer in own) / params if params else 0.0,
        )
    return found


def bytes_of(layer: LayerCost) -> int:
    """Return what must at least be moved for one image in fp32: every weight once, the activation in and out."""
    return FLOAT_BYTES * (layer.params + layer.input_elements + layer.output_elements)


def kind_of(layer: LayerCost) -> str:
    """Return the kind of a layer that multiplies; `other` is the kind of nodes that do not."""
    return PRODUCT if layer.kind == OTHER else layer.kind


def of_batch(layer: LayerCost, images: int) -> LayerCost:
    """Return what a layer costs for so many images at once: its weights are read once for all."""
    return replace(
        layer,
        madds=layer.madds * images,
        input_elements=layer.input_elements * images,
        output_elements=layer.output_elements * images,
        padding_madds=layer.padding_madds * images,
    )


def _kind(node: NodeTimes, layers: Sequence[LayerCost]) -> str:
    kinds = {kind_of(layer) for layer in layers}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds:
        return FUSED
    if node.multiplies:
        return UNJOINED
    return LAYOUT if _LAYOUT_TYPES.search(node.type) else OTHER


def _plain(name: str) -> str:
    """Return a module's name as it is left when a graph's writer has allowed letters, digits and underscores only."""
    return re.sub(r"\W", "_", name).strip("_")
