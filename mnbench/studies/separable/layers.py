"""The layers of MobileNetV1, and their sum beside the network, in all and by kind.

The sum checks the whole, and the pointwise layers, which are most of it. Of the others it says little: depthwise layers timed
at half of what they take would move it by a few per cent. So each kind's sum stands beside the total.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mnbench.catalog.operators import Operator, cost
from mnbench.records import Case, Estimate
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import FEWEST_LAUNCHES
from mnbench.stats.rounds import TYPICAL_METHOD
from mnbench.studies.common.operator_slopes import SINGLE_METHOD, Key, Times, tail_keys
from mnbench.studies.common.slopes import ratio, ratio_of_sum, scaled
from mnbench.studies.separable.grid import NETWORK, POOL, V1_LAYERS
from mnbench.studies.separable.rows import NS_PER_MS, in_ms

POOL_NAME = "global pool 7x7, 1024"
KINDS = ("pointwise", "depthwise", "standard", "linear")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One distinct layer of MobileNetV1 in one runtime."""

    backend: str
    layer: str
    repeats: int
    madds: int
    slope_ms: Estimate | None
    network_pct: float | None
    """All repeats, of the network's latency."""
    straightness: Estimate | None
    """The slope over the longer chains, over that over the shorter ones: 1 on a straight line."""
    single_graph_ms: Estimate | None
    refused: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OverNetwork:
    """Layers of MobileNetV1 added up, over the network's latency; each layer is the mean over its own launches."""

    slopes: Estimate | None
    singles: Estimate | None
    """From graphs of one operator; the global pool, which has none, is that of the slopes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The layers of MobileNetV1 added up, against the network."""

    backend: str
    total: OverNetwork
    by_kind: Mapping[str, OverNetwork]
    """The part of each kind of layer in `total`; the global pool is of none."""
    missing: tuple[str, ...]
    """Layers without a time."""
    missing_singles: tuple[str, ...]
    """Layers whose graph alone has fewer launches than an interval needs."""
    network_ms: Estimate | None


def layer_name(operator: Operator) -> str:
    """Return `depthwise 112x112, 64 → 64, stride 2`."""
    size = f"{operator.resolution}x{operator.resolution}, " if operator.kind != "linear" else ""
    stride = f", stride {operator.stride}" if operator.stride > 1 else ""
    return f"{operator.kind} {size}{operator.in_channels} → {operator.out_channels}{stride}"


def layer_rows(found: Times) -> list[LayerRow]:
    """Return the layers of MobileNetV1 in the order of its Table 1, per runtime; the pool is behind them."""
    rows = []
    for backend in found.backends:
        rows += [_layer_row(found, operator, repeats, backend) for operator, repeats in V1_LAYERS]
        rows.append(_pool_row(found, backend))
    return rows


def _layer_row(found: Times, operator: Operator, repeats: int, backend: str) -> LayerRow:
    key = Key(operator=operator, backend=backend)
    measured = found.time(key)
    share = ratio(scaled(repeats, measured.logs), network_logs(found, backend), found.level)
    return LayerRow(
        backend=backend,
        layer=layer_name(operator),
        repeats=repeats,
        madds=cost(operator).madds,
        slope_ms=in_ms(measured.estimate),
        network_pct=100 * share.value if share else None,
        straightness=straightness(found, key),
        single_graph_ms=in_ms(found.estimate(found.single(key), SINGLE_METHOD)),
        refused=measured.refused,
    )


def _pool_row(found: Times, backend: str) -> LayerRow:
    logs = pool_logs(found, backend)
    slope = in_ms(found.estimate(logs, "difference of two slopes in each launch, geometric mean, Student t on logs"))
    share = ratio(logs, network_logs(found, backend), found.level)
    return LayerRow(
        backend=backend,
        layer=POOL_NAME,
        repeats=1,
        madds=0,
        slope_ms=slope,
        network_pct=100 * share.value if share else None,
        straightness=None,
        single_graph_ms=None,
        refused="" if slope is not None else _pool_refused(found, backend),
    )


def _pool_refused(found: Times, backend: str) -> str:
    key = Key(operator=POOL, backend=backend)
    if len(found.tail(key)) < FEWEST_LAUNCHES:
        return found.too_few(*tail_keys(key))
    return "noise outweighs the difference"


def straightness(found: Times, key: Key) -> Estimate | None:
    """Return the slope between the two longer chains of a line over that between the two shorter; None without three."""
    copies = sorted(found.chains.get(key, ()))
    if len(copies) < 3:
        return None
    return ratio(found.between(key, copies[1], copies[2]), found.between(key, copies[0], copies[1]), found.level)


def network_logs(found: Times, backend: str) -> LaunchLogs:
    """Return log(ns) by launch of the whole network; empty where it was not measured."""
    return found.latencies.get(Case(model=NETWORK, backend=backend), {})


def pool_logs(found: Times, backend: str) -> LaunchLogs:
    """Return log(ns) by launch of the network's global pool; empty where noise outweighs it."""
    tail = found.tail(Key(operator=POOL, backend=backend))
    return {launch: math.log(ns) for launch, ns in tail.items()} if all(ns > 0 for ns in tail.values()) else {}


def proof(found: Times, backend: str, level: float | None = None) -> Proof:
    """Return the sum of MobileNetV1's layers over its latency, in all and by kind; intervals at `level`, or the plan's."""
    keys = [(Key(operator=operator, backend=backend), repeats) for operator, repeats in V1_LAYERS]
    network = network_logs(found, backend)
    whole = list(in_ns(network).values())
    pool = found.tail(Key(operator=POOL, backend=backend))
    slopes = [times_of(repeats, found.time(key).slopes_ns) for key, repeats in keys]
    singles = [times_of(repeats, in_ns(found.single(key))) for key, repeats in keys]

    def over_network(parts: Iterable[Mapping[int, float]]) -> Estimate | None:  # None where a part has too few launches
        return ratio_of_sum([list(part.values()) for part in parts], whole, level or found.level)

    by_kind = {}
    for kind in KINDS:
        mine = [place for place, (key, _) in enumerate(keys) if key.operator.kind == kind]
        by_kind[kind] = OverNetwork(
            slopes=over_network(slopes[place] for place in mine), singles=over_network(singles[place] for place in mine)
        )
    names = [*(layer_name(key.operator) for key, _ in keys), POOL_NAME]
    return Proof(
        backend=backend,
        total=OverNetwork(slopes=over_network([*slopes, pool]), singles=over_network([*singles, pool])),
        by_kind=by_kind,
        missing=tuple(name for name, part in zip(names, [*slopes, pool], strict=True) if len(part) < FEWEST_LAUNCHES),
        missing_singles=tuple(n for n, part in zip(names[:-1], singles, strict=True) if len(part) < FEWEST_LAUNCHES),
        network_ms=found.estimate({n: value - math.log(NS_PER_MS) for n, value in network.items()}, TYPICAL_METHOD),
    )


def in_ns(logs: LaunchLogs) -> dict[int, float]:
    return {launch: math.exp(value) for launch, value in logs.items()}


def times_of(repeats: int, part: Mapping[int, float]) -> dict[int, float]:
    return {launch: repeats * value for launch, value in part.items()}
