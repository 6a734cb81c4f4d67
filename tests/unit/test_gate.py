"""Environments in one run: what is compared with what, and which cases the gate lets pass."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mnbench import stats
from mnbench.records import Case, LaunchFailure, Plan, ToolEnvironment, Verdict
from mnbench.report import environments
from mnbench.report.html import page
from mnbench.report.markdown import Shown, results_table
from mnbench.report.view import view_of
from mnbench.stats import gate
from mnbench.stats.analysis import baseline_of, pairs_of
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run

ENVIRONMENTS = (
    ToolEnvironment(label="OLD", python="/old/bin/python", packages={"python": "3.11.7", "onnxruntime": "1.24.4"}),
    ToolEnvironment(label="NEW", packages={"python": "3.11.7", "onnxruntime": "1.32.0"}),
)
MODELS, BACKENDS = ("mobilenet_v2_1.0_224", "mobilenet_v1_1.0_224"), ("ort", "openvino")
NULL = Case(model="none", backend="null")


def the_plan() -> Plan:
    cases = [a_case(m, b, environment=e.label) for m in MODELS for b in BACKENDS for e in ENVIRONMENTS]
    return a_plan(*cases, NULL, environments=ENVIRONMENTS)


def the_run(slower: dict[str, float], launches: int = 8, **changes):
    """A run in which the cases of NEW take so many times as long as those of OLD, by model; 1 for the others."""
    plan = the_plan()
    samples = []
    for case in plan.cases:
        factor = slower.get(case.model, 1.0) if case.environment == "NEW" else 1.0
        for launch in range(launches):
            jitter = 1 + 0.001 * math.sin(7 * launch + len(case.id))
            version = "1.32.0" if case.environment == "NEW" else "1.24.4"
            effective = {"threads": "1", "precision": "fp32", "version": version}
            samples.append(a_launch(case, launch, a_round([round(1e6 * factor * jitter)] * 20), effective=effective))
    return a_run(plan, *samples, **changes)


def judged(run, limit_pct: float = 5.0) -> gate.Gate:
    return gate.judge(run, limit_pct)


def test_the_label_is_the_end_of_a_case_s_id_and_a_case_without_one_keeps_its_own():
    assert a_case(environment="OLD").id == "mobilenet_v2_1.0_224-ort-fp32-b1-t1-OLD"
    assert a_case(variant="copy1", environment="OLD").id == "mobilenet_v2_1.0_224-ort-fp32-b1-t1-copy1-OLD"
    assert a_case().id == "mobilenet_v2_1.0_224-ort-fp32-b1-t1"


def test_each_case_is_compared_with_itself_in_the_first_environment_and_with_nothing_else():
    plan = the_plan()
    pairs = pairs_of(plan)
    assert len(pairs) == len(MODELS) * len(BACKENDS)
    assert all(baseline == replace(case, environment="OLD") and case.environment == "NEW" for case, baseline in pairs)
    assert baseline_of(NULL, plan) is None


def test_of_three_environments_each_later_one_is_compared_with_the_first():
    labels = ("OLD", "NEW", "NEXT")
    cases = [a_case(environment=label) for label in labels]
    plan = a_plan(*cases, environments=tuple(ToolEnvironment(label=label) for label in labels))
    assert [(case.environment, baseline.environment) for case, baseline in pairs_of(plan)] == [("NEW", "OLD"), ("NEXT", "OLD")]


def test_without_environments_networks_and_backends_are_compared_as_ever():
    plan = a_plan(*[a_case(model, backend) for model in MODELS for backend in BACKENDS])
    assert len(pairs_of(plan)) == 4


def test_a_slow_down_above_the_limit_fails_the_gate_and_one_below_passes():
    run = the_run({MODELS[0]: 1.08, MODELS[1]: 1.03})
    found = judged(run)
    assert [c.case.model for c in found.regressions] == [MODELS[0], MODELS[0]]
    assert all(c.verdict is Verdict.SLOWER and c.case.environment == "NEW" for c in found.regressions)
    assert not found.not_compared
    assert [len(judged(run, limit).regressions) for limit in (2.0, 10.0)] == [4, 0]


def test_a_faster_environment_passes_the_gate():
    assert not judged(the_run(dict.fromkeys(MODELS, 0.5)), 0.0).regressions


def test_fewer_than_three_launches_are_no_comparison():
    found = judged(the_run({MODELS[0]: 2.0}, launches=2))
    assert len(found.not_compared) == found.compared == 4
    assert {reason for _, reason in found.not_compared} == {"fewer than three launches can be compared"}


@pytest.mark.parametrize("label", ["OLD", "NEW"])
def test_a_case_that_failed_in_either_environment_is_not_compared(label):
    failed = a_case(environment=label)
    run = the_run({}, failures=(LaunchFailure(case=failed, launch=0, reason="it broke"),))
    (entry,) = judged(run).not_compared
    assert entry == (a_case(environment="NEW"), f"a launch in {label} failed")


def test_a_case_on_a_noisy_machine_is_not_compared():
    run = the_run({MODELS[0]: 2.0})
    noisy = tuple(
        replace(s, rounds=tuple(replace(r, disturbances=("steal",)) for r in s.rounds)) if s.launch > 2 else s
        for s in run.samples
    )
    found = judged(replace(run, samples=noisy))
    assert {reason for _, reason in found.not_compared} == {"the machine was too noisy"}
    assert not found.regressions


def test_the_gate_says_which_cases_are_slower_by_how_much_and_which_have_no_verdict():
    failed = LaunchFailure(case=a_case(MODELS[1], "ort", environment="NEW"), launch=0, reason="it broke")
    slower, without = environments.gate_sentences(judged(the_run({MODELS[0]: 1.08}, failures=(failed,))))
    assert slower.startswith(
        "Regressions (significantly slower, estimated above 5 %): 2 of 4 cases: mobilenet_v2_1.0_224-ort-fp32-b1-t1-NEW"
    )
    assert "by 8.0 % [" in slower
    assert "the whole interval is above 5 %" in slower
    assert without == ("1 of 4 cases cannot be compared: mobilenet_v1_1.0_224-ort-fp32-b1-t1-NEW: a launch in NEW failed.")


def test_a_limit_below_the_margin_narrows_the_margin():
    """A slow-down of 1.5 % is equivalent within ± 2 %, and a regression against a limit of 1 %."""
    run = the_run({MODELS[0]: 1.015})
    assert {c.verdict for c in compared_of(run)} == {Verdict.EQUIVALENT}
    assert [c.case.model for c in judged(run, 1.0).regressions] == [MODELS[0], MODELS[0]]


def compared_of(run):
    return [result.vs_baseline for result in stats.analyse(run).results if result.vs_baseline]


def test_what_the_gate_does_not_rule_out_is_named():
    """NEW jumps by ± 8 % from launch to launch: not significantly slower, and 5 % is not excluded."""
    run = the_run({MODELS[0]: 1.0})
    jumping = a_case(MODELS[0], "ort", environment="NEW")
    samples = tuple(
        replace(s, rounds=(a_round([round(1e6 * (1.02 + 0.08 * (-1) ** s.launch))] * 20),)) if s.case == jumping else s
        for s in run.samples
    )
    found = judged(replace(run, samples=samples))
    assert [c.case for c in found.not_ruled_out] == [jumping]
    assert not found.regressions
    regressions, open_cases = environments.gate_sentences(found)
    assert regressions.endswith("none.")
    assert open_cases.startswith(f"Not ruled out: a slow-down of {jumping.id} up to ")


def test_every_view_names_the_environment_of_each_row_and_the_versions_found():
    run = the_run({MODELS[0]: 1.08})
    view = view_of(run)
    rows, compared = view.rows, view.comparisons
    assert [row.case.environment for row in rows] == [*["OLD", "NEW"] * 4, ""]
    assert [row.verdict for row in rows[:2]] == ["baseline", "slower"]
    assert {row.paper_ratio for row in rows} == {None}
    assert {(row.kind, row.case.environment) for row in compared} == {("environment", "NEW")}
    versions = "OLD: ort 1.24.4, openvino 1.24.4; NEW: ort 1.32.0, openvino 1.32.0."
    texts = (view.headline, results_table(Shown(view=view, folder=".")), page(view))
    for text in texts:
        assert versions in text
    assert "| ort, OLD |" in texts[1]
    assert "NEW over OLD, the same case in both" in texts[1]
    assert "2 of 4 cases slower than in OLD, most of all mobilenet_v2_1.0_224 (" in texts[0]
