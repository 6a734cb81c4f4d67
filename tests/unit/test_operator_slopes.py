"""Which launches the times of operators rest on: the reference workload judges, and only without it their latency."""

import math
from dataclasses import replace

import pytest

from mnbench.records import Case
from mnbench.studies.common.operator_slopes import NOT_MEASURED, TOO_FEW, Key, Times, single_of
from mnbench.studies.separable import operator_times
from mnbench.studies.separable.grid import V1_LAYERS, copies_of
from tests.separable_runs import TAIL_NS, made_up


def test_a_round_beside_which_the_workload_ran_at_another_speed_is_left_out_whatever_it_took():
    operator = V1_LAYERS[1][0]
    graph = Case(model=replace(operator, copies=max(copies_of(operator, 1))).name, backend="ort")
    run = made_up(disturbed=lambda case, launch: (case, launch) == (graph, 1))
    found = operator_times(run)
    assert sorted(found.latencies[graph]) == [0, 2, 3]
    assert sorted(found.time(Key(operator=operator, backend="ort")).slopes_ns) == [0, 2, 3]
    assert found.disturbed() == (1, len(run.samples))


def test_no_launch_is_left_out_for_its_own_latency():
    slow = Case(model=single_of(V1_LAYERS[1][0]).name, backend="ort")
    run = made_up(change=lambda case, launch, ns: ns * (1.6 if case == slow and launch == 2 else 1.0))
    assert sorted(operator_times(run).latencies[slow]) == [0, 1, 2, 3]


def test_tails_are_subtracted_only_for_a_study_that_asks_for_it():
    run = made_up()
    plain, asked = Times(run), operator_times(run)
    strided, chained = V1_LAYERS[3][0], V1_LAYERS[4][0]
    assert plain.logs(chained, "ort") == asked.time(Key(operator=chained, backend="ort")).logs
    with_tail = math.exp(plain.logs(strided, "ort")[0])
    assert with_tail - asked.time(Key(operator=strided, backend="ort")).slopes_ns[0] == pytest.approx(TAIL_NS, rel=1e-2)


def test_a_graph_of_one_operator_is_judged_by_the_rule_that_its_chains_are():
    operator = V1_LAYERS[1][0]
    single = Case(model=single_of(operator).name, backend="ort")
    run = made_up(disturbed=lambda case, launch: case == single and launch == 2)
    assert sorted(operator_times(run).single(Key(operator=operator, backend="ort"))) == [0, 1, 3]


def test_a_line_whose_launches_were_left_out_is_not_called_unmeasured():
    operator = V1_LAYERS[1][0]
    key = Key(operator=operator, backend="ort")
    longest = replace(operator, copies=max(copies_of(operator, 1))).name
    few = made_up(disturbed=lambda case, launch: case.model == longest and launch > 1)
    assert operator_times(few).time(key).refused == TOO_FEW
    unmeasured = made_up(keep=lambda case: case.model != longest)
    assert operator_times(unmeasured).time(key).refused == NOT_MEASURED
    disturbed = made_up(disturbed=lambda case, launch: case.model == longest)
    assert operator_times(disturbed).time(key).refused == TOO_FEW
