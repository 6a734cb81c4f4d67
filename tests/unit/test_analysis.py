import math

import numpy as np
import pytest

from mnbench.records import LaunchFailure, Verdict
from mnbench.stats import analyse
from mnbench.stats.analysis import compare_pairs, decide, next_run, within_blocks
from mnbench.stats.intervals import mean_of
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run

V2, V1 = a_case(), a_case("mobilenet_v1_1.0_224")
V2_OV = a_case(backend="openvino")


def launches(case, medians_ns, **changes):
    return [a_launch(case, n, a_round([median] * 3), **changes) for n, median in enumerate(medians_ns)]


def test_the_ratio_is_paired_by_launch_so_common_drift_cancels():
    drift = [1.0, 1.3, 0.8, 1.1]
    run = a_run(
        a_plan(V2, V1),
        *launches(V2, [int(1e6 * d) for d in drift]),
        *launches(V1, [int(1.5e6 * d) for d in drift]),
    )
    (_, v1) = analyse(run).results
    assert v1.vs_baseline is not None
    assert v1.vs_baseline.ratio is not None
    assert v1.vs_baseline.ratio.value == pytest.approx(1.5)
    assert v1.vs_baseline.ratio.half_width_pct < 0.01
    assert v1.vs_baseline.verdict is Verdict.SLOWER
    assert v1.latency_ns is not None
    assert v1.latency_ns.half_width_pct > 10


def test_pooled_samples_do_not_narrow_the_interval():
    few = a_run(a_plan(V2), *(a_launch(V2, n, a_round([m])) for n, m in enumerate([100, 104, 98])))
    many = a_run(a_plan(V2), *(a_launch(V2, n, a_round([m] * 1000)) for n, m in enumerate([100, 104, 98])))
    assert analyse(few).results[0].latency_ns == analyse(many).results[0].latency_ns


def test_the_latency_of_a_launch_is_the_median_of_the_inferences_of_all_its_rounds():
    rounds = (a_round([100, 100, 900]), a_round([400], order=1, index=1))
    run = a_run(a_plan(V2), *(a_launch(V2, n, *rounds) for n in range(3)))
    estimate = analyse(run).results[0].latency_ns
    assert estimate is not None
    assert estimate.value == pytest.approx(250)


def test_a_ratio_compares_the_lower_quartiles_of_launches():
    """By medians the two would be equal, by means V1 would be faster."""
    v1, v2 = a_round([100, 200, 300, 400, 500]), a_round([100, 150, 300, 400, 2000])
    run = a_run(a_plan(V2, V1), *(a_launch(c, n, r) for c, r in ((V2, v2), (V1, v1)) for n in range(3)))
    assert analyse(run).results[1].vs_baseline.ratio.value == pytest.approx(200 / 150)


def test_disturbed_rounds_are_left_out_and_told():
    good, bad = a_round([100]), a_round([900], order=1, disturbances=("steal",))
    run = a_run(a_plan(V2), a_launch(V2, 0, good, bad), a_launch(V2, 1, good), a_launch(V2, 2, good))
    analysis = analyse(run)
    assert analysis.results[0].latency_ns is not None
    assert analysis.results[0].latency_ns.value == pytest.approx(100)
    assert "1 of 4 rounds" in next(c for c in analysis.caveats if c.code == "disturbed-rounds").observed


def test_a_single_launch_has_no_interval_no_verdict_and_a_caveat():
    run = a_run(a_plan(V2, V1), *launches(V2, [100]), *launches(V1, [200]))
    analysis = analyse(run)
    assert all(result.latency_ns is None for result in analysis.results)
    assert analysis.results[1].vs_baseline is not None
    assert analysis.results[1].vs_baseline.verdict is Verdict.INCONCLUSIVE
    assert {caveat.code for caveat in analysis.caveats} == {"few-launches"}


def test_each_backend_is_compared_with_the_first_one_named():
    run = a_run(a_plan(V2, V2_OV), *launches(V2, [100, 101, 102]), *launches(V2_OV, [50, 51, 52]))
    (comparison,) = analyse(run).between_backends
    assert (comparison.case, comparison.baseline) == (V2_OV, V2)
    assert comparison.verdict is Verdict.FASTER


def test_the_baseline_of_a_case_is_in_its_own_backend():
    run = a_run(a_plan(V2, V2_OV, V1), *launches(V2, [100, 101]), *launches(V1, [200, 202]))
    results = {result.case: result for result in analyse(run).results}
    assert results[V2].vs_baseline is None
    assert results[V2_OV].vs_baseline is None
    assert results[V1].vs_baseline.baseline == V2


