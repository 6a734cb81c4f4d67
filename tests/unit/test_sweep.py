import itertools

from mnbench.measure.sweep import order_of_sweep
from tests.conftest import a_case, a_plan

CASES = [a_case(f"network {number}") for number in range(7)]
PLAN = a_plan(*CASES, sweep=True)


def orders(launches=8):
    return [order_of_sweep(PLAN, launch) for launch in range(launches)]


def test_every_launch_visits_every_case_once():
    assert all(sorted(order, key=CASES.index) == CASES for order in orders())


def test_neighbours_of_the_plan_stand_side_by_side_in_every_launch_but_for_the_turn():
    for order in orders():
        places = [CASES.index(case) for case in order]
        steps = [abs(b - a) for a, b in itertools.pairwise(places)]
        assert sorted(steps)[:-1] == [1] * 5
        assert sorted(steps)[-1] in (1, 6)


def test_the_direction_alternates_so_that_drift_favours_no_neighbour():
    for launch, order in enumerate(orders()):
        steps = [order.index(CASES[n + 1]) - order.index(CASES[n]) for n in range(6)]
        assert steps.count((-1) ** launch) >= 5  # all but the pair that the turn divides


def test_launches_begin_at_different_cases():
    assert len({order[0].model for order in orders(4)}) == 4
