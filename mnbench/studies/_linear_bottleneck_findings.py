"""What the study `linear-bottleneck` concludes. Pure: the spiral is arithmetic, the times come from the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.catalog import cite
from mnbench.catalog.operators import Operator, parse
from mnbench.records import Estimate, Run
from mnbench.report.naming import conditions
from mnbench.stats import manifold
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import geometric_mean
from mnbench.stats.manifold import Activation
from mnbench.stats.slopes import SLOPE_METHOD, log_ratio, mean_logs, ratio_of
from mnbench.studies import _linear_bottleneck_plots as plots
from mnbench.studies._cell_verdicts import combine, family_level, tally, within
from mnbench.studies._compiled import LayersByCase, convolutions, openvino_layers
from mnbench.studies._operator_slopes import Times, backends_of, limits_of, operators_of
from mnbench.study_records import Conclusion, Facts, Figure, Finding, PlotFile, Table

ACTIVATION_OF_KIND = {
    "pointwise-none": "linear",
    "pointwise-relu": "ReLU",
    "pointwise": "ReLU6",
    "pointwise-hardswish": "hard-swish",
}
"""Kinds of chain, and what stands behind their convolutions; `linear` is what the others are compared with."""
LINEAR = "pointwise-none"
DIMENSIONS = (2, 3, 4, 5, 7, 10, 15, 20, 30)
"""The paper draws 2, 3, 5, 15 and 30."""
LOW, HIGH = (2, 3), (15, 30)
"""Dimensions in which, by the paper, information is lost, and survives."""
EMBEDDINGS = 1000
RELU = Activation(name="ReLU")
ACTIVATIONS = (
    RELU,
    Activation(name="ReLU6, as after batch normalisation", clip=manifold.CLIP),
    Activation(name="ReLU6, coordinates six times as large", clip=manifold.CLIP, scale=6.0),
)
"""After batch normalisation a coordinate has a mean square of 1 and is hardly ever clipped at 6. At a root mean square of 6
about a sixth of them is, which is far from a trained network: shown to tell what the clip does, not judged."""
LOST, KEPT = 0.05, 0.02
"""From which share of collapsed points on information is called lost, and up to which of undetermined ones it survives."""
CHEAP = 1.05
"""An activation that adds less than this to its layer costs next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """What an activation leaves of the curve in n dimensions: means over random embeddings."""

    dimension: int
    activation: Activation
    undetermined: Estimate
    collapsed: Estimate
    error: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalRow:
    """A line of information.csv."""

    dimension: int
    activation: str
    scale: float
    embeddings: int
    undetermined: float
    undetermined_low: float
    undetermined_high: float
    undetermined_by_chance: float | None
    collapsed: float
    collapsed_low: float
    collapsed_high: float
    error: float
    error_low: float
    error_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an activation costs behind one layer in one runtime."""

    operator: Operator
    backend: str
    logs: LaunchLogs
    """log(ns) by launch."""
    over_linear: LaunchLogs
    """log(latency with / latency without) by launch; empty where the compiled graph is not the one asked for."""
    merged: str
    """Why the ratio is refused; empty when it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """A line of activation-cost.csv."""

    resolution: int
    channels: int
    backend: str
    activation: str
    latency_us: float | None
    latency_us_low: float | None
    latency_us_high: float | None
    over_linear: float | None
    over_linear_low: float | None
    over_linear_high: float | None
    convolutions_per_copy: float | None
    """Of the compiled graphs: 1 says that no layer was merged."""
    other_layers_per_copy: float | None
    """0 says that the activation is part of the convolution; OpenVINO's launches do not tell."""
    launches: int


def conclude(run: Run, facts: Facts) -> Conclusion:
    """Return the findings, tables and plots of whatever part of the plan was measured."""
    level, seed, where = run.plan.level, run.plan.seed, conditions(run)
    survivals = survival(level, seed)
    slopes, backends = Times(run), backends_of(run)
    compiled: LayersByCase = {**facts.get("ort_layers", {}), **openvino_layers(run)}
    layers = per_copy(run, compiled)
    costs = activation_costs(slopes, operators_of(run), backends, layers)
    return Conclusion(
        findings=(
            lost_finding(survivals),
            survives_finding(survivals),
            cost_finding(costs, ("pointwise-relu", "pointwise"), backends, slopes, layers),
            cost_finding(costs, ("pointwise-hardswish",), backends, slopes, layers),
        ),
        tables=(
            Table(name="information", kind=SurvivalRow, rows=[_survival_row(one) for one in survivals],
                  caption="What a rectifier leaves of a spiral in n dimensions: means over random embeddings, with intervals."),
            Table(name="activation-cost", kind=CostRow, rows=[_cost_row(one, layers, level) for one in costs],
                  caption="One 1x1 convolution with each activation, and its time over that of the linear one."),
        ),
        plots=(
            PlotFile(name="spiral", caption="The paper's Figure 1 drawn again: what ReLU and ReLU6 leave of a spiral.",
                     draw=lambda: plots.spirals((ACTIVATIONS[0], ACTIVATIONS[2]), seed)),
            PlotFile(name="information-against-dimension", caption="What is lost, by the number of dimensions, with intervals.",
                     draw=lambda: plots.information(survivals, EMBEDDINGS)),
            PlotFile(name="activation-cost", caption="What the last activation costs in each runtime.",
                     draw=lambda: plots.costs(costs, backends, ACTIVATION_OF_KIND, where, level)),
        ),
    )  # fmt: skip