def test_only_launches_that_both_have_are_paired():
    run = a_run(a_plan(V2, V1), *launches(V2, [100] * 4), *launches(V1, [200, 210, 220]))
    ratio = analyse(run).results[1].vs_baseline.ratio
    assert ratio.value == pytest.approx((2.0 * 2.1 * 2.2) ** (1 / 3))


def test_a_failed_launch_becomes_a_caveat_with_its_reason():
    failure = LaunchFailure(case=V2, launch=0, reason="the worker was killed by SIGKILL.")
    analysis = analyse(a_run(a_plan(V2), failures=(failure,)))
    assert "SIGKILL" in next(c for c in analysis.caveats if c.code == "launch-failed").observed


@pytest.mark.parametrize(
    ("logs", "p_different", "p_equivalent", "verdict"),
    [
        ([0.001, 0.0012, 0.0009], 1e-6, 1e-4, Verdict.EQUIVALENT),  # certain, and too small to matter
        ([0.001, 0.0012, 0.0009], 0.2, 0.06, Verdict.INCONCLUSIVE),  # not after the correction
        ([0.001, 0.0012, 0.0009], 0.01, 0.06, Verdict.SLOWER),
        ([0.20, 0.21, 0.19], 0.001, 1.0, Verdict.SLOWER),
        ([-0.20, -0.21, -0.19], 0.001, 1.0, Verdict.FASTER),
        ([0.20, 0.21, 0.19], 0.2, 1.0, Verdict.INCONCLUSIVE),  # not after the correction
        ([0.3, -0.3, 0.1], 0.9, 1.0, Verdict.INCONCLUSIVE),
    ],
)
def test_the_verdict_follows_from_the_corrected_p_values_and_the_mean(logs, p_different, p_equivalent, verdict):
    assert decide(mean_of(logs), p_different, p_equivalent, a_plan(V2)) is verdict


def test_equivalence_is_corrected_for_the_number_of_comparisons():
    """Alone its interval, [-1.79, 1.95] %, lies within ±2 %."""
    others = [a_case(f"network {number}") for number in range(9)]
    logs = {V2.id: dict.fromkeys(range(5), 0.0), V1.id: dict(enumerate([0.015, -0.015, 0.015, -0.015, 0.003]))}
    logs |= {case.id: {n: 0.5 * (-1) ** n for n in range(5)} for case in others}
    pairs = [(case, V2) for case in (V1, *others)]
    plan = a_plan(V2, V1, *others)
    assert compare_pairs(pairs[:1], logs, plan)[0].verdict is Verdict.EQUIVALENT
    assert compare_pairs(pairs, logs, plan)[0].verdict is Verdict.INCONCLUSIVE


def test_cold_rounds_are_a_figure_of_their_own():
    cold = a_round([300, 310, 320], order=1, index=1, regime="cold")
    run = a_run(a_plan(V2), *(a_launch(V2, n, a_round([100]), cold) for n in range(3)))
    (result,) = analyse(run).results
    assert result.latency_ns.value == pytest.approx(100)
    assert result.cold_ns.value == pytest.approx(310)
    assert result.samples == 3


def test_first_and_load_times_are_estimated_over_launches_only_when_asked_for():
    launched = [a_launch(V2, n, a_round([100]), first_ns=1000 + n, load_ns=10**8) for n in range(3)]
    (plain,) = analyse(a_run(a_plan(V2), *launched)).results
    (asked,) = analyse(a_run(a_plan(V2, regimes=("steady", "first", "load")), *launched)).results
    assert (plain.first_ns, plain.load_ns) == (None, None)
    assert asked.first_ns.value == pytest.approx(1001, rel=1e-3)
    assert asked.load_ns.value == pytest.approx(1e8)


def test_a_launch_that_failed_later_gives_no_figure():
    failure = LaunchFailure(case=V2, launch=1, reason="a thread may run on CPUs [0], not on [1] as requested.")
    run = a_run(a_plan(V2), *launches(V2, [100, 900, 100, 100]), failures=(failure,))
    (result,) = analyse(run).results
    assert result.launches == 3
    assert result.latency_ns.value == pytest.approx(100)


