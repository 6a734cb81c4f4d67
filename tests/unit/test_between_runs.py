"""Verdicts between two runs, from made-up launches whose truth is known."""

import json
import math
from dataclasses import replace

import pytest
from scipy import stats as oracle

from mnbench.commands.diff import setting_changes
from mnbench.records import Case, LaunchFailure, ToolEnvironment, Verdict
from mnbench.report import diff_table
from mnbench.stats.between_runs import diff
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run
from tests.study_runs import an_artifact

V1, V2 = a_case("mobilenet_v1_1.0_224"), a_case()
NULL = Case(model="none", backend="null")
JITTER = (0, 1000, -1000, 500, -500, 200)
WORKLOAD = {"workload_before_ns": 70_000, "workload_after_ns": 70_000}
ALONE = "there is nothing to hold it against: neither other cases nor readings of the reference workload"


def run_of(latencies_ms, launches=6, spread=1.0, readings=WORKLOAD, steady=(), **changes):
    """A run of {case: milliseconds} beside a steady reference workload.

    Launches differ by ±0.1 % times `spread`, all cases alike, but not those in `steady`.
    """
    samples = [
        a_launch(case, launch, a_round([round(ms * (1_000_000 + (case not in steady) * spread * JITTER[launch]))], **readings))
        for case, ms in latencies_ms.items()
        for launch in range(launches)
    ]
    return a_run(a_plan(*latencies_ms), *samples, **changes)


def verdict(old_ms, new_ms, limit=None, **changes):
    found = diff(run_of({V1: old_ms}, **changes), run_of({V1: new_ms}, **changes), (), limit)
    return found.cases[0].verdict, found.cases[0].regression


@pytest.mark.parametrize(
    ("new_ms", "expected"),
    [(10.0, Verdict.EQUIVALENT), (10.1, Verdict.EQUIVALENT), (10.5, Verdict.SLOWER), (9.5, Verdict.FASTER)],
)
def test_the_verdict_is_that_of_the_ratio_new_by_old(new_ms, expected):
    assert verdict(10.0, new_ms) == (expected, False)


def test_a_slow_down_in_the_noise_is_inconclusive_and_no_regression_but_is_told():
    old, new = run_of({V1: 10.0}, spread=80), run_of({V1: 10.5}, spread=80)
    found = diff(old, new, (), 3.0)
    assert (found.cases[0].verdict, found.cases[0].regression) == (Verdict.INCONCLUSIVE, False)
    assert found.cases[0].ratio.value > 1.03
    assert any("Not ruled out: a slow-down of mobilenet_v1" in line for line in diff_table.conclusions(found))


@pytest.mark.parametrize(("limit", "regression"), [(None, False), (6.0, False), (4.0, True), (0.0, True)])
def test_a_regression_is_established_and_above_the_limit(limit, regression):
    assert verdict(10.0, 10.5, limit) == (Verdict.SLOWER, regression)


def test_a_limit_below_the_margin_narrows_the_margin():
    assert verdict(10.0, 10.15) == (Verdict.EQUIVALENT, False)
    assert verdict(10.0, 10.15, 1.0) == (Verdict.SLOWER, True)


def test_a_speed_up_is_never_a_regression():
    assert verdict(10.0, 9.0, 0.0) == (Verdict.FASTER, False)


def test_p_values_are_corrected_for_the_cases_compared():
    """One case of ten is slower by 1 %: its p is ten times that of Welch's test of the case over the workload."""
    others = {a_case(f"network {number}"): 5.0 for number in range(9)}
    sides = run_of({V1: 10.0, **others}, spread=6), run_of({V1: 10.1, **others}, spread=6)
    logs = [[math.log(s.rounds[0].latencies_ns[0]) for s in side.samples if s.case == V1] for side in sides]
    found = diff(*sides).cases[0]
    assert found.p_adjusted == pytest.approx(10 * oracle.ttest_ind(logs[1], logs[0], equal_var=False).pvalue)


def test_a_case_missing_in_the_new_run_is_named_and_the_others_are_compared():
    found = diff(run_of({V1: 10.0, V2: 5.0}), run_of({V1: 10.0}))
    assert [entry.not_compared for entry in found.cases] == [None, "it is missing in NEW"]
    assert found.cases[1].verdict is None
    assert V2.id in diff_table.not_compared(found)


