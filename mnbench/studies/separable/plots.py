"""The plots of the study `separable`: a heat map over the grid, a line over N, and the layers of MobileNetV1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from mnbench.records import Run
from mnbench.report import canvas
from mnbench.report.axis import set_positive_scale
from mnbench.studies.common.operator_slopes import NOISE, NOT_MEASURED, TOO_FEW, WIDE
from mnbench.studies.separable.grid import CHANNELS_OF, SWEEP_IN, SWEEP_RESOLUTION, doubled
from mnbench.studies.separable.layers import LayerRow
from mnbench.studies.separable.speedups import SpeedupRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

WIDTH_IN = 11.0
SHARE_LIMITS_PCT = (25.0, 400.0)
"""Ends of the colours, as far below as above 100 %; shares beyond them are written, and have the end's colour."""
COLOURS_OF_SHARE = "PuOr"
DARK_FROM = 2.4
"""Shares that differ from 100 % by more than this factor lie on dark colours, and are written in white."""
DK2 = 9.0
SHORTLY = {NOT_MEASURED: "not\nmeasured", TOO_FEW: "too few\nlaunches", NOISE: "noise", WIDE: "wide\ninterval"}
"""Why a square has no figure, in words that fit into it."""


def heat_map(run: Run, rows: Sequence[SpeedupRow], backends: Sequence[str]) -> Figure:
    """Draw measured over formula speed-up by channels and resolution: kernel 3, M = N, stride 1, batch 1."""
    page = canvas.Page(
        title="How much of the multiply-adds saved by separable convolutions is time saved?",
        subtitle=f"Standard 3x3 convolution against depthwise 3x3 + pointwise, M = N channels. {conditions(run)}",
        caption=(
            "Large: measured speed-up in per cent of the formula's, 1 / (1/N + 1/DK²). Small: the measured speed-up itself.",
            "100 %: the time falls as the multiply-adds do. Orange: less is saved. Purple: more (a slow standard convolution).",
            f"Times are slopes over chains of copies; values are over {_launches(run)}, their intervals are in speedups.csv.",
        ),
        legend=[
            Patch(facecolor="white", edgecolor=canvas.GREY, hatch="////", label="not planned"),
            Patch(facecolor="white", edgecolor=canvas.GREY, label="words: no figure, and why"),
        ],
        width_in=WIDTH_IN,
        axes_height_in=3.0,
        head_in=0.3,
    )
    layout = canvas.lay_out(page, left_in=0.85, right_in=1.05)
    for place, backend in enumerate(backends):
        axes = layout.axes(0, place, 1, max(1, len(backends)), gap_in=0.65)
        _heat_panel(axes, [row for row in rows if row.backend == backend and _in_grid(row)], left=place == 0)
        axes.set_title(canvas.literal(backend), fontsize=9, loc="left", fontweight="bold")
    _colour_bar(layout)
    return layout.figure


def line_over_n(run: Run, rows: Sequence[SpeedupRow], backends: Sequence[str]) -> Figure:
    """Draw the speed-up against N, beside the formula and what graphs of one operator say."""
    style = canvas.styles(list(backends))
    legend = [Line2D([], [], color="black", linewidth=1.4, label="1 / (1/N + 1/DK²)")]
    for look in style.values():
        legend.append(_handle(look, f"{look.name}, slopes"))
        legend.append(_handle(look, f"{look.name}, single graphs", hollow=True))
    size = f"{SWEEP_RESOLUTION}x{SWEEP_RESOLUTION}"
    page = canvas.Page(
        title="Does the speed-up of separable convolutions grow with N as the formula says?",
        subtitle=f"3x3 at {size}, M = {SWEEP_IN} channels in, N out. {conditions(run)}",
        caption=(
            "Filled: from slopes over chains, the mean of M → N and N → M; separable is depthwise at M plus pointwise.",
            f"Bars: {run.plan.level:.0%} interval over {_launches(run)}.",
            "Hollow: from a graph of each operator alone, M → N, which includes layout conversion and the call's own cost.",
        ),
        legend=legend,
        width_in=9.0,
        axes_height_in=4.0,
    )
    axes = canvas.lay_out(page, left_in=0.8, right_in=0.3).axes()
    canvas.tidy(axes)
    channels = list(doubled(CHANNELS_OF[SWEEP_RESOLUTION]))
    axes.plot(channels, [1 / (1 / n + 1 / DK2) for n in channels], color="black", linewidth=1.4)
    axes.axhline(1.0, color=canvas.GREY, linewidth=0.9, linestyle="--")
    axes.text(channels[-1], 1.04, "no gain", fontsize=canvas.LABEL_PT, color=canvas.GREY, ha="right", va="bottom")
    for shift, look in zip((0.97, 1.03, 1.0, 0.94), style.values(), strict=False):
        mine = sorted((row for row in rows if row.backend == look.name and in_sweep(row)), key=lambda row: row.out_channels)
        _speedups(axes, mine, look, shift)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(channels))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("output channels N", fontsize=9)
    axes.set_ylabel("standard over separable time (x)", fontsize=9)
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 (axes always stand on a figure; this tells the type checker)
    return figure


