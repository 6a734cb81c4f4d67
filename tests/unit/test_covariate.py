"""The memory's speed as a covariate. Oracles: numpy's least squares, a published analysis of covariance, simulated truth."""

import math

import numpy as np
import pytest

from mnbench.stats import covariate
from mnbench.stats.covariate import adjusted_difference, adjusted_mean, stream_logs
from mnbench.stats.intervals import difference, mean_of
from tests.conftest import a_case, a_launch, a_round

LEPROSY = {
    "A": ((11, 6), (8, 0), (5, 2), (14, 8), (19, 11), (6, 4), (10, 13), (6, 1), (11, 8), (3, 0)),
    "D": ((6, 0), (6, 2), (7, 3), (8, 1), (18, 18), (8, 4), (19, 14), (8, 9), (5, 1), (15, 9)),
    "F": ((16, 13), (13, 10), (11, 18), (9, 5), (21, 23), (16, 12), (12, 5), (12, 16), (7, 1), (12, 20)),
}
"""Bacilli before and after a treatment: G. W. Snedecor & W. G. Cochran, Statistical Methods, 6th edition (1967), p. 422. Also
the example "Analysis of Covariance" of the SAS/STAT manual, procedure GLM, whose output is quoted below."""


def least_squares(*groups):
    """Return the coefficients, their standard errors and the degrees of freedom: one level a group, one slope for all."""
    x = np.concatenate([group[0] for group in groups])
    y = np.concatenate([group[1] for group in groups])
    own = np.concatenate([np.full(len(group[0]), number) for number, group in enumerate(groups)])
    design = np.column_stack([*(own == number for number in range(len(groups))), x]).astype(float)
    found, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    degrees = len(y) - design.shape[1]
    return found, np.linalg.inv(design.T @ design) * residual[0] / degrees, degrees


def by_group(*groups):
    """Return first level - second level, its standard error where each group has a noise of its own, and its degrees.

    The fit is `least_squares`. Each group's variance is that of its residuals, over its observations less its leverages; the
    error is the sandwich of these variances, the degrees Satterthwaite's.
    """
    x = np.concatenate([group[0] for group in groups])
    own = np.concatenate([np.full(len(group[0]), number) for number, group in enumerate(groups)])
    design = np.column_stack([*(own == number for number in range(2)), x]).astype(float)
    bread = np.linalg.inv(design.T @ design)
    found = bread @ design.T @ np.concatenate([group[1] for group in groups])
    residuals, leverages = np.concatenate([group[1] for group in groups]) - design @ found, np.diag(design @ bread @ design.T)
    contrast = np.array([1.0, -1.0, 0.0])
    parts, degrees = [], []
    for number in range(2):
        mine = own == number
        degrees.append(mine.sum() - leverages[mine].sum())
        meat = design[mine].T @ design[mine] * (residuals[mine] @ residuals[mine]) / degrees[-1]
        parts.append(contrast @ bread @ meat @ bread @ contrast)
    variance = sum(parts)
    return contrast @ found, math.sqrt(variance), variance**2 / sum(p**2 / d for p, d in zip(parts, degrees, strict=True))


def by_wave(values):
    return dict(enumerate(map(float, values)))


def test_the_oracle_gives_the_published_analysis_of_covariance():
    """SAS: A - F = -3.446138280 (1.88678065), D - F = -3.337166948 (1.85386642), slope 0.987183811 (0.16449757)."""
    groups = [np.array(LEPROSY[drug], float).T for drug in "ADF"]
    found, covariance, degrees = least_squares(*groups)
    assert degrees == 26
    assert found[3] == pytest.approx(0.987183811, abs=1e-8)
    assert math.sqrt(covariance[3, 3]) == pytest.approx(0.16449757, abs=1e-7)
    for drug, (effect, error) in enumerate([(-3.446138280, 1.88678065), (-3.337166948, 1.85386642)]):
        contrast = np.eye(4)[drug] - np.eye(4)[2]
        assert contrast @ found == pytest.approx(effect, abs=1e-8)
        assert math.sqrt(contrast @ covariance @ contrast) == pytest.approx(error, abs=1e-7)


