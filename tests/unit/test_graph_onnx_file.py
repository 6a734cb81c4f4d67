"""What is read from an ONNX file that a user named, and which files are refused."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mnbench.errors import MnbenchError, ModelFileError, UsageError
from mnbench.graph import opening
from mnbench.graph.onnx_file import OnnxGraph, read
from mnbench.graph.tensors import Port

node = helper.make_node
IMAGE = (1, 3, 8, 8)


def value(name: str, dims: Sequence[int | str | None] | None = IMAGE, dtype: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, dims)


def constant(name: str, values: Any, dtype: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def model_of(
    nodes: Sequence[NodeProto],
    *,
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[Any] | None = None,
    weights: Sequence[TensorProto] = (),
    opset: int = 17,
    ir: int = 8,
    domains: Sequence[str] = (),
    functions: Sequence[Any] = (),
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "odd",
        [value("x")] if inputs is None else inputs,
        [value("y", None)] if outputs is None else outputs,
        initializer=weights,
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=ir, producer_name="maker", producer_version="7", functions=functions
    )


def a_convolution() -> ModelProto:
    return model_of([node("Conv", ["x", "w"], ["y"])], weights=[constant("w", np.ones((4, 3, 3, 3)))])


def branch(name: str, *nodes: NodeProto) -> GraphProto:
    return helper.make_graph(list(nodes), name, [], [value(nodes[-1].output[0], None)])


def an_if(condition: str, source: str) -> NodeProto:
    """Return an If whose branches read a value from outside."""
    then_branch, else_branch = branch("t", node("Relu", [source], ["t"])), branch("f", node("Abs", [source], ["f"]))
    return node("If", [condition], ["y"], then_branch=then_branch, else_branch=else_branch)


@pytest.fixture
def graph_of(tmp_path: Path) -> Callable[[ModelProto], OnnxGraph]:
    def save_and_read(model: ModelProto) -> OnnxGraph:
        onnx.save(model, tmp_path / "model.onnx")
        return read(tmp_path / "model.onnx")

    return save_and_read


def refusal(path: Path) -> str:
    """Return the message of the refusal, which is one sentence and maps to exit code 2."""
    with pytest.raises(ModelFileError) as caught:
        read(path)
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, MnbenchError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_versions_producer_and_digest_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ein Modell ü.onnx"
    onnx.save(a_convolution(), path)
    graph = read(path)
    assert (graph.ir_version, graph.opsets) == (8, {"ai.onnx": 17})
    assert (graph.producer_name, graph.producer_version) == ("maker", "7")
    assert graph.files == (path,)
    assert graph.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert graph.size_bytes == path.stat().st_size
    assert graph.operators == {"ai.onnx": {"Conv": 1}}


def test_an_ir_newer_than_any_runtime_is_read(graph_of: Callable[[ModelProto], OnnxGraph]) -> None:
    model = a_convolution()
    model.ir_version = 99
    assert graph_of(model).ir_version == 99


def test_inputs_have_names_dtypes_and_open_axes(graph_of: Callable[[ModelProto], OnnxGraph]) -> None:
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.INT64, None)
    optional = helper.make_value_info("o", helper.make_optional_type_proto(value("", (2,), TensorProto.BOOL).type))
    graph = graph_of(
        model_of(
            [node("Identity", ["serving/input:0"], ["y/../0:1"])],
            inputs=[
                value("serving/input:0", ("N", 3, None, 8), TensorProto.BFLOAT16),
                value("words", (1,), TensorProto.STRING),
                value("scalar", (), TensorProto.DOUBLE),
                value("ranks unknown", None, TensorProto.UINT8),
                sequence,
                optional,
            ],
            outputs=[value("y/../0:1", (1, "T"), TensorProto.FLOAT16)],
        )
    )
    assert graph.inputs == (
        Port(name="serving/input:0", dtype="bfloat16", dims=("N", 3, None, 8)),
        Port(name="words", dtype="string", dims=(1,)),
        Port(name="scalar", dtype="float64", dims=()),
        Port(name="ranks unknown", dtype="uint8", dims=None),
        Port(name="s", dtype="int64", dims=None, kind="sequence"),
        Port(name="o", dtype="bool", dims=None, kind="optional"),
    )
    assert [(port.name, axis) for port, axis in graph.open_axes] == [("serving/input:0", 0), ("serving/input:0", 2)]
    assert graph.outputs == (Port(name="y/../0:1", dtype="float16", dims=(1, "T")),)


def test_initialisers_listed_as_inputs_are_not_inputs(graph_of: Callable[[ModelProto], OnnxGraph]) -> None:
    weights = [constant("w", np.ones((4, 3, 3, 3)))]
    nodes = [node("Conv", ["x", "w"], ["y"])]
    graph = graph_of(model_of(nodes, inputs=[value("x"), value("w", (4, 3, 3, 3))], weights=weights, opset=7, ir=3))
    assert [port.name for port in graph.inputs] == ["x"]


def test_operators_inside_subgraphs_and_functions_are_listed(graph_of: Callable[[ModelProto], OnnxGraph]) -> None:
    twice = helper.make_function(
        "local", "Twice", ["a"], ["c"], [node("Add", ["a", "a"], ["c"])], [helper.make_opsetid("", 17)]
    )
    nodes = [
        node("Twice", ["x"], ["d"], domain="local"),
        node("Swirl", ["d"], ["e"], domain="my.ops"),
        node("ReduceMax", ["e"], ["m"], keepdims=0),
        node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        an_if("c", "e"),
    ]  # fmt: skip
    graph = graph_of(model_of(nodes, domains=["local", "my.ops"], functions=[twice]))
    assert graph.functions == ("local.Twice",)
    assert graph.operators == {
        "ai.onnx": {"Abs": 1, "Add": 1, "Cast": 1, "If": 1, "ReduceMax": 1, "Relu": 1},
        "local": {"Twice": 1},
        "my.ops": {"Swirl": 1},
    }
    assert graph.data_dependent == {"If": 1}


def test_weights_are_counted_by_the_dtype_they_are_stored_in(graph_of: Callable[[ModelProto], OnnxGraph]) -> None:
    nodes = [
        node("DequantizeLinear", ["q", "scale", "zero"], ["w"]),
        node("Conv", ["x", "w"], ["a"]),
        node("Cast", ["half"], ["b"], to=TensorProto.FLOAT),
        node("Add", ["a", "b"], ["c"]),
        node("Reshape", ["c", "shape"], ["y"]),
    ]
    weights = [
        constant("q", np.ones((4, 3, 3, 3)), np.int8),
        constant("scale", np.ones(4)),
        constant("zero", np.zeros(4), np.int8),
        constant("half", np.ones((4, 1, 1)), np.float16),
        constant("shape", [1, -1], np.int64),
    ]
    assert graph_of(model_of(nodes, weights=weights)).weight_dtypes == {"int8": 108, "float16": 4}


RANDOM_NODES = [
    (node("RandomNormalLike", ["x"], ["y"]), {"RandomNormalLike": 1}),
    (node("RandomUniform", [], ["y"], shape=[2]), {"RandomUniform": 1}),
    (node("Bernoulli", ["x"], ["y"]), {"Bernoulli": 1}),
    (node("Dropout", ["x", "", "yes"], ["y"]), {"Dropout": 1}),
    (node("Dropout", ["x", "half", "yes"], ["y"]), {"Dropout": 1}),
    (node("Dropout", ["x", "none", "yes"], ["y"]), {}),
    (node("Dropout", ["x", "half", "no"], ["y"]), {}),
    (node("Dropout", ["x"], ["y"]), {}),
]


@pytest.mark.parametrize(("drawing", "expected"), RANDOM_NODES)
def test_a_model_that_draws_random_numbers_is_recognised(
    graph_of: Callable[[ModelProto], OnnxGraph], drawing: NodeProto, expected: dict[str, int]
) -> None:
    settings = [constant("yes", True, bool), constant("no", False, bool), constant("half", 0.5), constant("none", 0.0)]
    assert graph_of(model_of([drawing], weights=settings)).random_operators == expected


def a_loop(turns: str, condition: str, handed_on: str) -> NodeProto:
    body = helper.make_graph(
        [node(handed_on, ["c", "c"] if handed_on == "And" else ["c"], ["c2"]), node("Relu", ["v"], ["v2"])],
        "body",
        [value("i", (), TensorProto.INT64), value("c", (), TensorProto.BOOL), value("v", None)],
        [value("c2", (), TensorProto.BOOL), value("v2", None)],
    )
    return node("Loop", [turns, condition, "x"], ["y"], body=body)


FIXED_TURNS = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["turns"])]
READ_TURNS = [node("ReduceMax", ["x"], ["m"], keepdims=0), node("Cast", ["m"], ["turns"], to=TensorProto.INT64)]
DATA_NODES: list[tuple[str, list[NodeProto], dict[str, int]]] = [
    ("NonZero", [node("NonZero", ["x"], ["y"])], {"NonZero": 1}),
    ("Unique", [node("Unique", ["x"], ["y"])], {"Unique": 1}),
    ("Where, whose output has a fixed size", [node("Where", ["x", "x", "x"], ["y"])], {}),
    ("NonMaxSuppression", [node("NonMaxSuppression", ["x", "x"], ["y"])], {"NonMaxSuppression": 1}),
    ("TopK with a constant K", [node("TopK", ["x", "one"], ["y", "i"])], {}),
    ("TopK with a K from a shape", [*FIXED_TURNS, node("TopK", ["x", "turns"], ["y", "i"])], {}),
    ("TopK with a K from the data", [*READ_TURNS, node("TopK", ["x", "turns"], ["y", "i"])], {"TopK": 1}),
    (
        "a shape of what NonZero found",
        [node("NonZero", ["x"], ["n"]), node("Shape", ["n"], ["k"]), node("TopK", ["x", "k"], ["y", "i"])],
        {"NonZero": 1, "TopK": 1},
    ),
    ("Loop of constant turns", [a_loop("one", "", "Not")], {}),
    ("Loop of turns from a shape", [*FIXED_TURNS, a_loop("turns", "yes", "Identity")], {}),
    ("Loop that computes its condition", [a_loop("one", "yes", "And")], {"Loop": 1}),
    ("Loop of turns from the data", [*READ_TURNS, a_loop("turns", "", "Not")], {"Loop": 1}),
    (
        "If on a constant",
        [an_if("yes", "x")],
        {},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "expected"), [each[1:] for each in DATA_NODES], ids=[each[0] for each in DATA_NODES])
def test_operators_whose_time_depends_on_the_data_are_recognised(
    graph_of: Callable[[ModelProto], OnnxGraph], nodes: list[NodeProto], expected: dict[str, int]
) -> None:
    settings = [constant("one", [1], np.int64), constant("zero", [0], np.int64), constant("yes", True, bool)]
    assert graph_of(model_of(nodes, weights=settings)).data_dependent == expected


CONTENTS = [
    (b"", "is empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "is a git-lfs pointer: run git lfs pull"),
    (b"\n<!DOCTYPE html><html><body>404</body></html>", "is an HTML page"),
    (b"<?xml version='1.0'?><net/>", "is an XML file, not ONNX"),
    (b"PK\x03\x04" + bytes(99), "is a zip archive"),
    (b"\x00" * 4096, "is no complete ONNX file"),
    (b"not an ONNX file at all", "is no complete ONNX file"),
    (constant("w", [1.0, 2.0]).SerializeToString(), "is no complete ONNX file"),
    (ModelProto(ir_version=8).SerializeToString(), "is no complete ONNX file: it holds no graph"),
]


@pytest.mark.parametrize(("content", "expected"), CONTENTS)
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert expected in refusal(path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    whole = a_convolution().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "is no complete ONNX file" in refusal(path)


def test_a_missing_file_a_folder_a_fifo_and_a_socket_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.relpath(tmp_path / "s.onnx"))
    assert "does not exist" in refusal(tmp_path / "none.onnx")
    assert "does not exist" in refusal(tmp_path / "pipe.onnx" / "inside.onnx")
    assert "is a folder" in refusal(tmp_path)
    assert "is a FIFO" in refusal(tmp_path / "pipe.onnx")
    assert "is a socket" in refusal(tmp_path / "s.onnx")
    assert "is a device" in refusal(Path("/dev/null"))
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))
    assert "cannot be read" in refusal(Path("nul\0byte"))
    server.close()


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(a_convolution(), path)

    def denied(*_: object) -> int:  # chmod would not stop root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(opening.os, "open", denied)
    assert refusal(path).endswith("cannot be read: Permission denied.")


def test_a_weight_with_fewer_values_than_its_shape_is_refused(tmp_path: Path) -> None:
    model = a_convolution()
    model.graph.initializer[0].raw_data = b"1234"
    onnx.save(model, tmp_path / "model.onnx")
    assert "'w' of shape [4, 3, 3, 3] holds 4 bytes and needs 432" in refusal(tmp_path / "model.onnx")


def external(folder: Path, location: str, **changes: str) -> Path:
    """Write a model of one convolution whose weight lies at `location`, and no data file."""
    model = a_convolution()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, "offset": "0", "length": "432", **changes}.items():
        tensor.external_data.add(key=key, value=text)
    folder.mkdir(exist_ok=True)
    (folder / "renamed.onnx").write_bytes(model.SerializeToString())
    return folder / "renamed.onnx"


def test_external_data_are_found_and_part_of_the_digest(tmp_path: Path) -> None:
    path = external(tmp_path, "weights of it.bin")
    data = tmp_path / "weights of it.bin"
    data.write_bytes(bytes(432))
    graph = read(path)
    assert graph.files == (path, data)
    assert graph.sha256 == hashlib.sha256(path.read_bytes() + bytes(432)).hexdigest()
    assert graph.size_bytes == path.stat().st_size + 432
    assert graph.weight_dtypes == {"float32": 108}
    data.write_bytes(bytes(431) + b"1")
    assert read(path).sha256 != graph.sha256


def test_missing_external_data_are_named_with_their_folder(tmp_path: Path) -> None:
    message = refusal(external(tmp_path / "of it", "weights of it.bin"))
    assert "'weights of it.bin'" in message
    assert f"belongs into the folder {str(tmp_path / 'of it')!r}" in message


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret.bin", "sub/../../secret.bin", "link.bin", "C:\\w.bin", "..\\s.bin", ""]
)
def test_external_data_outside_of_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(432))
    path = external(tmp_path / "model", location)
    (tmp_path / "model" / "link.bin").symlink_to(tmp_path / "secret.bin")
    assert "outside of its folder: this is refused" in refusal(path)


def test_a_cache_that_links_model_and_data_into_one_folder_is_read(tmp_path: Path) -> None:
    path = external(tmp_path / "blobs", "model.data")
    (tmp_path / "blobs" / "0123").write_bytes(bytes(432))
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.onnx").symlink_to(path)
    (tmp_path / "snapshot" / "model.data").symlink_to(tmp_path / "blobs" / "0123")
    assert read(tmp_path / "snapshot" / "model.onnx").weight_dtypes == {"float32": 108}


SHORT: list[tuple[dict[str, str], bytes, str]] = [
    ({}, bytes(431), "has 431 bytes, and the weight 'w' ends at byte 432"),
    ({"offset": "4"}, bytes(432), "ends at byte 436"),
    ({"length": "400"}, bytes(432), "has 108 elements, which need 432 bytes, and the model gives it 400"),
    ({"offset": "-4"}, bytes(432), "has the offset '-4'"),
    ({}, b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer: run git lfs pull"),
    ({}, b"", "is empty"),
]


@pytest.mark.parametrize(("changes", "content", "expected"), SHORT)
def test_external_data_that_are_not_whole_are_refused(
    tmp_path: Path, changes: dict[str, str], content: bytes, expected: str
) -> None:
    path = external(tmp_path, "w.bin", **changes)
    (tmp_path / "w.bin").write_bytes(content)
    assert expected in refusal(path)


def test_a_fifo_as_external_data_is_refused_without_waiting(tmp_path: Path) -> None:
    path = external(tmp_path, "w.bin")
    os.mkfifo(tmp_path / "w.bin")
    assert "is a FIFO" in refusal(path)