def test_percentiles_are_those_the_plan_asks_for():
    launched = [a_launch(V2, n, a_round(range(100, 300))) for n in range(10)]
    (plain,) = analyse(a_run(a_plan(V2), *launched)).results
    (asked,) = analyse(a_run(a_plan(V2, percentiles=(50.0,)), *launched)).results
    assert (plain.percentiles[90.0].value, plain.percentiles[99.0].value) == (279, 297)
    assert list(asked.percentiles) == [50.0]


def test_percentiles_hold_the_disturbed_rounds_of_trusted_launches_and_no_cold_ones():
    """A quarter of the launches had a disturbed round, half of their inferences: the slowest tenth of all is in it."""
    good, bad = a_round([100] * 60), a_round([900] * 60, order=1, index=0, disturbances=("steal",))
    cold = a_round([5000] * 60, order=2, index=2, regime="cold")
    launched = [a_launch(V2, n, bad if n < 6 else good, good, cold) for n in range(24)]
    failure = LaunchFailure(case=V2, launch=24, reason="a thread may run on CPUs [0], not on [1] as requested.")
    run = a_run(a_plan(V2), *launched, a_launch(V2, 24, a_round([9000] * 900)), failures=(failure,))
    (result,) = analyse(run).results
    assert result.latency_ns.value == pytest.approx(100)
    assert result.percentiles[90.0].value == 900


COLD = a_round([300, 310, 320], order=2, index=2, regime="cold")


def result_with(*rounds):
    """The result of twelve launches of these rounds, with every regime asked for, and the codes of the caveats."""
    plan = a_plan(V2, regimes=("steady", "cold", "first", "load"))
    analysis = analyse(a_run(plan, *(a_launch(V2, n, *rounds) for n in range(12))))
    return analysis.results[0], {caveat.code for caveat in analysis.caveats}


def test_of_a_case_that_is_too_noisy_only_the_steady_latency_is_shown():
    result, codes = result_with(a_round([100] * 700), a_round([100], order=1, index=1, disturbances=("steal",)), COLD)
    assert codes == {"too-noisy"}
    assert result.latency_ns is not None
    assert (*result.percentiles.values(), result.cold_ns, result.first_ns, result.load_ns) == (None,) * 5


def test_cold_is_judged_by_its_own_rounds():
    bad = a_round([900], order=3, index=3, regime="cold", disturbances=("steal",))
    steady = [a_round([100] * 700, order=n, index=n) for n in range(2)]
    result, codes = result_with(*steady, COLD, bad)
    assert codes == {"disturbed-rounds", "cold-too-noisy"}
    assert result.cold_ns is None
    assert None not in (result.percentiles[90.0], result.first_ns, result.load_ns)
    result, _ = result_with(*steady, COLD)
    assert result.cold_ns.value == pytest.approx(310)


def codes_of(run):
    return {caveat.code for caveat in analyse(run).caveats}


def test_a_case_whose_inferences_still_become_faster_in_the_timed_part_is_named():
    def run_of(first_ns):
        rounds = (a_launch(V2, n, a_round([first_ns + n] * 10 + [1000 + n] * 10)) for n in range(6))
        return a_run(a_plan(V2), *rounds)

    assert "not-settled" in codes_of(run_of(1100))
    assert "not-settled" not in codes_of(run_of(1010))


def test_a_run_whose_neighbouring_waves_are_alike_is_called_drifting_and_has_no_percentiles():
    def run_of(waves):
        return a_run(a_plan(V2), *(a_launch(V2, n, a_round([1000 + 20 * step] * 40)) for n, step in enumerate(waves)))

    rising, shaken = range(12), [0, 7, 2, 9, 4, 11, 1, 8, 3, 10, 5, 6]
    assert "drifting-machine" in codes_of(run_of(rising))
    assert "drifting-machine" not in codes_of(run_of(shaken))
    (drifting,) = analyse(run_of(rising)).results
    assert set(drifting.percentiles.values()) == {None}


