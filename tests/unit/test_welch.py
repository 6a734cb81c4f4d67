"""Oracle: scipy.stats.ttest_ind(equal_var=False), and a simulation with known truth."""

import math

import numpy as np
import pytest
from scipy import stats as oracle

from mnbench.stats.welch import equivalence_p, ratio_of_independent

NEW, OLD = [0.10, 0.13, 0.08, 0.21, 0.11], [0.02, 0.05, 0.01]


def test_ratio_interval_and_p_are_those_of_scipys_welch_test():
    estimate, p = ratio_of_independent(NEW, OLD, 0.95)
    expected = oracle.ttest_ind(NEW, OLD, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert p == pytest.approx(expected.pvalue)
    assert (estimate.low, estimate.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert estimate.value == pytest.approx(math.exp(np.mean(NEW) - np.mean(OLD)))


def test_one_launch_gives_no_interval():
    assert ratio_of_independent([0.1], OLD, 0.95) is None
    assert ratio_of_independent(NEW, [0.1], 0.95) is None


def test_groups_without_spread_are_certain():
    same, different = (ratio_of_independent([level] * 3, [0.5] * 3, 0.95) for level in (0.5, 0.6))
    assert (same[0].low, same[0].high, same[1]) == (1.0, 1.0, 1.0)
    assert different[0].value == pytest.approx(math.exp(0.1))
    assert different[1] == 0.0


def test_one_group_without_spread_still_gives_scipys_answer():
    _, p = ratio_of_independent([0.1, 0.1, 0.1], OLD, 0.95)
    assert p == pytest.approx(oracle.ttest_1samp(OLD, 0.1).pvalue)


def test_an_absurd_spread_gives_an_absurd_interval_and_no_overflow():
    estimate, _ = ratio_of_independent([0.0, 60.0, 0.0], [0.0, 60.0, 0.0], 0.9999)
    assert math.isfinite(estimate.high)


@pytest.mark.parametrize(
    ("launches_new", "launches_old", "spread_new", "spread_old"), [(5, 5, 0.02, 0.02), (10, 4, 0.01, 0.03)]
)
def test_identical_work_is_called_different_about_as_often_as_promised(launches_new, launches_old, spread_new, spread_old):
    generator = np.random.default_rng(3)
    wrong = covered = 0
    for _ in range(4000):
        new = generator.normal(0.0, spread_new, launches_new)
        old = generator.normal(0.0, spread_old, launches_old)
        estimate, p = ratio_of_independent(list(new), list(old), 0.95)
        wrong += p < 0.05
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.035 < wrong / 4000 < 0.065
    assert covered == 4000 - wrong


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3])
def test_the_p_of_equivalence_is_twice_the_larger_of_scipys_two_one_sided_tests(shift):
    new, margin = np.array(NEW) - 0.1 + shift, 0.1
    below = oracle.ttest_ind(new - margin, OLD, equal_var=False, alternative="less").pvalue
    above = oracle.ttest_ind(new + margin, OLD, equal_var=False, alternative="greater").pvalue
    assert equivalence_p(list(new), OLD, margin) == pytest.approx(min(1.0, 2 * max(below, above)))


def test_two_launches_are_not_equivalent():
    assert equivalence_p([0.0, 0.0], [0.0, 0.0, 0.0], 0.02) is None
