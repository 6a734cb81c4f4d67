"""The record that intervals, p values and equivalence of one figure come from. Oracle: scipy.stats."""

import math

import numpy as np
import pytest
from scipy import stats as oracle

from mnbench.stats.intervals import Mean, difference, mean_of, total

A = [0.10, 0.13, 0.08, 0.21, 0.11]
B = [0.02, -0.31, 0.18, 0.07, 0.25, -0.04, 0.09]


def test_the_mean_of_launches_has_students_p():
    mean = mean_of(A)
    expected = oracle.ttest_1samp(A, 0.0)
    assert (mean.value, mean.error, mean.degrees) == pytest.approx((np.mean(A), oracle.sem(A), 4))
    assert mean.p() == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (mean.value - mean.reach(0.95), mean.value + mean.reach(0.95)) == pytest.approx(tuple(interval))
    estimate = mean.estimate(0.95, "m")
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(tuple(np.exp([np.mean(A), *interval])))


@pytest.mark.parametrize("sides", [(A, B), (B, A), (A, [log + 0.01 for log in A])])
def test_the_difference_of_two_runs_has_welchs_p_and_interval(sides):
    found = difference(mean_of(sides[0]), mean_of(sides[1]))
    expected = oracle.ttest_ind(*sides, equal_var=False)
    assert found.p() == pytest.approx(expected.pvalue)
    assert found.degrees == pytest.approx(expected.df)
    interval = expected.confidence_interval(0.95)
    assert (found.value - found.reach(0.95), found.value + found.reach(0.95)) == pytest.approx(tuple(interval))


def test_welch_satterthwaite_of_steady_launches_does_not_underflow():
    tiny = [mean_of([1e-9 * value for value in side]) for side in (A, B)]
    assert difference(*tiny).degrees == pytest.approx(difference(mean_of(A), mean_of(B)).degrees)


def test_a_total_without_any_spread_has_no_error():
    still = Mean(value=1.0, error=0.0, degrees=4)
    assert (total(still, still).value, total(still, still).error) == (2.0, 0.0)


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.2, 0.3])
def test_equivalence_is_two_one_sided_tests_by_the_larger_p(margin):
    for side in (A, B, [-log for log in A]):
        below = oracle.ttest_1samp(side, -margin, alternative="greater").pvalue
        above = oracle.ttest_1samp(side, margin, alternative="less").pvalue
        assert mean_of(side).p_outside(margin) == pytest.approx(max(below, above))


def test_equivalence_of_two_runs_is_two_one_sided_welch_tests():
    found, margin = difference(mean_of(A), mean_of(B)), 0.2
    above = oracle.ttest_ind([a - margin for a in A], B, equal_var=False, alternative="less").pvalue
    below = oracle.ttest_ind([a + margin for a in A], B, equal_var=False, alternative="greater").pvalue
    assert found.p_outside(margin) == pytest.approx(max(below, above))


def test_equivalence_at_five_per_cent_is_the_interval_at_ninety_within_the_margin():
    """No doubling: the two agree for every mean, just inside the margin and just outside of it."""
    generator = np.random.default_rng(0)
    verdicts = []
    for _ in range(500):
        mean = mean_of(generator.normal(generator.uniform(-0.02, 0.02), 0.01, 6))
        reach = mean.reach(0.90)
        within = mean.value - reach > -0.02 and mean.value + reach < 0.02
        assert (mean.p_outside(0.02) < 0.05) == within
        verdicts.append(within)
    assert 100 < sum(verdicts) < 400
    edge = Mean(value=0.01, error=0.01 / oracle.t.ppf(0.95, 5), degrees=5)
    assert edge.p_outside(0.02) == pytest.approx(0.05)


def test_p_is_below_alpha_exactly_when_the_interval_leaves_out_one():
    generator = np.random.default_rng(1)
    found = []
    for _ in range(500):
        mean = mean_of(generator.normal(0.01, 0.01, 5))
        estimate = mean.estimate(0.95, "m")
        out = not estimate.low <= 1.0 <= estimate.high
        assert (mean.p() < 0.05) == out
        found.append(out)
    assert 100 < sum(found) < 400


def test_without_spread_a_mean_is_certain():
    still = [Mean(value=value, error=0.0, degrees=3) for value in (0.0, 0.01, -0.03)]
    assert [mean.p() for mean in still] == [1.0, 0.0, 0.0]
    assert [mean.p_outside(0.02) for mean in still] == [0.0, 0.0, 1.0]


def test_a_mean_of_two_launches_is_unknown():
    assert mean_of(A[:2]) is None
    assert mean_of(A[:3]) is not None


def test_an_interval_beyond_what_a_float_holds_is_still_an_interval():
    estimate = Mean(value=0.0, error=1e4, degrees=2).estimate(0.95, "m")
    assert 0.0 < estimate.low < 1.0 < estimate.high < math.inf
