"""Arithmetic of the study `linear-bottleneck`: what a rectifier leaves of a spiral in n dimensions, judged. Needs no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnbench.catalog import cite
from mnbench.records import Estimate
from mnbench.records.study import Figure, Finding
from mnbench.studies.common.cell_verdicts import combine, tally, within
from mnbench.studies.linear_bottleneck import manifold
from mnbench.studies.linear_bottleneck.manifold import Activation

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
"""After batch normalisation a coordinate has a mean square of 1 and is hardly ever clipped at 6 (one in a million), so that
ReLU6 gives the figures of ReLU. At a root mean square of 6 a seventh of them is clipped (14.0 %), which is far from a trained
network. Both are shown to tell what the clip does, and are not judged: that would count the same cells twice."""
LOST, KEPT = 0.05, 0.02
"""From which share of collapsed points on information is called lost, and up to which of undetermined ones it survives."""


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
    undetermined: Estimate
    undetermined_by_chance: float | None
    collapsed: Estimate
    error: Estimate


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
    judged = [within(one.collapsed, LOST, 1.0) for one in mine if one.activation is RELU]
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
    judged = [within(one.undetermined, 0.0, KEPT) for one in mine if one.activation is RELU]
    return Finding(
        claim="For n = 15 to 30 the transformation is highly non-convex (read as: information survives in it).",
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
    "when its output equals another point's up to 1e-9. Judged is ReLU. With coordinates of mean square 1, as after batch "
    "normalisation, ReLU6 clips next to none of them and gives the same figures, which are not counted again; with "
    "coordinates six times as large it clips a seventh, which is shown and not judged. A linear layer loses nothing for any n "
    "of 2 and more."
)


def _shares(survivals: Sequence[Survival], what: str) -> str:
    parts = [f"{one.activation.name}, n = {one.dimension}: {getattr(one, what).value:.1%}" for one in survivals]
    return "; ".join(parts) + "."


def _figures(survivals: Sequence[Survival], *, collapsed: bool) -> tuple[Figure, ...]:
    figures = []
    for one in survivals:
        label = f"{one.activation.name}, n = {one.dimension}"
        figures.append(Figure(label=f"{label}: undetermined points", unit="%", estimate=one.undetermined.per(0.01)))
        if collapsed:
            figures.append(Figure(label=f"{label}: collapsed points", unit="%", estimate=one.collapsed.per(0.01)))
        figures.append(Figure(label=f"{label}: error of the pseudo-inverse", unit="%", estimate=one.error.per(0.01)))
    return tuple(figures)


def survival_row(one: Survival) -> SurvivalRow:
    return SurvivalRow(
        dimension=one.dimension,
        activation=one.activation.name,
        scale=one.activation.scale,
        embeddings=EMBEDDINGS,
        undetermined=one.undetermined,
        undetermined_by_chance=manifold.undetermined_by_chance(one.dimension) if one.activation is RELU else None,
        collapsed=one.collapsed,
        error=one.error,
    )
