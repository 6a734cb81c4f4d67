"""Which launches the times of operators rest on: the reference workload judges, and only without it their latency."""

import math
from dataclasses import replace

import pytest

from mnbench.catalog.operators import parse
from mnbench.records import Case
from mnbench.studies._operator_slopes import NOT_MEASURED, TOO_FEW, Key, Times, single_of
from mnbench.studies._separable_grid import V1_LAYERS, copies_of
from mnbench.studies.separable import operator_times
from tests.separable_runs import TAIL_NS, made_up

WORKLOAD = {"workload_before_ns": 70_000, "workload_after_ns": 70_500}


def with_rounds(run, changes_of):
    """Return the run with the fields that `changes_of(samples)` names changed in each of its rounds."""
    samples = [replace(s, rounds=tuple(replace(r, **changes_of(s)) for r in s.rounds)) for s in run.samples]
    return replace(run, samples=tuple(samples))


def stray_run():
    """Return a run, and the graph of it whose launch 2 took 1.6 times as long."""
    operator = V1_LAYERS[1][0]
    stray = Case(model=replace(operator, copies=max(copies_of(operator, 1))).name, backend="ort")
    return made_up(change=lambda case, launch, ns: ns * (1.6 if case == stray and launch == 2 else 1.0)), stray


def test_a_launch_is_left_out_for_its_latency_only_where_no_reference_workload_judged_the_rounds():
    unread, stray = stray_run()
    assert sorted(operator_times(unread).latencies[stray]) == [0, 1, 3]
    found = operator_times(with_rounds(unread, lambda _: WORKLOAD))
    assert sorted(found.latencies[stray]) == [0, 1, 2, 3]
    assert found.left_out()[0] == 0
    operator = replace(parse(stray.model), copies=1)
    assert sorted(found.time(Key(operator=operator, backend="ort")).slopes_ns) == [0, 1, 2, 3]


def test_a_round_beside_which_the_workload_ran_at_another_speed_is_left_out_whatever_it_took():
    quiet, stray = made_up(), stray_run()[1]

    def marked(samples):
        hit = (samples.case, samples.launch) == (stray, 1)
        return {**WORKLOAD, "disturbances": ("changed CPU speed",)} if hit else WORKLOAD

    found = operator_times(with_rounds(quiet, marked))
    assert sorted(found.latencies[stray]) == [0, 2, 3]
    assert found.disturbed() == (1, len(quiet.samples))


def test_strays_are_left_out_and_tails_subtracted_only_for_a_study_that_asks_for_it():
    unread, stray = stray_run()
    plain, asked = Times(unread), operator_times(unread)
    assert plain.left_out()[0] == 0
    assert sorted(plain.latencies[stray]) == [0, 1, 2, 3]
    strided, chained = V1_LAYERS[3][0], V1_LAYERS[4][0]
    assert plain.logs(chained, "ort") == asked.time(Key(operator=chained, backend="ort")).logs
    with_tail = math.exp(plain.logs(strided, "ort")[0])
    assert with_tail - asked.time(Key(operator=strided, backend="ort")).slopes_ns[0] == pytest.approx(TAIL_NS, rel=1e-2)


def test_a_graph_of_one_operator_is_judged_by_the_rule_that_its_chains_are():
    operator = V1_LAYERS[1][0]
    key = Key(operator=operator, backend="ort")
    single = Case(model=single_of(operator).name, backend="ort")
    unread = made_up(change=lambda case, launch, ns: ns * (1.6 if case == single and launch == 2 else 1.0))
    assert sorted(operator_times(unread).single(key)) == [0, 1, 3]
    assert sorted(operator_times(with_rounds(unread, lambda _: WORKLOAD)).single(key)) == [0, 1, 2, 3]


def test_a_line_whose_launches_were_left_out_is_not_called_unmeasured():
    operator = V1_LAYERS[1][0]
    key = Key(operator=operator, backend="ort")
    longest = replace(operator, copies=max(copies_of(operator, 1))).name
    strays = made_up(change=lambda case, launch, ns: ns * (1.6 if case.model == longest and launch > 1 else 1.0))
    assert operator_times(strays).time(key).refused == TOO_FEW
    unmeasured = made_up(keep=lambda case: case.model != longest)
    assert operator_times(unmeasured).time(key).refused == NOT_MEASURED
    disturbed = with_rounds(made_up(), lambda s: {"disturbances": ("not settled",)} if s.case.model == longest else {})
    assert operator_times(disturbed).time(key).refused == TOO_FEW
