"""Time of the study `linear-bottleneck`: what the last activation costs behind a layer, judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.catalog import cite
from mnbench.catalog.operators import Operator, parse
from mnbench.records import Estimate, Run
from mnbench.records.study import Finding
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import geometric_mean
from mnbench.studies.common.cell_verdicts import CORRECTED, combine, family_level, tally, within
from mnbench.studies.common.compiled import LayersByCase, convolutions
from mnbench.studies.common.operator_slopes import Times, limits_of
from mnbench.studies.common.readings import own
from mnbench.studies.common.shapes import RANGES, Shapes
from mnbench.studies.common.slopes import SLOPE_METHOD, log_ratio, ratio_of

HARD_SWISH = "pointwise-hardswish"
ACTIVATION_OF_KIND = {
    "pointwise-none": "linear",
    "pointwise-relu": "ReLU",
    "pointwise": "ReLU6",
    HARD_SWISH: "hard-swish",
}
"""Kinds of chain, and what stands behind their convolutions; `linear` is what the others are compared with."""
LINEAR = "pointwise-none"
AS_IT_IS = ("torch",)
"""Runtimes that run a graph as it is. Any other may merge its layers: what it made of them must be known."""
CHEAP = 1.05
"""An activation that adds less than this to its layer costs next to nothing."""


HARD_CLAIM = (
    (
        "Hard-swish behind a layer costs next to nothing, as ReLU does (our reading; the MobileNetV3 paper says that a "
        "piecewise implementation drives its latency cost down substantially, and that some of it remains. The other "
        "implementation is not timed here)."
    ),
    own("Does hard-swish cost next to nothing?", "a reading of the MobileNetV3 paper, section 5.2"),
)
RECTIFIER_CLAIM = (
    (
        "Leaving the last activation out is done for accuracy (read as: not for time, since ReLU and ReLU6, which cost no "
        "multiply-adds, cost next to nothing)."
    ),
    cite("MobileNetV2 paper", "section 3.2"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an activation costs behind one layer in one runtime."""

    operator: Operator
    backend: str
    logs: LaunchLogs
    """log(ns) by launch."""
    over_linear: LaunchLogs
    """log(latency with / latency without) by launch; empty where the compiled graph is not the one asked for."""
    refused: str
    """Why the ratio is refused; empty when it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """A line of activation-cost.csv."""

    resolution: int
    channels: int
    backend: str
    activation: str
    latency_us: Estimate | None
    over_linear: Estimate | None
    convolutions_per_copy: float | None
    """Of the compiled graphs: 1 says that no layer was merged."""
    other_layers_per_copy: float | None
    """0 says that the activation is part of the convolution; OpenVINO's launches do not tell."""
    launches: int


def activation_costs(
    slopes: Times,
    operators: Sequence[Operator],
    backends: Sequence[str],
    layers: Mapping[tuple[Operator, str], tuple[float, float]],
) -> list[Cost]:
    """Return the cost of each activation at each shape in each runtime.

    Refused where a runtime merged or dropped layers, or where it compiles and is not known to have kept them.
    """
    costs = []
    for operator in operators:
        for backend in backends:
            linear = replace(operator, kind=LINEAR)
            refused = _refused((operator, linear), backend, layers)
            logs = slopes.logs(operator, backend)
            costs.append(
                Cost(
                    operator=operator,
                    backend=backend,
                    logs=logs,
                    over_linear={} if refused else log_ratio(logs, slopes.logs(linear, backend)),
                    refused=refused,
                )
            )
    return costs


def _refused(compared: Sequence[Operator], backend: str, layers: Mapping[tuple[Operator, str], tuple[float, float]]) -> str:
    """Say why two chains are not to be compared in a runtime; empty when every one of their convolutions is there."""
    known = {one.kind: layers[one, backend][0] for one in compared if (one, backend) in layers}
    if merged := [kind for kind, convolutions_each in known.items() if convolutions_each != 1.0]:
        return f"{backend} merged layers of {' and '.join(merged)}"
    unknown = [kind for kind in dict.fromkeys(one.kind for one in compared) if kind not in known]
    if unknown and backend not in AS_IT_IS:
        return f"whether {backend} kept the layers of {' and '.join(unknown)} is not known"
    return ""