def layers(run: Run, rows: Sequence[LayerRow], backends: Sequence[str]) -> Figure:
    """Draw each layer of MobileNetV1: its slope, and its graph alone."""
    style = canvas.styles(list(backends))
    page = canvas.Page(
        title="What a layer of MobileNetV1 costs in a chain of its kind, and what a graph of it alone shows",
        subtitle=f"Time of one copy of each distinct layer, with batch normalisation and ReLU6. {conditions(run)}",
        caption=(
            "Filled: slope over chains of copies, in which dispatch and the graph's edges cancel.",
            f"Bars: {run.plan.level:.0%} interval over {_launches(run)}.",
            "Hollow: the layer as a graph of its own: with layout conversion and the call, but its weights stay cached.",
        ),
        legend=[
            _handle(canvas.Style(name="", colour=canvas.GREY, marker="o"), "slope over chains"),
            _handle(canvas.Style(name="", colour=canvas.GREY, marker="o"), "graph of one operator", hollow=True),
        ],
        width_in=WIDTH_IN,
        axes_height_in=5.0,
        head_in=0.3,
    )
    layout = canvas.lay_out(page, left_in=2.35, right_in=0.25)
    names = list(dict.fromkeys(_label(row) for row in rows))
    for place, backend in enumerate(backends):
        axes = layout.axes(0, place, 1, max(1, len(backends)), gap_in=0.3)
        mine = {_label(row): row for row in rows if row.backend == backend}
        _layer_panel(axes, names, mine, style[backend], everything=rows)
        axes.set_title(canvas.literal(backend), fontsize=9, loc="left", fontweight="bold", color=style[backend].ink)
        if place:
            axes.yaxis.set_major_formatter(NullFormatter())
    return layout.figure


def conditions(run: Run) -> str:
    """Return where and how it was measured."""
    threads = max((case.threads for case in run.plan.cases), default=1)
    return f"{run.environment.cpu_model} · {threads} thread{'s' if threads > 1 else ''} · fp32 · batch 1."


def _launches(run: Run) -> str:
    number = len({samples.launch for samples in run.samples})
    return f"{number} launches"


def _in_grid(row: SpeedupRow) -> bool:
    return row.kernel == 3 and row.in_channels == row.out_channels and row.stride == row.batch == 1


def in_sweep(row: SpeedupRow) -> bool:
    """Say whether a cell belongs to the line over N."""
    here = (row.resolution, row.in_channels) == (SWEEP_RESOLUTION, SWEEP_IN)
    return here and row.kernel == 3 and row.stride == row.batch == 1


