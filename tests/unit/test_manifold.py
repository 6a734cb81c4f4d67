"""What a rectifier leaves of a curve: by hand, by brute force and by the laws of chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from mnbench.studies.linear_bottleneck import manifold
from mnbench.studies.linear_bottleneck.manifold import Activation

RELU, RELU6 = Activation(name="ReLU"), Activation(name="ReLU6", clip=6.0)


def test_a_coordinate_tells_its_value_only_above_zero_and_below_the_clip():
    y = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [6.0, 3.0]]])
    assert manifold.told_coordinates(y, RELU).tolist() == [[0, 1, 2, 2]]
    assert manifold.told_coordinates(y, RELU6).tolist() == [[0, 1, 2, 1]]


def test_points_collapse_when_another_one_has_the_same_output_up_to_a_billionth():
    y = np.array([[[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [1.0, 2.0 + 5e-10], [3.0, 0.0], [0.0, 3.0], [1.0, 2.0 + 5e-9]]])
    assert manifold.collapsed(y).tolist() == [[True, True, True, True, False, False, False]]


def test_sorting_finds_the_same_collapsed_points_as_comparing_every_pair():
    curve = manifold.spiral(points=80)
    for dimension in (2, 3, 5):
        y, _ = manifold.passed(curve, manifold.embeddings(dimension, 5, 3), Activation(name="", clip=6.0, scale=6.0))
        apart = np.abs(y[:, :, None] - y[:, None]).max(axis=-1)
        apart[:, np.arange(80), np.arange(80)] = np.inf
        assert (manifold.collapsed(y) == (apart <= 1e-9).any(axis=2)).all()


def test_in_the_plane_itself_one_quadrant_survives_two_keep_a_coordinate_and_one_falls_on_the_origin():
    points = np.array([[1.0, 2.0], [-1.0, 2.0], [-1.0, -2.0], [-3.0, -1.0], [1.0, -2.0]])
    found = manifold.loss(points, np.eye(2)[None], RELU)
    assert found.undetermined.tolist() == [4 / 5]
    assert found.collapsed.tolist() == [2 / 5]


def test_the_error_is_the_sine_of_the_angle_between_the_curves_whatever_their_scale():
    curve = manifold.spiral()
    cosine, sine = math.cos(math.pi / 6), 0.5
    half_turned = curve @ np.array([[cosine, sine], [-sine, cosine]])
    quarter = curve @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    back = np.stack([0.5 * curve, 3 * half_turned, quarter, np.zeros_like(curve)])
    assert manifold.scaled_error(curve, back) == pytest.approx([0.0, 0.5, 1.0, 1.0], abs=1e-7)


def test_a_linear_layer_loses_nothing():
    curve, matrices = manifold.spiral(), manifold.embeddings(3, 20, 0)
    back = np.einsum("skn,snm,pm->spk", np.linalg.pinv(matrices), matrices, curve)
    assert manifold.scaled_error(curve, back) == pytest.approx(np.zeros(20), abs=1e-6)


@pytest.mark.parametrize("dimension", [2, 3, 5, 10])
def test_shares_of_lost_points_are_those_of_random_signs(dimension):
    """Each coordinate of a normal embedding is positive with probability one half, independently: binomial."""
    found = manifold.loss(manifold.spiral(), manifold.embeddings(dimension, 3000, 5), RELU)
    error = found.undetermined.std() / math.sqrt(3000)
    assert found.undetermined.mean() == pytest.approx((dimension + 1) / 2**dimension, abs=4 * error + 1e-12)
    assert manifold.undetermined_by_chance(dimension) == (dimension + 1) / 2**dimension
    nothing_left = found.collapsed.std() / math.sqrt(3000)
    assert found.collapsed.mean() == pytest.approx(0.5**dimension, abs=4 * nothing_left + 1e-3)


def test_coordinates_have_mean_square_one_so_that_six_clips_next_to_none_and_a_seventh_at_six_times_the_scale():
    z = np.einsum("snk,pk->spn", manifold.embeddings(15, 400, 1), manifold.spiral())
    assert (z**2).mean() == pytest.approx(1.0, rel=0.05)
    assert (z > 6).mean() < 1e-3
    assert (6 * z > 6).mean() == pytest.approx(0.140, abs=0.01)


def test_a_seventh_is_what_the_normal_distribution_gives_on_a_spiral_whose_squared_radius_is_even_between_0_and_2():
    clipped = scipy.integrate.quad(lambda square: scipy.stats.norm.sf(1 / math.sqrt(square)) / 2, 0, 2)[0]
    assert clipped == pytest.approx(0.140, abs=5e-4)
    assert ((manifold.spiral() ** 2).sum(axis=1)).tolist() == pytest.approx(np.linspace(1 / 256, 2 - 1 / 256, 256).tolist())


def test_the_same_seed_gives_the_same_embeddings():
    assert (manifold.embeddings(3, 4, 7) == manifold.embeddings(3, 4, 7)).all()
    assert not (manifold.embeddings(3, 4, 7) == manifold.embeddings(3, 4, 8)).any()


def test_the_interval_of_a_share_is_open_where_nothing_was_seen():
    nothing = manifold.bounded_mean(np.zeros(50), 0.95)
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(7 * math.log(80) / (3 * 49))
    half = manifold.bounded_mean(np.array([0.0, 1.0] * 50), 0.95)  # sample variance 25/99
    assert half.high - 0.5 == pytest.approx(math.sqrt(2 * 25 / 99 * math.log(80) / 100) + 7 * math.log(80) / (3 * 99))


def test_the_interval_of_a_share_holds_the_truth_at_least_as_often_as_it_says():
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(500):
        values = np.where(generator.random(100) < 0.02, generator.random(100), 0.0)  # mean 0.01, mostly zeros
        estimate = manifold.bounded_mean(values, 0.95)
        hits += estimate.low <= 0.01 <= estimate.high
    assert hits / 500 >= 0.95
