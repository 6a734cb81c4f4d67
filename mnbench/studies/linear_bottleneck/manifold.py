"""What a rectifier leaves of a flat curve embedded in n dimensions: MobileNetV2 paper, section 3.2, Figure 1.

A spiral in the plane, x (P points, 2), goes through a random matrix T (n, 2), an activation, and the pseudo-inverse of T:

    x ──T──▶ z = Tx ──ReLU or ReLU6──▶ y ──pinv(T)──▶ x̂

T is drawn from the normal distribution and the spiral has a mean square of 1, so that every coordinate of z has mean square 1
over draws, as after batch normalisation, before it is multiplied by `scale`. ReLU does not see the scale; ReLU6 clips by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnbench.records import Estimate

Array = NDArray[np.float64]

POINTS = 256
TURNS = 2.0
EQUAL = 1e-9
"""Outputs that differ by no more in any coordinate count as the same."""
CLIP = 6.0
CHUNK = 100
"""Embeddings that are computed at once: a matter of memory only."""
MEAN_METHOD = "mean over random embeddings, empirical Bernstein interval (Maurer & Pontil 2009)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A rectifier and the scale of what comes into it."""

    name: str
    clip: float = math.inf
    scale: float = 1.0
    """Root mean square of each coordinate before it."""

    def __call__(self, z: Array) -> Array:
        return np.clip(z, 0.0, self.clip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What was lost in each of S random embeddings; every array has shape (S,), every value lies in [0, 1]."""

    undetermined: Array
    """Share of points that cannot be told from their output even by who knows T: fewer than two coordinates are neither cut off
    at 0 nor clipped (the paper's Appendix A, Lemma 2: inverting takes as many as the plane has dimensions)."""
    collapsed: Array
    """Share of points whose output is the same as that of another point of the curve, up to 1e-9 in every coordinate."""
    error: Array
    """Relative error of x̂, |x - s·x̂| / |x| over the whole curve, with the one factor s that makes it least: a rectifier halves
    a signal, and that is no loss."""


def spiral(points: int = POINTS, turns: float = TURNS) -> Array:
    """Return an Archimedean spiral about the origin, shape (points, 2), with mean |x|² = 1; the origin itself is left out."""
    angle = 2 * math.pi * turns * np.sqrt((np.arange(points) + 0.5) / points)  # nearly equal steps along the curve
    curve = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1)
    return np.asarray(curve / np.sqrt((curve**2).sum(axis=1).mean()))


def embeddings(dimension: int, seeds: int, seed: int) -> Array:
    """Return `seeds` random matrices, shape (seeds, dimension, 2), normal; the same for the same arguments."""
    return np.random.default_rng([seed, dimension]).standard_normal((seeds, dimension, 2))


def passed(curve: Array, matrices: Array, activation: Activation) -> tuple[Array, Array]:
    """Return the outputs y (S, P, n), and the points x̂ (S, P, 2) that the pseudo-inverses make of them."""
    y = activation(activation.scale * np.einsum("snk,pk->spn", matrices, curve))
    back = np.linalg.pinv(matrices) / activation.scale
    return y, np.einsum("skn,spn->spk", back, y)


def loss(curve: Array, matrices: Array, activation: Activation) -> Loss:
    """Return what each embedding loses of `curve`."""
    parts = [_loss(curve, matrices[start : start + CHUNK], activation) for start in range(0, len(matrices), CHUNK)]
    return Loss(
        undetermined=np.concatenate([part.undetermined for part in parts]),
        collapsed=np.concatenate([part.collapsed for part in parts]),
        error=np.concatenate([part.error for part in parts]),
    )


def _loss(curve: Array, matrices: Array, activation: Activation) -> Loss:
    y, back = passed(curve, matrices, activation)
    return Loss(
        undetermined=(told_coordinates(y, activation) < curve.shape[1]).mean(axis=1),
        collapsed=collapsed(y).mean(axis=1),
        error=scaled_error(curve, back),
    )


def told_coordinates(y: Array, activation: Activation) -> NDArray[np.int64]:
    """Return how many coordinates of each output tell the value that went in: above 0 and below the clip. Shape (S, P).

    Any two rows of a normal T are independent, so that two such coordinates determine a point of the plane.
    """
    told: NDArray[np.int64] = ((y > 0) & (y < activation.clip)).sum(axis=-1)
    return told


def collapsed(y: Array) -> NDArray[np.bool_]:
    """Say of each output, shape (S, P, n), whether another of the same embedding equals it; shape (S, P).

    Equal outputs have equal weighted sums, so they are neighbours when sorted by it; the weights are such that other outputs do
    not have the same sum.
    """
    weights = 1 + np.sqrt(2 + np.arange(y.shape[-1])) % 1
    order = np.argsort(y @ weights, axis=1, kind="stable")
    by_sum = np.take_along_axis(y, order[..., None], axis=1)
    same = (np.abs(np.diff(by_sum, axis=1)) <= EQUAL).all(axis=-1)
    edge = np.zeros((len(y), 1), dtype=bool)
    found = np.concatenate([edge, same], axis=1) | np.concatenate([same, edge], axis=1)
    unsorted: NDArray[np.bool_] = np.empty_like(found)
    np.put_along_axis(unsorted, order, found, axis=1)
    return unsorted


def scaled_error(curve: Array, back: Array) -> Array:
    """Return |x - s·x̂| / |x| with the best s for each of S curves x̂, shape (S, P, 2): the sine of the angle between them."""
    inner = np.einsum("pk,spk->s", curve, back)
    norms = np.sqrt((curve**2).sum() * (back**2).sum(axis=(1, 2)))
    cosine = np.divide(inner, norms, out=np.zeros_like(inner), where=norms > 0)
    return np.asarray(np.sqrt(np.clip(1 - cosine**2, 0.0, 1.0)))


def undetermined_by_chance(dimension: int) -> float:
    """Return the expected share of points ReLU leaves undetermined: P(at most one of n signs is positive) = (n + 1) / 2ⁿ."""
    return (dimension + 1) / 2.0**dimension


def bounded_mean(values: Sequence[float] | Array, level: float) -> Estimate:
    """Return the mean of independent values in [0, 1] with an interval that holds whatever their distribution.

    Maurer & Pontil 2009 (arXiv:0907.3740), Theorem 4, for both sides: ±(√(2 V ln(4/δ) / n) + 7 ln(4/δ) / (3 (n - 1))), with V
    the sample variance. Student's interval would be empty where no embedding happened to lose a point. Needs two values.
    """
    array = np.asarray(values, dtype=float)
    n, mean, logarithm = array.size, float(array.mean()), math.log(4 / (1 - level))
    reach = math.sqrt(2 * float(array.var(ddof=1)) * logarithm / n) + 7 * logarithm / (3 * (n - 1))
    return Estimate(value=mean, low=max(0.0, mean - reach), high=min(1.0, mean + reach), level=level, method=MEAN_METHOD)
