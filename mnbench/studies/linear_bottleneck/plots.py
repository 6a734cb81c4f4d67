"""The plots of the study `linear-bottleneck`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from mnbench.report import canvas
from mnbench.studies.common import grouped_bars
from mnbench.studies.common.slopes import ratio_of
from mnbench.studies.linear_bottleneck import manifold

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mnbench.studies.linear_bottleneck.costs import Cost
    from mnbench.studies.linear_bottleneck.manifold import Activation
    from mnbench.studies.linear_bottleneck.spiral import Survival

DRAWN = (2, 3, 5, 15, 30)
"""The dimensions of the paper's figure."""
ALONG = "viridis"
"""Colours along the curve: even in lightness, for the colour-blind, too."""


def spirals(activations: Sequence[Activation], seed: int) -> Figure:
    """Draw the paper's row of pictures, one row an activation: the curve, and what comes back for each n."""
    page = canvas.Page(
        title="What does a rectifier leave of a spiral that is embedded in n dimensions?",
        subtitle="Spiral in the plane, times a random matrix into n dimensions, activation, times the matrix's "
        "pseudo-inverse back",
        caption=(
            (
                "After Figure 1 of the MobileNetV2 paper. The colour runs along the spiral, from dark inside to light outside. "
                "Crosses: points that cannot be told from their output, because fewer than two coordinates are above 0 and "
                f"below the clip. One random matrix for each n, the first of seed {seed}; axes of a panel have one scale."
            ),
        ),
        legend=[Line2D([], [], color=canvas.COLOURS[1], marker="x", linewidth=0, markersize=5, label="undetermined point")],
        width_in=11.0,
        axes_height_in=2.0 * len(activations) + 0.35 * (len(activations) - 1),
        head_in=0.3,
    )
    layout = canvas.lay_out(page, left_in=0.6, right_in=0.15, axis_in=0.25)
    curve = manifold.spiral()
    for row, activation in enumerate(activations):
        axes = layout.axes(row, 0, len(activations), 1 + len(DRAWN), gap_in=0.3)
        _curve(axes, curve, np.zeros(len(curve), dtype=bool), "input")
        axes.set_ylabel("\n".join(textwrap.wrap(activation.name, 20)), fontsize=8)
        for column, dimension in enumerate(DRAWN, start=1):
            y, back = manifold.passed(curve, manifold.embeddings(dimension, 1, seed), activation)
            lost = manifold.told_coordinates(y, activation)[0] < 2
            axes = layout.axes(row, column, len(activations), 1 + len(DRAWN), gap_in=0.3)
            _curve(axes, back[0], lost, f"n = {dimension}: {lost.mean():.0%} undetermined")
    return layout.figure


def _curve(axes: Axes, points: manifold.Array, lost: np.ndarray, title: str) -> None:
    axes.set_title(title, fontsize=8)
    axes.scatter(points[:, 0], points[:, 1], c=np.arange(len(points)), cmap=ALONG, s=5, linewidths=0)
    axes.scatter(points[lost, 0], points[lost, 1], c=canvas.COLOURS[1], marker="x", s=9, linewidths=0.6)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])


