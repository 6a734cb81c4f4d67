"""Oracles: scipy's rank test and binomial interval, and launches whose difference is known."""

import io

import numpy as np
import pytest
from rich.console import Console
from scipy import stats as oracle

from mnbench.commands.selftest import SelfTest, judge, sentence
from mnbench.errors import UsageError
from mnbench.measure.planted import SlowedSession
from mnbench.records import Caveat
from mnbench.report.selftest_text import render
from mnbench.stats.selftest import Power, evaluate, noisy_cases, rank_test_p, wilson
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run


def copies(*variants):
    return [a_case(variant=variant) for variant in variants]


def a_selftest(cases, waves, latency_ns):
    """A run in which `latency_ns(case, wave)` gives the latency of each launch."""
    launches = (a_launch(case, wave, a_round([int(latency_ns(case, wave))] * 30)) for wave in range(waves) for case in cases)
    return a_run(a_plan(*cases), *launches, measuring_s=60.0)


def judged(waves, launch_sd, cases, seed=0):
    generator = np.random.default_rng(seed)
    planted = {case.id: case.planted_pct for case in cases}

    def latency_ns(case, wave):
        return 5e6 * (1 + planted[case.id] / 100) * np.exp(generator.normal(0, launch_sd))

    return evaluate(a_selftest(cases, waves, latency_ns))


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (3, 60), (20, 20), (1, 1)])
def test_a_rate_has_wilsons_interval(hits, trials):
    theirs = oracle.binomtest(hits, trials).proportion_ci(method="wilson")
    ours = wilson(hits, trials)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_a_rate_without_trials_says_nothing():
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_the_rank_test_is_scipys():
    generator = np.random.default_rng(1)
    a, b = generator.integers(0, 50, 80).astype(float), generator.integers(5, 55, 70).astype(float)
    theirs = oracle.mannwhitneyu(a, b, method="asymptotic", use_continuity=False).pvalue
    assert rank_test_p(a, b) == pytest.approx(theirs, rel=0.01)  # scipy corrects the variance for ties


def test_copies_are_called_different_about_as_often_as_the_level_says():
    powers = judged(400, 0.01, copies("copy1", "copy2"))
    five = next(power for power in powers if power.launches == 5)
    assert five.false_positives.trials == 80
    assert five.false_positives.low <= 0.05 <= five.false_positives.high


def test_the_naive_method_calls_copies_different_nearly_always():
    generator = np.random.default_rng(3)
    cases = copies("copy1", "copy2")
    launches = []
    for wave in range(40):
        for case in cases:
            logs = generator.normal(0, 0.015) + generator.normal(0, 0.01, 200)
            launches.append(a_launch(case, wave, a_round((5e6 * np.exp(logs)).astype(int).tolist())))
    naive = evaluate(a_run(a_plan(*cases), *launches))[-1]
    assert naive.method == "naive"
    assert naive.false_positives.share > 0.8


def test_a_planted_slow_down_is_found_and_a_speed_up_would_not_count_as_found():
    powers = judged(100, 0.003, copies("copy1", "copy2", "slow3"))
    five = next(power for power in powers if power.launches == 5)
    assert five.found["3"].share > 0.95
    assert five.smallest_found_pct == 3.0
    generator = np.random.default_rng(5)
    cases = copies("copy1", "copy2", "slow3")

    def faster(case, wave):
        return 5e6 * (0.97 if case.variant == "slow3" else 1.0) * np.exp(generator.normal(0, 0.003))

    wrong = evaluate(a_selftest(cases, 50, faster))
    assert wrong[0].found["3"].share == 0.0


def test_a_few_lucky_trials_are_not_called_found():
    powers = judged(5, 0.0001, copies("copy1", "copy2", "slow5"))
    assert powers[0].found["5"].share == 1.0
    assert powers[0].smallest_found_pct is None
    assert "no planted difference was found" in sentence(tuple(powers))


def test_a_slow_down_counts_only_if_all_larger_ones_were_found():
    rate = {"1": wilson(20, 20), "3": wilson(5, 20), "5": wilson(20, 20)}
    power = Power(method="m", launches=5, seconds=9.4, false_positives=wilson(0, 20), found=rate)
    assert power.smallest_found_pct == 5.0
    assert sentence((power,)) == (
        "On this machine a difference of 5 % is resolved in 9 s: found in 20 of 20 trials (95 % interval 84 to 100 %);"
        " identical pairs called different: 0 of 20 trials (95 % interval 0 to 16 %)."
    )


@pytest.mark.parametrize(("wrong", "said"), [(5, True), (7, False)])
def test_nothing_is_said_to_be_resolved_where_copies_are_called_different_beyond_doubt(wrong, said):
    """Wilson's 95 % interval of 5 of 50 begins at 4.3 %, that of 7 of 50 at 7.0 %."""
    power = Power(method="m", launches=5, seconds=9.4, false_positives=wilson(wrong, 50), found={"5": wilson(20, 20)})
    assert ("is resolved in" in sentence((power,))) is said
    assert ("7 of 50 trials (95 % interval 7 to 26 %) were called different" in sentence((power,))) is not said


def test_a_case_that_is_too_noisy_takes_no_part_and_nothing_is_said_to_be_resolved():
    cases = copies("copy1", "copy2", "slow5")
    bad = a_round([10**6], order=1, index=1, disturbances=("steal",))
    launches = [
        a_launch(case, wave, a_round([5_000_000 + 1000 * wave]), *([bad] if case.variant == "copy2" else []))
        for wave in range(40) for case in cases
    ]  # fmt: skip
    run = a_run(a_plan(*cases), *launches, measuring_s=60.0)
    found = judge(run)
    assert [case.variant for case in noisy_cases(run)] == ["copy2"]
    assert found.powers[0].false_positives.trials == 0
    assert found.powers[0].found["5"].trials == 40 // 3
    assert found.sentence.startswith("On this machine it cannot be said what is resolved: too many rounds were disturbed (")
    assert cases[1].id in found.sentence


def test_the_table_shows_the_interval_of_every_rate_the_caveats_and_the_sentence():
    power = Power(method="m", launches=5, seconds=9.4, false_positives=wilson(0, 20), found={"5": wilson(19, 20)})
    caveat = Caveat(code="disturbed-rounds", subject="copy1", observed="1 of 9 rounds", advice="Stop other programs.")
    console = Console(file=io.StringIO(), width=100)
    render(SelfTest(run_id="r", powers=(power,), floor_ns=400.0, sentence="So it is.", caveats=(caveat,)), console)
    text = console.file.getvalue()
    for part in ("19/20", "[76, 99]", "0.0 % [0.0, 16.1]", "disturbed-rounds", "Stop other programs.", "So it is."):
        assert part in text


def test_a_run_that_is_too_short_judges_nothing():
    assert judged(2, 0.01, copies("copy1", "copy2")) == []


def test_a_slowed_session_is_busy_for_exactly_its_share(monkeypatch, clock, fake_session):
    """The clock moves by a nanosecond a reading, so that waiting for it ends."""

    def reading():
        clock.now_ns += 1
        return clock.now_ns

    monkeypatch.setattr("mnbench.measure.planted.time.perf_counter_ns", reading)
    SlowedSession(fake_session([1_000_000]), 5).run()
    assert clock.now_ns == pytest.approx(1_050_000, abs=5)


def test_the_share_of_a_variant_is_in_its_name():
    assert a_case(variant="slow2.5").planted_pct == 2.5
    assert a_case(variant="copy1").planted_pct == 0.0
    with pytest.raises(UsageError, match="more than the 100 %"):
        _ = a_case(variant="slow300").planted_pct
