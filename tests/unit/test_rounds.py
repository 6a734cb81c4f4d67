"""One number of a launch: which inferences count, and which statistic of them."""

import math

import numpy as np
import pytest

from mnbench.records import Verdict
from mnbench.stats import analyse
from mnbench.stats.analysis import uneven
from mnbench.stats.rounds import launch_logs, mean_ns, median_ns, typical_ns
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run

V2 = a_case()
MS = 1_000_000


def test_typical_is_the_lower_quartile():
    values = [5, 1, 9, 3, 7, 2]
    assert typical_ns(values) == np.percentile(values, 25)
    assert (median_ns(values), mean_ns(values)) == (4.0, 4.5)


def test_what_settles_does_not_count_however_long_it_takes():
    """Counters watch the timed part only."""
    launch = a_launch(V2, 0, a_round([3 * MS, 3 * MS], settle_ns=(30 * MS, 900 * MS, 900 * MS)))
    assert launch_logs([launch], statistic=mean_ns) == pytest.approx({0: math.log(3 * MS)})


def test_a_launch_is_pooled_from_its_undisturbed_rounds_of_one_regime():
    rounds = (a_round([100, 100]), a_round([400], index=1), a_round([9], index=2, disturbances=("steal",)),
              a_round([900], index=3, regime="cold"))  # fmt: skip
    launch = a_launch(V2, 5, *rounds)
    assert launch_logs([launch], statistic=mean_ns) == pytest.approx({5: math.log(200)})
    assert launch_logs([launch], "cold", mean_ns) == pytest.approx({5: math.log(900)})
    assert launch_logs([a_launch(V2, 0, rounds[2])]) == {}


# --- a case that is slow in some of its inferences only

LAUNCHES, INFERENCES, RUNS = 10, 40, 100


def run_with_slow_mode(share, generator, cases, sample_sd=0.01):
    """A run of two equal cases, of which the second takes 20 % longer in `share` of its inferences."""
    samples = []
    for case, slow in zip(cases, (0.0, share), strict=True):
        logs = generator.normal(0, 0.01, (LAUNCHES, 1)) + generator.normal(0, sample_sd, (LAUNCHES, INFERENCES))
        logs += np.log(1.2) * (generator.random(logs.shape) < slow)
        samples += [a_launch(case, n, a_round([int(t) for t in 1e6 * np.exp(row)])) for n, row in enumerate(logs)]
    return a_run(a_plan(*cases), *samples)


def uneven_in(analysis):
    return {caveat.subject for caveat in analysis.caveats if caveat.code == "uneven-latency"}


VARIANTS = [a_case(variant=f"v{number}") for number in (1, 2)]
NETWORKS = [a_case("mobilenet_v1_1.0_224", backend=name) for name in ("ort", "openvino")]


def analyses(share, cases, seed=0):
    """Return the analyses of many runs."""
    generator = np.random.default_rng(seed)
    return [analyse(run_with_slow_mode(share, generator, cases)) for _ in range(RUNS)]


@pytest.mark.parametrize(("share", "shift_pct"), [(0.1, 0.3), (0.3, 0.6)])
def test_the_typical_ratio_does_not_show_a_mode_in_which_some_inferences_are_slow(share, shift_pct):
    ratios = [found.between_backends[0].ratio.value for found in analyses(share, NETWORKS)]
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(1.0, abs=shift_pct / 100)


def test_a_case_that_is_slow_in_three_of_ten_inferences_is_named_always():
    """The mean lies 5 % above that of the other runtime."""
    found = [uneven_in(each) for each in analyses(0.3, NETWORKS)]
    assert sum(names == {NETWORKS[1].id} for names in found) >= 0.98 * RUNS


def test_between_runtimes_a_mean_of_two_per_cent_more_is_not_named():
    """One of ten inferences is slow: neighbours do as much to one runtime and not to the other."""
    found = [uneven_in(each) for each in analyses(0.1, NETWORKS)]
    assert sum(map(bool, found)) <= 0.05 * RUNS


@pytest.mark.parametrize(("share", "named"), [(0.0, (0.0, 0.02)), (0.1, (0.95, 1.0)), (0.3, (0.98, 1.0))])
def test_between_variants_of_one_case_one_slow_inference_in_ten_is_named_and_equal_ones_are_not(share, named):
    generator = np.random.default_rng(1)
    found = []
    for _ in range(RUNS):
        run = run_with_slow_mode(share, generator, VARIANTS)
        launches = {case.id: [s for s in run.samples if s.case == case] for case in VARIANTS}
        found.append({caveat.subject for caveat in uneven([(VARIANTS[1], VARIANTS[0])], launches)})
    assert named[0] <= np.mean([names == {VARIANTS[1].id} for names in found]) <= named[1]
    assert sum(VARIANTS[0].id in names for names in found) <= 0.02 * RUNS


def test_equal_cases_are_not_named():
    found = [uneven_in(each) for each in analyses(0.0, NETWORKS)]
    assert sum(map(bool, found)) <= 0.02 * RUNS


def test_a_slow_mode_takes_no_verdict_away_from_what_the_typical_latencies_say():
    assert all(each.between_backends[0].verdict is not Verdict.TOO_NOISY for each in analyses(0.3, NETWORKS)[:10])