@pytest.mark.parametrize(
    ("launches", "reason"),
    [
        (0, "no usable launches (an interval needs 3) in NEW"),
        (1, "1 usable launch (an interval needs 3) in NEW"),
        (2, "2 usable launches"),
    ],
)
def test_a_case_planned_but_hardly_measured_is_not_compared(launches, reason):
    found = diff(run_of({V1: 10.0}), run_of({V1: 10.0}, launches=launches))
    assert found.cases[0].not_compared.startswith(reason)


def test_disturbed_rounds_do_not_count_as_measured():
    new = run_of({V1: 10.0})
    disturbed = tuple(replace(s, rounds=tuple(replace(r, disturbances=("steal",)) for r in s.rounds)) for s in new.samples)
    assert diff(run_of({V1: 10.0}), replace(new, samples=disturbed)).not_compared


def test_a_case_only_in_the_new_run_is_told_and_not_judged():
    found = diff(run_of({V1: 10.0}), run_of({V1: 10.0, V2: 5.0, NULL: 0.0004}))
    assert found.only_in_new == (V2,)
    assert not found.not_compared


def test_the_harness_itself_is_not_judged():
    found = diff(run_of({V1: 10.0, NULL: 0.0004}), run_of({V1: 10.0, NULL: 0.0008}), (), 5.0)
    assert [entry.case for entry in found.cases] == [V1]


def test_the_machine_is_too_noisy_by_the_launches_that_count():
    """A failed launch's disturbed rounds are no witness against the others; nor do they hide behind its good ones."""
    old, new = run_of({V1: 10.0}), run_of({V1: 10.0}, launches=4)
    steal = a_round([10**7], order=9, index=1, disturbances=("steal",))
    spoilt = tuple(replace(s, rounds=(*s.rounds, steal)) for s in new.samples)
    failed = a_launch(V1, 4, *(a_round([10**7], order=n, index=n) for n in range(8)))
    failure = LaunchFailure(case=V1, launch=4, reason="killed.")
    hidden = replace(new, samples=(*spoilt, failed), failures=(failure,))
    assert diff(hidden, old).cases[0].not_compared == "the machine was too noisy in OLD"
    loud = a_launch(V1, 4, *(a_round([10**7], order=n, index=n, disturbances=("steal",)) for n in range(8)))
    assert diff(replace(new, samples=(*new.samples, loud), failures=(failure,)), old).cases[0].not_compared is None


def test_a_case_with_a_failed_launch_in_the_new_run_never_passes():
    failure = LaunchFailure(case=V1, launch=5, reason="threads '1' was requested, but the runtime says '2'.")
    old, new = run_of({V1: 10.0}), run_of({V1: 10.0}, failures=(failure,))
    found = diff(old, new, (), 5.0)
    assert found.cases[0].new_launches == 5
    assert found.cases[0].not_compared == (
        "1 of its launches failed in NEW (threads '1' was requested, but the runtime says '2')"
    )
    assert diff(new, old, (), 5.0).not_compared == ()


def test_a_run_without_readings_of_the_stream_beside_one_with_them_is_told():
    read = {**WORKLOAD, "stream_before_ns": 10**6}
    old, new = run_of({V1: 10.0}), run_of({V1: 10.1}, readings=read)
    found = diff(old, new)
    assert [caveat.code for caveat in found.caveats] == ["no-stream"]
    assert found.caveats[0].observed.startswith("OLD has no readings")
    assert found.caveats[0].advice == "Measure OLD again with this version."
    assert not diff(new, new).caveats
    assert not diff(old, old).caveats


def test_a_single_case_without_readings_of_the_workload_is_not_compared():
    assert diff(run_of({V1: 10.0}, readings={}), run_of({V1: 10.0})).cases[0].not_compared == ALONE


def test_conditions_that_differ_between_the_plans_are_told():
    plan = a_plan(V1)
    changed = replace(plan, study="layers", sweep=True, least_inferences=2, most_inferences=50)
    told = set(setting_changes(a_run(plan), a_run(changed)))
    assert told == {
        ("study", "", "layers"),
        ("sweep", False, True),
        ("least_inferences", 1, 2),
        ("most_inferences", 2000, 50),
    }


