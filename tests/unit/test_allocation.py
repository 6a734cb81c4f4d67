import math

import numpy as np
import pytest

from mnbench.measure.allocation import rounds_worth, unfinished
from tests.conftest import a_case, a_plan

V2, V1, NASNET = a_case(), a_case("mobilenet_v1_1.0_224"), a_case("nasnet_a_mobile_224")


def launches(spread, n=5, level=0.0):
    """Launch means that alternate by ±spread around a level."""
    return {launch: [level + spread * (-1) ** launch] for launch in range(n)}


def test_without_a_target_every_case_goes_on():
    assert unfinished(a_plan(V2, V1), {}) == [V2, V1]


def test_a_case_whose_ratio_is_narrow_enough_stops_and_the_others_keep_their_baseline():
    plan = a_plan(V2, V1, NASNET, target_ci_pct=1.0)
    rounds = {V2.id: launches(0.0), V1.id: launches(0.001, level=0.4), NASNET.id: launches(0.05, level=0.9)}
    assert unfinished(plan, rounds) == [V2, NASNET]


def test_a_significant_difference_is_no_reason_to_stop():
    plan = a_plan(V2, V1, target_ci_pct=1.0)
    assert unfinished(plan, {V2.id: launches(0.0), V1.id: launches(0.05, level=9.0)}) == [V2, V1]


def test_no_case_stops_before_five_launches():
    plan = a_plan(V2, V1, target_ci_pct=1.0)
    assert unfinished(plan, {V2.id: launches(0.0, n=4), V1.id: launches(0.0, n=4)}) == [V2, V1]


def test_all_stop_when_every_interval_is_narrow_enough():
    plan = a_plan(V2, V1, target_ci_pct=1.0)
    assert unfinished(plan, {V2.id: launches(0.0), V1.id: launches(0.001)}) == []


def test_a_case_that_is_compared_with_nothing_stops_on_its_latency():
    plan = a_plan(V2, target_ci_pct=1.0)
    assert unfinished(plan, {V2.id: launches(0.001)}) == []
    assert unfinished(plan, {V2.id: launches(0.1)}) == [V2]


def test_the_rounds_of_a_launch_follow_the_closed_form():
    generator = np.random.default_rng(0)
    launch_sd, round_sd, start_s, round_s = 0.01, 0.03, 0.6, 0.3
    rounds = {n: list(generator.normal(0, launch_sd) + generator.normal(0, round_sd, size=6)) for n in range(4000)}
    best = math.sqrt(start_s / round_s) * round_sd / launch_sd
    assert rounds_worth(rounds, start_s, round_s, default=2) == pytest.approx(best, abs=0.5)


def test_a_case_whose_launches_differ_and_rounds_agree_gets_one_round():
    rounds = {n: [0.1 * (n % 2), 0.1 * (n % 2) + 1e-4] for n in range(8)}
    assert rounds_worth(rounds, 0.6, 0.3, default=2) == 1


def test_with_little_to_go_by_the_default_stands():
    assert rounds_worth({0: [0.0, 0.1]}, 0.6, 0.3, default=2) == 2


def test_drift_of_the_memory_keeps_a_case_going_until_its_slope_is_known_and_beyond_where_it_is_felt():
    """Launches to within 0.1 % of each other, but that one follows the stream, which steps by 10 %."""
    plan = a_plan(V2, V1, NASNET, target_ci_pct=1.0)
    stream = {n: 0.1 * (n >= 6) + 0.001 * (n % 3) for n in range(12)}
    follows = {n: [0.3 * stream[n] + 0.0002 * (n % 2)] for n in range(12)}
    steady = {n: [0.4 + 0.0002 * (n % 2)] for n in range(12)}
    other = {n: [0.9 + 0.0002 * (n % 3)] for n in range(12)}
    rounds = {V2.id: steady, V1.id: other, NASNET.id: follows}
    assert unfinished(plan, rounds, stream) == [V2, NASNET]
    few = {case: {n: logs for n, logs in found.items() if n < 11} for case, found in rounds.items()}
    assert unfinished(plan, few, stream) == [V2, V1, NASNET]
    assert V1 not in unfinished(plan, few)


def test_drift_widens_the_latency_that_a_case_alone_stops_on():
    stream = {n: 0.1 * (n >= 6) + 0.001 * (n % 3) for n in range(12)}
    plan = a_plan(V2, target_ci_pct=2.0)
    follows = {V2.id: {n: [0.3 * stream[n]] for n in range(12)}}
    assert unfinished(plan, follows) == []
    assert unfinished(plan, follows, stream) == [V2]
