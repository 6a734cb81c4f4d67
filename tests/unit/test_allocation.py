"""Which cases need another wave, from made-up launches."""

import math
from dataclasses import replace

from mnbench.measure.allocation import unfinished
from tests.conftest import a_case, a_launch, a_plan, a_round

V2, V1, NASNET = a_case(), a_case("mobilenet_v1_1.0_224"), a_case("nasnet_a_mobile_224")
MS = 1_000_000


def launches(case, logs, stream=None):
    """One launch for each log of milliseconds; `stream` has the log of the reference stream's time beside each."""
    return [
        a_launch(case, n, a_round(
            [round(MS * math.exp(log))] * 3, **({"stream_before_ns": round(MS * math.exp(stream[n]))} if stream else {})))
        for n, log in enumerate(logs)
    ]  # fmt: skip


def alternating(spread, n=8, level=0.0):
    return [level + spread * (-1) ** launch for launch in range(n)]


def test_without_a_target_every_case_goes_on():
    assert unfinished(a_plan(V2, V1), (), 2) == [V2, V1]


def test_a_case_whose_ratio_is_narrow_enough_stops_and_the_others_keep_their_baseline():
    plan = a_plan(V2, V1, NASNET, target_ci_pct=1.0)
    steady = [*launches(V2, alternating(0.0)), *launches(V1, alternating(0.001, level=0.4))]
    assert unfinished(plan, [*steady, *launches(NASNET, alternating(0.05, level=0.9))], 2) == [V2, NASNET]


def test_a_significant_difference_is_no_reason_to_stop():
    plan = a_plan(V2, V1, target_ci_pct=1.0)
    found = [*launches(V2, alternating(0.0)), *launches(V1, alternating(0.05, level=2.0))]
    assert unfinished(plan, found, 2) == [V2, V1]


def test_no_case_stops_before_eight_launches():
    plan = a_plan(V2, V1, target_ci_pct=1.0)
    both = [[*launches(V2, alternating(0.0, n)), *launches(V1, alternating(0.001, n))] for n in (7, 8)]
    assert [unfinished(plan, found, 2) for found in both] == [[V2, V1], []]


def test_a_case_that_is_compared_with_nothing_stops_on_its_latency():
    plan = a_plan(V2, target_ci_pct=1.0)
    assert unfinished(plan, launches(V2, alternating(0.001)), 2) == []
    assert unfinished(plan, launches(V2, alternating(0.1)), 2) == [V2]


def test_a_ratio_that_follows_the_memory_stops_as_soon_as_what_the_stream_explains_is_known():
    """Its launches spread by 4 %, nearly all of it with the stream: at one speed of the memory they agree within 0.1 %."""
    plan = a_plan(V2, V1, target_ci_pct=1.0)
    stream = [0.1 * (n >= 6) + 0.001 * (n % 3) for n in range(12)]
    follows = [0.4 * stream[n] + 0.001 * (n % 2) for n in range(12)]
    still = alternating(0.0, 12)
    assert unfinished(plan, [*launches(V2, still, stream), *launches(V1, follows, stream)], 2) == []
    assert unfinished(plan, [*launches(V2, still), *launches(V1, follows)], 2) == [V2, V1]


def test_beside_a_steady_load_rounds_count_as_the_analysis_counts_them():
    """All rounds were made beside one busy CPU of two: that is the run's condition, and none is left out."""
    plan = a_plan(V2, V1, target_ci_pct=1.0)
    found = [*launches(V2, alternating(0.0)), *launches(V1, alternating(0.001))]
    busy = {"wall_ns": 100 * MS, "other_cpus_ns": 100 * MS, "disturbances": ("load on other CPUs",)}
    beside = [replace(s, rounds=tuple(replace(r, **busy) for r in s.rounds)) for s in found]
    assert unfinished(plan, beside, 2) == []
    assert unfinished(replace(plan, quiet_only=True), beside, 2) == [V2, V1]
