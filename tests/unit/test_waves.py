"""Dependent waves. Oracles: generalised least squares with the full covariance matrix, Student's t, and simulated truth."""

import numpy as np
import pytest
from scipy import stats as oracle
from scipy.linalg import toeplitz

from mnbench.stats import waves
from mnbench.stats.analysis import common_series, latency
from mnbench.stats.intervals import t_quantile
from mnbench.stats.waves import drift_p, series_mean
from tests.made_up_runs import levels, simulated_logs
from tests.simulator import autoregression

SERIES = [0.010, 0.021, 0.018, 0.002, -0.013, -0.020, -0.008, 0.004, 0.015, 0.011, 0.007]


def mixture(values):
    """Return, by correlation, weight, centre and scale of μ: by inverting the covariance matrix of the series."""
    y = np.asarray(values)
    n = y.size
    logs, centres, scales = [], [], []
    for rho in waves.CORRELATIONS:
        correlation = toeplitz(rho ** np.arange(n))
        inverse = np.linalg.inv(correlation)
        information = inverse.sum()
        centre = (inverse @ y).sum() / information
        squares = (y - centre) @ inverse @ (y - centre)
        determinant = np.linalg.slogdet(correlation)[1]
        logs.append(np.log(1 - rho) - determinant / 2 - np.log(information) / 2 - (n - 1) / 2 * np.log(squares))
        centres.append(centre)
        scales.append(np.sqrt(squares / (n - 1) / information))
    weights = np.exp(np.array(logs) - max(logs))
    return weights / weights.sum(), np.array(centres), np.array(scales)


@pytest.mark.parametrize("values", [SERIES, SERIES[:3], SERIES[::2], list(np.cumsum(SERIES))])
def test_the_error_puts_95_per_cent_of_the_integrated_posterior_within_the_interval(values):
    weights, centres, scales = mixture(values)
    mean = series_mean(values)
    assert mean.value == pytest.approx(np.mean(values))
    ends = mean.value + mean.reach(0.95) * np.array([[-1], [1]])
    below, above = weights @ oracle.t.cdf((ends - centres) / scales, len(values) - 1).T
    assert above - below == pytest.approx(0.95, abs=1e-9)


def test_if_waves_were_known_to_be_independent_it_is_students_error(monkeypatch):
    monkeypatch.setattr(waves, "CORRELATIONS", np.array([0.0]))
    waves._whiteners.cache_clear()
    try:
        assert series_mean(SERIES).error == pytest.approx(oracle.sem(SERIES))
    finally:
        waves._whiteners.cache_clear()


def test_too_few_waves_give_none_and_waves_without_spread_no_error():
    assert series_mean(SERIES[:2]) is None
    still = series_mean([0.25] * 5)
    assert (still.value, still.error, still.degrees) == (0.25, 0.0, 4)


def test_a_series_that_drifts_has_a_wider_interval_than_the_same_values_shuffled():
    ordered = sorted(SERIES)
    mixed = [ordered[place] for place in (0, 10, 1, 9, 2, 8, 3, 7, 4, 6, 5)]
    assert series_mean(ordered).error > 1.5 * series_mean(mixed).error


COVERED_AT_LEAST = {0.0: 0.93, 0.5: 0.93, 0.9: 0.65}
"""Of 95 %; 800 runs gave 98, 95 and 71 %: at 0.9 eleven waves are too few to know it, and a caveat says so."""


@pytest.mark.parametrize("correlation", COVERED_AT_LEAST)
def test_a_latencys_interval_covers_the_truth_though_its_waves_depend_on_each_other(correlation):
    """Twelve cases in eleven waves; the truth is the mean of the process, which another run at another time would meet."""
    trials = 800
    found = simulated_logs(11, 12, correlation, np.random.default_rng(3), trials) + levels(12)
    hits = 0
    for logs in found:
        by_case = [dict(enumerate(column)) for column in logs.T]
        estimate = latency(by_case[5], common_series(by_case), 0.95)
        hits += estimate.low <= np.exp(levels(12)[5]) <= estimate.high
    assert hits / trials >= COVERED_AT_LEAST[correlation]


@pytest.mark.parametrize(("number", "most"), [(11, 2.5), (20, 1.7), (40, 1.35)])
def test_independent_waves_pay_for_what_is_unknown_of_their_correlation_and_less_the_more_there_are(number, most):
    """Times the width of Student's interval."""
    found = np.random.default_rng(4).normal(size=(400, number))
    wider = [series_mean(list(logs)).reach(0.95) / (t_quantile(0.95, number - 1) * oracle.sem(logs)) for logs in found]
    assert 1.0 < np.median(wider) < most


def test_drift_is_von_neumanns_ratio():
    """By hand for 1, 2, …, 8: squares of successive differences 7, about the mean 42; (7 / 42 - 2) / sqrt(4 · 6 / (7 · 9))."""
    assert drift_p([1, 2, 3, 4, 5, 6, 7, 8]) == pytest.approx(oracle.norm.cdf((7 / 42 - 2) / np.sqrt(24 / 63)))
    assert drift_p([1, 2, 3, 4, 5, 6, 7]) is None
    assert drift_p([1.0] * 9) is None
    assert drift_p([]) is None


@pytest.mark.parametrize("number", [8, 11, 40])
def test_independent_waves_are_called_drifting_as_often_as_the_level_says(number):
    found = np.random.default_rng(5).normal(size=(4000, number))
    p = np.array([drift_p(values) for values in found])
    assert np.mean(p < waves.DRIFT_P) <= 0.015
    assert 0.03 <= np.mean(p < 0.05) <= 0.06


def test_waves_that_depend_on_each_other_are_found():
    """How often depends on their number: at 0.9 about half of runs of eleven waves, and nearly all of forty."""
    rates = []
    for number in (11, 40):
        found = autoregression(0.9, (1000, number), np.random.default_rng(6))
        rates.append(np.mean([drift_p(values) < waves.DRIFT_P for values in found]))
    assert rates[0] > 0.4
    assert rates[1] > 0.95
