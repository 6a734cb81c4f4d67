"""Every study in the folder keeps what the frame promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mnbench import studies
from mnbench.errors import UnknownNameError
from mnbench.records import Verdict
from mnbench.study_records import Conclusion, Holds, StudyOptions
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
