"""One contract for every backend: what is requested is read back and holds, and the outputs are torch's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mnbench import backends, environment
from mnbench.errors import ExportError, MissingPackageError, UnknownNameError, UsageError, WorkerError
from mnbench.export import ensure_all
from mnbench.measure.launcher import Worker
from mnbench.measure.messages import OpenRequest, RoundRequest
from mnbench.measure.worker import judge
from mnbench.records import Case, Format, TensorSpec
from mnbench.sources import feeds
from mnbench.sources.feeds import difference
from tests.builders import a_spec, spec_of
from tests.study_runs import an_artifact

SMALLEST = "mobilenet_v1_0.25_128"
MODELS = {"probe": "matmul_64"}
"""What a backend opens that runs no networks."""
SILENT = ("null", "probe")
"""Backends without outputs."""
NAMES = tuple(name for name in backends.BUILT_IN if backends.get(name).missing() is None)
PRECISIONS = [(name, precision) for name in NAMES for precision in backends.get(name).precisions]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def open_worker(cache, tmp_path):
    """Open a case of the smallest network in a real worker; return it with its reply."""
    workers = []

    def open_it(name, *, precision="fp32", threads=1, batch=1, change=lambda artifact: artifact):
        model = MODELS.get(name, SMALLEST)
        case = Case(model=model, backend=name, precision=precision, threads=threads, batch=batch)
        kind = backends.get(name).format
        wanted = (a_spec(case.model, batch=case.batch), kind)
        artifact = None if kind is Format.NONE else ensure_all([wanted], cache)[wanted]
        worker = Worker(case, tmp_path / f"{case.id}.log")
        workers.append(worker)
        request = OpenRequest(
            case=case,
            artifact=artifact and change(artifact),
            cache=str(cache),
            cpus=environment.choose_cpus(threads),
        )
        return worker, worker.open(request, timeout_s=120.0)

    yield open_it
    for worker in workers:
        worker.close()


@pytest.mark.parametrize("name", backends.BUILT_IN)
def test_a_backend_bears_the_name_it_is_registered_by(name):
    backend = backends.get(name)
    assert isinstance(backend, backends.Backend)
    assert backend.name == name


@pytest.mark.parametrize("name", backends.BUILT_IN)
def test_asking_whether_a_backend_is_missing_imports_no_runtime(name):
    assert backends.get(name).missing() is None or "pip install" in backends.get(name).missing()


@pytest.mark.parametrize(("name", "precision"), PRECISIONS)
def test_settings_are_read_back_as_requested_and_outputs_are_torchs(open_worker, name, precision):
    _, reply = open_worker(name, precision=precision)
    assert {key: reply.effective[key] for key in ("threads", "streams", "precision")} == {
        "threads": "1",
        "streams": "1",
        "precision": precision,
    }
    assert reply.effective["version"]
    if name not in SILENT:
        assert reply.max_rel_error is not None
        assert reply.max_rel_error < (1e-3 if precision == "fp32" else 0.5)
    if precision == "bf16" and name not in SILENT:
        assert reply.max_rel_error > 1e-4  # eight bits of significand cannot be closer: it really ran in bf16


@pytest.mark.parametrize("name", NAMES)
def test_two_threads_are_read_back_as_two(open_worker, name):
    if environment.cpu_budget()[0] < 2:
        pytest.skip("needs two cores")
    _, reply = open_worker(name, threads=2)
    assert reply.effective["threads"] == "2"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "probe"])
def test_a_batch_of_two_gives_torchs_outputs(open_worker, name):
    _, reply = open_worker(name, batch=2)
    assert name == "null" or reply.max_rel_error < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_round_yields_latencies_and_the_waiting_worker_uses_no_cpu(open_worker, name):
    worker, _ = open_worker(name)
    request = RoundRequest(settle_ms=1.0, target_ms=20.0)
    worker.round(request, timeout_s=60.0)
    reply = worker.round(request, timeout_s=60.0)
    assert all(latency > 0 for latency in reply.latencies_ns)
    assert reply.idle_cpu_ns < 20_000_000


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SILENT])
def test_a_file_that_computes_something_else_is_refused(open_worker, cache, name):
    """The file of another seed: a sound network with other weights, whose outputs are not those on record."""
    case = Case(model=SMALLEST, backend=name)
    wanted = (spec_of(case, seed=1), backends.get(name).format)
    other = ensure_all([wanted], cache)[wanted]
    with pytest.raises(WorkerError, match=r"away from torch's; this precision explains no more than 0\.001"):
        open_worker(name, change=lambda artifact: replace(artifact, path=other.path))


@pytest.mark.parametrize("name", NAMES)
def test_a_precision_the_backend_does_not_have_is_refused(name):
    with pytest.raises(UsageError, match="cannot run precision 'int4'; it can run fp32"):
        backends.require(name, "int4")


def test_an_unknown_backend_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown backend 'opnvino'; did you mean 'openvino'"):
        backends.get("opnvino")


def test_a_backend_without_its_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match="needs the package onnxruntime: pip install onnxruntime"):
        backends.require("ort", "fp32")


def test_a_setting_that_is_not_told_is_as_wrong_as_another_one():
    with pytest.raises(WorkerError, match="does not say"):
        backends.check_effective({"threads": "1"}, {})


def test_outputs_that_are_not_finite_are_refused_of_the_catalog_and_reported_of_a_users_model():
    spec = TensorSpec(name="y", dtype="float32", dims=(1, 2))
    told = difference([np.array([[np.nan, 1.0]], np.float32)], [np.ones((1, 2), np.float32)], [spec])
    with pytest.raises(WorkerError, match="not finite"):
        list(judge(told, an_artifact(SMALLEST, 1), "fp32"))
    (remark,) = judge(told, an_artifact(SMALLEST, 1, strict=False), "fp32")
    assert remark.code == "outputs-differ"


def test_the_worker_has_its_thread_count_before_a_runtime_is_imported():
    from mnbench.measure.launcher import environment_of

    assert environment_of(Case(model=SMALLEST, backend="torch", threads=2))["OMP_NUM_THREADS"] == "2"


def test_input_and_output_begin_on_a_cache_line(tmp_path):
    for size in (5, 1000, 224 * 224 * 3):
        feeds.save(tmp_path / "feed.npz", [np.arange(size, dtype=np.float32)], [np.ones(3, np.float32)])
        named = TensorSpec(name="x", dtype="float32", dims=(size,)), TensorSpec(name="y", dtype="float32", dims=(3,))
        feed = backends.Feed.load(tmp_path / "feed.npz", an_artifact(SMALLEST, 1, inputs=named[:1], outputs=named[1:]))
        (given,), (buffer,) = feed.inputs, feed.output_buffers()
        assert (given.ctypes.data % 64, buffer.ctypes.data % 64) == (0, 0)
        assert given.flags.c_contiguous
        assert (given == np.arange(size, dtype=np.float32)).all()


def test_the_backend_of_probes_runs_no_network(cache):
    wanted = (a_spec(SMALLEST), Format.PROBE)
    with pytest.raises(ExportError, match="runs kernels such as matmul_1024 or read_16k, not the network"):
        ensure_all([wanted], cache)


def test_a_probe_has_no_batch_and_is_no_network(cache):
    for kind, batch, reason in ((Format.PROBE, 2, "has no batch"), (Format.TORCH_STATE, 1, "is a probe of the machine")):
        wanted = (spec_of(Case(model="matmul_64", backend="probe", batch=batch), seed=0), kind)
        with pytest.raises(ExportError, match=reason):
            ensure_all([wanted], cache)


@pytest.mark.parametrize("model", ["conv_k3_c16_r8", "read_16k", "copy_16k", "read_1m", "copy_64k"])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_kind_of_probe_opens_and_runs(open_worker, monkeypatch, model, threads):
    if environment.cpu_budget()[0] < threads:
        pytest.skip("needs two cores")
    monkeypatch.setitem(MODELS, "probe", model)
    _, reply = open_worker("probe", threads=threads)
    assert (reply.effective["precision"], reply.effective["threads"]) == ("fp32", str(threads))


@pytest.mark.parametrize("model", ["matmul_64", "conv_k3_c64_r8"])
def test_a_product_in_less_than_fp32_is_not_called_fp32(monkeypatch, model):
    """oneDNN can be told from outside to multiply fp32 tensors in bf16; here the exact sums are those of other factors."""
    from mnbench.backends import probe
    from mnbench.catalog import probes

    session = probe.ProbeSession(probes.parse(model), threads=1, precision="fp32")
    session.run()
    assert session.effective()["precision"] == "fp32"
    right = probe._distance
    monkeypatch.setattr(probe, "_distance", lambda got, exact: right(got.bfloat16(), exact))
    assert session.effective()["precision"] == "less than fp32"


def test_a_copy_probe_copies_and_moves_its_target_by_less_than_it_is_long():
    from mnbench.backends import probe
    from mnbench.catalog import probes

    kernel = probe._copy(probes.parse("copy_16k"), 2, "fp32")
    kernel.call()
    source, room = kernel.reads
    written = room.view(2, -1)
    assert source.numel() == 2 * 2048
    assert (written[:, : 2048 + 4 * 10 * 16] == 1).all()  # the first pass to the last, 40 lines further on
    assert (written[:, 2048 + 4 * 10 * 16 :] == 0).all()
