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

from mnbench.records import Analysis, Case, Run
from mnbench.report import canvas
from mnbench.report.axis import set_positive_scale
from mnbench.report.labels import Anchor, Boxes, Place, place_labels
from mnbench.report.naming import ShortNames, conditions, networks, series, short_names
from mnbench.report.points import Measured, latency_ms
from mnbench.report.published import cited, headline_accuracy
from mnbench.report.rows import summary_rows
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
    latency: Measured
    top1_pct: float


def write(run: Run, analysis: Analysis, directory: Path) -> list[Path]:
    """Write the plot as PNG and SVG. Raises StoreError when a file cannot be written."""
    return canvas.save(figure(run, analysis), directory, NAME)


def figure(run: Run, analysis: Analysis) -> Figure:
    """Draw the plot. Networks without a published accuracy or a latency are named in the caption instead."""
    points = collect(run, analysis)
    names = short_names([point.model for point in points])
    style = canvas.styles([series(case, networks(run)) for case in networks(run)])
    drawn = list(dict.fromkeys(point.series for point in points))
    groups = [[name] for name in drawn] if len(points) >= PANELS_FROM and len(drawn) > 1 else [drawn]
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    page = canvas.Page(
        title="Measured latency against published accuracy",
        subtitle=conditions(run),
        caption=_caption(run, analysis, points, names),
        legend=_legend(points, style, panels=len(groups)),
        width_in=9.0 if columns == 1 else 13.0,
        axes_height_in=5.2 if rows == 1 else 5.2 * rows + 0.9,
        head_in=0.0 if len(groups) == 1 else 0.25,
    )
    layout = canvas.lay_out(page, left_in=0.8, right_in=0.25)
    for place, group in enumerate(groups):
        axes = layout.axes(place // columns, place % columns, rows, columns, gap_in=0.9)
        shown = [point for point in points if point.series in group]
        _draw(axes, shown, style, everything=points)
        axes.set_xlabel("latency of one batch (ms)" if _batched(run) else "latency of one inference (ms)", fontsize=9)
        axes.set_ylabel("top-1 accuracy, published (%)", fontsize=9)
        if len(groups) > 1:
            axes.set_title(canvas.literal(group[0]), fontsize=9, loc="left", color=style[group[0]].ink)
        annotate(axes, shown, names, style)
    return layout.figure


def collect(run: Run, analysis: Analysis) -> list[Point]:
    """Return the cases that have both a latency and a published accuracy."""
    cases = {case.id: case for case in networks(run)}
    points = []
    for row in summary_rows(run, analysis):
        case, latency = cases.get(row.case_id), latency_ms(row)
        if case is not None and latency is not None and row.top1_pct is not None:
            name = series(case, list(cases.values()))
            points.append(Point(model=row.model, series=name, latency=latency, top1_pct=row.top1_pct))
    return points


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points no other beats in both latency and accuracy, fastest first. Too noisy ones take no part."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.latency.value, -p.top1_pct)):
        if not point.latency.noisy and (not front or point.top1_pct > front[-1].top1_pct):
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
    latencies = [bound for p in everything for bound in (p.latency.value, p.latency.low, p.latency.high) if bound]
    set_positive_scale(axes, latencies)
    accuracies = [p.top1_pct for p in everything] or [0.0, 100.0]
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    spare = max(1.0, (max(accuracies) - min(accuracies)) * 0.1)
    axes.set_ylim(min(accuracies) - spare, max(accuracies) + spare)


def _draw_point(axes: Axes, point: Point, look: canvas.Style) -> None:
    x, y = point.latency.value, point.top1_pct
    if point.latency.low is not None and point.latency.high is not None:
        bounds = [[max(0.0, x - point.latency.low)], [max(0.0, point.latency.high - x)]]
        axes.errorbar(x, y, xerr=bounds, fmt="none", ecolor=look.colour, elinewidth=1.2, capsize=2.5)
    face = "white" if point.latency.noisy else look.colour
    axes.plot(x, y, look.marker, markersize=MARKER_PT, markerfacecolor=face, markeredgecolor=look.colour)


def _occupied(axes: Axes, points: Sequence[Point], scale: float) -> Boxes:
    """Return the boxes of markers and interval bars, in points."""
    half = MARKER_PT / 2 + 1
    boxes = []
    for point in points:
        y_pct, latency = point.top1_pct, point.latency
        low, high = latency.low or latency.value, latency.high or latency.value
        (x, y), (left, _), (right, _) = axes.transData.transform([(latency.value, y_pct), (low, y_pct), (high, y_pct)]) * scale
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
    if any(point.latency.noisy for point in points):
        label = "hollow: machine too noisy"
        handles.append(
            Line2D([], [], color=canvas.GREY, marker="o", markerfacecolor="white", linewidth=0, markersize=6, label=label)
        )
    return handles


def _caption(run: Run, analysis: Analysis, points: Sequence[Point], names: ShortNames) -> list[str]:
    accuracies = [headline_accuracy(run, model) for model in dict.fromkeys(point.model for point in points)]
    found = [accuracy for accuracy in accuracies if accuracy is not None]
    datasets = ", ".join(dict.fromkeys(accuracy.dataset for accuracy in found))
    origin = cited(accuracy.source for accuracy in found)
    notes = [f"Accuracy is published, not measured here ({datasets}): {origin}."] if found else []
    notes.append(
        f"Bars: {run.plan.level:.0%} interval of the measured latency, over launches. "
        "Steps: the networks that no other beats in both, by the estimates alone; bars that overlap leave it open."
    )
    if any(point.latency.noisy for point in points):
        notes.append("Hollow: the machine was too noisy while this was measured; not part of the steps.")
    if names.left_out:
        notes.append(f"Labels leave out what all names share: {names.left_out}.")
    present = {(point.model, point.series) for point in points}
    cases = networks(run)
    absent = [case for case in cases if (case.model, series(case, cases)) not in present]
    timed = {row.case_id for row in summary_rows(run, analysis) if row.latency_median_ms is not None}
    if unknown := [case for case in absent if case.id in timed]:
        notes.append(f"Not drawn, without a published accuracy: {_listed(unknown)}.")
    if short := [case for case in absent if case.id not in timed]:
        notes.append(f"Not drawn, with fewer than {FEWEST_LAUNCHES} usable launches: {_listed(short)}.")
    return notes


def _listed(cases: Sequence[Case]) -> str:
    shown = [f"{case.model} ({case.backend})" for case in cases]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _batched(run: Run) -> bool:
    return any(case.batch > 1 for case in networks(run))