def per_copy(run: Run, compiled: LayersByCase) -> dict[tuple[Operator, str], tuple[float, float]]:
    """Return (convolutions, other layers) that each operator adds to a compiled graph with each copy, by operator and backend.

    The difference between the longest chain and the shortest, so that what stands at the graph's edges does not count.
    """
    by_copies: dict[tuple[Operator, str], dict[int, tuple[int, int]]] = {}
    for case in run.plan.cases:
        operator = parse(case.model)
        if operator is not None and case.id in compiled:
            multiply = convolutions(compiled[case.id])
            rest = sum(compiled[case.id].values()) - multiply
            by_copies.setdefault((replace(operator, copies=1), case.backend), {})[operator.copies] = (multiply, rest)
    found = {}
    for key, graphs in by_copies.items():
        short, long = min(graphs), max(graphs)
        if short < long:
            extra = [(after - before) / (long - short) for before, after in zip(graphs[short], graphs[long], strict=True)]
            found[key] = (extra[0], extra[1])
    return found


def cost_finding(
    costs: Sequence[Cost],
    kinds: Sequence[str],
    backends: Sequence[str],
    slopes: Times,
    layers: Mapping[tuple[Operator, str], tuple[float, float]],
) -> Finding:
    """Judge whether some activations cost next to nothing."""
    cells = [one for one in costs if one.operator.kind in kinds]
    strict = family_level(slopes.level, len(cells))
    judged = [within(ratio_of(one.over_linear, strict), 0.0, CHEAP) for one in cells]
    compared = [
        Shapes(
            label=f"{backend}: {ACTIVATION_OF_KIND[kind]} over linear",
            level=slopes.level,
            logs={
                _shape(one.operator): one.over_linear for one in cells if (one.backend, one.operator.kind) == (backend, kind)
            },
        )
        for backend in backends
        for kind in kinds
    ]
    refused = sorted({one.refused for one in cells if one.refused})
    claim, source = HARD_CLAIM if HARD_SWISH in kinds else RECTIFIER_CLAIM
    return Finding(
        claim=claim,
        source=source,
        measured=f"at most {CHEAP - 1:.0%} more time than the linear layer: {tally(judged)}"
        + "".join(f"; {one.label}: {one.words()}" for one in compared)
        + f". {compiled_sentence(cells, layers)}"
        + "".join(f" Refused: {reason}." for reason in refused),
        figures=tuple(figure for one in compared for figure in one.figures()),
        verdict=combine(judged),
        limits="A cell is one activation at one shape in one runtime. The activation stands behind a convolution of as many "
        "channels in as out. Behind a block's projection, which has six times as many channels in, the same activation is a "
        f"smaller share. {CORRECTED} {RANGES} {limits_of(slopes)}",
    )


def _shape(operator: Operator) -> str:
    return f"{operator.resolution}x{operator.resolution}x{operator.in_channels}"


def compiled_sentence(cells: Sequence[Cost], layers: Mapping[tuple[Operator, str], tuple[float, float]]) -> str:
    """Return what the runtimes compiled the chains of `cells` and of the linear ones to, as a sentence."""
    told = []
    for backend in dict.fromkeys(one.backend for one in cells):
        wanted = [key for one in cells if one.backend == backend
                  for key in ((one.operator, backend), (replace(one.operator, kind=LINEAR), backend))]  # fmt: skip
        known = [layers[key] for key in wanted if key in layers]
        if len(known) < len(wanted):
            told.append(f"what {backend} compiled is not known for every chain")
            continue
        most = max(multiply for multiply, _ in known), max(rest for _, rest in known)
        kept = all(multiply == 1.0 for multiply, _ in known)
        apart = f", and up to {most[1]:g} other layers for each" if most[1] else ""
        told.append(f"{backend} kept every convolution apart{apart}" if kept else f"{backend} merged convolutions")
    return f"In the compiled graphs {'; '.join(told)}." if told else "No compiled graph was looked at."


def cost_row(one: Cost, layers: Mapping[tuple[Operator, str], tuple[float, float]], level: float) -> CostRow:
    latency = geometric_mean(list(one.logs.values()), level, SLOPE_METHOD)
    ratio = ratio_of(one.over_linear, level) if one.operator.kind != LINEAR else None
    multiply, rest = layers.get((one.operator, one.backend), (None, None))
    return CostRow(
        resolution=one.operator.resolution,
        channels=one.operator.in_channels,
        backend=one.backend,
        activation=ACTIVATION_OF_KIND[one.operator.kind],
        latency_us=latency and latency.per(1e3),
        over_linear=ratio,
        convolutions_per_copy=multiply,
        other_layers_per_copy=None if one.backend == "openvino" else rest,
        launches=len(one.logs),
    )
