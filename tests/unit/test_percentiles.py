"""Oracle: numpy's inverted_cdf, weighted quantiles by hand, and simulations with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnbench.stats import percentiles
from mnbench.stats.percentiles import percentile

PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)


def simulated(trials: int, launches: int, inferences: int, launch_sd: float = 0.012, seed: int = 1) -> NDArray[np.float64]:
    """Latencies of shape (trials, launches, inferences), around 1: launches differ, and each has a tail to the right."""
    generator = np.random.default_rng(seed)
    shape = (trials, launches, inferences)
    body = 0.01 * generator.gamma(2.0, size=shape)
    stalls = (generator.random(shape) < 0.03) * generator.exponential(0.1, shape)
    return np.exp(generator.normal(0.0, launch_sd, (trials, launches, 1)) + body + stalls)


@pytest.mark.parametrize("percent", PERCENTS)
def test_of_launches_of_equal_size_it_is_numpys_percentile_of_all_samples(percent):
    for launches in simulated(20, 12, 1007):  # 12,084 times 0.9, 0.95, 0.99 or 0.999 is not whole, which numpy may round up
        found = percentile(list(launches), percent, 0.95)
        assert found.value == np.percentile(launches, percent, method="inverted_cdf")
        assert found.low <= found.value <= found.high
        assert found.level == 0.95


def test_every_launch_weighs_the_same_however_many_inferences_it_has():
    """One launch of eleven is slow and has a tenth of the others' inferences: of all samples 1 %, of the launches 9 %."""
    launches = [*(np.linspace(1, 2, 1000) for _ in range(40)), *(np.linspace(5, 6, 100) for _ in range(4))]
    assert percentile(launches, 90.0, 0.95).value == pytest.approx(1.99, abs=0.002)  # 0.9 = 10/11 x 0.99
    assert np.percentile(np.concatenate(launches), 90.0) == pytest.approx(1.909, abs=0.002)


def test_the_order_of_launches_and_of_inferences_does_not_matter():
    (launches,) = simulated(1, 10, 100)
    generator = np.random.default_rng(3)
    mixed = [generator.permutation(launch) for launch in generator.permutation(launches)]
    assert percentile(list(launches), 90.0, 0.95) == percentile(mixed, 90.0, 0.95)


def test_a_percentile_in_a_crowd_of_equal_values_is_that_value():
    found = percentile([[7.0] * 100] * 10, 90.0, 0.95)
    assert (found.low, found.value, found.high) == (7.0, 7.0, 7.0)


def test_the_interval_ends_where_students_interval_of_the_shares_no_longer_holds_the_percentile():
    """Mean shares at 1, 2 and 3 are 0.52, 0.72 and 1; their half width at 1 and 2 is 2.262 x 0.1033 / sqrt(10) = 0.0739."""
    fast, slow = (np.repeat([1.0, 2.0, 3.0], counts) for counts in ([60, 20, 20], [40, 20, 40]))
    found = percentile([*[fast] * 6, *[slow] * 4], 50.0, 0.95)
    assert (found.low, found.value, found.high) == (1.0, 1.0, 2.0)
    found = percentile([*[fast] * 10, *[slow] * 2], 50.0, 0.95)  # 0.567 - 2.201 x 0.0778 / sqrt(12) = 0.517: above 0.5
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def spread_evenly(launches: int, inferences: int) -> list[NDArray[np.float64]]:
    """Launches whose shares are as equal as can be: together they have the values 0, 1, 2 … in turn."""
    return [np.arange(inferences) * launches + launch * 1.0 for launch in range(launches)]


def test_shares_that_are_all_equal_make_no_narrow_interval():
    """At 89 nine tenths of every launch are over. Independent inferences would give 2.262 x sqrt(0.9 x 0.1 / 100) = 0.068."""
    found = percentile(spread_evenly(10, 10), 90.0, 0.95)
    assert (found.low, found.value, found.high) == (83, 89, 96)


@pytest.mark.parametrize(("percent", "inferences"), [(90.0, 5), (95.0, 10), (99.0, 51), (99.9, 512)])
def test_without_enough_slower_inferences_the_interval_has_no_end_and_there_is_no_percentile(percent, inferences):
    """Of ten launches more than t² p / (1 - p) inferences are needed: 46, 97, 507 and 5112."""
    assert percentile(spread_evenly(10, inferences), percent, 0.95) is not None
    assert percentile(spread_evenly(10, inferences - 1), percent, 0.95) is None


def test_launches_that_differ_by_more_than_their_inferences_must_be_many():
    """The slowest tenth is the slowest launch: of ten there is one, whatever number of inferences it has."""
    generator = np.random.default_rng(2)
    assert percentile([generator.normal(launch, 0.01, 1000) for launch in range(10)], 90.0, 0.95) is None
    assert percentile([generator.normal(launch, 0.01, 1000) for launch in range(50)], 90.0, 0.95) is not None


def test_fewer_than_ten_launches_give_no_percentile_and_empty_ones_do_not_count():
    (launches,) = simulated(1, 10, 200)
    assert percentile(list(launches), 90.0, 0.95) is not None
    assert percentile(list(launches[1:]), 90.0, 0.95) is None
    assert percentile([*launches[1:], []], 90.0, 0.95) is None


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0])
def test_the_interval_holds_the_true_percentile_as_often_as_it_says(percent):
    truth = np.percentile(simulated(4000, 1, 500, seed=9), percent)
    found = [percentile(list(launches), percent, 0.95) for launches in simulated(1000, 10, 100)]
    bounded = [estimate for estimate in found if estimate is not None]
    assert len(bounded) > 900
    assert np.mean([estimate.low <= truth <= estimate.high for estimate in bounded]) >= 0.91
    assert np.mean([estimate.value for estimate in bounded]) == pytest.approx(truth, rel=0.01)


def test_below_ten_launches_too_few_of_the_intervals_that_have_an_end_hold_the_true_percentile(monkeypatch):
    """Of few launches those seem to end the interval that agree by chance."""
    monkeypatch.setattr(percentiles, "FEWEST_LAUNCHES", 2)
    truth = np.percentile(simulated(4000, 1, 500, launch_sd=0.03, seed=9), 90.0)
    held = {}
    for count in (5, 12):
        found = [percentile(list(launches), 90.0, 0.95) for launches in simulated(1500, count, 50, launch_sd=0.03)]
        held[count] = np.mean([estimate.low <= truth <= estimate.high for estimate in found if estimate is not None])
    assert held[5] < 0.89
    assert held[12] > 0.91