def test_the_next_runs_ratio_is_predicted_from_the_means_of_blocks():
    """Three blocks with mean log ratios of 0, 0.02 and 0.04: 0.02 ± t(0.975, 2) · 0.02 · sqrt(4 / 3)."""
    from scipy.stats import t

    logs = {n: 0.02 * (n // 4) + 0.001 * (-1) ** n for n in range(12)}
    blocks = {n: n // 4 for n in range(12)}
    found = next_run(logs, blocks, 0.95)
    reach = t.ppf(0.975, 2) * 0.02 * math.sqrt(4 / 3)
    assert found.value == pytest.approx(math.exp(0.02))
    assert math.log(found.high / found.value) == pytest.approx(reach)
    assert next_run(logs, {n: n // 6 for n in range(12)}, 0.95) is None
    assert next_run(logs, {}, 0.95) is None


def test_blocks_of_a_run_reach_its_comparisons_and_a_run_in_one_block_predicts_nothing():
    def ratio_of(block_of):
        pairs = [
            a_launch(case, n, a_round([ns + n] * 3), block=block_of(n))
            for n in range(9)
            for case, ns in ((V2, 1000), (V1, 1500))
        ]
        return analyse(a_run(a_plan(V2, V1), *pairs)).results[1].vs_baseline

    assert ratio_of(lambda n: n // 3).next_run.value == pytest.approx(1.5, rel=0.01)
    assert ratio_of(lambda n: 0).next_run is None


def test_the_harness_is_no_part_of_what_the_machine_did_to_all_cases():
    """Its first launch takes twice as long: the latency of the network must not notice."""
    null = a_case("none", "null")
    network = launches(V2, [100, 101, 99, 100, 102, 98, 100, 101])
    alone = analyse(a_run(a_plan(V2, null), *network))
    beside = analyse(a_run(a_plan(V2, null), *network, *launches(null, [20, 10, 10])))
    assert beside.results[0].latency_ns == alone.results[0].latency_ns


BLOCKS = {wave: wave // 6 for wave in range(24)}


def test_what_lies_between_blocks_is_no_drift_of_the_waves_within_them():
    """Four blocks at four speeds, 10 % apart; within them the waves alternate by 1 %."""
    levels_ns = [round(1e6 * (1 + 0.1 * BLOCKS[wave]) * (1.01 if wave % 2 else 1.0)) for wave in range(24)]

    def run_of(blocks):
        samples = [a_launch(case, w, a_round([ns] * 3), block=blocks[w]) for case in (V2, V1) for w, ns in enumerate(levels_ns)]
        return a_run(a_plan(V2, V1, blocks=4, over_s=60.0, percentiles=(50.0,)), *samples)

    apart, joined = analyse(run_of(BLOCKS)), analyse(run_of(dict.fromkeys(BLOCKS, 0)))
    assert "drifting-machine" not in {caveat.code for caveat in apart.caveats}
    assert "drifting-machine" in {caveat.code for caveat in joined.caveats}
    assert apart.results[0].percentiles[50.0] is not None
    assert joined.results[0].percentiles[50.0] is None
    assert apart.results[0].latency_ns.value == pytest.approx(joined.results[0].latency_ns.value)
    assert apart.results[0].latency_ns.half_width_pct < 1.5 < joined.results[0].latency_ns.half_width_pct


def test_within_blocks_the_scatter_is_the_one_way_analysis_of_variance_s():
    generator = np.random.default_rng(0)
    common = {wave: float(value) for wave, value in enumerate(generator.normal(size=24))}
    within = np.array(list(within_blocks(common, BLOCKS).values()))
    by_block = np.array(list(common.values())).reshape(4, 6)
    mean_square = ((by_block - by_block.mean(axis=1, keepdims=True)) ** 2).sum() / (24 - 4)
    assert np.var(within, ddof=1) == pytest.approx(mean_square)
    assert within_blocks(common, dict.fromkeys(common, 0)) == common


@pytest.mark.parametrize(("made", "told"), [(2, True), (3, False)])
def test_too_few_blocks_for_a_prediction_are_told(made, told):
    samples = [a_launch(case, n, a_round([100 + n] * 3), block=n % made) for case in (V2, V1) for n in range(6)]
    analysis = analyse(a_run(a_plan(V2, V1, blocks=4, over_s=60.0), *samples))
    assert ("few-blocks" in {caveat.code for caveat in analysis.caveats}) is told
    assert (analysis.results[1].vs_baseline.next_run is None) is told


@pytest.mark.parametrize(("ran", "told"), [((1, 1, 1), True), ((1, 2, 1), False)])
def test_fewer_threads_than_were_asked_for_are_told(ran, told):
    case = a_case(threads=2)
    found = analyse(
        a_run(a_plan(case), *(a_launch(case, n, a_round([100] * 3, busy_threads=busy)) for n, busy in enumerate(ran)))
    )
    caveats = [caveat for caveat in found.caveats if caveat.code == "fewer-threads"]
    assert bool(caveats) is told
    assert not told or "2 threads were asked for, and no more than 1 ran in any round" in caveats[0].observed
