"""Which pairs are decided, what that makes of a Pareto front, of a rank correlation, and of exponents."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from mnbench.studies.common.ordering import Order, decide_all, order_of_all
from mnbench.studies.width_resolution.pareto import Place, front
from mnbench.studies.width_resolution.power_law import over_launches, over_networks
from mnbench.studies.width_resolution.ranks import kendall


def logs_of(latency: float, launches: int = 6, spread: float = 0.01, seed: int = 0) -> dict[int, float]:
    noise = np.random.default_rng([seed, round(1e6 * latency)]).normal(0, spread, launches)
    return {n: math.log(latency) + float(noise[n]) for n in range(launches)}


def test_a_difference_far_beyond_the_noise_is_decided_and_two_equal_cases_are_not():
    order = order_of_all(
        {"a": logs_of(1.0), "b": logs_of(2.0), "c": {n: x + 1e-9 * (-1) ** n for n, x in logs_of(2.0).items()}}, 0.95
    )
    assert order["a", "b"] is Order.FASTER
    assert order["b", "a"] is Order.SLOWER
    assert order["b", "c"] is order["c", "b"] is Order.UNDECIDED


def test_a_pair_that_is_decided_alone_may_not_be_among_a_hundred():
    one = [0.01, 0.02, 0.015, 0.03]  # t = 4.39 with 3 degrees: p = 0.022
    assert scipy.stats.ttest_1samp(one, 0).pvalue == pytest.approx(0.022, abs=5e-4)
    assert decide_all({0: one}, 0.95)[0] is Order.SLOWER
    assert decide_all(dict.fromkeys(range(100), one), 0.95)[0] is Order.UNDECIDED


def test_two_launches_decide_nothing():
    assert decide_all({"pair": [1.0, 1.0001]}, 0.95) == {"pair": Order.UNDECIDED}


def test_the_share_of_sets_of_equal_cases_with_a_decided_pair_is_at_most_five_per_cent():
    rng, wrong, trials = np.random.default_rng(5), 0, 400
    for _ in range(trials):
        logs = {case: dict(enumerate(rng.normal(0, 0.02, 5))) for case in "abcdef"}
        wrong += any(order_of_all(logs, 0.95).values())
    assert wrong <= scipy.stats.binom.ppf(0.999, trials, 0.05)


ACCURACY = {"small": 60.0, "medium": 65.0, "large": 70.0}


def test_networks_that_are_faster_the_less_accurate_are_all_on_the_front():
    order = order_of_all({"small": logs_of(1.0), "medium": logs_of(2.0), "large": logs_of(3.0)}, 0.95)
    assert set(front(ACCURACY, order).values()) == {Place.ON}


def test_a_network_slower_than_a_more_accurate_one_is_off_the_front():
    order = order_of_all({"small": logs_of(1.0), "medium": logs_of(4.0), "large": logs_of(3.0)}, 0.95)
    assert front(ACCURACY, order) == {"small": Place.ON, "medium": Place.OFF, "large": Place.ON}


def test_a_network_about_as_fast_as_a_more_accurate_one_is_undecided():
    order = order_of_all({"small": logs_of(1.0), "medium": logs_of(3.0, seed=1), "large": logs_of(3.0, seed=2)}, 0.95)
    assert front(ACCURACY, order) == {"small": Place.ON, "medium": Place.UNDECIDED, "large": Place.ON}


def test_of_two_equally_accurate_networks_only_the_faster_is_on_the_front():
    order = order_of_all({"a": logs_of(1.0), "b": logs_of(2.0)}, 0.95)
    assert front({"a": 60.0, "b": 60.0}, order) == {"a": Place.ON, "b": Place.OFF}


PUBLISHED = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 30.0, "e": 40.0}


def test_kendall_is_that_of_scipy_and_exact_when_every_pair_is_decided():
    latency = {"a": 2.0, "b": 1.0, "c": 3.0, "d": 5.0, "e": 4.0}
    tau = kendall(PUBLISHED, {name: logs_of(value, spread=1e-4) for name, value in latency.items()}, 0.95)
    expected = scipy.stats.kendalltau(list(PUBLISHED.values()), list(latency.values())).statistic
    assert tau is not None
    assert (tau.value, tau.low, tau.high) == pytest.approx((expected, expected, expected))


def test_a_pair_that_is_not_decided_widens_kendall_by_one_pair_to_each_side():
    latency = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    logs = {name: logs_of(value, spread=1e-4) for name, value in latency.items()}
    logs["b"], logs["c"] = logs_of(2.5, spread=0.05, seed=1), logs_of(2.5, spread=0.05, seed=2)
    tau = kendall({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}, logs, 0.95)
    assert tau is not None
    assert (tau.low, tau.high) == pytest.approx((4 / 6, 6 / 6))  # five pairs agree; the sixth may or may not


def test_kendall_of_two_networks_or_two_launches_is_not_given():
    assert kendall({"a": 1.0, "b": 2.0}, {"a": logs_of(1.0), "b": logs_of(2.0)}, 0.95) is None
    assert kendall(PUBLISHED, {name: logs_of(1.0, launches=2) for name in PUBLISHED}, 0.95) is None


def test_a_network_that_was_not_measured_leaves_its_pairs_open_in_the_rank_correlation():
    published = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    logs = {name: logs_of(value, spread=1e-4) for name, value in published.items()}
    tau = kendall(published, {**logs, "d": {}}, 0.95)
    assert (tau.value, tau.low, tau.high) == (1.0, 0.0, 1.0)  # 3 of 6 pairs agree, 3 are open


def test_a_latency_that_grows_with_the_square_has_the_exponent_two():
    logs = {size: {n: 2 * math.log(size) + drift for n, drift in enumerate((0.0, 0.3, -0.2))} for size in (0.25, 0.5, 1.0)}
    found = over_launches(logs, 0.95)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))  # what shifts a launch as a whole cancels


def test_the_exponent_over_networks_and_its_interval_are_those_of_scipy_linregress():
    rng = np.random.default_rng(3)
    sizes = rng.uniform(1, 100, 22)
    values = 0.1 * sizes**0.9 * np.exp(rng.normal(0, 0.2, 22))
    oracle = scipy.stats.linregress(np.log(sizes), np.log(values))
    reach = scipy.stats.t.ppf(0.975, 20) * oracle.stderr
    found = over_networks(sizes.tolist(), values.tolist(), 0.95)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((oracle.slope, oracle.slope - reach, oracle.slope + reach))


def test_no_exponent_without_three_launches_two_sizes_or_three_networks():
    assert over_launches({1.0: {0: 0.0, 1: 0.0, 2: 0.0}}, 0.95) is None
    assert over_launches({1.0: {0: 0.0, 1: 0.0}, 2.0: {0: 1.0, 1: 1.0}}, 0.95) is None
    assert over_networks([1.0, 2.0], [1.0, 2.0], 0.95) is None