def survival(level: float, seed: int, embeddings: int = EMBEDDINGS) -> list[Survival]:
    """Return what is lost for every activation and dimension; the same for the same seed."""
    curve = manifold.spiral()
    found = []
    for activation in ACTIVATIONS:
        for dimension in DIMENSIONS:
            lost = manifold.loss(curve, manifold.embeddings(dimension, embeddings, seed), activation)
            found.append(
                Survival(
                    dimension=dimension,
                    activation=activation,
                    undetermined=manifold.bounded_mean(lost.undetermined, level),
                    collapsed=manifold.bounded_mean(lost.collapsed, level),
                    error=manifold.bounded_mean(lost.error, level),
                )
            )
    return found


def lost_finding(survivals: Sequence[Survival]) -> Finding:
    """Judge whether points collapse in few dimensions."""
    mine = [one for one in survivals if one.dimension in LOW]
    judged = [within(one.collapsed, LOST, 1.0) for one in mine if one.activation.scale == 1.0]
    return Finding(
        claim="For n = 2 and 3 information is lost where certain points of the manifold collapse into each other.",
        source=cite("MobileNetV2 paper", "section 3.2, Figure 1"),
        measured=f"more than {LOST:.0%} of the points share their whole output with another: {tally(judged)}. "
        f"{_shares(mine, 'collapsed')} Points that cannot be told from their output, if only because one coordinate is left "
        f"for two: {_shares(mine, 'undetermined')}",
        figures=_figures(mine, collapsed=True),
        verdict=combine(judged),
        limits=SPIRAL_LIMITS,
    )


def survives_finding(survivals: Sequence[Survival]) -> Finding:
    """Judge whether information survives in many dimensions."""
    mine = [one for one in survivals if one.dimension in HIGH]
    judged = [within(one.undetermined, 0.0, KEPT) for one in mine if one.activation.scale == 1.0]
    return Finding(
        claim="For n = 15 to 30 information survives, in a transformation that is highly non-convex.",
        source=cite("MobileNetV2 paper", "section 3.2, Figure 1"),
        measured=f"at most {KEPT:.0%} of the points cannot be told from their output: {tally(judged)}. "
        f"{_shares(mine, 'undetermined')} What the pseudo-inverse gives back is nevertheless off by "
        + ", ".join(f"{one.error.value:.0%} (n = {one.dimension})" for one in mine if one.activation is RELU)
        + " with ReLU: to undo a rectifier takes more than a linear map.",
        figures=_figures(mine, collapsed=False),
        verdict=combine(judged),
        limits=SPIRAL_LIMITS + " That the transformation is non-convex is seen in the picture and not judged.",
    )


SPIRAL_LIMITS = (
    f"A curve in a plane, {manifold.POINTS} points, {EMBEDDINGS} normal random matrices for each n; trained networks have "
    "neither. A point counts as undetermined when fewer than two coordinates are above 0 and below the clip, as collapsed "
    "when its output equals another point's up to 1e-9. ReLU6 is judged with coordinates of mean square 1, as after batch "
    "normalisation, where it clips next to none; with coordinates six times as large it clips a sixth of them, which is "
    "shown and not judged. A linear layer loses nothing for any n of 2 and more."
)