@pytest.mark.parametrize("pair", ["AF", "DF", "AD"])
def test_two_runs_are_compared_by_analysis_of_covariance(pair):
    groups = [np.array(LEPROSY[drug], float).T for drug in pair]
    found, covariance, degrees = least_squares(*groups)
    (new_stream, new), (old_stream, old) = ([by_wave(row) for row in group] for group in groups)
    mean = adjusted_difference(new, new_stream, old, old_stream)
    contrast = np.array([1.0, -1.0, 0.0])
    assert mean.value == pytest.approx(contrast @ found)
    assert mean.error == pytest.approx(math.sqrt(contrast @ covariance @ contrast), rel=0.1)  # which takes one noise for both
    assert 0.7 * degrees < mean.degrees <= degrees == 17


@pytest.mark.parametrize("noises", [(0.02, 0.02), (0.005, 0.05)])
def test_each_run_has_a_noise_of_its_own(noises):
    generator = np.random.default_rng(0)
    streams = generator.normal(0.0, 0.05, 9), generator.normal(0.1, 0.02, 14)
    figures = [0.3 * stream + generator.normal(0, sd, stream.size) for stream, sd in zip(streams, noises, strict=True)]
    mean = adjusted_difference(by_wave(figures[0]), by_wave(streams[0]), by_wave(figures[1]), by_wave(streams[1]))
    found = by_group(*zip(streams, figures, strict=True))
    assert (mean.value, mean.error, mean.degrees) == pytest.approx(found)


@pytest.mark.parametrize(("waves", "noises"), [((12, 12), (1, 1)), ((12, 12), (1, 4)), ((20, 8), (1, 4)), ((8, 20), (1, 4))])
def test_runs_of_unequal_noise_and_length_are_told_apart_no_oftener_than_they_should(waves, noises):
    generator = np.random.default_rng(1)
    runs, wrong = 1000, 0
    for _ in range(runs):
        streams = [generator.normal(at, 1.0, n) for at, n in zip((0.0, 0.5), waves, strict=True)]
        figures = [0.3 * x + generator.normal(0, sd, x.size) for x, sd in zip(streams, noises, strict=True)]
        mean = adjusted_difference(by_wave(figures[0]), by_wave(streams[0]), by_wave(figures[1]), by_wave(streams[1]))
        wrong += mean.p() < 0.05
    assert wrong <= 0.07 * runs


def test_within_a_run_the_mean_is_that_of_the_line_at_the_mean_stream():
    x, y = np.array(LEPROSY["A"], float).T
    found, covariance, degrees = least_squares((x, y))
    mean = adjusted_mean(by_wave(y), by_wave(x))
    at = np.array([1.0, x.mean()])
    assert mean.value == pytest.approx(at @ found) == pytest.approx(y.mean())
    assert mean.error == pytest.approx(math.sqrt(at @ covariance @ at))
    assert mean.degrees == degrees == 8


def test_waves_are_matched_by_number_and_not_by_place():
    x, y = (by_wave(row) for row in np.array(LEPROSY["A"], float).T)
    reverse = dict(reversed(x.items()))
    assert adjusted_mean(y, reverse) == adjusted_mean(y, x)
    assert adjusted_mean(y, {**x, 99: 7.0}) == adjusted_mean(y, x)  # another case's wave


def test_below_eight_waves_or_without_every_reading_it_is_the_plain_mean():
    x, y = (by_wave(row) for row in np.array(LEPROSY["A"], float).T)
    few = {wave: y[wave] for wave in range(covariate.FEWEST_WAVES - 1)}
    assert adjusted_mean(few, x) == mean_of(few.values())
    assert adjusted_mean(few | {7: y[7]}, x).degrees == 6
    assert adjusted_mean(y, {wave: x[wave] for wave in range(9)}) == mean_of(y.values())
    assert adjusted_mean(y, dict.fromkeys(y, 1.0)) == mean_of(y.values())
    assert adjusted_mean({0: 1.0, 1: 2.0}, x) is None


def test_where_either_run_has_no_line_it_is_welchs_difference():
    x, y = (by_wave(row) for row in np.array(LEPROSY["A"], float).T)
    plain = difference(mean_of(y.values()), mean_of(x.values()))
    assert adjusted_difference(y, x, x, {}) == plain
    assert adjusted_difference(y, {}, x, y) == plain
    assert adjusted_difference(y, x, {0: 1.0}, {}) is None


