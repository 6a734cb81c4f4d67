"""Faults really caused: workers that crash, hang, are killed or lie. The others go on, and the reason is told."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnbench import stats, store
from mnbench.errors import WorkerError
from mnbench.measure import worker
from mnbench.measure.conduct import conduct
from mnbench.measure.launcher import Worker
from mnbench.measure.messages import OpenRequest, RoundRequest
from mnbench.records import Case
from tests.builders import artifact, paper_table
from tests.conftest import a_plan, a_run
from tests.integration.command import ROOT
from tests.situations import situation

FAULTY = Path(__file__).parent / "faulty"
NULL = Case(model="none", backend="null")
CPU = max(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def _faulty_backends(monkeypatch):
    """Make the faulty backends known to this process and to its workers."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTY), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(FAULTY))
    yield
    sys.modules.pop("faulty_backends", None)


def measure(tmp_path, *backends, **changes):
    cases = (*(Case(model="none", backend=name) for name in backends), NULL)
    settings = {"launches": 2, "cpus": (CPU,), "rounds_per_launch": 1, "round_target_ms": 20.0, "budget_s": 60.0,
                "timeout_s": 20.0, "settle_ms": 1.0}  # fmt: skip
    plan = a_plan(*cases, **{**settings, **changes})
    writer = store.RunWriter(tmp_path, a_run(plan, finished=False))
    conduct(plan, {case.id: () for case in cases}, tmp_path, writer.logs, writer)
    writer.finish(finished=True)
    return store.load(tmp_path)


def launches_of(run, case):
    return sum(1 for samples in run.samples if samples.case == case and samples.rounds)


@situation(
    "processes",
    "A worker crashes, is killed, or its runtime refuses the model",
    "reports the reason for that case and measures the others",
)
@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("crashing", "the worker ended with exit code 3."),
        ("killed", "the worker was killed by SIGKILL."),
        (
            "aborting",
            "the worker was killed by SIGABRT: terminate called after throwing an instance of 'std::out_of_range'",
        ),
        ("raising", "ValueError: the kernel is not implemented"),
        ("mute", "this runtime refuses"),
        ("more_threads", "threads '1' was requested, but the runtime says '2'; the figures would be mislabelled."),
        (
            "bf16_inside",
            "precision 'fp32' was requested, but the runtime says 'bf16'; the figures would be mislabelled.",
        ),
    ],
)
def test_a_failing_worker_is_reported_with_its_reason_and_the_others_go_on(tmp_path, backend, reason):
    run = measure(tmp_path, backend)
    assert {failure.reason for failure in run.failures} == {reason}
    assert launches_of(run, NULL) == 2


@situation("processes", "A worker hangs", "kills it at the time-out, says so, and measures the others")
def test_a_worker_that_hangs_is_killed_at_the_time_out(tmp_path):
    run = measure(tmp_path, "hanging", timeout_s=1.0)
    assert run.failures[0].reason == "the worker hung: no answer within 1 s; it was killed."
    assert launches_of(run, NULL) == 2


@situation(
    "processes",
    "A network is so slow that a few inferences take longer than the time-out",
    "says so, with the number of inferences and what to do: the worker was computing, and did not hang",
)
@pytest.mark.parametrize(("timeout_s", "what"), [(0.4, "opening the model and one inference take"), (1.0, "3 inferences take")])
def test_a_network_slower_than_the_time_out_is_no_hanging_worker(tmp_path, timeout_s, what):
    case = Case(model="none", backend="slow")
    worker = Worker(case, tmp_path / "log")
    try:
        worker.wait_until_started(20.0)
        with pytest.raises(WorkerError) as raised:
            worker.open(OpenRequest(case=case, artifact=None, cache=str(tmp_path), cpus=(CPU,)), timeout_s)
            worker.round(RoundRequest(settle_ms=1.0, target_ms=20.0), timeout_s)
    finally:
        worker.close()
    assert str(raised.value) == (
        f"{what} more than {timeout_s:g} s: the worker was still computing, and was killed. "
        "Raise --timeout, or measure a smaller network or batch."
    )


@situation(
    "processes",
    "Another package's backend offers a precision of which the artefact does not say how exact it has to be",
    "reports that case with a sentence and measures the others",
)
def test_a_precision_that_nothing_can_be_judged_by_is_a_sentence(tmp_path):
    np.savez(tmp_path / "feed.npz")
    made = replace(artifact(paper_table()[0][0]), feed_path="feed.npz")
    case = Case(model="none", backend="null", precision="bf16")
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    request = OpenRequest(case=case, artifact=made, cache=str(tmp_path), cpus=cpus)
    with pytest.raises(WorkerError, match=r"outputs in bf16 cannot be judged: .* is known for fp32 only\."):
        worker.open_session(request)


def test_the_log_of_a_crashed_worker_is_kept_and_its_tail_reported(tmp_path):
    run = measure(tmp_path, "crashing")
    assert "about to divide by nought" in run.failures[0].log_tail
    assert any("crashing" in path.name for path in (tmp_path / "logs").iterdir())


def test_the_traceback_of_a_worker_that_raises_is_in_its_log(tmp_path):
    tail = measure(tmp_path, "raising").failures[0].log_tail
    assert tail.endswith("ValueError: the kernel is not implemented")
    assert "Traceback" in tail or "in _raise" in tail


def test_a_case_that_never_gave_a_figure_is_not_tried_again(tmp_path):
    assert len(measure(tmp_path, "crashing", launches=4).failures) == 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs a second CPU to wander to")
def test_a_worker_that_leaves_its_cpu_is_refused(tmp_path):
    run = measure(tmp_path, "wandering", rounds_per_launch=2)
    assert "a thread may run on CPUs [0]" in run.failures[0].reason


