"""Oracle: scipy.stats, and a simulation with known truth."""

import math

import numpy as np
import pytest
from scipy import stats as oracle

from mnbench.stats import intervals

LOGS = [0.10, 0.13, 0.08, 0.21, 0.11]


def test_the_interval_is_students_t_of_the_logs():
    estimate = intervals.geometric_mean(LOGS, 0.95, "m")
    low, high = oracle.t.interval(0.95, len(LOGS) - 1, loc=np.mean(LOGS), scale=oracle.sem(LOGS))
    assert estimate is not None
    assert estimate.value == pytest.approx(oracle.gmean(np.exp(LOGS)))
    assert (estimate.low, estimate.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_one_value_gives_no_interval_and_so_no_estimate():
    assert intervals.geometric_mean([1.0], 0.95, "m") is None
    assert intervals.t_test_p([1.0]) is None


def test_the_p_value_is_that_of_scipys_one_sample_t_test():
    assert intervals.t_test_p(LOGS) == pytest.approx(oracle.ttest_1samp(LOGS, 0.0).pvalue)


def test_values_without_spread_are_certain():
    assert intervals.t_test_p([0.0] * 3) == 1.0
    assert intervals.t_test_p([0.5] * 3) == 0.0


def test_holm_gives_the_adjusted_values_of_a_worked_example():
    # Sorted: 0.01·4, 0.02·3, 0.03·2 (raised to 0.06, the running maximum), 0.5·1.
    assert intervals.holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert intervals.holm([]) == []
    assert max(intervals.holm([0.9, 0.8, 0.7])) == 1.0


def test_holm_keeps_the_family_wise_error_at_its_level():
    generator = np.random.default_rng(1)
    wrong = sum(min(intervals.holm(list(generator.uniform(size=11)))) < 0.05 for _ in range(4000))
    assert 0.04 < wrong / 4000 < 0.06


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(2000):
        estimate = intervals.geometric_mean(list(generator.normal(0.0, 0.02, size=5)), 0.95, "m")
        hits += estimate is not None and estimate.low <= 1.0 <= estimate.high
    assert 0.935 < hits / 2000 < 0.965
