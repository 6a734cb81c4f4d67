"""Two plots of the study `roofline`: rates under the machine's ceilings, and how much of each latency they explain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mnbench.records import Run
from mnbench.report import canvas
from mnbench.report.axis import log_ticks
from mnbench.report.naming import short_names
from mnbench.report.numbers import bounds
from mnbench.stats.roofline import Limits
from mnbench.studies.common.roofline_rows import CeilingRow, NetworkRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THREADS = 1
"""The networks run on one core, and so do the ceilings they are drawn under."""
LEVELS = {0: "memory", 1: "L1", 2: "L2", 3: "L3", 4: "L4"}
INTENSITIES = (0.1, 30.0)
"""MAdds per byte: a depthwise layer has about 1, a network 4 to 10."""
SIDEWAYS = 1.03
"""Points of different runtimes at one intensity stand apart by this factor, else one would hide the other."""
LABEL_BESIDE_PT = 7.0
CLOSE = 1.5
"""Bandwidths within this factor have their labels on either side of the two lines."""


def rates(run: Run, ceilings: Sequence[CeilingRow], networks: Sequence[NetworkRow]) -> Figure:
    """Draw GMAdds/s over MAdds per byte: ceilings as lines, each network in each runtime as a point with its interval."""
    drawn = [row for row in networks if row.gmadds_per_s is not None and row.madds_per_byte is not None]
    backends, models = canvas.styles([row.backend for row in drawn]), list(dict.fromkeys(row.model for row in drawn))
    markers = dict(zip(models, canvas.MARKERS * len(models), strict=False))
    names = short_names(models)
    page = canvas.Page(
        title="How near do the networks come to what one core can do?",
        subtitle=f"{run.environment.cpu_model} · 1 thread · batch 1 · {_precisions(drawn)}",
        caption=[
            "Lines: the most that any probe reached on one core. The sloping ones are bandwidths, read and written together.",
            "Points: rate of a network over its multiply-adds per byte, its inputs, weights and outputs moved once.",
            f"Bars: {_pct(run)} intervals over {_launches(drawn)} launches, often smaller than the marker.",
        ],
        legend=[
            *(_dot(names[model], markers[model], canvas.GREY) for model in models),
            *(_dot(style.name, "o", style.colour) for style in backends.values()),
        ],
        width_in=9.0,
        axes_height_in=5.2,
    )
    layout = canvas.lay_out(page, left_in=0.8, right_in=0.9)
    axes = layout.axes()
    canvas.tidy(axes)
    best = [row for row in ceilings if row.ceiling and row.threads == THREADS and row.value]
    peaks = {row.precision: row.value.value for row in best if row.value and row.kind == "peak"}
    bandwidths = {row.level or 0: row.value.value for row in best if row.value and row.kind == "bandwidth"}
    reached = [row.gmadds_per_s.value for row in drawn if row.gmadds_per_s]
    tops, bottoms = [*peaks.values(), *reached], reached
    low, high = min([*bottoms, 30.0]) / 3, max([*tops, 100.0]) * 1.4
    _log_log(axes, (low, high))
    _draw_ceilings(axes, peaks, bandwidths, low)
    for row in drawn:
        aside = SIDEWAYS ** (2 * list(backends).index(row.backend) - len(backends) + 1)
        _draw_point(axes, row, aside, backends[row.backend].colour, markers[row.model])
    axes.set_xlabel("multiply-adds per byte moved", fontsize=9)
    axes.set_ylabel("multiply-adds per second (GMAdds/s)", fontsize=9)
    return layout.figure


def shares(run: Run, networks: Sequence[NetworkRow]) -> Figure:
    """Draw floor over latency as bars with intervals, one group for each network and one colour for each runtime."""
    drawn = [row for row in networks if row.roofline_pct is not None]
    backends, models = canvas.styles([row.backend for row in drawn]), list(dict.fromkeys(row.model for row in drawn))
    names = short_names(models)
    page = canvas.Page(
        title="How much of each network's latency does the machine's limit explain?",
        subtitle=f"{run.environment.cpu_model} · 1 thread · batch 1 · {_precisions(drawn)}",
        caption=[
            "100 % would be the floor: the sum over layers of the longer of MAdds over peak and bytes over bandwidth.",
            f"Lines on the bars: {_pct(run)} intervals over {_launches(drawn)} launches, floor and latency of the same launch.",
            "Normalisation, activation functions, pooling and dispatch are free in the floor.",
        ],
        legend=[_dot(style.name, "s", style.colour) for style in backends.values()],
        width_in=9.0,
        axes_height_in=0.45 * max(1, len(drawn)) + 0.4,
    )
    layout = canvas.lay_out(page, left_in=1.9, right_in=0.6)
    axes = layout.axes()
    canvas.tidy(axes)
    axes.grid(visible=False, axis="y")
    place, ticks = 0.0, []
    for model in models:
        rows = [row for row in drawn if row.model == model]
        ticks.append(place + (len(rows) - 1) / 2)
        for row in rows:
            _draw_bar(axes, row, place, backends[row.backend].colour)
            place += 1.0
        place += 0.7
    axes.set_yticks(ticks, [canvas.literal(names[model]) for model in models])
    axes.set_ylim(max(place, 1.0) - 0.8, -0.9)
    axes.set_xlim(0, max([105.0, *(row.roofline_pct.high * 1.05 for row in drawn if row.roofline_pct)]))
    axes.axvline(100.0, color=canvas.GREY, linewidth=1.2, linestyle="--")
    axes.set_xlabel("floor over latency (%)", fontsize=9)
    return layout.figure


def _log_log(axes: Axes, rates_shown: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*INTENSITIES)
    axes.set_ylim(*rates_shown)
    for axis, limits in ((axes.xaxis, INTENSITIES), (axes.yaxis, rates_shown)):
        axis.set_major_locator(FixedLocator(log_ticks(*limits)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_ceilings(axes: Axes, peaks: dict[str, float], bandwidths: dict[int, float], low: float) -> None:
    """Draw each peak from where the fastest memory reaches it, and each bandwidth up to the fp32 peak."""
    fastest = max(bandwidths.values(), default=0.0)
    for precision, peak in peaks.items():
        solid = precision == "fp32"
        start = peak / fastest if fastest else INTENSITIES[0]
        axes.plot([start, INTENSITIES[1]], [peak, peak], color="black", linewidth=1.6 if solid else 1.0,
                  linestyle="-" if solid else (0, (4, 3)))  # fmt: skip
        axes.annotate(f"{precision} {peak:.0f}", (INTENSITIES[1], peak), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=canvas.NOTE_PT)  # fmt: skip
    roof = peaks.get("fp32", max(peaks.values(), default=100.0))
    slowest_first = sorted(bandwidths.items(), key=lambda pair: pair[1])
    angle = _slope_angle(axes)
    for place, (level, bandwidth) in enumerate(slowest_first):
        start = max(INTENSITIES[0], low / bandwidth)
        axes.plot([start, roof / bandwidth], [start * bandwidth, roof], color=canvas.GREY, linewidth=1.2)
        above = place > 0 and bandwidth < CLOSE * slowest_first[place - 1][1]
        side = LABEL_BESIDE_PT if above else -LABEL_BESIDE_PT
        middle = math.sqrt(start * roof / bandwidth)
        axes.annotate(
            f"{LEVELS.get(level, f'L{level}')} {bandwidth:.0f} GB/s",
            (middle, middle * bandwidth),
            xytext=(-side * math.sin(angle), side * math.cos(angle)),
            textcoords="offset points",
            fontsize=canvas.NOTE_PT,
            color=canvas.GREY,
            ha="center",
            va="center",
            rotation=math.degrees(angle),
        )


def draw_roof(axes: Axes, given: Limits) -> None:
    """Draw the ceilings of one precision into axes whose scales and limits are set: GMAdds/s over MAdds per byte.

    A bandwidth's name stands where it meets the peak; names that would hide each other are joined.
    """
    (left, right), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    peak = given.madds_per_s / 1e9
    style: dict[str, Any] = {"textcoords": "offset points", "va": "bottom", "fontsize": canvas.NOTE_PT, "color": canvas.GREY}
    axes.plot([left, right], [peak, peak], color=canvas.GREY, linewidth=1.0, zorder=1)
    axes.annotate(f"peak {peak:.0f}", (right, peak), xytext=(-2, 3), ha="right", **style)
    corners: list[tuple[float, str]] = []
    for each in given.levels:
        corner, name = peak * 1e9 / each.bytes_per_s, LEVELS.get(each.level, f"L{each.level}")
        start = max(left, bottom * 1e9 / each.bytes_per_s)
        if start < corner < right:
            axes.plot([start, corner], [start * peak / corner, peak], color=canvas.GREY, linewidth=1.0, zorder=1)
            if corners and corner < CLOSE * corners[-1][0]:
                first, names = corners.pop()
                corners.append((first, f"{names}, {name}"))
            else:
                corners.append((corner, name))
    for corner, name in corners:
        axes.annotate(name, (corner, peak), xytext=(0, 3), ha="center", **style)


def _slope_angle(axes: Axes) -> float:
    """Return the angle at which a line of slope 1 in both logarithms is drawn, in radians."""
    (x0, y0), (x1, y1) = axes.transData.transform([(1.0, 10.0), (10.0, 100.0)])
    return math.atan2(y1 - y0, x1 - x0)


def _draw_point(axes: Axes, row: NetworkRow, aside: float, colour: str, marker: str) -> None:
    if row.madds_per_byte is None or row.gmadds_per_s is None:
        return
    x, (y, low, high) = row.madds_per_byte * aside, bounds(row.gmadds_per_s)
    axes.errorbar(x, y, yerr=[[y - low], [high - y]], fmt="none", ecolor=colour, elinewidth=1.2, capsize=2.5)
    axes.plot(x, y, marker, markersize=7.0, markerfacecolor=colour, markeredgecolor="white", markeredgewidth=0.6)


def _draw_bar(axes: Axes, row: NetworkRow, place: float, colour: str) -> None:
    if row.roofline_pct is None:
        return
    value, low, high = bounds(row.roofline_pct)
    axes.barh(place, value, height=0.85, color=colour)
    axes.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="none", ecolor="black", elinewidth=1.2, capsize=3)
    axes.annotate(
        f"{value:.0f}", (high, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=canvas.NOTE_PT
    )


def _dot(label: str, marker: str, colour: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, markersize=6.5, color=colour, label=canvas.literal(label))


def _pct(run: Run) -> str:
    return f"{run.plan.level:.0%}".replace("%", " %")


def _launches(rows: Sequence[NetworkRow]) -> str:
    counts = sorted({row.launches for row in rows})
    return " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "no"


def _precisions(rows: Sequence[NetworkRow]) -> str:
    return ", ".join(dict.fromkeys(row.precision for row in rows)) or "nothing measured"
