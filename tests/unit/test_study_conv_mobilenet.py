"""conv-mobilenet on hand-made runs: what follows from times whose ratios are known."""

from __future__ import annotations

import pytest

from mnbench.records.study import Holds, StudyOptions
from mnbench.studies import conv_mobilenet as study
from tests.study_runs import a_study_run, figure_of, only_row

MADDS = {study.FULL: 4_866_000_000, study.MOBILENET: 569_000_000, study.NARROW: 325_000_000, study.SHALLOW: 307_000_000}


def concluded(latency_ms, **changes):
    run = a_study_run({(model, "ort"): ms for model, ms in latency_ms.items()}, MADDS, **changes)
    return study.conclude(run, {})


def test_a_time_that_falls_as_the_madds_do_makes_the_claim_hold():
    found = concluded({study.FULL: 86.0, study.MOBILENET: 10.0, study.NARROW: 6.0, study.SHALLOW: 6.0})
    factorised, narrow = found.findings
    assert factorised.verdict is Holds.YES
    assert figure_of(factorised, "time of Conv MobileNet over MobileNet, ort").value == pytest.approx(8.6, rel=0.01)
    assert figure_of(factorised, "MAdds of Conv MobileNet over MobileNet").value == pytest.approx(4866 / 569)
    assert narrow.verdict is Holds.YES


def test_half_of_the_saving_holds_in_part_and_none_does_not_hold():
    half = concluded({study.FULL: 43.0, study.MOBILENET: 10.0, study.NARROW: 6.0, study.SHALLOW: 6.0})
    none = concluded({study.FULL: 9.0, study.MOBILENET: 10.0, study.NARROW: 6.0, study.SHALLOW: 6.0})
    assert half.findings[0].verdict is Holds.PARTLY
    assert none.findings[0].verdict is Holds.NO


def test_the_limits_say_where_the_line_is_drawn():
    """4866 / 569 = 8.552, over 1.1: 7.77."""
    factorised, narrow = concluded({study.FULL: 86.0, study.MOBILENET: 10.0, study.NARROW: 6.0, study.SHALLOW: 6.0}).findings
    assert "at least 7.77 times the time (8.55 / 1.1)" in factorised.limits
    assert "read as time" in factorised.claim
    assert "costs about as much as the shallow one" in narrow.claim
    unknown = study.conclude(a_study_run({(study.FULL, "ort"): 86.0, (study.MOBILENET, "ort"): 10.0}, {}), {}).findings[0]
    assert (unknown.verdict, "were not counted" in unknown.limits) == (Holds.UNDECIDED, True)


@pytest.mark.parametrize(("narrow_ms", "verdict"), [(6.0, Holds.YES), (6.6, Holds.UNDECIDED), (8.0, Holds.NO)])
def test_the_thin_network_is_judged_by_whether_it_costs_about_as_much_as_the_shallow_one(narrow_ms, verdict):
    found = concluded({study.FULL: 86.0, study.MOBILENET: 10.0, study.NARROW: narrow_ms, study.SHALLOW: 6.0}, spread=0.01)
    assert found.findings[1].verdict is verdict


def test_what_was_not_measured_is_an_empty_cell_and_no_verdict():
    found = concluded({study.FULL: None, study.MOBILENET: 10.0, study.NARROW: None, study.SHALLOW: 6.0})
    assert [finding.verdict for finding in found.findings] == [Holds.UNDECIDED, Holds.UNDECIDED]
    assert "Measured: 1 of 2; in fewer than 3 usable launches: Conv MobileNet (ort)." in found.findings[0].limits
    row = only_row(found.tables[0].rows, network=study.FULL)
    assert (row.latency_ms, row.time_of_mobilenet, row.madds) == (None, None, MADDS[study.FULL])
    found.plots[0].draw()


def test_a_network_too_noisy_to_judge_is_named_as_that():
    times = {study.FULL: 86.0, study.MOBILENET: 10.0, study.NARROW: 6.0, study.SHALLOW: 6.0}
    factorised, narrow = concluded(times, noisy=[(study.SHALLOW, "ort")]).findings
    assert (factorised.verdict, narrow.verdict) == (Holds.YES, Holds.UNDECIDED)
    assert "Measured: 1 of 2; refused as too noisy: Shallow MobileNet (ort)." in narrow.limits
    assert "refused" not in factorised.limits


def test_the_plan_times_each_network_in_each_backend():
    plan = study.plan(StudyOptions(quick=True))
    assert {(case.model, case.backend) for case in plan.cases if case.backend != "null"} == {
        (model, backend) for model in study.NETWORKS for backend in ("ort", "openvino")
    }
    assert plan.sweep
    assert plan.budget_s <= 75
