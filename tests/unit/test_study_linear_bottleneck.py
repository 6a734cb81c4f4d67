"""The study of the linear bottleneck concludes what was planted, and refuses what a runtime merged."""

from __future__ import annotations

import pytest

from mnbench import studies
from mnbench.catalog.operators import Operator
from mnbench.records import Run
from mnbench.records.study import Holds
from mnbench.studies import linear_bottleneck as study
from mnbench.studies.linear_bottleneck.findings import conclude
from tests.chain_runs import chain_run

OPERATORS = list(study.operators())


def planted(operator: Operator, backend: str) -> float:
    """ReLU and ReLU6 are free; hard-swish costs half as much again in one runtime."""
    return 40_000 * (1.5 if operator.kind == "pointwise-hardswish" and backend == "ort" else 1.0)


def ort_layers(run: Run, others: int = 0) -> dict[str, dict[str, dict[str, int]]]:
    copies = {case.id: int(case.model.rpartition("_x")[2]) for case in run.plan.cases if case.backend == "ort"}
    return {"ort_layers": {case: {"FusedConv": n, "ReorderInput": 1, "Mul": n * others} for case, n in copies.items()}}


def costs(conclusion):
    return next(table.rows for table in conclusion.tables if table.name == "activation-cost")


@pytest.fixture(scope="module")
def run() -> Run:
    return chain_run(OPERATORS, planted, copies=study.COPIES)


def test_planted_costs_are_found(run):
    conclusion = conclude(run, ort_layers(run))
    lost, survives, rectifiers, hard_swish = conclusion.findings
    assert (lost.verdict, survives.verdict) == (Holds.YES, Holds.YES)
    assert (rectifiers.verdict, hard_swish.verdict) == (Holds.YES, Holds.PARTLY)
    assert hard_swish.source.key == "mnbench"  # what is judged is a reading: the paper compares with a swish that is not timed
    assert "ort kept every convolution apart; openvino kept every convolution apart" in rectifiers.measured
    found = {
        (row.activation, row.backend): row.over_linear and row.over_linear.value
        for row in costs(conclusion)
        if row.resolution == 14
    }
    assert found["hard-swish", "ort"] == pytest.approx(1.5, rel=0.01)
    assert found["ReLU6", "openvino"] == pytest.approx(1.0, rel=0.01)
    assert found["linear", "ort"] is None
    assert all(plot.draw().axes for plot in conclusion.plots)


def test_shapes_that_disagree_are_judged_each_and_have_no_mean():
    """Free at two of three shapes, a tenth more at the third: by the mean, 3 %, it would cost next to nothing."""

    def dear_where_small(operator: Operator, backend: str) -> float:
        return 40_000 * (1.1 if operator.kind == "pointwise-hardswish" and operator.resolution == 14 else 1.0)

    conclusion = conclude(chain_run(OPERATORS, dear_where_small, copies=study.COPIES, backends=("torch",)), {})
    found = conclusion.findings[3]
    assert found.verdict is Holds.PARTLY
    assert "2 of 3 cells agree, 1 contradict" in found.measured
    assert len(found.figures) == 3
    assert not [figure for figure in found.figures if "mean of" in figure.label]


def test_layers_left_apart_are_told(run):
    conclusion = conclude(run, ort_layers(run, others=1))
    assert "ort kept every convolution apart, and up to 1 other layers for each" in conclusion.findings[2].measured
    assert {row.other_layers_per_copy for row in costs(conclusion) if row.backend == "ort"} == {1.0}


def test_a_runtime_that_merges_linear_layers_gets_no_ratio(run):
    facts = ort_layers(run)
    for case in facts["ort_layers"]:
        if case.startswith("pointwise-none"):
            facts["ort_layers"][case]["FusedConv"] = 1
    conclusion = conclude(run, facts)
    assert {row.over_linear for row in costs(conclusion) if row.backend == "ort"} == {None}
    assert conclusion.findings[2].verdict is Holds.UNDECIDED
    assert "Refused: ort merged layers of" in conclusion.findings[2].measured


def test_a_runtime_that_compiles_gets_no_ratio_where_nobody_knows_what_it_kept(run):
    conclusion = conclude(run, {})  # an interrupted study has no facts yet
    assert {row.over_linear for row in costs(conclusion) if row.backend == "ort"} == {None}
    assert any(row.over_linear is not None for row in costs(conclusion) if row.backend == "openvino")
    assert conclusion.findings[2].verdict is Holds.UNDECIDED
    reason = "Refused: whether ort kept the layers of pointwise-relu and pointwise-none is not known."
    assert reason in conclusion.findings[2].measured


def test_a_runtime_that_runs_graphs_as_they_are_needs_no_such_knowledge():
    conclusion = conclude(chain_run(OPERATORS, planted, copies=study.COPIES, backends=("torch",)), {})
    assert (conclusion.findings[2].verdict, conclusion.findings[3].verdict) == (Holds.YES, Holds.YES)


def test_relu6_where_it_clips_nothing_is_not_counted_as_a_second_cell(run):
    lost, survives, *_ = conclude(run, {}).findings
    assert "2 of 2 cells agree" in lost.measured
    assert "2 of 2 cells agree" in survives.measured
    found = {figure.label: figure.estimate.value for figure in lost.figures}
    for n in (2, 3):  # the reason: the same figures
        same = found[f"ReLU, n = {n}: collapsed points"]
        assert found[f"ReLU6, as after batch normalisation, n = {n}: collapsed points"] == pytest.approx(same, abs=0.01)


def test_without_a_measurement_the_arithmetic_still_stands():
    conclusion = conclude(chain_run(OPERATORS, planted, launches=0), {})
    verdicts = [finding.verdict for finding in conclusion.findings]
    assert verdicts == [Holds.YES, Holds.YES, Holds.UNDECIDED, Holds.UNDECIDED]
    assert all(plot.draw().axes for plot in conclusion.plots)


def test_the_study_is_found_by_its_name():
    assert studies.get("linear-bottleneck").name == "linear-bottleneck"
