"""Verdicts out of many cells are the same in every study."""

from __future__ import annotations

from itertools import product

import pytest

from mnbench.records import Estimate
from mnbench.records.study import Holds
from mnbench.studies.common import cell_verdicts as cells

YES, PARTLY, NO, OPEN = Holds.YES, Holds.PARTLY, Holds.NO, Holds.UNDECIDED


def estimate(low: float, high: float) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high, level=0.95, method="")


def test_a_cell_is_decided_only_when_its_whole_interval_is_on_one_side():
    assert cells.within(estimate(0.95, 1.05), 0.9, 1.1) is True
    assert cells.within(estimate(1.2, 1.3), 0.9, 1.1) is False
    assert cells.within(estimate(1.05, 1.3), 0.9, 1.1) is None
    assert cells.within(None, 0.9, 1.1) is None


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([True, True], YES),
        ([False, False], NO),
        ([False, None], OPEN),  # the open one may be the part in which it holds
        ([False, False, False, None], OPEN),
        ([True, None], OPEN),
        ([True, False], PARTLY),
        ([True, False, None], PARTLY),
        ([None], OPEN),
        ([], OPEN),
        ([PARTLY], PARTLY),
        ([PARTLY, OPEN], PARTLY),
        ([PARTLY, NO], PARTLY),
        ([YES, NO, OPEN], PARTLY),
        ([NO, OPEN], OPEN),
        ([YES, YES], YES),
        ([NO, False], NO),
    ],
)
def test_the_verdict_is_about_every_cell(found, verdict):
    assert cells.combine(found) is verdict
    assert cells.combine(reversed(found)) is verdict


@pytest.mark.parametrize("found", [found for found in product([YES, NO, PARTLY, OPEN], repeat=3) if OPEN in found])
def test_a_verdict_given_despite_an_open_cell_stays_whatever_that_cell_turns_out_to_be(found):
    given = cells.combine(found)
    settled = product(*([YES, NO, PARTLY] if cell is OPEN else [cell] for cell in found))
    assert given in (OPEN, PARTLY)
    assert given is OPEN or {cells.combine(cells_then) for cells_then in settled} == {given}


def test_ten_intervals_at_the_level_of_a_family_of_ten_hold_together():
    assert cells.family_level(0.95, 10) == pytest.approx(0.995)
