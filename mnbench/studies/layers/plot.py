"""The plots of the study `layers`: shares of multiply-adds, parameters and time side by side; rate against intensity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mnbench.records import Run
from mnbench.report import canvas
from mnbench.report.axis import log_ticks
from mnbench.report.naming import conditions, short_names
from mnbench.stats.roofline import Limits, ceilings_for, limits
from mnbench.studies.common.roofline_plot import draw_roof
from mnbench.studies.layers.records import Seen
from mnbench.studies.layers.shares import Part, bytes_of, share_of, sums_ns, time_ns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The order within a bar: depthwise first, so that its length can be compared from a common edge.
COLOURS = {
    "depthwise": canvas.COLOURS[1], "pointwise": canvas.COLOURS[0], "grouped": canvas.COLOURS[3], "standard": canvas.COLOURS[2],
    "linear": canvas.COLOURS[5], "fused": canvas.COLOURS[6], "layout": "#7F7F7F", "other": "#CFCFCF",
    "product": canvas.COLOURS[4], "unjoined": "#4D4D4D",
}  # fmt: skip
NAMES = {
    "depthwise": "depthwise", "pointwise": "pointwise (1x1)", "grouped": "grouped", "standard": "standard (k x k)",
    "linear": "fully connected", "fused": "several in one kernel", "layout": "layout changes", "other": "elementwise, pooling",
    "product": "product of two activations", "unjoined": "multiplies, layer unknown",
}  # fmt: skip
MARKERS = dict(zip(COLOURS, "osD^vPXh<>", strict=True))
LIGHT = ("linear", "other", "grouped")
"""Colours that need dark letters."""
BAR_IN, GAP_IN = 0.2, 0.27
LABEL_FROM_PCT = 2.5
NS_PER_S = 1e9
COARSE = 10.0
"""A layer that takes less than so many times what the profile cuts off it is drawn hollow."""


def bars(run: Run, seen: Sequence[Seen]) -> Figure:
    """Draw a group of bars for each network: its multiply-adds, its parameters, its time in each runtime."""
    models = list(dict.fromkeys(one.profile.model for one in seen))
    names = short_names(models)
    kinds = [kind for kind in COLOURS if any(kind in one.counts or kind in one.times for one in seen)]
    bars_of = {model: [one for one in seen if one.profile.model == model] for model in models}
    rows = sum(2 + len(mine) for mine in bars_of.values())
    height_in = rows * BAR_IN + len(models) * GAP_IN
    page = canvas.Page(
        title="What part of the time do depthwise layers take, beside their part of the multiply-adds?",
        subtitle=conditions(run),
        caption=_bars_caption(seen),
        legend=[Patch(color=COLOURS[kind], label=NAMES[kind]) for kind in kinds],
        width_in=9.0,
        axes_height_in=height_in,
    )
    widest = max([len("multiply-adds"), *(len(f"time, {one.profile.backend}") for one in seen)])
    layout = canvas.lay_out(page, left_in=0.35 + 0.075 * widest, right_in=0.3)
    axes = layout.axes()
    ticks: list[tuple[float, str]] = []
    at = 0.0
    for model, mine in bars_of.items():
        axes.text(0.0, at + GAP_IN * 0.6, canvas.literal(names[model]), fontsize=8.5, fontweight="bold", va="center")
        at += GAP_IN
        for label, values, ends in _rows(mine):
            _bar(axes, at + BAR_IN / 2, values, ends)
            ticks.append((at + BAR_IN / 2, label))
            at += BAR_IN
    axes.set_ylim(at, 0.0)
    axes.set_xlim(0, 100)
    axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.set_xlabel("share (%)", fontsize=9)
    canvas.tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return layout.figure


def _rows(mine: Sequence[Seen]) -> list[tuple[str, dict[str, float], tuple[float, float] | None]]:
    """Return (label, share by kind, interval of the depthwise share) of each bar of one network."""
    counts = mine[0].counts
    rows: list[tuple[str, dict[str, float], tuple[float, float] | None]] = [
        ("multiply-adds", {kind: both[0] for kind, both in counts.items()}, None),
        ("parameters", {kind: both[1] for kind, both in counts.items()}, None),
    ]
    for one in mine:
        depthwise = one.times.get("depthwise")
        ends = (depthwise.low, depthwise.high) if depthwise else None
        rows.append((f"time, {one.profile.backend}", {kind: share.value for kind, share in one.times.items()}, ends))
    return rows


def _bar(axes: Axes, place: float, values: dict[str, float], ends: tuple[float, float] | None) -> None:
    left = 0.0
    for kind in COLOURS:
        if not (value := values.get(kind, 0.0)):
            continue
        axes.barh(place, value, left=left, height=BAR_IN * 0.84, color=COLOURS[kind], edgecolor="white", linewidth=0.5)
        if value >= LABEL_FROM_PCT:
            ink = "black" if kind in LIGHT else "white"
            axes.text(left + value / 2, place, f"{value:.0f}", ha="center", va="center", fontsize=7.0, color=ink)
        left += value
    if not values:
        axes.text(1.0, place, "fewer than three undisturbed launches", va="center", fontsize=7.0, color=canvas.GREY)
    if ends is not None:
        axes.plot(ends, (place + BAR_IN * 0.3,) * 2, color="black", linewidth=1.6, solid_capstyle="butt")


def _bars_caption(seen: Sequence[Seen]) -> list[str]:
    launches = sorted({len(one.profile.whole_ns) for one in seen})
    number = f"{launches[0]}" if len(launches) == 1 else f"{launches[0]} to {launches[-1]}"
    text = (
        f"Time: each kind's share of the sum of the nodes in the runtime's own profile, mean over {number} launches; the black "
        "line is the 95 % interval of the depthwise share. An activation or addition that a runtime fuses into a convolution "
        "counts as the convolution's. Parameters: of the layers that multiply. Numbers are per cent; shares below "
        f"{LABEL_FROM_PCT:g} % are not labelled."
    )
    return [text]


def scatter(run: Run, seen: Sequence[Seen], level: float) -> Figure:
    """Draw a panel for each runtime: rate of each layer against its multiply-adds per byte."""
    runtimes = list(dict.fromkeys(one.profile.backend for one in seen))
    points = {name: [p for one in seen if one.profile.backend == name for p in _points(one, level)] for name in runtimes}
    everything = [point for mine in points.values() for point in mine]
    kinds = [kind for kind in COLOURS if any(point[2] == kind for point in everything)]
    roof = _roof(run)
    columns = min(2, len(runtimes))
    rows = -(-len(runtimes) // columns)
    page = canvas.Page(
        title="How fast does each layer compute, and does it have enough to compute with?",
        subtitle=conditions(run),
        caption=_scatter_caption(seen, roof is not None),
        legend=[
            Line2D([], [], linestyle="none", marker=MARKERS[kind], color=COLOURS[kind], markersize=6, label=NAMES[kind])
            for kind in kinds
        ],
        width_in=9.0,
        axes_height_in=4.0 * rows + 0.8 * (rows - 1),
        head_in=0.25,
    )
    layout = canvas.lay_out(page, left_in=0.75, right_in=0.25)
    for place, name in enumerate(runtimes):
        axes = layout.axes(place // columns, place % columns, rows, columns, gap_in=0.8)
        _draw_points(axes, points[name], everything, 0.0 if roof is None else roof.madds_per_s / NS_PER_S)
        if roof is not None:
            draw_roof(axes, roof)
        axes.set_title(canvas.literal(name), fontsize=9, loc="left")
        axes.set_xlabel("multiply-adds per byte moved at least", fontsize=9)
        axes.set_ylabel("GMAdds/s", fontsize=9)
    return layout.figure


Point = tuple[float, float, str, float, bool]
"""MAdds per byte, GMAdds/s, kind, share of the network's time in per cent, hollow."""


