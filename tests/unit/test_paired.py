"""Oracle: scipy.stats.wilcoxon, the definition by brute force, and a simulation with known truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats as oracle

from mnbench.stats import paired
from mnbench.stats.intervals import geometric_mean, t_test_p


def differences(n, seed=0, shift=0.0):
    return list(shift + np.random.default_rng(seed).standard_t(2, size=n) * 0.02)


@pytest.mark.parametrize("n", [2, 5, 11])
def test_few_launches_get_students_t(n):
    values = differences(n)
    assert paired.paired_ratio(values, 0.95) == geometric_mean(values, 0.95, paired.T_METHOD)
    assert paired.paired_p(values) == t_test_p(values)


@pytest.mark.parametrize("n", [12, 13, 25, 40])
@pytest.mark.parametrize("seed", range(3))
def test_the_p_value_is_that_of_scipys_exact_signed_rank_test(n, seed):
    values = differences(n, seed, shift=0.01)
    assert paired.paired_p(values) == pytest.approx(oracle.wilcoxon(values, method="exact").pvalue)


def test_the_interval_holds_exactly_the_shifts_that_the_test_does_not_reject():
    """An interval and its test say the same: shifts just inside have p above 0.05, just outside below."""
    values = differences(15, seed=3, shift=0.01)
    estimate = paired.paired_ratio(values, 0.95)
    for bound, inwards in ((estimate.low, 1), (estimate.high, -1)):
        inside, outside = (math.log(bound) + step * 1e-9 for step in (inwards, -inwards))
        assert paired.paired_p([value - inside for value in values]) > 0.05
        assert paired.paired_p([value - outside for value in values]) <= 0.05


def test_the_estimate_is_the_median_of_all_pairwise_means():
    values = differences(12, seed=4)
    means = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2)]
    assert paired.paired_ratio(values, 0.95).value == pytest.approx(math.exp(np.median(means)))


def test_the_distribution_of_the_statistic_is_that_of_all_signs():
    sums = [sum(itertools.compress(range(1, 7), signs)) for signs in itertools.product((0, 1), repeat=6)]
    expected = [sum(1 for total in sums if total <= t) / len(sums) for t in range(22)]
    assert paired._distribution(6) == pytest.approx(expected)


def test_one_wave_with_a_neighbour_does_not_widen_the_interval_as_it_widens_students():
    values = [0.001 * (-1) ** n * n for n in range(14)] + [0.25]
    ranks, students = paired.paired_ratio(values, 0.95), geometric_mean(values, 0.95, "")
    assert ranks.half_width_pct < 0.5 * students.half_width_pct


def test_launches_that_agree_exactly_are_no_difference():
    assert paired.paired_p([0.0] * 12) == 1.0
    assert paired.paired_ratio([0.0] * 12, 0.95).value == 1.0


def test_a_tie_gets_the_mean_of_its_ranks():
    values = [0.01, 0.01, -0.01, 0.02, *(0.03 + 0.001 * n for n in range(9))]
    assert 0.0 < paired.paired_p(values) < 0.05


@pytest.mark.parametrize("n", [12, 20])
def test_the_interval_covers_the_truth_with_normal_and_with_heavy_tailed_noise(n):
    generator = np.random.default_rng(5)
    for draw in (generator.standard_normal, lambda size: generator.standard_t(1.5, size)):
        held = 0
        for _ in range(2000):
            estimate = paired.paired_ratio(list(0.02 * draw(n)), 0.95)
            held += estimate.low <= 1.0 <= estimate.high
        assert 0.935 <= held / 2000 <= 0.97


@pytest.mark.parametrize(("n", "comparisons", "ranks"), [(12, 20, True), (12, 21, False), (14, 81, True), (14, 82, False)])
def test_ranks_decide_only_where_they_could_decide_anything_among_so_many_comparisons(n, comparisons, ranks):
    values = list(0.03 + 0.01 * np.random.default_rng(n).standard_normal(n))
    expected = oracle.wilcoxon(values, method="exact").pvalue if ranks else oracle.ttest_1samp(values, 0.0).pvalue
    assert paired.paired_p(values, comparisons) == pytest.approx(expected)


@pytest.mark.parametrize(("comparisons", "ranks"), [(102, True), (103, False)])
def test_an_interval_so_strict_that_twelve_launches_cannot_carry_it_by_ranks_is_students(comparisons, ranks):
    """The widest signed-rank interval of twelve, from the least to the greatest, holds the truth in 1 - 2/2^12."""
    values, level = differences(12, seed=6), 1 - 0.05 / comparisons
    estimate = paired.paired_ratio(values, level)
    assert estimate.low < estimate.value < estimate.high
    if ranks:
        assert (estimate.low, estimate.high) == pytest.approx((math.exp(min(values)), math.exp(max(values))))
    else:
        assert estimate == geometric_mean(values, level, paired.T_METHOD)


@pytest.mark.parametrize(("n", "ranks"), [(5, False), (14, True)])
@pytest.mark.parametrize("shift", [0.0, 0.012, -0.03])
def test_the_p_of_equivalence_is_twice_the_larger_of_scipys_two_one_sided_tests(n, ranks, shift):
    values, margin = np.array(differences(n, seed=8, shift=shift)), math.log1p(0.02)
    if ranks:
        below = oracle.wilcoxon(values - margin, alternative="less", method="exact").pvalue
        above = oracle.wilcoxon(values + margin, alternative="greater", method="exact").pvalue
    else:
        below = oracle.ttest_1samp(values, margin, alternative="less").pvalue
        above = oracle.ttest_1samp(values, -margin, alternative="greater").pvalue
    assert paired.equivalence_p(list(values), margin) == pytest.approx(min(1.0, 2 * max(below, above)))


@pytest.mark.parametrize("n", [4, 15])
def test_without_a_correction_equivalence_says_what_the_interval_says(n):
    margin, seen = math.log1p(0.02), set()
    for seed in range(200):
        values = list(np.random.default_rng(seed).normal(0.008, 0.012, n))
        estimate = paired.paired_ratio(values, 0.95)
        inside = -margin < math.log(estimate.low) and math.log(estimate.high) < margin
        assert (paired.equivalence_p(values, margin) < 0.05) == inside
        seen.add(inside)
    assert seen == {True, False}


def test_two_launches_are_not_equivalent_and_no_margin_holds_nothing():
    assert paired.equivalence_p([0.0, 0.0], 0.02) is None
    assert paired.equivalence_p([0.0, 0.0, 0.0], 0.0) == 1.0
