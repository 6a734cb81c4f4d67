"""Guards against silent lies, each with the fault really caused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnbench import environment, store
from mnbench.backends.openvino import OpenVinoBackend, OpenVinoSession
from mnbench.commands.compare import already
from mnbench.errors import WorkerError
from mnbench.export import ensure_all
from mnbench.measure import worker
from mnbench.measure.conduct import conduct
from mnbench.measure.messages import OpenRequest
from mnbench.records import Case, Format
from tests.builders import spec_of
from tests.conftest import a_plan, a_run

SMALLEST = "mobilenet_v1_0.25_128"
CASE = Case(model=SMALLEST, backend="openvino")
NULL = Case(model="none", backend="null")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def request_to_open(cache):
    affinity = os.sched_getaffinity(0)
    wanted = (spec_of(CASE, seed=0), Format.OPENVINO_IR)
    artifact = ensure_all([wanted], cache)[wanted]
    yield OpenRequest(case=CASE, artifact=artifact, cache=str(cache), cpus=environment.choose_cpus(1))
    worker.pin(affinity)


class LeftOnDefault(OpenVinoSession):
    """OpenVINO opened as most people open it: without a precision hint."""

    def __init__(self, path, feed, *, threads, precision):
        import openvino as ov

        compile_model = ov.Core.compile_model

        def without_hint(core, model, device, config):
            return compile_model(core, model, device, {k: v for k, v in config.items() if k != "INFERENCE_PRECISION_HINT"})

        ov.Core.compile_model = without_hint
        try:
            super().__init__(path, feed, threads=threads, precision=precision)
        finally:
            ov.Core.compile_model = compile_model


def test_an_openvino_session_left_on_its_default_precision_is_refused(request_to_open, monkeypatch):
    if "avx512_bf16" not in environment.capture().isa and "amx_bf16" not in environment.capture().isa:
        pytest.skip("this CPU has no bf16 instructions, so the default is fp32")

    def open_default(self, artifact, root, feed, *, threads, precision):
        return LeftOnDefault(root / artifact.path, feed, threads=threads, precision=precision)

    monkeypatch.setattr(OpenVinoBackend, "open", open_default)
    with pytest.raises(WorkerError, match="precision 'fp32' was requested, but the runtime says 'bf16'"):
        worker.open_session(request_to_open)


def test_the_same_session_with_its_hint_is_accepted(request_to_open):
    session, reply = worker.open_session(request_to_open)
    session.close()
    assert reply.effective["precision"] == "fp32"
    assert set(reply.effective["layers"].split(",")) == {f"f32:{reply.effective['layers'].split(':')[1]}"}


def test_rounds_beside_a_spinning_neighbour_are_marked_and_nothing_is_concluded(tmp_path, cache):
    """The neighbour sits on the measured CPU for the whole run."""
    cpu = environment.choose_cpus(1)
    wanted = (spec_of(CASE, seed=0), Format.OPENVINO_IR)
    artifact = ensure_all([wanted], cache)[wanted]
    spin = f"import os; os.sched_setaffinity(0, {{{cpu[0]}}})\nwhile True: pass"
    plan = a_plan(CASE, NULL, cpus=cpu, launches=2, rounds_per_launch=1, round_target_ms=100.0)
    writer = store.RunWriter(tmp_path, a_run(plan, finished=False))
    neighbour = subprocess.Popen([sys.executable, "-c", spin])
    try:
        conduct(plan, {CASE.id: (artifact,), NULL.id: ()}, cache, writer.logs, writer)
    finally:
        neighbour.kill()
        neighbour.wait()
    rounds = [r for s in store.load(tmp_path).samples if s.case == CASE for r in s.rounds if r.regime == "steady"]
    assert len(rounds) == 2  # a wave's round is not repeated: the next pass is its second try
    assert all("waited for the CPU" in r.disturbances for r in rounds)


def test_memory_cold_first_and_load_are_measured_when_asked_for(tmp_path, cache):
    wanted = (spec_of(CASE, seed=0), Format.OPENVINO_IR)
    artifact = ensure_all([wanted], cache)[wanted]
    plan = a_plan(CASE, cpus=environment.choose_cpus(1), launches=1, rounds_per_launch=1, round_target_ms=20.0,
                  regimes=("steady", "cold", "memory"), evict_bytes=1 << 20, cold_samples=3)  # fmt: skip
    writer = store.RunWriter(tmp_path, a_run(plan, finished=False))
    conduct(plan, {CASE.id: (artifact,)}, cache, writer.logs, writer)
    run = store.load(tmp_path)
    (launch,) = run.samples
    cold = [r for r in launch.rounds if r.regime == "cold"]
    assert all(len(r.latencies_ns) == 3 and not r.settle_ns for r in cold)
    assert [memory.case for memory in run.memory] == [CASE]
    assert run.memory[0].above_runtime_bytes > 1 << 20
    assert launch.load_ns > 0


def test_memory_alone_is_read_in_several_processes_and_not_again_after_an_interruption(tmp_path, cache):
    wanted = (spec_of(CASE, seed=0), Format.OPENVINO_IR)
    artifact = ensure_all([wanted], cache)[wanted]
    plan = a_plan(CASE, cpus=environment.choose_cpus(1), launches=0, regimes=("memory",), memory_launches=3)
    writer = store.RunWriter(tmp_path, a_run(plan, finished=False))
    conduct(plan, {CASE.id: (artifact,)}, cache, writer.logs, writer)
    run = store.load(tmp_path)
    assert [memory.launch for memory in run.memory] == [0, 1, 2]
    assert not run.unmeasured()
    conduct(plan, {CASE.id: (artifact,)}, cache, writer.logs, writer, already=already(run))
    assert len(store.load(tmp_path).memory) == 3


def test_a_thread_that_ends_while_threads_are_pinned_or_checked_is_no_fault(monkeypatch):
    affinity = os.sched_getaffinity(0)
    threads = Path.iterdir
    gone = Path("/proc/self/task/4194304")  # beyond the highest thread number: the system says that there is none
    monkeypatch.setattr(Path, "iterdir", lambda folder: [*threads(folder), gone])
    worker.pin(affinity)
    worker.check_affinity(affinity)