def _points(one: Seen, level: float) -> list[Point]:
    sums = sums_ns(one.parts)
    points = []
    for part in one.parts:
        time, share = time_ns(part, level), share_of(part, sums, level)
        if part.layers and time is not None and share is not None:
            points.append((_intensity(part), _madds(part) / time.value, part.kind, share.value,
                           time.value < COARSE * one.profile.cut_ns))  # fmt: skip
    return points


def _roof(run: Run) -> Limits | None:
    """Return the ceilings under the conditions of the points; None where the run has none."""
    first = run.plan.cases[0]
    return limits(ceilings_for(run), first.precision, first.threads)


def _draw_points(axes: Axes, points: Sequence[Point], everything: Sequence[Point], top: float) -> None:
    """Draw one runtime's points on axes that hold those of all, and `top` GMAdds/s."""
    canvas.tidy(axes)
    for x, y, kind, share, hollow in points:
        face = "none" if hollow else COLOURS[kind]
        axes.scatter([x], [y], s=10 + 14 * share, marker=MARKERS[kind], facecolors=face, edgecolors=COLOURS[kind],
                     linewidths=0.7, alpha=0.75)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
        values = [(point[0], point[1])[place] for point in everything] or [0.5, 2.0]
        values += [top] if place and top else []
        low, high = min(values) / 1.4, max(values) * 1.4
        axis.set_major_locator(FixedLocator(log_ticks(low, high)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        (axes.set_xlim, axes.set_ylim)[place](low, high)


def _scatter_caption(seen: Sequence[Seen], roof: bool) -> list[str]:
    models = ", ".join(dict.fromkeys(one.profile.model for one in seen))
    text = (
        f"A mark is a layer of {models}; the larger, the greater its share of its network's time. Bytes: each weight once, the "
        "activation in and out, in fp32. Time: mean over launches of the runtime's own profile, with what is fused into the "
        "layer; intervals are in layers.csv. Hollow: so short that the profile's whole microseconds blur it."
    )
    lines = "Lines: the most that any probe reached here (mnbench study roofline), multiplying and moving from each level."
    return [text, *([lines] if roof else [])]


def _madds(part: Part) -> int:
    return sum(layer.madds for layer in part.layers)


def _intensity(part: Part) -> float:
    return _madds(part) / sum(bytes_of(layer) for layer in part.layers)