def test_the_stream_of_a_wave_is_the_median_of_its_undisturbed_steady_readings():
    def launched(case, wave, readings, **changes):
        return a_launch(case, wave, *(a_round([1], stream_before_ns=ns, stream_after_ns=ns, **changes) for ns in readings))

    one, two = a_case("one"), a_case("two")
    launches = [launched(one, 0, [100, 90_000]), launched(two, 0, [110]), launched(one, 1, [200]),
                launched(two, 0, [9, 9], disturbances=("steal",)), launched(two, 3, [None])]  # fmt: skip
    assert stream_logs(launches) == pytest.approx({0: math.log(110), 1: math.log(200)})


# --- two runs of 12 waves: does the interval of their difference hold the truth, which is 0?

TRIALS, WAVES, LAUNCH_SD, READING_SD = 1500, 12, 0.02, 0.01


def flicker(shape, generator):
    """1/f noise of about unit variance, by its spectrum."""
    size = shape[-1]
    frequencies = np.fft.rfftfreq(size)
    frequencies[0] = frequencies[1]
    spectrum = np.fft.rfft(generator.normal(size=shape), axis=-1) / np.sqrt(frequencies)
    found = np.fft.irfft(spectrum, size, axis=-1)
    return found / found.std()


STREAMS = {
    "none": lambda shape, _: np.zeros(shape),
    "white": lambda shape, generator: generator.normal(0, 0.05, shape),
    "flicker": lambda shape, generator: 0.05 * flicker(shape, generator),
    "random-walk": lambda shape, generator: np.cumsum(generator.normal(0, 0.02, shape), axis=-1),
}


def simulated(stream, slope, later, seed=0):
    """Yield the two runs, next to each other or `later` lengths apart: (new, its stream, old, its stream)."""
    generator = np.random.default_rng(seed)
    speed = STREAMS[stream]((TRIALS, (1 + later) * WAVES), generator)
    speed = np.stack([speed[:, -WAVES:], speed[:, :WAVES]], axis=1)
    figures = slope * speed + generator.normal(0, LAUNCH_SD, speed.shape)
    readings = speed + generator.normal(0, READING_SD, speed.shape)
    for (new, old), (new_stream, old_stream) in zip(figures, readings, strict=True):
        yield by_wave(new), by_wave(new_stream), by_wave(old), by_wave(old_stream)


@pytest.mark.parametrize("later", [1, 20])
@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("stream", STREAMS)
def test_the_difference_of_two_runs_covers_the_truth_however_the_memory_drifts(stream, slope, later):
    found = [adjusted_difference(*runs) for runs in simulated(stream, slope, later)]
    assert np.mean([abs(mean.value) <= mean.reach(0.95) for mean in found]) >= 0.93


def test_without_drift_the_covariate_costs_at_most_a_tenth_of_the_width():
    runs = list(simulated("none", 0.0, 1))
    adjusted = [adjusted_difference(*each).reach(0.95) for each in runs]
    welch = [difference(mean_of(new.values()), mean_of(old.values())).reach(0.95) for new, _, old, _ in runs]
    assert np.median(adjusted) <= 1.1 * np.median(welch)


def test_with_drift_that_cases_feel_the_interval_is_narrower_than_welchs_and_welch_does_not_cover():
    runs = list(simulated("random-walk", 0.8, 1, seed=1))
    adjusted = [adjusted_difference(*each) for each in runs]
    welch = [difference(mean_of(new.values()), mean_of(old.values())) for new, _, old, _ in runs]
    assert np.mean([abs(mean.value) <= mean.reach(0.95) for mean in welch]) < 0.7
    assert np.mean([abs(mean.value) <= mean.reach(0.95) for mean in adjusted]) >= 0.9


@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("stream", STREAMS)
def test_within_a_run_the_mean_covers_the_truth_at_its_own_stream(stream, slope):
    """The estimand: the figure at the mean speed that the memory had in this run."""
    generator = np.random.default_rng(2)
    speed = STREAMS[stream]((TRIALS, WAVES), generator)
    figures = slope * speed + generator.normal(0, LAUNCH_SD, speed.shape)
    readings = speed + generator.normal(0, READING_SD, speed.shape)
    hits = []
    for truth, y, x in zip(slope * speed.mean(axis=1), figures, readings, strict=True):
        mean = adjusted_mean(by_wave(y), by_wave(x))
        hits.append(abs(mean.value - truth) <= mean.reach(0.95))
    assert np.mean(hits) >= 0.93
