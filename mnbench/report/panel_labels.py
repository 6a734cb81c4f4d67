"""Labels of a panel's marks, placed so that none touches another, a marker, a bar or the frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mnbench.report import canvas
from mnbench.report.labels import Anchor, Boxes, Place, place_labels
from mnbench.report.panels import Mark, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Labelled = tuple[Mark, str]
"""A mark, and the colour of its label."""


def annotate(axes: Axes, panel: Panel, style: Mapping[str, canvas.Style], marker_pt: float) -> None:
    """Label every mark that has a label and finds room. The axes' limits must be final."""
    wanted = [(m, style[s.name].ink) for s in panel.series if not s.reference for m in s.marks if m.label]
    if not wanted:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 (axes always stand on a figure; this tells the type checker)
    scale = 72 / figure.dpi
    anchors = [_anchor(axes, mark, scale) for mark, _ in wanted]
    frame = axes.get_window_extent()
    limits = tuple(edge * scale for edge in (frame.x0, frame.y0, frame.x1, frame.y1))
    places = place_labels(anchors, _occupied(axes, panel, scale, marker_pt), np.empty((0, 4)), limits)
    for (mark, ink), anchor, place in zip(wanted, anchors, places, strict=True):
        if place is not None:
            _write(axes, mark, ink, anchor, place)


def _anchor(axes: Axes, mark: Mark, scale: float) -> Anchor:
    """Return where a mark is, and how large its label."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 (as above)
    probe = figure.text(0, 0, canvas.literal(mark.label), fontsize=canvas.LABEL_PT)
    box = probe.get_window_extent()
    probe.remove()
    x, y = axes.transData.transform((mark.x, mark.y)) * scale
    return Anchor(x=float(x), y=float(y), width=box.width * scale, height=box.height * scale)


def _occupied(axes: Axes, panel: Panel, scale: float, marker_pt: float) -> Boxes:
    """Return the boxes of all markers with their bars, in points."""
    half, boxes = marker_pt / 2 + 1, []
    for mark in (mark for series in panel.series if not series.reference for mark in series.marks):
        x_ends, y_ends = mark.x_interval or (mark.x, mark.x), mark.y_interval or (mark.y, mark.y)
        (left, y), (right, _) = axes.transData.transform([(end, mark.y) for end in x_ends]) * scale
        (x, bottom), (_, top) = axes.transData.transform([(mark.x, end) for end in y_ends]) * scale
        boxes.append((min(left, x - half), min(bottom, y - half), max(right, x + half), max(top, y + half)))
    return np.array(boxes, dtype=float).reshape(-1, 4)


def _write(axes: Axes, mark: Mark, ink: str, anchor: Anchor, place: Place) -> None:
    if place.leader is not None:
        axes.annotate(
            "", xy=(mark.x, mark.y), xytext=(place.leader[0] - anchor.x, place.leader[1] - anchor.y),
            textcoords="offset points", arrowprops={"arrowstyle": "-", "color": ink, "linewidth": 0.5, "shrinkA": 0},
        )  # fmt: skip
    axes.annotate(
        canvas.literal(mark.label), xy=(mark.x, mark.y), xytext=(place.x - anchor.x, place.y - anchor.y),
        textcoords="offset points", ha="center", va="center", fontsize=canvas.LABEL_PT, color=ink,
    )  # fmt: skip
