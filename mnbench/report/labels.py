"""Placing labels beside points so that none touches another label, a point, a bar or the frame. Deterministic.

For each point, candidate places lie on rings around it. Places that touch anything are out; among the others the
nearest wins, with a charge for crossing a line and for lying nearer to another point. All lengths are in points
(1/72 inch), y upwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RADII = (5.0, 8.0, 12.0, 17.0, 24.0, 32.0, 42.0, 54.0, 70.0, 90.0, 120.0, 160.0, 220.0, 300.0, 400.0)
DIRECTIONS = 24
LEADER_FROM = 11.0
"""A label farther from its point than this needs a line that leads to it."""
LINE_CHARGE = 7.0
"""What crossing one piece of a drawn line costs, as distance."""
LEADER_CHARGE = 60.0
"""What a leader that runs through something costs, as distance."""
AMBIGUITY_CHARGE = 10.0
"""What lying nearer to another point than to its own costs a label without a leader, as distance."""
LEADER_STEPS = 12
GAP = 1.5
"""Least clearance between a label and anything else."""

Boxes = NDArray[np.float64]
"""One box a row: left, bottom, right, top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A point that wants a label of the given size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the middle of a label goes, and where a leader from the point would meet it (None: near enough without)."""

    x: float
    y: float
    leader: tuple[float, float] | None


def place_labels(anchors: Sequence[Anchor], hard: Boxes, soft: Boxes, frame: tuple[float, ...]) -> list[Place | None]:
    """Return a place per anchor, or None for a label that fits nowhere.

    `hard` are boxes no label may touch (points, bars), `soft` those it should avoid (lines), `frame` bounds all.
    """
    placed: list[Place | None] = [None] * len(anchors)
    taken = hard.reshape(-1, 4)
    for index in _crowded_first(anchors):
        anchor = anchors[index]
        others = [other for other in anchors if other is not anchor]
        place = _best_place(anchor, others, taken, soft.reshape(-1, 4), frame)
        placed[index] = place
        if place is not None:
            taken = np.vstack([taken, _label_box(anchor, place), *_leader_boxes(anchor, place)])
    return placed


def _best_place(anchor: Anchor, others: Sequence[Anchor], hard: Boxes, soft: Boxes, frame: tuple[float, ...]) -> Place | None:
    angles = np.arange(DIRECTIONS) * 2 * math.pi / DIRECTIONS
    radius, angle = (grid.ravel() for grid in np.meshgrid(RADII, angles, indexing="ij"))
    x = anchor.x + np.cos(angle) * (radius + anchor.width / 2)
    y = anchor.y + np.sin(angle) * (radius + anchor.height / 2)
    half_width, half_height = anchor.width / 2 + GAP, anchor.height / 2 + GAP
    boxes = np.column_stack([x - half_width, y - half_height, x + half_width, y + half_height])
    inside = (boxes[:, :2] >= frame[:2]).all(axis=1) & (boxes[:, 2:] <= frame[2:]).all(axis=1)
    free = np.flatnonzero(inside & ~_touching(boxes, hard).any(axis=1))
    if free.size == 0:
        return None
    ends_x = np.clip(anchor.x, boxes[free, 0] + GAP, boxes[free, 2] - GAP)
    ends_y = np.clip(anchor.y, boxes[free, 1] + GAP, boxes[free, 3] - GAP)
    distance = np.hypot(ends_x - anchor.x, ends_y - anchor.y)
    cost = distance + LINE_CHARGE * _touching(boxes[free], soft).sum(axis=1)
    cost += LEADER_CHARGE * _leader_hits(anchor, ends_x, ends_y, distance, hard)
    cost += AMBIGUITY_CHARGE * _nearer_to_another(boxes[free], distance, others)
    best = int(np.argmin(np.round(cost, 6)))
    leader = (float(ends_x[best]), float(ends_y[best])) if distance[best] > LEADER_FROM else None
    return Place(x=float(x[free[best]]), y=float(y[free[best]]), leader=leader)


def _touching(boxes: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Tell for every pair of a box and another whether they overlap."""
    mine, theirs = boxes[:, None, :], others[None, :, :]
    apart = (mine[..., :2] >= theirs[..., 2:]).any(axis=2) | (mine[..., 2:] <= theirs[..., :2]).any(axis=2)
    return np.asarray(~apart)


def _leader_hits(
    anchor: Anchor, ends_x: NDArray[np.float64], ends_y: NDArray[np.float64], distance: NDArray[np.float64], hard: Boxes
) -> NDArray[np.int64]:
    """Count, per candidate that needs a leader, the boxes it runs through, except those around the point itself."""
    own = (hard[:, 0] <= anchor.x) & (hard[:, 2] >= anchor.x) & (hard[:, 1] <= anchor.y) & (hard[:, 3] >= anchor.y)
    others = hard[~own]
    hits = np.zeros((ends_x.size, len(others)), dtype=bool)
    for step in np.linspace(0.1, 1.0, LEADER_STEPS):
        x, y = anchor.x + step * (ends_x - anchor.x), anchor.y + step * (ends_y - anchor.y)
        hits |= (
            (x[:, None] > others[:, 0])
            & (x[:, None] < others[:, 2])
            & (y[:, None] > others[:, 1])
            & (y[:, None] < others[:, 3])
        )
    return np.where(distance > LEADER_FROM, hits.sum(axis=1), 0)


def _nearer_to_another(boxes: Boxes, distance: NDArray[np.float64], others: Sequence[Anchor]) -> NDArray[np.bool_]:
    if not others:
        return np.zeros(len(boxes), dtype=bool)
    spots = np.array([[other.x, other.y] for other in others])[None, :, :]
    beside = np.maximum(np.maximum(boxes[:, None, :2] - spots, spots - boxes[:, None, 2:]), 0)
    nearest = np.hypot(beside[..., 0], beside[..., 1]).min(axis=1)
    return np.asarray((nearest < distance) & (distance <= LEADER_FROM))


def _label_box(anchor: Anchor, place: Place) -> Boxes:
    half_width, half_height = anchor.width / 2 + GAP, anchor.height / 2 + GAP
    return np.array([[place.x - half_width, place.y - half_height, place.x + half_width, place.y + half_height]])


def _leader_boxes(anchor: Anchor, place: Place) -> list[Boxes]:
    """Return small boxes along the leader, so that later labels keep off it."""
    if place.leader is None:
        return []
    steps = np.linspace(0.0, 1.0, LEADER_STEPS)[1:]
    x, y = anchor.x + steps * (place.leader[0] - anchor.x), anchor.y + steps * (place.leader[1] - anchor.y)
    return [np.column_stack([x - 1, y - 1, x + 1, y + 1])]


def _crowded_first(anchors: Sequence[Anchor], reach: float = 50.0) -> list[int]:
    """Return the order of placing: the anchors with most neighbours have least choice, and go first."""
    places = np.array([[anchor.x, anchor.y] for anchor in anchors]).reshape(-1, 2)
    distances = np.hypot(*(places[:, None, :] - places[None, :, :]).transpose(2, 0, 1))
    neighbours = (distances < reach).sum(axis=1)
    return sorted(range(len(anchors)), key=lambda index: (-int(neighbours[index]), index))
