"""Oracle: closed forms, and scipy's weighted least squares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from mnbench.studies.common import slopes


def logs(latencies_ns):
    return {launch: math.log(latency) for launch, latency in enumerate(latencies_ns)}


def chain(slope_ns, intercept_ns, copies=(2, 4, 8), launches=(1.0, 1.1, 0.95)):
    return {k: logs([factor * (intercept_ns + k * slope_ns) for factor in launches]) for k in copies}


def test_the_slope_and_the_intercept_of_an_exact_line_are_found():
    line = slopes.fit({2: 50 + 2 * 10.0, 4: 50 + 4 * 10.0, 8: 50 + 8 * 10.0})
    assert (line.slope_ns, line.intercept_ns) == (pytest.approx(10.0), pytest.approx(50.0))


def test_the_fit_is_least_squares_weighted_by_one_over_the_squared_latency():
    latency_ns = {1: 61.0, 2: 69.0, 4: 95.0, 8: 128.0}
    k, t = np.array(list(latency_ns)), np.array(list(latency_ns.values()))
    expected = optimize.least_squares(lambda p: (p[0] + p[1] * k - t) / t, [1.0, 1.0]).x
    line = slopes.fit(latency_ns)
    assert (line.intercept_ns, line.slope_ns) == pytest.approx(tuple(expected), rel=1e-6)


def test_each_launch_has_its_own_line_so_that_drift_between_launches_cancels_in_ratios():
    slow, fast = slopes.lines(chain(1000.0, 500.0)), slopes.lines(chain(250.0, 9000.0))
    ratio = slopes.ratio(slopes.slope_logs(slow), slopes.slope_logs(fast), 0.95)
    assert ratio.value == pytest.approx(4.0)
    assert ratio.half_width_pct < 1e-6
    assert slopes.slope(slow, 0.95).half_width_pct > 5  # the launches themselves differ


def test_a_launch_that_lacks_one_length_of_the_chain_is_left_out():
    measured = chain(1000.0, 500.0)
    del measured[8][1]
    assert set(slopes.lines(measured)) == {0, 2}


def test_two_lengths_of_three_are_a_line_where_that_is_asked_for():
    measured = chain(1000.0, 500.0)
    del measured[8][1], measured[4][2], measured[2][2]
    fitted = slopes.lines(measured, partly=True)
    assert set(fitted) == {0, 1}
    assert fitted[1].slope_ns == pytest.approx(1100.0)


def test_one_length_gives_no_line():
    assert slopes.lines({2: logs([1.0, 2.0, 3.0])}) == {}


def test_an_operator_that_noise_outweighs_gets_no_figure():
    measured = {2: logs([100.0, 100.0, 100.0]), 4: logs([120.0, 99.0, 120.0])}
    assert slopes.slope(slopes.lines(measured), 0.95) is None
    assert slopes.slope_logs(slopes.lines(measured)) == {}


def test_an_intercept_may_be_negative():
    estimate = slopes.intercept(slopes.lines(chain(1000.0, -300.0)), 0.95)
    assert estimate.low < -300.0 < estimate.high
    assert estimate.value == pytest.approx(-300.0 * (1.0 + 1.1 + 0.95) / 3)


def test_a_sum_is_taken_within_each_launch_that_has_all_parts():
    total = slopes.sum_logs([logs([1.0, 2.0, 3.0]), {0: math.log(10.0), 2: math.log(30.0)}])
    assert {launch: math.exp(log) for launch, log in total.items()} == pytest.approx({0: 11.0, 2: 33.0})
    assert slopes.sum_logs([]) == {}


def test_a_sum_of_means_over_a_mean_has_the_interval_of_welchs_test_when_there_is_one_part():
    """Oracle: scipy's Welch test on logarithms, which small relative errors make the same."""
    generator = np.random.default_rng(3)
    part, whole = 100 * np.exp(generator.normal(0, 1e-3, 6)), 100 * np.exp(generator.normal(0, 3e-3, 9))
    estimate = slopes.ratio_of_sum([list(part)], list(whole), 0.95)
    expected = stats.ttest_ind(np.log(part), np.log(whole), equal_var=False).confidence_interval(0.95)
    assert (math.log(estimate.low), math.log(estimate.high)) == pytest.approx((expected.low, expected.high), rel=1e-2, abs=2e-5)


def test_a_sum_of_means_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(2000):
        parts = [size * (1 + generator.normal(0, 0.04, 5)) for size in (50.0, 20.0, 20.0, 7.0, 3.0)]
        estimate = slopes.ratio_of_sum([list(part) for part in parts], list(100 * (1 + generator.normal(0, 0.03, 8))), 0.95)
        held += estimate.low <= 1.0 <= estimate.high
    assert 0.93 <= held / 2000 <= 0.98


def test_a_sum_that_lacks_launches_of_one_part_is_refused():
    assert slopes.ratio_of_sum([[1.0, 1.0, 1.0], [2.0, 2.0]], [3.0] * 4, 0.95) is None
    assert slopes.ratio_of_sum([], [3.0] * 4, 0.95) is None
