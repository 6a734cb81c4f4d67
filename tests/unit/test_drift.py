"""What the drift of the host's memory adds to an interval: closed forms, scipy, and flicker noise of known size."""

import math

import numpy as np
import pytest
from scipy import stats as oracle

from mnbench.records import Verdict
from mnbench.stats import analyse, between_runs, drift
from mnbench.stats.analysis import compare_pairs
from mnbench.stats.intervals import WITH_DRIFT, geometric_mean, widened, widened_p
from mnbench.stats.paired import paired_p, paired_ratio
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run

V2, V1 = a_case(), a_case("mobilenet_v1_1.0_224")
SLOPE, LAUNCH_SD, ALLAN = 0.3, 0.02, 0.033
"""As measured: of MobileNetV2 / MobileNetV1 on the stream, of launches, and of the stream in a drifting hour."""


def flicker(generator, length):
    """Noise with a power of 1 / f, whose Allan deviation is ALLAN at every averaging time."""
    frequencies = np.fft.rfftfreq(length)
    amplitudes = np.where(frequencies > 0, 1 / np.sqrt(np.maximum(frequencies, 1e-12)), 0)
    spectrum = amplitudes * (generator.normal(size=frequencies.size) + 1j * generator.normal(size=frequencies.size))
    noise = np.fft.irfft(spectrum, length)
    return noise * ALLAN / np.sqrt(0.5 * np.mean(np.diff(noise.reshape(-1, 4).mean(axis=1)) ** 2))


def series(values):
    return dict(enumerate(values))


def test_the_variance_is_the_squared_slope_times_what_the_stream_does_beyond_its_scatter():
    x, y = np.random.default_rng(1).normal(size=(2, 12))
    y = y * 0.3 + x
    slope = oracle.theilslopes(y, x).slope
    bounds = x.reshape(4, 3).mean(axis=1)
    allan = 0.5 * np.mean(np.diff(bounds) ** 2)
    expected = slope**2 * max(0.0, allan - x.var(ddof=1) / 12)
    assert expected > 0
    assert drift.drift_variance(series(y), series(x)) == pytest.approx(expected)


def test_what_does_not_follow_the_stream_or_has_no_readings_is_not_widened():
    waves = np.arange(12.0)
    assert drift.drift_variance(series(np.zeros(12)), series(waves)) == 0.0
    assert drift.drift_variance(series(waves), series(np.ones(12))) == 0.0
    assert drift.drift_variance(series(waves), {}) == 0.0
    assert drift.drift_variance(series(waves[:7]), series(waves[:7])) == 0.0
    assert drift.drift_variance(series(waves[:8]), series(waves[:8])) > 0.0


def test_a_flat_allan_deviation_is_seen_at_its_size():
    generator = np.random.default_rng(2)
    seen = [drift.allan_variance(flicker(generator, 256)[start : start + 12]) for _ in range(300) for start in (0, 100, 200)]
    assert math.sqrt(np.mean(seen)) == pytest.approx(ALLAN, rel=0.1)


@pytest.mark.parametrize("slope", [0.0, SLOPE])
def test_the_next_run_lies_where_the_interval_says(slope):
    """Two runs of twelve waves each, one after the other: how often do they agree within both intervals?"""
    generator = np.random.default_rng(3)
    with_drift, without, widths = 0, 0, []
    trials = 1500
    for _ in range(trials):
        host = flicker(generator, 1024)
        runs = []
        for first in (0, 12):
            stream = host[first : first + 12]
            logs = slope * stream + generator.normal(0, LAUNCH_SD, 12)
            seen = stream + generator.normal(0, 0.01, 12)
            extra = drift.drift_variance(series(logs), series(seen))
            runs.append([paired_ratio(list(logs), 0.95, variance) for variance in (extra, 0.0)])
        with_drift += agree(runs[0][0], runs[1][0])
        without += agree(runs[0][1], runs[1][1])
        widths.append(runs[0][0].half_width_pct / runs[0][1].half_width_pct)
    assert with_drift / trials >= 0.93
    assert (without / trials >= 0.93) == (slope == 0.0)
    assert np.mean(widths) < (1.25 if slope == 0.0 else 1.8)


def agree(one, other):
    reach = math.hypot(math.log(one.high / one.low) / 2, math.log(other.high / other.low) / 2)
    return abs(math.log(one.value / other.value)) <= reach


@pytest.mark.parametrize("n", [8, 12, 20])
def test_half_widths_add_as_variances_do_and_p_agrees_with_the_interval(n):
    values = list(np.random.default_rng(n).normal(0.004, 0.01, n))
    plain, wide = geometric_mean(values, 0.95, "t"), widened(geometric_mean(values, 0.95, "t"), 0.005**2, n - 1)
    t = oracle.t.ppf(0.975, n - 1)
    assert math.log(wide.high / wide.value) == pytest.approx(math.hypot(math.log(plain.high / plain.value), t * 0.005))
    assert wide.value == plain.value
    assert wide.method == "t" + WITH_DRIFT
    mean, error = np.mean(values), math.hypot(np.std(values, ddof=1) / math.sqrt(n), 0.005)
    p = widened_p(plain, 0.005**2, n - 1)
    assert p == pytest.approx(2 * oracle.t.sf(abs(mean) / error, n - 1))
    for shift in np.linspace(-0.03, 0.03, 25):
        moved = [value + shift for value in values]
        estimate = paired_ratio(moved, 0.95, 0.005**2)
        assert (paired_p(moved, 1, 0.005**2) < 0.05) == (not estimate.low <= 1.0 <= estimate.high)