def _heat_panel(axes: Axes, rows: Sequence[SpeedupRow], *, left: bool) -> None:
    resolutions, channels = list(CHANNELS_OF), list(doubled(max(CHANNELS_OF.values())))
    colours, norm = mpl.colormaps[COLOURS_OF_SHARE], LogNorm(*SHARE_LIMITS_PCT, clip=True)
    found = {(row.resolution, row.in_channels): row for row in rows}
    for y, resolution in enumerate(resolutions):
        for x, channel in enumerate(channels):
            row = found.get((resolution, channel))
            if row is None:
                axes.add_patch(_square(x, y, facecolor="white", edgecolor="#BBBBBB", hatch="////", linewidth=0))
                continue
            if row.share_pct is None or row.speedup is None:
                axes.text(x, y, SHORTLY[row.refused], ha="center", va="center", fontsize=6, color=canvas.GREY)
                continue
            axes.add_patch(_square(x, y, facecolor=colours(norm(row.share_pct.value)), edgecolor="white", linewidth=1))
            ink = "white" if not 1 / DARK_FROM < row.share_pct.value / 100 < DARK_FROM else "black"
            axes.text(x, y - 0.13, f"{row.share_pct.value:.0f} %", ha="center", va="center", fontsize=7.5, color=ink)
            axes.text(x, y + 0.24, f"{row.speedup.value:.1f}x", ha="center", va="center", fontsize=6, color=ink)
    axes.set_xlim(-0.5, len(channels) - 0.5)
    axes.set_ylim(len(resolutions) - 0.5, -0.5)
    axes.set_xticks(range(len(channels)), [str(channel) for channel in channels], fontsize=canvas.NOTE_PT)
    axes.set_yticks(range(len(resolutions)), [f"{size}x{size}" for size in resolutions], fontsize=canvas.NOTE_PT)
    axes.tick_params(labelleft=left)
    axes.set_xlabel("channels M = N", fontsize=9)
    if left:
        axes.set_ylabel("resolution DF x DF", fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _square(x: int, y: int, **look: object) -> Rectangle:
    return Rectangle((x - 0.5, y - 0.5), 1, 1, **look)  # type: ignore[arg-type] # matplotlib's stubs want each by name


def _colour_bar(layout: canvas.Layout) -> Colorbar:
    width_in, height_in = layout.figure.get_size_inches()
    inner_in = height_in - layout.bottom_in - layout.top_in
    box = ((width_in - 0.85) / width_in, layout.bottom_in / height_in, 0.16 / width_in, inner_in / height_in)
    mappable = mpl.cm.ScalarMappable(norm=LogNorm(*SHARE_LIMITS_PCT), cmap=COLOURS_OF_SHARE)
    bar = layout.figure.colorbar(mappable, cax=layout.figure.add_axes(box), extend="both")
    bar.ax.yaxis.set_major_locator(FixedLocator([25, 50, 100, 200, 400]))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=canvas.NOTE_PT)
    bar.ax.set_title("of the formula", fontsize=canvas.LABEL_PT, pad=12)
    return bar


def _speedups(axes: Axes, rows: Sequence[SpeedupRow], look: canvas.Style, shift: float) -> None:
    solid = [(row.out_channels * shift, row.speedup) for row in rows]
    hollow = [(row.out_channels * shift, row.single_graph_speedup) for row in rows]
    for points, face, line in ((solid, look.colour, "-"), (hollow, "white", ":")):
        drawn = [(x, y) for x, y in points if y is not None]
        axes.errorbar(
            [x for x, _ in drawn], [y.value for _, y in drawn],
            yerr=[[y.value - y.low for _, y in drawn], [y.high - y.value for _, y in drawn]], color=look.colour,
            marker=look.marker, markersize=6, markerfacecolor=face, linestyle=line, linewidth=1.1, elinewidth=1.2, capsize=2.5,
        )  # fmt: skip


def _label(row: LayerRow) -> str:
    return row.layer + (f"  (x{row.repeats})" if row.repeats > 1 else "")


def _layer_panel(
    axes: Axes, names: Sequence[str], rows: dict[str, LayerRow], look: canvas.Style, *, everything: Sequence[LayerRow]
) -> None:
    canvas.tidy(axes)
    for place, name in enumerate(names):
        row = rows.get(name)
        if row is None:
            continue
        if row.slope_ms and row.single_graph_ms:
            ends = [row.slope_ms.value, row.single_graph_ms.value]
            axes.plot(ends, [place, place], color=look.colour, linewidth=1.0, alpha=0.35)
        for time, face in ((row.single_graph_ms, "white"), (row.slope_ms, look.colour)):
            if time is not None:
                reach = [[time.value - time.low], [time.high - time.value]]
                axes.errorbar(time.value, place, xerr=reach, fmt="none", ecolor=look.colour, elinewidth=1.2, capsize=2.5)
                axes.plot(time.value, place, look.marker, markersize=6, markerfacecolor=face, markeredgecolor=look.colour)
    values = [time.value for row in everything for time in (row.slope_ms, row.single_graph_ms) if time]
    set_positive_scale(axes, values)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator(range(len(names))))
    axes.set_yticklabels(list(names), fontsize=canvas.NOTE_PT)
    axes.set_xlabel("time of one copy (ms)", fontsize=9)


def _handle(look: canvas.Style, label: str, *, hollow: bool = False) -> Line2D:
    return Line2D(
        [], [], color=look.colour, marker=look.marker, markersize=6, linewidth=1.1, linestyle=":" if hollow else "-",
        markerfacecolor="white" if hollow else look.colour, label=label,
    )  # fmt: skip
