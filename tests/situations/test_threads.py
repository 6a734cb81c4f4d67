"""Threads: how many were asked for, how many ran, and whether they ran all the time."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from mnbench import backends, environment
from mnbench.errors import WorkerError
from mnbench.export import ensure_all
from mnbench.measure.disturbance import STOPPED, disturbances
from mnbench.measure.launcher import Worker, environment_of
from mnbench.measure.messages import OpenRequest, RoundRequest
from mnbench.measure.workload import UsualSpeed
from mnbench.records import Case
from tests.builders import spec_of
from tests.integration.command import ROOT, SMALLEST
from tests.situations import situation

NULL = Case(model="none", backend="null")


def open_null(worker):
    worker.open(OpenRequest(case=NULL, artifact=None, cache="", cpus=environment.choose_cpus(1)), timeout_s=60)


def marks_of(reply):
    usual = UsualSpeed(1000.0)
    usual.remember(reply.workload_before_ns, reply.workload_after_ns)
    return disturbances(reply, 1, 1, usual)


@situation(
    "processes",
    "A worker is stopped in the middle of a round (SIGSTOP, freezer, suspend)",
    "marks the round `did not run` and leaves it out: CPU time is held against wall time",
)
def test_a_round_in_which_the_worker_was_stopped_is_disturbed(tmp_path):
    worker = Worker(NULL, tmp_path / "log")
    try:
        open_null(worker)
        whole = worker.round(RoundRequest(settle_ms=0.0, target_ms=300.0, most=10**9), timeout_s=60)

        def stop() -> None:
            time.sleep(0.1)
            os.kill(worker.pid, signal.SIGSTOP)
            time.sleep(0.2)
            os.kill(worker.pid, signal.SIGCONT)

        stopper = threading.Thread(target=stop)
        stopper.start()
        cut = worker.round(RoundRequest(settle_ms=0.0, target_ms=600.0, most=10**9), timeout_s=60)
        stopper.join()
    finally:
        worker.close()
    assert STOPPED not in marks_of(whole)
    assert STOPPED in marks_of(cut)


@situation(
    "processes",
    "OpenMP may use fewer threads than are asked for (`OMP_THREAD_LIMIT=1`, two threads in torch)",
    "fails the launch: the threads that the runtime may use are read back",
)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_limit_of_threads_that_the_runtime_does_not_tell_fails_the_launch(tmp_path, monkeypatch):
    case = Case(model=SMALLEST, backend="torch", threads=2)
    wanted = (spec_of(case, seed=0), backends.get("torch").format)
    cache = ROOT / "models"
    request = OpenRequest(
        case=case, artifact=ensure_all([wanted], cache)[wanted], cache=str(cache), cpus=environment.choose_cpus(2)
    )
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    worker = Worker(case, tmp_path / "log")
    try:
        with pytest.raises(WorkerError, match="threads '2' was requested, but the runtime says '1'"):
            worker.open(request, timeout_s=60)
    finally:
        worker.close()


@situation(
    "processes",
    "The user says how waiting threads behave (`OMP_WAIT_POLICY`)",
    "passes it on: threads spin or sleep as they do in the user's own program",
)
@pytest.mark.parametrize("policy", [None, "active", "passive"])
def test_the_waiting_of_threads_is_the_users(monkeypatch, policy):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if policy is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    for name in ("ort", "openvino", "torch", "probe"):
        assert environment_of(Case(model=SMALLEST, backend=name)).get("OMP_WAIT_POLICY") == policy