def test_environments_and_blocks_that_differ_are_told_and_folders_are_not_mixed_up():
    old = run_of({V1: 10.0})
    folders = (ToolEnvironment(label="A", artifacts="/a"), ToolEnvironment(label="B", artifacts="/b"))
    new = replace(old, plan=replace(old.plan, environments=folders, blocks=3, over_s=60.0))
    told = {subject: (was, now) for subject, was, now in setting_changes(old, new)}
    assert told == {"environments": ([], ["A=/a", "B=/b"]), "blocks": (1, 3), "over_s": (0.0, 60.0)}
    files = [an_artifact(V1.model, 1, sha256={f"{folder}.onnx": digest * 4}) for folder, digest in (("a", "123"), ("b", "456"))]
    same = replace(old, artifacts=tuple(files))
    changed = replace(old, artifacts=(an_artifact(V1.model, 1, sha256={"a.onnx": "999" * 4}), files[1]))
    assert not list(setting_changes(same, same))
    ((_, was, now),) = setting_changes(same, changed)
    assert (was, now) == ("123123123123 456456456456", "999999999999 456456456456")


@pytest.mark.parametrize(
    ("spread", "told"),
    [(1, "6.0 % [5.6, 6.4] (the whole interval is above 5 %)"), (8, "6.0 % [2.8, 9.3] (the interval reaches below 5 %)")],
)
def test_a_regression_is_told_with_its_interval_and_not_as_more_than_that_says(spread, told):
    found = diff(run_of({V1: 10.0}, spread=spread), run_of({V1: 10.6}, spread=spread), (), 5.0)
    line = diff_table.conclusions(found)[0]
    assert line == f"Regressions (significantly slower, estimated above 5 %): 1 of 1 cases: {V1.id} by {told}."


def test_equivalence_is_corrected_for_the_cases_compared():
    """Of the eight others four become faster and four slower, so that together they stay what V1 is held against."""
    many = {a_case(f"network {number}"): 5.0 for number in range(8)}
    changed = {case: 9.0 if number % 2 else 25 / 9 for number, case in enumerate(many)}
    verdicts = [
        diff(*(run_of({V1: 10.0, **side}, spread=17, steady=old) for side in (old, new))).cases[0].verdict
        for old, new in (({V2: 5.0}, {V2: 5.0}), (many, changed))
    ]
    assert verdicts == [Verdict.EQUIVALENT, Verdict.INCONCLUSIVE]


def test_an_interrupted_run_is_told():
    found = diff(run_of({V1: 10.0}), run_of({V1: 10.1}, finished=False))
    assert [(caveat.code, caveat.subject) for caveat in found.caveats] == [("unfinished-run", "NEW, r1")]
    assert "mnbench compare --resume r1" in found.caveats[0].advice
    new = run_of({V1: 10.1}, finished=False)
    of_a_study = diff(run_of({V1: 10.0}), replace(new, plan=replace(new.plan, study="layers")))
    assert "mnbench study --resume r1" in of_a_study.caveats[0].advice


def test_markdown_has_a_row_per_case_and_json_holds_the_same_verdicts():
    found = diff(run_of({V1: 10.0, V2: 5.0}), run_of({V1: 10.5}), (), 3.0)
    rows = [line for line in diff_table.to_markdown(found).splitlines() if line.startswith("| mobilenet")]
    assert [row.split("|")[6].strip() for row in rows] == ["regression", "not compared"]
    document = json.loads(diff_table.to_json(found))
    assert [(entry["id"], entry["verdict"], entry["regression"]) for entry in document["cases"]] == [
        (V1.id, "slower", True), (V2.id, None, False),
    ]  # fmt: skip


def test_where_the_memory_moved_too_much_whether_a_backend_became_slower_is_unknown_and_no_pass():
    cases = {V1: 10.0, V2: 5.0}
    streams = [{**WORKLOAD, "stream_before_ns": ns, "stream_after_ns": ns} for ns in (700_000, 800_000)]
    old, new = (run_of({c: ms * f for c, ms in cases.items()}, readings=r) for f, r in zip((1.0, 1.1), streams, strict=True))
    found = diff(old, new, (), 3.0)
    assert [shift.finding for shift in found.unknown_backends] == [Verdict.TOO_NOISY]
    assert not found.slower_backends


def test_a_backend_with_a_single_case_has_a_common_shift_where_there_are_other_backends():
    cases = {replace(V1, backend=backend): 10.0 for backend in ("ort", "openvino")}
    old, new = run_of(cases), run_of(dict.fromkeys(cases, 11.0))
    found = diff(old, new, (), 3.0)
    assert [(shift.backend, shift.cases, shift.finding) for shift in found.slower_backends] == [
        ("ort", 1, Verdict.SLOWER),
        ("openvino", 1, Verdict.SLOWER),
    ]
    assert not diff(run_of({V1: 10.0}), run_of({V1: 11.0})).common
