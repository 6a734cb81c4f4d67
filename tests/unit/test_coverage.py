"""Does a 95 % interval hold the truth 95 times in 100, whatever the machine does? A simulator knows the truth."""

from __future__ import annotations

import numpy as np
import pytest

from mnbench.stats.analysis import compare_pairs
from mnbench.stats.intervals import PAIRED_METHOD, geometric_mean
from tests.conftest import a_case, a_plan
from tests.simulator import MODELS, Noise, autoregression, simulate

CASES = [a_case(f"network {number}") for number in range(2)]
TRIALS = 2000


@pytest.mark.parametrize("launches", [3, 5, 10, 12, 30])
@pytest.mark.parametrize("noise", MODELS, ids=lambda noise: noise.name.replace(" ", "-"))
def test_a_ratios_interval_covers_the_truth_as_often_as_it_says(noise: Noise, launches: int):
    medians = simulate(noise, 2, launches=launches, trials=TRIALS, seed=launches)
    assert 0.93 <= coverage(medians) <= 0.98


def test_identical_cases_are_called_different_in_at_most_five_of_a_hundred_runs_in_spite_of_many_comparisons():
    noise = next(model for model in MODELS if model.name == "everything")
    cases = [a_case(f"network {number}") for number in range(12)]
    plan = a_plan(*cases)
    wrong = 0
    for trial in range(300):
        (medians,) = simulate(noise, len(cases), launches=5, seed=trial)
        logs = {case.id: dict(enumerate(medians[..., n].mean(axis=1))) for n, case in enumerate(cases)}
        found = compare_pairs([(case, cases[0]) for case in cases[1:]], logs, plan)
        wrong += any(comparison.verdict in ("faster", "slower") for comparison in found)
    assert wrong / 300 <= 0.05


def test_pooling_samples_would_not_cover():
    """The reason for all this: the usual interval, over samples, holds the truth far too seldom."""
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(500):
        logs = [generator.normal(0, 0.015) + generator.normal(0, 0.01, 300) for _ in range(2)]
        difference = logs[0].mean() - logs[1].mean()
        reach = 1.96 * np.sqrt(logs[0].var() / 300 + logs[1].var() / 300)
        hits += abs(difference) <= reach
    assert hits / 500 < 0.2


def test_stopping_when_an_interval_is_narrow_enough_keeps_what_it_says():
    """`--target-ci` looks again after every wave; the interval it stops at must still cover."""
    noise = next(model for model in MODELS if model.name == "wandering speed")
    medians = simulate(noise, 2, launches=30, trials=TRIALS, seed=7)
    hits = 0
    for logs in medians.mean(axis=2):
        differences = logs[:, 0] - logs[:, 1]
        for n in range(8, 31):
            estimate = geometric_mean(list(differences[:n]), 0.95, PAIRED_METHOD)
            if estimate.half_width_pct <= 1.0:
                break
        hits += estimate.low <= 1.0 <= estimate.high
    assert hits / TRIALS >= 0.93


def coverage(medians: np.ndarray) -> float:
    """Return how often the interval of the ratio of the first two cases holds 1, through the code that reports use."""
    hits = 0
    plan = a_plan(*CASES)
    for trial in medians.mean(axis=2):
        logs = {case.id: dict(enumerate(trial[:, n])) for n, case in enumerate(CASES)}
        (comparison,) = compare_pairs([(CASES[0], CASES[1])], logs, plan)
        hits += comparison.ratio is not None and comparison.ratio.low <= 1.0 <= comparison.ratio.high
    return hits / len(medians)


def test_cases_that_differ_by_just_the_margin_are_seldom_called_equivalent_in_spite_of_many_comparisons():
    """Each of twelve pairs differs by exactly 2 %: whoever is called equivalent is called so wrongly."""
    cases = [a_case(f"network {number}") for number in range(24)]
    pairs = list(zip(cases[1::2], cases[::2], strict=True))
    plan = a_plan(*cases)
    medians = simulate(Noise(name="quiet", launch_sd=0.003), len(cases), launches=5, trials=TRIALS, seed=11).mean(axis=2)
    medians[..., 1::2] += np.log1p(plan.equivalence_pct / 100)
    wrong = alone = 0
    for trial in medians:
        logs = {case.id: dict(enumerate(trial[:, n])) for n, case in enumerate(cases)}
        wrong += any(found.verdict == "equivalent" for found in compare_pairs(pairs, logs, plan))
        alone += any(compare_pairs([pair], logs, plan)[0].verdict == "equivalent" for pair in pairs)
    assert wrong / TRIALS <= 0.06  # 5 %, and two standard errors of it
    assert alone / TRIALS > 0.2


