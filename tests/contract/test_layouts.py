"""Where a layout says that memory begins, the runtime reads and writes; a graph in another order is the same graph."""

from __future__ import annotations

import ctypes
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from mnbench import backends, environment, store
from mnbench.commands.compare import OPSET
from mnbench.export import ensure_all
from mnbench.export.onnx import reordered
from mnbench.measure import worker
from mnbench.measure.conduct import conduct
from mnbench.measure.launcher import PADDING_VARIABLE, Worker
from mnbench.measure.layout import layout_of
from mnbench.measure.messages import OpenRequest
from mnbench.records import Case, ExportSpec, Format, Layout, Source
from tests.builders import spec_of
from tests.conftest import a_plan, a_run

SMALLEST = "mobilenet_v1_0.25_128"
NULL = Case(model="none", backend="null")
ADDRESSES = {
    "ort": lambda s: (s._inputs[0].data_ptr(), s._binding.get_outputs()[0].data_ptr()),
    "openvino": lambda s: tuple(
        tensor.data.ctypes.data for tensor in (s._request.get_input_tensor(), s._request.get_output_tensor())
    ),
    "torch": lambda s: (s._inputs[0].data_ptr(), None),  # torch allocates its output in the call
}
"""By backend, what the runtime itself says of where its input and its output begin; None for what is not ours."""
LAYOUTS = [(0, 4032), (2048, 64), (4032, 2048), (64, 0)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(autouse=True)
def _affinity():
    before = os.sched_getaffinity(0)
    yield
    worker.pin(before)


def artifact_of(name, cache, node_order=0):
    spec = ExportSpec(
        model=SMALLEST,
        source=Source(scheme="catalog", locator=SMALLEST),
        precision="fp32",
        batch=1,
        opset=OPSET,
        seed=0,
        node_order=node_order,
    )
    wanted = (spec, backends.get(name).format)
    return ensure_all([wanted], cache)[wanted]


def test_every_backend_that_runs_networks_is_looked_at():
    assert set(ADDRESSES) == set(backends.BUILT_IN) - {"null", "probe"}


@pytest.mark.parametrize("name", [name for name in ADDRESSES if backends.get(name).missing() is None])
@pytest.mark.parametrize(("at", "to"), LAYOUTS)
def test_the_runtime_reads_and_writes_where_the_layout_says(cache, name, at, to):
    artifact = artifact_of(name, cache)
    layout = Layout(input_offset_bytes=at, output_offset_bytes=to)
    request = OpenRequest(
        case=Case(model=SMALLEST, backend=name),
        artifact=artifact,
        cache=str(cache),
        cpus=environment.choose_cpus(1),
        layout=layout,
    )
    session, _ = worker.open_session(request)
    source, target = ADDRESSES[name](session)
    assert source % 4096 == at
    assert target is None or target % 4096 == to
    seen = np.array(session.outputs()[0])
    feed = backends.Feed.load(cache / artifact.feed_path, artifact)
    there = np.ctypeslib.as_array((ctypes.c_float * feed.inputs[0].size).from_address(source))
    assert (there == feed.inputs[0].ravel()).all()
    there *= 0.5  # a session with a copy of its own would not notice
    session.run()
    assert not np.allclose(session.outputs()[0], seen, rtol=1e-3)
    if target is not None:
        written = np.ctypeslib.as_array((ctypes.c_float * seen.size).from_address(target))
        assert (written == session.outputs()[0].ravel()).all()
    session.close()


def test_the_padding_stands_in_the_workers_environment(tmp_path):
    started = Worker(NULL, tmp_path / "log", environment_bytes=1234)
    try:
        started.wait_until_started(60.0)
        entries = Path(f"/proc/{started._process.pid}/environ").read_bytes().split(b"\0")
    finally:
        started.close()
    (padding,) = (entry for entry in entries if entry.startswith(PADDING_VARIABLE.encode()))
    assert len(padding) == len(f"{PADDING_VARIABLE}=") + 1234


def measured(directory, plan, files, cache):
    writer = store.RunWriter(directory, a_run(plan, finished=False))
    conduct(plan, files, cache, writer.logs, writer)
    return store.load(directory)


def test_each_launch_of_a_run_has_its_own_layout_and_opens_its_own_file(tmp_path, cache):
    """The second file is of another seed, so that the launch that opens it is the one that fails."""
    case = Case(model=SMALLEST, backend="ort")
    good = artifact_of("ort", cache)
    other = (spec_of(case, seed=1), Format.ONNX)
    wrong = ensure_all([other], cache)[other]
    plan = a_plan(case, cpus=environment.choose_cpus(1), launches=3, rounds_per_launch=1, round_target_ms=5.0,
                  regimes=("steady",), seed=7)  # fmt: skip
    run = measured(tmp_path, plan, {case.id: (good, replace(good, path=wrong.path), good)}, cache)
    assert [failure.launch for failure in run.failures] == [1]
    stored = {samples.launch: samples.layout for samples in run.samples if samples.rounds}
    assert stored == {n: layout_of(7, case.id, n, process=case.id, files=3) for n in (0, 2)}
    assert [stored[n].node_order for n in (0, 2)] == [0, 2]


def test_waves_take_sets_of_cpus_in_turn(tmp_path):
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        pytest.skip("needs two CPUs")
    sets = ((usable[1],), (usable[0],))
    plan = a_plan(NULL, cpus=sets[0], cpu_sets=sets, launches=3, rounds_per_launch=1, round_target_ms=5.0, regimes=("steady",))
    run = measured(tmp_path, plan, {NULL.id: ()}, tmp_path)
    assert {s.launch: s.effective["affinity"] for s in run.samples} == {n: str(sets[n % 2][0]) for n in range(3)}


def a_graph():
    """A graph of eight branches that meet, with a choice whose branches read one of them from outside."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
    nodes = [helper.make_node("Mul", ["x", "w"], [f"a{n}"], name=f"mul{n}") for n in range(8)]
    nodes += [helper.make_node(kind, [f"a{n}"], [f"b{n}"], name=f"f{n}") for n, kind in enumerate(("Relu", "Tanh") * 4)]
    result = helper.make_tensor_value_info("r", TensorProto.FLOAT, [4])
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node(kind, ["b3"], ["r"])], name, [], [result])
        for name, kind in (("then", "Neg"), ("else", "Abs"))
    }
    nodes.append(helper.make_node("If", ["c"], ["i"], name="if", **branches))
    nodes.append(helper.make_node("Sum", ["i", *(f"b{n}" for n in range(8))], ["y"], name="sum"))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    condition = helper.make_tensor("c", TensorProto.BOOL, [1], [True])
    graph = helper.make_graph(nodes, "g", [x], [y], initializer=[weight, condition])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


def run_graph(model):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": np.array([1.0, -2.0, 0.5, 3.0], np.float32)})[0]


def test_a_reordered_graph_has_the_same_nodes_in_another_valid_order_and_gives_the_same():
    before = a_graph()
    orders = set()
    for seed in range(20):
        after = a_graph()
        nodes = reordered(after.graph, random.Random(seed))
        del after.graph.node[:]
        after.graph.node.extend(nodes)
        onnx.checker.check_model(after)
        assert sorted(n.name for n in nodes) == sorted(n.name for n in before.graph.node)
        assert after.graph.initializer == before.graph.initializer
        assert np.allclose(run_graph(after), run_graph(before), rtol=1e-6)
        orders.add(tuple(n.name for n in nodes))
        names = [n.name for n in nodes]
        assert names.index("if") > names.index("f3")  # read only by the graphs inside it
    assert len(orders) == 20


def test_the_same_seed_gives_the_same_order_and_a_chain_has_one():
    orders = [[node.name for node in reordered(a_graph().graph, random.Random(seed))] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    chain = helper.make_graph(
        [helper.make_node("Relu", [f"v{n}"], [f"v{n + 1}"], name=str(n)) for n in range(9)], "chain", [], []
    )
    assert [node.name for node in reordered(chain, random.Random(1))] == [str(n) for n in range(9)]


def test_a_replica_is_a_file_of_its_own_checked_like_any_other_and_told_once(tmp_path):
    case = Case(model=SMALLEST, backend="openvino")
    wanted = [
        (replace(spec_of(case, seed=0), node_order=order), kind)
        for kind in (Format.ONNX, Format.OPENVINO_IR)
        for order in range(3)
    ]
    told = []
    made = ensure_all(wanted, tmp_path, told.append)
    assert told == [SMALLEST]
    assert len({made[pair].path for pair in wanted}) == 6
    assert len({(tmp_path / made[pair].path).stat().st_ino for pair in wanted}) == 6
    assert all(0 < made[pair].max_rel_error < 1e-4 for pair in wanted)
    assert {made[pair].feed_path for pair in wanted} == {made[wanted[0]].feed_path}