def activation_costs(
    slopes: Times,
    operators: Sequence[Operator],
    backends: Sequence[str],
    layers: Mapping[tuple[Operator, str], tuple[float, float]],
) -> list[Cost]:
    """Return the cost of each activation at each shape in each runtime; refused where a runtime merged or dropped layers."""
    costs = []
    for operator in operators:
        for backend in backends:
            linear = replace(operator, kind=LINEAR)
            spoilt = [one.kind for one in (operator, linear) if layers.get((one, backend), (1.0, 0.0))[0] != 1.0]
            logs = slopes.logs(operator, backend)
            costs.append(
                Cost(
                    operator=operator,
                    backend=backend,
                    logs=logs,
                    over_linear={} if spoilt else log_ratio(logs, slopes.logs(linear, backend)),
                    merged=f"{backend} merged layers of {' and '.join(spoilt)}" if spoilt else "",
                )
            )
    return costs


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
    strict = family_level(slopes.level, len(backends) * len(kinds))
    judged, figures = [], []
    for backend in backends:
        for kind in kinds:
            mine = [one.over_linear for one in cells if (one.backend, one.operator.kind) == (backend, kind)]
            judged.append(within(ratio_of(mean_logs(mine), strict), 0.0, CHEAP))
            estimate = ratio_of(mean_logs(mine), slopes.level)
            label = f"{backend}: {ACTIVATION_OF_KIND[kind]} over linear, mean of {len(mine)} shapes"
            figures += [] if estimate is None else [Figure(label=label, unit="x", estimate=estimate)]
    merged = sorted({one.merged for one in cells if one.merged})
    hard = "pointwise-hardswish" in kinds
    return Finding(
        claim="Hard-swish can be implemented as a piecewise function, which drives its latency cost down substantially."
        if hard
        else "Leaving the last activation out is done for accuracy: in multiply-adds ReLU and ReLU6 cost nothing.",
        source=cite("MobileNetV3 paper", "section 5.2") if hard else cite("MobileNetV2 paper", "section 3.2"),
        measured=f"at most {CHEAP - 1:.0%} more time than the linear layer: {tally(judged)}"
        + "".join(f"; {f.label}: {f.estimate.value:.2f}" for f in figures)
        + f". {compiled_sentence(cells, layers)}"
        + "".join(f" Refused: {reason}." for reason in merged),
        figures=tuple(figures),
        verdict=combine(judged),
        limits="Judged by the mean over the shapes; each of them is in the table. The activation stands behind a convolution "
        "of as many channels in as out. Behind a block's projection, "
        f"which has six times as many channels in, the same activation is a smaller share. {limits_of(slopes)}",
    )


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


def _shares(survivals: Sequence[Survival], what: str) -> str:
    parts = [f"{one.activation.name}, n = {one.dimension}: {getattr(one, what).value:.1%}" for one in survivals]
    return "; ".join(parts) + "."


def _figures(survivals: Sequence[Survival], *, collapsed: bool) -> tuple[Figure, ...]:
    figures = []
    for one in survivals:
        label = f"{one.activation.name}, n = {one.dimension}"
        figures.append(Figure(label=f"{label}: undetermined points", unit="%", estimate=_percent(one.undetermined)))
        if collapsed:
            figures.append(Figure(label=f"{label}: collapsed points", unit="%", estimate=_percent(one.collapsed)))
        figures.append(Figure(label=f"{label}: error of the pseudo-inverse", unit="%", estimate=_percent(one.error)))
    return tuple(figures)


def _percent(share: Estimate) -> Estimate:
    return replace(share, value=100 * share.value, low=100 * share.low, high=100 * share.high)


def _survival_row(one: Survival) -> SurvivalRow:
    return SurvivalRow(
        dimension=one.dimension,
        activation=one.activation.name,
        scale=one.activation.scale,
        embeddings=EMBEDDINGS,
        undetermined=one.undetermined.value,
        undetermined_low=one.undetermined.low,
        undetermined_high=one.undetermined.high,
        undetermined_by_chance=manifold.undetermined_by_chance(one.dimension) if one.activation is RELU else None,
        collapsed=one.collapsed.value,
        collapsed_low=one.collapsed.low,
        collapsed_high=one.collapsed.high,
        error=one.error.value,
        error_low=one.error.low,
        error_high=one.error.high,
    )


def _cost_row(one: Cost, layers: Mapping[tuple[Operator, str], tuple[float, float]], level: float) -> CostRow:
    latency = geometric_mean(list(one.logs.values()), level, SLOPE_METHOD)
    ratio = ratio_of(one.over_linear, level) if one.operator.kind != LINEAR else None
    multiply, rest = layers.get((one.operator, one.backend), (None, None))
    return CostRow(
        resolution=one.operator.resolution,
        channels=one.operator.in_channels,
        backend=one.backend,
        activation=ACTIVATION_OF_KIND[one.operator.kind],
        latency_us=latency.value / 1e3 if latency else None,
        latency_us_low=latency.low / 1e3 if latency else None,
        latency_us_high=latency.high / 1e3 if latency else None,
        over_linear=ratio.value if ratio else None,
        over_linear_low=ratio.low if ratio else None,
        over_linear_high=ratio.high if ratio else None,
        convolutions_per_copy=multiply,
        other_layers_per_copy=None if one.backend == "openvino" else rest,
        launches=len(one.logs),
    )
