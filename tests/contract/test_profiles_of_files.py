"""A user's file has no torch modules, and its layers are found in the profiles by the names of its own nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mnbench import backends, environment, sources
from mnbench.commands import compare
from mnbench.errors import UsageError
from mnbench.export import ensure_each
from mnbench.measure.messages import OpenRequest
from mnbench.measure.profiling import profile
from mnbench.records import Case, ExportSpec
from mnbench.records.study import StudyOptions
from mnbench.sources import shapes
from mnbench.studies import layers
from mnbench.studies.layers.shares import NodeTimes, Profile, parts_of, unclaimed

RANDOM = np.random.default_rng(0)


def weights(name: str, *shape: int) -> TensorProto:
    values = RANDOM.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(values.astype(np.float32), name)


def node(kind: str, reads: list[str], writes: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, reads, [writes], name=name, **attributes)


def a_file(path: Path, batch: int | str = "N") -> Path:
    """Convolutions with and without names, offsets and activations, a classifier, and weights of names as exporters give."""
    nodes = [
        node("Constant", [], "zero", value=numpy_helper.from_array(np.float32(0))),
        node("Conv", ["x", "onnx::Conv_9", "b0"], "a", "/stem/Conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["a"], "b"),
        node("Conv", ["b", "w1"], "c", pads=[1, 1, 1, 1], group=32),
        node("Max", ["c", "zero"], "d"),
        node("Conv", ["d", "head.weight"], "e", "Conv_3"),
        node("GlobalAveragePool", ["e"], "g"),
        node("Flatten", ["g"], "h"),
        node("Gemm", ["h", "fc", "fcb"], "y", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 56, 56])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])],
        [
            weights("onnx::Conv_9", 32, 3, 3, 3),
            weights("b0", 32),
            weights("w1", 32, 1, 3, 3),
            weights("head.weight", 48, 32, 1, 1),
            weights("fc", 10, 48),
            weights("fcb", 10),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("backend", ["ort", "openvino"])
@pytest.mark.parametrize("batch", ["N", 2])
def test_every_layer_of_a_file_is_a_node_of_the_profile(tmp_path: Path, backend: str, batch: int | str) -> None:
    (model,) = sources.resolve([str(a_file(tmp_path / "my net.onnx", batch))])
    case = Case(model=model.id, backend=backend, batch=shapes.images_of(model))
    spec = ExportSpec(
        model=model.id, precision="fp32", batch=case.batch, opset=compare.OPSET, seed=0, source=model.source,
        shapes=tuple(shapes.resolved(model, case.batch).items()),
    )  # fmt: skip
    wanted = (spec, backends.get(backend).format)
    artifact = ensure_each([wanted], tmp_path / "cache").made[wanted]
    request = OpenRequest(case=case, artifact=artifact, cache=str(tmp_path / "cache"), cpus=environment.choose_cpus(1))
    reply = profile(request, timeout_s=120.0)
    nodes = tuple(
        NodeTimes(name=n.name, type=n.type, nodes=n.nodes, multiplies=n.multiplies, modules=n.modules, ns=(n.ns,))
        for n in reply.nodes
    )
    seen = Profile(model=model.id, backend=backend, cut_ns=0.0, whole_ns=(reply.whole_ns,), nodes=nodes)
    parts = parts_of(seen, artifact.facts.layers)
    assert unclaimed(parts, artifact.facts.layers) == []
    assert all(part.certain for part in parts)
    assert [layer.name for layer in artifact.facts.layers] == ["/stem/Conv", "c", "head", "y"]
    assert sorted(part.kind for part in parts if part.layers) == ["depthwise", "linear", "pointwise", "standard"]


def test_the_study_times_a_file_with_its_own_batch_and_tells_what_is_open(tmp_path: Path) -> None:
    fixed = layers.plan(StudyOptions(backends=("ort",), models=(str(a_file(tmp_path / "two.onnx", 2)),)))
    assert [(case.model, case.batch) for case in fixed.cases if case.backend == "ort"] == [("two", 2)]
    assert (fixed.baseline, fixed.models[0].title) == ("two", f"{tmp_path}/two.onnx")
    model = onnx.load(tmp_path / "two.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    onnx.save(model, tmp_path / "open.onnx")
    options = StudyOptions(backends=("ort",), models=(f"{tmp_path}/open.onnx",))
    with pytest.raises(UsageError, match="--shape x=2,3,64,56"):
        layers.plan(options)
    given = StudyOptions(backends=("ort",), models=options.models, shapes={"x": (2, 3, 56, 56)})
    assert layers.plan(given).models[0].inputs[0].dims == (2, 3, 56, 56)