def test_a_clear_difference_is_found_among_many_in_spite_of_drift():
    """The rank test of twelve knows no p below 1/2048; with drift that must not count as an error of its own."""
    values = list(0.1 + np.random.default_rng(6).normal(0, 0.003, 12))
    assert 16 * paired_p(values, 16, 0.02**2) < 0.02


def test_without_drift_nothing_changes():
    values = list(np.random.default_rng(5).normal(0.01, 0.01, 12))
    assert paired_ratio(values, 0.95, 0.0) == paired_ratio(values, 0.95)
    assert paired_p(values, 3, 0.0) == paired_p(values, 3)
    assert widened(None, 1.0, 3) is None


def drifting(case, slope, seed=0):
    """Twelve launches that follow a stream which takes 1 ms, and 10 % more in the second half of the run."""
    generator = np.random.default_rng(seed)
    found = []
    for n in range(12):
        level = 0.1 * (n >= 6) + generator.normal(0, 0.003)
        ns = round(1e7 * math.exp(slope * level))
        stream = round(1e6 * math.exp(level))
        found.append(a_launch(case, n, a_round([ns] * 3, stream_before_ns=stream, stream_after_ns=stream)))
    return found


def without_stream(launches):
    return [a_launch(s.case, s.launch, *(a_round(list(r.latencies_ns)) for r in s.rounds)) for s in launches]


def test_latencies_ratios_and_verdicts_of_a_run_are_widened():
    launches = [*drifting(V2, 0.45), *drifting(V1, 0.0, seed=1)]
    told, untold = (analyse(a_run(a_plan(V2, V1), *found)) for found in (launches, without_stream(launches)))
    assert told.results[0].latency_ns.half_width_pct > 1.5 * untold.results[0].latency_ns.half_width_pct
    assert told.results[1].latency_ns == untold.results[1].latency_ns
    wide, narrow = (analysis.results[1].vs_baseline for analysis in (told, untold))
    assert wide.ratio.value == narrow.ratio.value
    assert wide.ratio.half_width_pct > 1.5 * narrow.ratio.half_width_pct
    assert narrow.verdict is Verdict.FASTER
    assert wide.verdict is not Verdict.FASTER
    assert wide.p_adjusted > 0.05 > narrow.p_adjusted


def test_equivalence_is_asked_of_the_wider_interval_too():
    logs = {V2.id: dict.fromkeys(range(12), 0.0), V1.id: {n: 0.016 * (n >= 6) + 0.001 * (-1) ** n for n in range(12)}}
    plan, stream = a_plan(V2, V1), {n: 0.1 * (n >= 6) + 0.002 * (n % 3) for n in range(12)}
    assert compare_pairs([(V1, V2)], logs, plan)[0].verdict is Verdict.EQUIVALENT
    assert compare_pairs([(V1, V2)], logs, plan, stream)[0].verdict is Verdict.INCONCLUSIVE


def gate(old, new):
    found = between_runs.diff(*(a_run(a_plan(V2), *launches) for launches in (old, new)))
    return found.cases[0], {caveat.code for caveat in found.caveats}


def test_the_gate_between_two_runs_knows_of_the_drift_within_either():
    old, new, steady = drifting(V2, 0.45), drifting(V2, 0.45, seed=2), drifting(V2, 0.0, seed=3)
    (both, codes), (neither, _) = gate(old, new), gate(without_stream(old), without_stream(new))
    assert both.ratio.half_width_pct > 1.5 * neither.ratio.half_width_pct
    assert both.ratio.method.endswith(WITH_DRIFT)
    assert not codes
    for pair, plain in (((old, steady), (without_stream(old), steady)), ((steady, old), (steady, without_stream(old)))):
        (one, _), (none, codes) = gate(*pair), gate(*plain)
        assert one.ratio.half_width_pct > 1.3 * none.ratio.half_width_pct
        assert codes == {"no-stream"}


def test_the_gate_calls_nothing_equivalent_that_drift_leaves_open():
    old, new = drifting(V2, 0.2), drifting(V2, 0.2, seed=2)
    assert gate(without_stream(old), without_stream(new))[0].verdict is Verdict.EQUIVALENT
    assert gate(old, new)[0].verdict is Verdict.INCONCLUSIVE


def test_readings_beside_a_disturbed_round_or_an_interrupted_one_say_nothing():
    bad = a_round([100], order=1, stream_before_ns=9000, stream_after_ns=9000, disturbances=("steal",))
    good = a_round([100], stream_before_ns=1000, stream_after_ns=1000)
    once = a_round([100], stream_before_ns=1000, stream_after_ns=50_000)
    found = drift.stream_logs([a_launch(V2, 0, bad, good), a_launch(V1, 0, once), a_launch(V2, 1, bad)])
    assert found == {0: pytest.approx(math.log(1000))}


def test_a_stray_wave_does_not_bend_the_slope():
    generator = np.random.default_rng(4)
    x = generator.normal(0, 0.03, 12)
    y = 0.3 * x + generator.normal(0, 0.005, 12)
    y[np.argmax(x)] += 0.2
    assert drift.theil_sen(x, y) == pytest.approx(0.3, abs=0.2)
    assert oracle.linregress(x, y).slope > 1.0