def information(survivals: Sequence[Survival], embeddings: int) -> Figure:
    """Draw shares of lost points and the error over n, with intervals."""
    style = canvas.styles([one.activation.name for one in survivals])
    handles = [Line2D([], [], color=s.colour, marker=s.marker, markersize=5, label=s.name) for s in style.values()]
    handles.append(Line2D([], [], color="black", linestyle=":", label="(n + 1) / 2ⁿ, exact for ReLU"))
    page = canvas.Page(
        title="From how many dimensions on does information survive a rectifier?",
        subtitle=f"Spiral in the plane of {manifold.POINTS} points, embedded by {embeddings} random normal matrices for each n",
        caption=(
            (
                "Undetermined: fewer than two coordinates above 0 and below the clip, so that even who knows the matrix cannot "
                "tell the point. Collapsed: the same output as another point, up to 1e-9. Error: of the pseudo-inverse's "
                "curve, relative, after the best single factor."
            ),
            "Bars: 95% interval of the mean over matrices (empirical Bernstein). A linear layer has 0 in every panel.",
        ),
        legend=handles,
        width_in=11.0,
        axes_height_in=3.3,
        head_in=0.25,
    )
    layout = canvas.lay_out(page, left_in=0.75, right_in=0.2)
    panels = (("undetermined", "undetermined points (%)"), ("collapsed", "collapsed points (%)"), ("error", "error (%)"))
    dimensions = sorted({one.dimension for one in survivals})
    for place, (field, label) in enumerate(panels):
        axes = layout.axes(0, place, 1, len(panels), gap_in=0.7)
        canvas.tidy(axes)
        for shift, (name, look) in enumerate(style.items()):
            found = [(one.dimension, getattr(one, field)) for one in survivals if one.activation.name == name]
            n = [dimension * 1.03 ** (shift - 1) for dimension, _ in found]  # side by side, or one hides the others
            values = [100 * one.value for _, one in found]
            bounds = [[100 * (one.value - one.low) for _, one in found], [100 * (one.high - one.value) for _, one in found]]
            axes.errorbar(n, values, yerr=bounds, color=look.colour, marker=look.marker, markersize=4, capsize=2, linewidth=1.0)
        if field == "undetermined":
            exact = [100 * manifold.undetermined_by_chance(dimension) for dimension in dimensions]
            axes.plot(dimensions, exact, ":", color="black", linewidth=1.3, zorder=5)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(dimensions))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(dimension) for dimension in dimensions])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("dimensions n", fontsize=9)
        axes.set_ylabel(label, fontsize=9)
    return layout.figure


def costs(cells: Sequence[Cost], backends: Sequence[str], names: Mapping[str, str], where: str, level: float) -> Figure:
    """Draw the time of a layer over that of the linear one, a panel a runtime."""
    shown = {kind: name for kind, name in names.items() if name != "linear"}
    looks = {name: (canvas.COLOURS[place], "") for place, name in enumerate(shown.values())}
    page = canvas.Page(
        title="What does the last activation cost?",
        subtitle=f"Latency of a 1x1 convolution with the activation over that without, slopes over chains · {where}",
        caption=(
            (
                f"Bars: {level:.0%} interval of the ratio, paired by launch; dashed: as fast as the linear layer. Below the "
                "names, the linear layer's latency. A group without bars was not measured, or refused because the runtime "
                "merged its layers, or may have."
            ),
        ),
        legend=[*grouped_bars.legend(looks), Line2D([], [], color=canvas.GREY, linestyle="--", label="linear = 1")],
        width_in=10.0,
        axes_height_in=3.2,
        head_in=0.25,
    )
    layout = canvas.lay_out(page, left_in=0.75, right_in=0.2, axis_in=0.65)
    panels = []
    for place, backend in enumerate(backends or ["nothing was measured"]):
        axes = layout.axes(0, place, 1, max(1, len(backends)))
        panels.append(axes)
        mine = [one for one in cells if one.backend == backend]
        groups = {(one.operator.resolution, one.operator.in_channels): _named(one, mine) for one in mine}
        bars = {
            name: {
                groups[one.operator.resolution, one.operator.in_channels]: ratio
                for one in mine
                if one.operator.kind == kind and (ratio := ratio_of(one.over_linear, level)) is not None
            }
            for kind, name in shown.items()
        }
        grouped_bars.grouped(axes, list(groups.values()), bars, looks)
        axes.axhline(1.0, color=canvas.GREY, linestyle="--", linewidth=1.0)
        axes.set_title(backend, fontsize=9, loc="left")
        axes.set_ylabel("latency over linear (x)", fontsize=9)
    top = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:  # one scale, so that runtimes can be compared by eye
        axes.set_ylim(0, 1.05 * top)
    return layout.figure


def _named(one: Cost, cells: Sequence[Cost]) -> str:
    """Return a group's name: its shape, and what the linear layer takes."""
    r, c = one.operator.resolution, one.operator.in_channels
    same = [x for x in cells if (x.operator.resolution, x.operator.in_channels, x.operator.kind) == (r, c, "pointwise-none")]
    name = f"{r}x{r}, {c} to {c}"
    if not same or len(same[0].logs) < 1:
        return name
    mean_us = float(np.exp(np.mean(list(same[0].logs.values())))) / 1e3
    return f"{name}\nlinear {mean_us:.3g} µs"
