"""What becomes of the studies after one that is interrupted or fails, and which of them a resumed run belongs to."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from mnbench import environment, store, studies
from mnbench.cli import main as cli
from mnbench.commands import compare
from mnbench.errors import MnbenchError, StoreError, UsageError
from mnbench.records import Cache, Caveat, Severity
from mnbench.records.study import StudyOptions
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run, an_environment

CASE = a_case()
ALL = len(studies.names())


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """Let studies measure nothing but end as `outcomes` says, by their place; return (outcomes, names of those begun)."""
    outcomes, names = {}, []

    def run(name, *_):
        names.append(name)
        if len(names) in outcomes:
            raise outcomes[len(names)]
        return tmp_path

    monkeypatch.setattr(studies, "run", run)
    monkeypatch.setattr(store, "load", lambda _: a_run(a_plan(CASE), a_launch(CASE, 0, a_round([1]))))
    return outcomes, names


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (StoreError("the disk is full."), 1, "the disk is full."),
        (compare.Interrupted(Path("run"), signal.SIGINT), 130, "go on with: mnbench study --resume run"),
    ],
)
def test_what_a_study_leaves_out_is_told_however_it_ends(monkeypatch, capsys, end, code, told):
    def run(name, options, *_):
        options.skipped.extend(["batch 64 is left out", "batch 64 is left out"])
        raise end

    monkeypatch.setattr(studies, "run", run)
    assert cli.main(["study", "memory", "--quiet"]) == code
    first, second = capsys.readouterr().err.splitlines()
    assert told in first
    assert second == "mnbench: batch 64 is left out"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_studies_that_would_follow_too(begun, tmp_path, number):
    outcomes, names = begun
    outcomes[2] = compare.Interrupted(tmp_path, number)
    assert cli.main(["study", "all", "--quiet"]) == 128 + number
    assert len(names) == 2


def test_a_signal_before_anything_was_measured_does_so_as_well(begun):
    outcomes, names = begun
    outcomes[1] = KeyboardInterrupt(signal.SIGTERM)
    assert cli.main(["study", "all", "--quiet"]) == 128 + signal.SIGTERM
    assert len(names) == 1


@pytest.mark.parametrize(("error", "code"), [(StoreError("no room"), 1), (UsageError("too many threads"), 2)])
def test_an_error_in_one_study_is_told_and_the_others_go_on(begun, capsys, error, code):
    outcomes, names = begun
    outcomes[1] = error
    assert cli.main(["study", "all", "--quiet"]) == code
    assert names == list(studies.names())
    assert capsys.readouterr().err == f"mnbench: {error}\n"


def test_of_several_errors_the_worst_code_is_returned(begun):
    outcomes, names = begun
    outcomes |= {1: UsageError("first"), 2: MnbenchError("second")}
    assert cli.main(["study", "all", "--quiet"]) == 2
    assert len(names) == ALL


def test_a_misspelt_backend_is_told_once_and_before_any_study(begun, capsys):
    assert cli.main(["study", "all", "--backends", "opnvino"]) == 2
    assert capsys.readouterr().err.count("did you mean 'openvino'?") == 1
    assert begun[1] == []


def interrupted(directory, study="", **changes):
    run = a_run(a_plan(CASE, study=study), environment=an_environment(**changes), finished=False)
    writer = store.RunWriter(directory, run)
    writer.launch(a_launch(CASE, 0))
    writer.round(CASE, 0, a_round([100]))
    writer.finish(finished=False)
    return directory


L2 = Cache(level=2, kind="unified", size_bytes=1 << 20, shared_cpus=(0,))


@pytest.mark.parametrize(
    "change",
    [
        {"python": "3.12"}, {"virtualisation": "KVM"}, {"physical_cores": 1}, {"affinity": (1,)}, {"cpu_budget": 1},
        {"caches": (replace(L2, size_bytes=2 << 20),)}, {"packages": {"numpy": "3"}}, {"variables": {"OMP_NUM_THREADS": "1"}},
        {"cpu_model": "Another"}, {"kernel": "7"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_run_does_not_go_on_under_what_diff_would_call_a_change(tmp_path, monkeypatch, change):
    interrupted(tmp_path, caches=(L2,))
    now = replace(an_environment(caches=(L2,)), **change)
    monkeypatch.setattr(environment, "capture", lambda *_, **__: now)
    name = next(iter(change))
    told = {"packages": "numpy", "variables": "OMP_NUM_THREADS"}.get(name, name)
    with pytest.raises(UsageError, match=rf"was measured elsewhere \({told} differs\)"):
        compare.resume(tmp_path, tmp_path, None)


def test_a_study_whose_end_came_while_its_facts_were_computed_goes_on_with_them(tmp_path, monkeypatch):
    study = next(found for found in map(studies.get, studies.names()) if found.facts is not None)
    store.RunWriter(tmp_path, a_run(a_plan(CASE, study=study.name), finished=False)).finish(finished=True)
    concluded = []
    monkeypatch.setattr(studies, "finish", lambda directory, _: concluded.append(directory))
    assert studies.resume(tmp_path, StudyOptions(), tmp_path, None) == tmp_path
    assert concluded == [tmp_path]
    (tmp_path / studies.FACTS_FILE).write_text("{}")
    with pytest.raises(UsageError, match="is complete"):
        studies.resume(tmp_path, StudyOptions(), tmp_path, None)


def test_a_resumed_study_tells_what_its_plan_left_out(tmp_path, monkeypatch):
    study = next(found for found in map(studies.get, studies.names()) if found.facts is not None)
    left_out = Caveat(code=studies.SKIPPED, subject="plan", observed="too large", advice="", severity=Severity.NOTE)
    stored = a_run(a_plan(CASE, study=study.name), finished=False, caveats=(left_out,))
    store.RunWriter(tmp_path, stored).finish(finished=True)
    monkeypatch.setattr(studies, "finish", lambda *_: None)
    options = StudyOptions()
    studies.resume(tmp_path, options, tmp_path, None)
    assert options.skipped == ["too large"]