# --- noise that is not the same for all, and one estimand whatever the number of launches


def pair_coverage(logs: np.ndarray, truth: float, stream: np.ndarray | None = None) -> tuple[float, float]:
    """Return how often the interval of case 0 over case 1 holds exp(`truth`), and the mean of the estimates' logarithms."""
    plan, hits, estimates = a_plan(*CASES), 0, []
    for number, trial in enumerate(logs):
        found = {case.id: dict(enumerate(trial[:, n])) for n, case in enumerate(CASES)}
        readings = {} if stream is None else dict(enumerate(stream[number]))
        (comparison,) = compare_pairs([(CASES[0], CASES[1])], found, plan, readings)
        hits += comparison.ratio.low <= np.exp(truth) <= comparison.ratio.high
        estimates.append(np.log(comparison.ratio.value))
    return hits / len(logs), float(np.mean(estimates))


def asymmetric(launches: int, generator: np.random.Generator, *, both: bool) -> np.ndarray:
    """Return launches (trials, launches, 2) of which a tenth is slower by 10 %: of both cases, or of the first."""
    logs = generator.normal(0, 0.015, (TRIALS, launches, 2))
    hit = np.log(1.1) * (generator.random(logs.shape) < 0.1)
    return logs + (hit if both else hit * [1, 0])


@pytest.mark.parametrize("launches", [5, 10, 11, 12, 20])
def test_a_ratio_covers_where_a_tenth_of_all_launches_is_slower_by_a_tenth(launches: int):
    logs = asymmetric(launches, np.random.default_rng(1), both=True)
    assert pair_coverage(logs, 0.0)[0] >= 0.93


def test_where_only_one_case_has_such_launches_its_interval_holds_their_mean_less_often_than_it_says():
    """Known and said: in a third of runs none of ten launches shows what the mean of many holds."""
    logs = asymmetric(10, np.random.default_rng(2), both=False)
    assert pair_coverage(logs, 0.1 * np.log(1.1))[0] >= 0.85


def test_the_estimand_is_the_same_at_eleven_twelve_and_forty_launches():
    """The mean of a launch's logarithms, slow ones included: no other statistic from some number of launches on."""
    truth = 0.1 * np.log(1.1)
    for launches in (11, 12, 40):
        logs = asymmetric(launches, np.random.default_rng(launches), both=False)
        assert pair_coverage(logs, truth)[1] == pytest.approx(truth, abs=0.001)


def test_a_stream_that_drifts_does_not_move_the_estimand():
    generator = np.random.default_rng(3)
    for launches in (6, 12, 40):
        logs = asymmetric(launches, generator, both=False)
        stream = np.cumsum(generator.normal(0, 0.02, logs.shape[:2]), axis=1)
        plain = pair_coverage(logs, 0.0)[1]
        assert pair_coverage(logs, 0.0, stream)[1] == pytest.approx(plain, abs=1e-12)


def test_each_ratio_covers_though_one_case_is_three_times_as_noisy_as_the_others():
    """No variance is borrowed from other pairs: that of the noisy one would be too small (84 to 88 % of 95 were found)."""
    generator = np.random.default_rng(4)
    for noisy in (1.5, 2.0, 3.0):
        logs = generator.normal(0, 0.01, (TRIALS, 10, 2)) * [np.sqrt(2 * noisy**2 - 1), 1.0]
        assert pair_coverage(logs, 0.0)[0] >= 0.93


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_waves_that_depend_on_each_other_leave_a_ratio_as_sure_as_it_says(correlation: float):
    generator = np.random.default_rng(5)
    waves = 0.05 * autoregression(correlation, (TRIALS, 10), generator)
    logs = waves[..., None] + generator.normal(0, 0.01, (TRIALS, 10, 2))
    assert 0.93 <= pair_coverage(logs, 0.0)[0] <= 0.97
