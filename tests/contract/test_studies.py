"""Every study in the folder keeps what the frame promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mnbench import store, studies
from mnbench.commands import compare
from mnbench.errors import UnknownNameError
from mnbench.records import Verdict
from mnbench.records.study import Conclusion, Holds, StudyOptions
from mnbench.report.findings import read_findings
from tests.conftest import a_run

OPTIONS = StudyOptions(quick=True)


@pytest.fixture(params=studies.names())
def study(request):
    return studies.get(request.param)


def test_a_study_bears_the_name_of_its_file_and_asks_a_question(study):
    assert study.name in studies.names()
    assert study.question.endswith("?")


def test_a_plan_can_be_made_and_stays_within_its_quick_budget(study):
    plan = study.plan(OPTIONS)
    assert plan.cases
    assert plan.budget_s <= 90
    assert len({case.id for case in plan.cases}) == len(plan.cases)


def test_a_budget_that_is_asked_for_is_kept(study):
    assert study.plan(StudyOptions(quick=True, budget_s=7.0)).budget_s == 7.0


def test_a_run_in_which_nothing_was_measured_gives_no_verdict_and_no_error(study):
    conclusion = study.conclude(a_run(study.plan(OPTIONS)), {})
    assert isinstance(conclusion, Conclusion)
    for found in conclusion.findings:
        assert not any("launch" in figure.estimate.method for figure in found.figures)
        if not found.figures:
            assert found.verdict is Holds.UNDECIDED


def test_every_finding_of_a_quick_plan_says_so_and_by_how_much_it_is_less(study):
    plan = studies.planned(study, OPTIONS)
    full = sum(case.backend != "null" for case in study.plan(StudyOptions()).cases)
    conclusion = studies.concluded(study, a_run(plan), {})
    assert conclusion.findings
    for found in conclusion.findings:
        assert found.limits.startswith("Quick plan: ")
        assert f"where the full plan has {full}, " in found.limits
        assert f"{plan.budget_s:g} s of measuring for its {study.budget_s:g}." in found.limits


def test_a_full_plan_keeps_the_budget_that_the_study_names_and_no_finding_calls_it_less(study):
    plan = studies.planned(study, StudyOptions())
    assert (plan.budget_s, plan.full_cases, plan.study) == (study.budget_s, None, study.name)
    for found in studies.concluded(study, a_run(plan), {}).findings:
        assert not found.limits.startswith(("Quick plan", "Short run"))


def test_a_run_of_a_smaller_budget_than_the_full_one_says_so(study):
    plan = studies.planned(study, StudyOptions(budget_s=study.budget_s / 2))
    for found in studies.concluded(study, a_run(plan), {}).findings:
        assert found.limits.startswith(
            f"Short run: {plan.budget_s:g} s of measuring where the full plan has {study.budget_s:g}."
        )


def test_a_quick_run_stores_that_it_was_quick_and_what_is_published_says_so(monkeypatch, tmp_path):
    def execute(plan, *_, **__):
        store.RunWriter(tmp_path, a_run(plan, finished=False)).finish(finished=True)
        return tmp_path

    monkeypatch.setattr(compare, "execute", execute)
    studies.run("memory", OPTIONS, compare.Request(), listener=None)
    assert store.load(tmp_path).plan.full_cases == len(studies.get("memory").plan(StudyOptions()).cases)
    stored = read_findings(tmp_path)
    assert all(found.limits.startswith("Quick plan: ") for found in stored.findings)


def test_concluding_loads_neither_torch_nor_a_runtime(study):
    code = (
        f"import sys; from mnbench import studies; study = studies.get({study.name!r})\n"
        "print(sorted({'torch', 'onnxruntime', 'openvino', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_study_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown study 'nonesuch'"):
        studies.get("nonesuch")


def test_verdicts_of_studies_and_of_comparisons_are_different_words():
    assert not {str(v) for v in Holds} & {str(v) for v in Verdict}
