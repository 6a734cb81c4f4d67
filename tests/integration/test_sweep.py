"""A sweep with real processes: one a backend and launch, whatever becomes of single cases."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnbench import store
from mnbench.commands import compare
from mnbench.measure.conduct import conduct
from mnbench.records import Case
from mnbench.stats import covariate
from tests.conftest import a_plan, a_run

FAULTY = Path(__file__).parent / "faulty"
CPU = max(os.sched_getaffinity(0))
NULLS = tuple(Case(model=f"none {number}", backend="null") for number in range(3))


@pytest.fixture(autouse=True)
def _faulty_backends(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTY), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(FAULTY))
    yield
    sys.modules.pop("faulty_backends", None)


def plan_of(*cases, **changes):
    settings = {"launches": 3, "cpus": (CPU,), "rounds_per_launch": 1, "round_target_ms": 5.0, "budget_s": 60.0, "sweep": True,
                "timeout_s": 20.0, "settle_ms": 1.0, "regimes": ("steady",), "most_inferences": 50}  # fmt: skip
    return a_plan(*cases, **{**settings, **changes})


def sweep(directory, plan, already=None, *, finished=True):
    run = already or a_run(plan, finished=False)
    writer = store.RunWriter(directory, run)
    conduct(plan, {case.id: () for case in plan.cases}, directory, writer.logs, writer, already=compare.already(run))
    writer.finish(finished=finished)
    return store.load(directory)


def test_each_case_gets_a_round_in_every_launch(tmp_path):
    run = sweep(tmp_path, plan_of(*NULLS))
    # A disturbed round is repeated, so there may be more than one of the same place.
    places = {(s.case, s.launch): {r.index for r in s.rounds} for s in run.samples}
    assert places == {(c, n): {0} for c in NULLS for n in range(3)}
    assert all(len(s.rounds[0].latencies_ns) <= 50 for s in run.samples)
    assert not covariate.stream_logs(run.samples)  # it would take as long as the rounds


def test_one_fresh_process_a_launch_opens_all_cases_of_a_backend(tmp_path):
    telling = [Case(model=f"none {number}", backend="telling") for number in range(3)]
    run = sweep(tmp_path, plan_of(*telling))
    processes = {launch: {s.effective["pid"] for s in run.samples if s.launch == launch} for launch in range(3)}
    assert all(len(pids) == 1 for pids in processes.values())
    assert len(set.union(*processes.values())) == 3


def test_a_case_that_crashes_the_process_is_reported_and_the_others_go_on_in_a_new_one(tmp_path):
    crashing = Case(model="none", backend="crashing")
    run = sweep(tmp_path, plan_of(NULLS[0], crashing, NULLS[1], round_target_ms=20.0))
    assert {failure.case for failure in run.failures} == {crashing}
    assert all(sum(s.case == case for s in run.samples if s.rounds) == 3 for case in NULLS[:2])


def test_a_resumed_sweep_measures_what_is_missing_and_nothing_twice(tmp_path):
    plan = plan_of(*NULLS)
    sweep(tmp_path, plan_of(*NULLS, launches=1), finished=False)
    samples = tmp_path / store.SAMPLES_FILE
    os.truncate(samples, samples.stat().st_size - 3)  # as a kill would: the last round is incomplete
    partial = replace(store.load(tmp_path), plan=plan)
    run = sweep(tmp_path, plan, already=partial)
    assert [s.rounds for s in run.samples[:2]] == [s.rounds for s in partial.samples[:2]]
    assert sorted((s.case.model, s.launch) for s in run.samples) == sorted((c.model, n) for c in NULLS for n in range(3))
    assert all(s.rounds for s in run.samples)


def test_a_sweep_pins_a_case_to_as_many_cpus_as_it_has_threads(tmp_path):
    cpus = tuple(sorted(os.sched_getaffinity(0)))[-2:]
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    one, two = (Case(model="none", backend="null", threads=threads) for threads in (1, 2))
    run = sweep(tmp_path, plan_of(one, two, cpus=cpus))
    seen = {s.case.threads: s.effective["affinity"] for s in run.samples}
    assert seen == {1: str(cpus[-1]), 2: ",".join(map(str, cpus))}