def test_a_session_that_burns_cpu_while_it_waits_gets_none(tmp_path):
    run = measure(tmp_path, "spinning", rounds_per_launch=2)
    rounds = [r for s in run.samples if s.case.backend == "spinning" for r in s.rounds if r.index == 1]
    assert rounds
    assert all(r.idle_cpu_ns < 20_000_000 for r in rounds)


def test_a_session_that_uses_more_cpu_than_its_threads_is_marked(tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    run = measure(tmp_path, "spinning", cpus=tuple(sorted(os.sched_getaffinity(0)))[-2:], round_target_ms=200.0)
    rounds = [r for s in run.samples if s.case.backend == "spinning" for r in s.rounds]
    assert any("more threads than requested" in r.disturbances for r in rounds)


def test_a_worker_that_hangs_longer_than_the_budget_takes_no_time_from_the_others(tmp_path):
    run = measure(tmp_path, "hanging", timeout_s=4.0, budget_s=3.0)
    assert "hung" in run.failures[0].reason
    assert launches_of(run, NULL) >= 1
    assert run.measuring_s < 4.0


def test_what_a_launch_measured_before_it_failed_is_not_used(tmp_path):
    """It crashes in its tenth inference, in the second round: the first one is on disk and stays out of every figure."""
    run = measure(tmp_path, "crashing", rounds_per_launch=4, settle_ms=0.0, round_target_ms=2.0)
    crashed = [samples for samples in run.samples if samples.case.backend == "crashing"]
    result = next(r for r in stats.analyse(run).results if r.case.backend == "crashing")
    assert run.failures
    assert sum(len(samples.rounds) for samples in crashed) >= 1
    assert (result.launches, result.samples) == (0, 0)


def test_the_stream_is_timed_beside_steady_rounds_and_no_others(tmp_path):
    run = measure(tmp_path, regimes=("steady", "cold"), cold_launches=2)
    rounds = [r for samples in run.samples for r in samples.rounds]
    assert {r.regime for r in rounds} == {"steady", "cold"}
    for measured in rounds:
        readings = (measured.stream_before_ns, measured.stream_after_ns)
        assert all(ns and ns > 100_000 for ns in readings) if measured.regime == "steady" else readings == (None, None)


def test_a_worker_that_hangs_is_ended_at_once_and_not_with_its_wave(tmp_path):
    """Left alive, it could burn the CPU on which the others are timed."""
    case = Case(model="none", backend="hanging")
    worker = Worker(case, tmp_path / "log")
    try:
        worker.open(OpenRequest(case=case, artifact=None, cache=str(tmp_path), cpus=(CPU,)), timeout_s=20.0)
        with pytest.raises(WorkerError, match="it was killed"):
            worker.round(RoundRequest(settle_ms=50.0, target_ms=20.0), timeout_s=0.5)
        assert worker._process.wait(timeout=5.0) < 0
    finally:
        worker.close()


@situation(
    "memory",
    "A runtime returns its memory to the kernel in each inference and fetches it again (PyTorch with glibc)",
    "counts the page faults of each round; where they are a visible share of the latency, the case has a caveat",
)
def test_page_faults_in_each_inference_are_a_caveat(tmp_path):
    run = measure(tmp_path, "trimming", launches=3)
    (found,) = [caveat for caveat in stats.analyse(run).caveats if caveat.code == "page-faults"]
    assert found.subject == Case(model="none", backend="trimming").id
    assert 512 <= int(found.observed.split()[0].replace(",", "")) < 600
    assert "MALLOC_TOP_PAD_" in found.advice
    assert all(r.page_faults < len(r.latencies_ns) for s in run.samples if s.case == NULL for r in s.rounds)


def test_page_faults_are_unknown_in_runs_that_did_not_count_them():
    run = store.load(ROOT / "results/reference/20261124T175642")
    assert {r.page_faults for s in run.samples for r in s.rounds} == {None}
    assert not [caveat for caveat in stats.analyse(run).caveats if caveat.code == "page-faults"]


def sizes_of(log, until):
    """Return the largest size that a file has until an event."""
    largest = 0
    while not until.wait(0.002):
        largest = max(largest, log.stat().st_size if log.exists() else 0)
    return largest


@situation(
    "files",
    "A runtime writes to its log without end, hundreds of MiB",
    "lets no log grow beyond 64 MiB in a turn, keeps the last 64 KiB of it after each turn, and measures on",
)
def test_a_worker_that_writes_without_end_does_not_fill_the_disk(tmp_path):
    log, done = tmp_path / "log", threading.Event()
    with ThreadPoolExecutor() as pool:
        largest = pool.submit(sizes_of, log, done)
        worker = Worker(Case(model="none", backend="shouting"), log)
        try:
            worker.open(OpenRequest(case=worker.case, artifact=None, cache=str(tmp_path), cpus=(CPU,)), timeout_s=20.0)
            for _ in range(2):
                reply = worker.round(RoundRequest(settle_ms=1.0, target_ms=1.0, least=200), timeout_s=60.0)
                assert len(reply.latencies_ns) >= 200  # 400 MiB in both
                assert log.stat().st_size <= 65 << 10
        finally:
            worker.close()
            done.set()
        assert 32 << 20 <= largest.result() <= 64 << 20
    assert log.read_bytes().startswith(b"[...]\n")
    assert "all is well\nall is well" in worker.log_tail()


def test_a_worker_that_cannot_write_any_more_fails_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("MNBENCH_TEST_SHOUT", "1")
    run = measure(tmp_path, "shouting", least_inferences=200)
    assert {failure.reason for failure in run.failures} == {"it wrote more than 64 MiB into its log in one turn."}
    assert launches_of(run, NULL) == 2
