"""Latency against published top-1 accuracy, with the Pareto front of each backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mnbench.records import Estimate
from mnbench.report import canvas
from mnbench.report.axis import set_positive_scale
from mnbench.report.labels import Anchor, Boxes, Place, place_labels
from mnbench.report.naming import ShortNames, conditions, is_null, networks, short_names
from mnbench.report.published import cited
from mnbench.report.rows import CaseRow
from mnbench.report.view import View
from mnbench.stats.intervals import FEWEST_LAUNCHES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

NAME = "latency-vs-accuracy"
PANELS_FROM = 25
"""With this many points or more, each series gets a panel of its own: the labels would not fit in one."""
MARKER_PT = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One case in the plot."""

    model: str
    series: str
    latency: Estimate
    top1_pct: float
    noisy: bool
    """The machine was too noisy while it was measured: drawn hollow, and nothing is concluded from it."""


def write(view: View, directory: Path) -> list[Path]:
    """Write the plot as PNG and SVG; nothing where no network has a published accuracy (`latency_plot`).

    Raises StoreError when a file cannot be written.
    """
    return view.plots[NAME].save(directory) if NAME in view.plots else []


def figure(view: View) -> Figure:
    """Draw the plot. Networks without a published accuracy or a latency are named in the caption instead."""
    points = collect(view)
    names = short_names([point.model for point in points], own=[row.model for row in view.models])
    style = canvas.styles([row.series for row in view.rows if not is_null(row.case)])
    drawn = list(dict.fromkeys(point.series for point in points))
    groups = [[name] for name in drawn] if len(points) >= PANELS_FROM and len(drawn) > 1 else [drawn]
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    page = canvas.Page(
        title="Measured latency against published accuracy",
        subtitle=conditions(view.run),
        caption=_caption(view, points, names),
        legend=_legend(points, style, panels=len(groups)),
        width_in=9.0 if columns == 1 else 13.0,
        axes_height_in=5.2 if rows == 1 else 5.2 * rows + 0.9,
        head_in=0.0 if len(groups) == 1 else 0.25,
    )
    batched = any(case.batch > 1 for case in networks(view.run))
    layout = canvas.lay_out(page, left_in=0.8, right_in=0.25)
    for place, group in enumerate(groups):
        axes = layout.axes(place // columns, place % columns, rows, columns, gap_in=0.9)
        shown = [point for point in points if point.series in group]
        _draw(axes, shown, style, everything=points)
        axes.set_xlabel("latency of one batch (ms)" if batched else "latency of one inference (ms)", fontsize=9)
        axes.set_ylabel("top-1 accuracy, published (%)", fontsize=9)
        if len(groups) > 1:
            axes.set_title(canvas.literal(group[0]), fontsize=9, loc="left", color=style[group[0]].ink)
        annotate(axes, shown, names, style)
    return layout.figure


def collect(view: View) -> list[Point]:
    """Return the cases that have both a latency and a published accuracy."""
    return [
        Point(
            model=row.case.model,
            series=row.series,
            latency=row.latency_ms,
            top1_pct=row.accuracy.top1_pct,
            noisy=row.too_noisy,
        )
        for row in view.rows
        if row.latency_ms is not None and row.accuracy is not None
    ]


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points no other beats in both latency and accuracy, fastest first. Too noisy ones take no part."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.latency.value, -p.top1_pct)):
        if not point.noisy and (not front or point.top1_pct > front[-1].top1_pct):
            front.append(point)
    return front


def annotate(axes: Axes, points: Sequence[Point], names: ShortNames, style: dict[str, canvas.Style]) -> list[Annotation]:
    """Label every point where there is room, and return the labels. The axes' limits must be final."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 (axes always stand on a figure; this tells the type checker)
    scale = 72 / figure.dpi
    labels = [canvas.literal(names[point.model]) for point in points]
    sizes: dict[str, tuple[float, float]] = {}
    for label in dict.fromkeys(labels):
        probe = figure.text(0, 0, label, fontsize=canvas.LABEL_PT)
        box = probe.get_window_extent()
        sizes[label] = (box.width * scale, box.height * scale)
        probe.remove()
    spots = axes.transData.transform([(p.latency.value, p.top1_pct) for p in points]).reshape(-1, 2) * scale
    anchors = [
        Anchor(x=float(x), y=float(y), width=sizes[label][0], height=sizes[label][1])
        for (x, y), label in zip(spots, labels, strict=True)
    ]
    frame = axes.get_window_extent()
    limits = tuple(edge * scale for edge in (frame.x0, frame.y0, frame.x1, frame.y1))
    places = place_labels(anchors, _occupied(axes, points, scale), _front_boxes(axes, points, scale), limits)
    return [
        _annotation(axes, point, label, anchor, place, style[point.series].ink)
        for point, label, anchor, place in zip(points, labels, anchors, places, strict=True)
        if place is not None
    ]


def _annotation(axes: Axes, point: Point, label: str, anchor: Anchor, place: Place, colour: str) -> Annotation:
    if place.leader is not None:
        axes.annotate(
            "",
            xy=(point.latency.value, point.top1_pct),
            xytext=(place.leader[0] - anchor.x, place.leader[1] - anchor.y),
            textcoords="offset points",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": MARKER_PT / 2},
        )
    return axes.annotate(
        label,
        xy=(point.latency.value, point.top1_pct),
        xytext=(place.x - anchor.x, place.y - anchor.y),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=canvas.LABEL_PT,
        color=colour,
    )


def _draw(axes: Axes, points: Sequence[Point], style: dict[str, canvas.Style], *, everything: Sequence[Point]) -> None:
    canvas.tidy(axes)
    for name in dict.fromkeys(point.series for point in points):
        mine, look = [point for point in points if point.series == name], style[name]
        front = pareto_front(mine)
        steps = ([p.latency.value for p in front], [p.top1_pct for p in front])
        axes.plot(*steps, drawstyle="steps-post", color=look.colour, linewidth=1.1, alpha=0.6)
        for point in mine:
            _draw_point(axes, point, look)
    latencies = [bound for p in everything for bound in (p.latency.value, p.latency.low, p.latency.high)]
    set_positive_scale(axes, latencies)
    accuracies = [p.top1_pct for p in everything] or [0.0, 100.0]
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    spare = max(1.0, (max(accuracies) - min(accuracies)) * 0.1)
    axes.set_ylim(min(accuracies) - spare, max(accuracies) + spare)


def _draw_point(axes: Axes, point: Point, look: canvas.Style) -> None:
    x, y = point.latency.value, point.top1_pct
    bounds = [[max(0.0, x - point.latency.low)], [max(0.0, point.latency.high - x)]]
    axes.errorbar(x, y, xerr=bounds, fmt="none", ecolor=look.colour, elinewidth=1.2, capsize=2.5)
    face = "white" if point.noisy else look.colour
    axes.plot(x, y, look.marker, markersize=MARKER_PT, markerfacecolor=face, markeredgecolor=look.colour)


def _occupied(axes: Axes, points: Sequence[Point], scale: float) -> Boxes:
    """Return the boxes of markers and interval bars, in points."""
    half = MARKER_PT / 2 + 1
    boxes = []
    for point in points:
        y_pct, latency = point.top1_pct, point.latency
        ends = [(x_ms, y_pct) for x_ms in (latency.value, latency.low, latency.high)]
        (x, y), (left, _), (right, _) = axes.transData.transform(ends) * scale
        boxes.append([x - half, y - half, x + half, y + half])
        boxes.append([left - 1, y - 3, right + 1, y + 3])
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _front_boxes(axes: Axes, points: Sequence[Point], scale: float) -> Boxes:
    """Return thin boxes along the steps of every front, in points."""
    boxes = []
    for name in dict.fromkeys(point.series for point in points):
        front = pareto_front([point for point in points if point.series == name])
        corners = axes.transData.transform([(p.latency.value, p.top1_pct) for p in front]).reshape(-1, 2) * scale
        for (x0, y0), (x1, y1) in pairwise(corners):
            boxes += [[x0, y0 - 0.5, x1, y0 + 0.5], [x1 - 0.5, y0, x1 + 0.5, y1]]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _legend(points: Sequence[Point], style: dict[str, canvas.Style], *, panels: int) -> list[Line2D]:
    drawn = dict.fromkeys(point.series for point in points)
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=MARKER_PT, linewidth=1.1, label=look.name)
        for look in style.values()
        if look.name in drawn and panels == 1  # a panel bears the name of its series
    ]
    if any(point.noisy for point in points):
        label = "hollow: machine too noisy"
        handles.append(
            Line2D([], [], color=canvas.GREY, marker="o", markerfacecolor="white", linewidth=0, markersize=6, label=label)
        )
    return handles


def _caption(view: View, points: Sequence[Point], names: ShortNames) -> list[str]:
    drawn = {point.model for point in points}
    accuracies = {row.case.model: row.accuracy for row in view.rows if row.accuracy and row.case.model in drawn}
    datasets = ", ".join(dict.fromkeys(accuracy.dataset for accuracy in accuracies.values()))
    origin = cited(accuracy.source for accuracy in accuracies.values())
    notes = [f"Accuracy is published, not measured here ({datasets}): {origin}."] if accuracies else []
    notes.append(
        f"Bars: {view.run.plan.level:.0%} interval of the measured latency, over launches. "
        "Steps: the networks that no other beats in both, by the estimates alone; bars that overlap leave it open."
    )
    if any(point.noisy for point in points):
        notes.append("Hollow: the machine was too noisy while this was measured; not part of the steps.")
    if names.left_out:
        notes.append(f"Labels leave out what all names share: {names.left_out}.")
    rows = [row for row in view.rows if not is_null(row.case)]
    if unknown := [row for row in rows if row.latency_ms and not row.accuracy]:
        notes.append(f"Not drawn, without a published accuracy: {_listed(unknown)}.")
    if short := [row for row in rows if not row.latency_ms]:
        notes.append(f"Not drawn, with fewer than {FEWEST_LAUNCHES} usable launches: {_listed(short)}.")
    return notes


def _listed(rows: Sequence[CaseRow]) -> str:
    shown = [f"{row.case.model} ({row.case.backend})" for row in rows]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
