"""What is counted in an ONNX graph: multiply-adds, parameters, denormals, and what could not be counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mnbench import zoo
from mnbench.errors import UsageError
from mnbench.graph.costs import GraphFacts, Window
from mnbench.graph.onnx_facts import FREE, facts
from mnbench.graph.onnx_file import read
from mnbench.records import LayerCost

node = helper.make_node


def value(name: str, dims: Sequence[int | str | None] | None, dtype: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, dims)


def weight(name: str, *shape: int, dtype: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def setting(name: str, values: Any, dtype: Any = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


@pytest.fixture
def count(tmp_path: Path) -> Any:
    def counted(
        nodes: Sequence[NodeProto],
        x: Sequence[int | str | None] = (1, 3, 8, 8),
        weights: Sequence[TensorProto] = (),
        *,
        shapes: dict[str, tuple[int, ...]] | None = None,
        inputs: Sequence[Any] = (),
        output: Any = None,
        value_info: Sequence[Any] = (),
        domains: Sequence[str] = (),
        functions: Sequence[Any] = (),
        x_type: int = TensorProto.FLOAT,
        opset: int = 18,
    ) -> GraphFacts:
        graph = helper.make_graph(
            nodes, "odd", [value("x", x, x_type), *inputs], [output or value("y", None)], weights, value_info=value_info
        )
        opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
        return of_model(helper.make_model(graph, opset_imports=opsets, functions=functions), shapes)

    def of_model(model: ModelProto, shapes: dict[str, tuple[int, ...]] | None) -> GraphFacts:
        onnx.save(model, tmp_path / "model.onnx")
        return facts(read(tmp_path / "model.onnx"), shapes)

    return counted


def torchs(module: torch.nn.Module, *shape: int) -> LayerCost:
    """Return the only layer of a module as the zoo counts it."""
    (layer,) = zoo.count(module, shape).layers
    return LayerCost(
        name=layer.name, kind=str(layer.kind), params=layer.params, madds=layer.madds, input_elements=layer.input_elements,
        output_elements=layer.output_elements, output_shape=layer.output_shape, padding_madds=layer.padding_madds,
    )  # fmt: skip


CONVOLUTIONS: list[tuple[Any, dict[str, Any]]] = [
    ((6, 8, 3), {}),
    ((6, 8, 1), {}),
    ((6, 8, 3), {"groups": 2}),
    ((6, 6, 3), {"groups": 6, "padding": 1}),
    ((6, 8, (3, 5)), {"padding": (1, 4), "stride": (2, 1), "dilation": (2, 1)}),
    ((6, 8, 5), {"padding": 2, "stride": 3, "bias": False}),
]


@pytest.mark.parametrize(("arguments", "options"), CONVOLUTIONS)
def test_a_convolution_costs_what_the_zoo_counts_for_the_module(count: Any, arguments: Any, options: Any) -> None:
    module = torch.nn.Conv2d(*arguments, **options)
    kernel, stride, padding, dilation = (tuple(map(int, each)) for each in (
        module.kernel_size, module.stride, module.padding, module.dilation))  # fmt: skip
    convolution = node(
        "Conv", ["x", "w", *(["b"] if module.bias is not None else [])], ["y"],
        group=module.groups, kernel_shape=kernel, strides=stride, pads=padding * 2, dilations=dilation,
    )  # fmt: skip
    weights = [weight("w", *module.weight.shape), *([weight("b", 8)] if arguments[1] == 8 else [weight("b", 6)])]
    (layer,) = count([convolution], (2, 6, 11, 13), weights).layers
    expected = torchs(module, 2, 6, 11, 13)
    assert layer == LayerCost(**{**{name: getattr(expected, name) for name in LayerCost.__slots__}, "name": "y"})


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_transposed_convolution_costs_what_the_zoo_counts(count: Any, groups: int) -> None:
    module = torch.nn.ConvTranspose2d(6, 12, 3, stride=2, groups=groups, bias=False)
    transposed = node("ConvTranspose", ["x", "w"], ["y"], group=groups, strides=[2, 2])
    (layer,) = count([transposed], (1, 6, 5, 7), [weight("w", *module.weight.shape)]).layers
    expected = torchs(module, 1, 6, 5, 7)
    assert (layer.kind, layer.madds, layer.params) == (expected.kind, expected.madds, expected.params)
    assert layer.output_shape == expected.output_shape


@pytest.mark.parametrize(("auto_pad", "begin"), [("SAME_UPPER", 0), ("SAME_LOWER", 1)])
def test_automatic_padding_is_what_the_size_of_the_output_asks_for(count: Any, auto_pad: str, begin: int) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"], auto_pad=auto_pad, strides=[2, 2])]
    (layer,) = count(nodes, (1, 3, 8, 8), [weight("w", 4, 3, 3, 3)]).layers
    taps = [place * 2 - begin + tap for place in range(4) for tap in range(3)]
    inside = sum(0 <= tap < 8 for tap in taps)
    assert layer.padding_madds == 4 * 3 * (len(taps) ** 2 - inside**2)


def test_the_taps_inside_are_those_that_a_loop_over_all_finds() -> None:
    for kernel, stride, padding, dilation, size in [(3, 1, 1, 1, 7), (5, 2, 2, 1, 8), (3, 3, 4, 2, 5), (7, 1, 9, 3, 4)]:
        places = max(0, (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
        taps = [place * stride - padding + tap * dilation for place in range(places) for tap in range(kernel)]
        window = Window(strides=[stride], pads_begin=[padding], dilations=[dilation])
        assert window.inside(0, size=size, kernel=kernel, places=places) == sum(0 <= tap < size for tap in taps)


def the_layer(found: GraphFacts) -> tuple[str, int, int]:
    (layer,) = found.layers
    assert found.uncounted == ()
    return layer.kind, layer.madds, layer.params


W_LEFT, W_RIGHT, OFFSET = weight("w", 10, 16), weight("w", 16, 10), weight("b", 10)
RECURRENCE = [weight("w", 1, 15, 4), weight("r", 1, 15, 5)]
PRODUCTS: list[tuple[str, NodeProto, tuple[int, ...], list[TensorProto], tuple[str, int, int]]] = [
    ("Gemm", node("Gemm", ["x", "w", "b"], ["y"], transB=1), (4, 16), [W_LEFT, OFFSET], ("linear", 640, 170)),
    ("Gemm, left transposed", node("Gemm", ["x", "w"], ["y"], transA=1), (16, 4), [W_RIGHT], ("linear", 640, 160)),
    ("MatMul, weight right", node("MatMul", ["x", "w"], ["y"]), (2, 7, 16), [W_RIGHT], ("linear", 2240, 160)),
    ("MatMul, weight left", node("MatMul", ["w", "x"], ["y"]), (16, 7), [W_LEFT], ("linear", 1120, 160)),
    ("MatMul of two activations", node("MatMul", ["x", "x"], ["y"]), (2, 5, 5), [], ("other", 250, 0)),
    ("MatMul of vectors", node("MatMul", ["x", "w"], ["y"]), (16,), [weight("w", 16)], ("linear", 16, 16)),
    ("GRU", node("GRU", ["x", "w", "r"], ["y"], hidden_size=5), (7, 2, 4), RECURRENCE, ("linear", 14 * 15 * 9, 135)),
]


@pytest.mark.parametrize(
    ("product", "x", "weights", "expected"), [each[1:] for each in PRODUCTS], ids=[each[0] for each in PRODUCTS]
)
def test_a_product_sums_over_its_inner_axis(
    count: Any, product: NodeProto, x: tuple[int, ...], weights: list[TensorProto], expected: tuple[str, int, int]
) -> None:
    assert the_layer(count([product], x, weights)) == expected


def test_quantised_weights_are_found_behind_dequantisation(count: Any) -> None:
    nodes = [
        node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
        node("DequantizeLinear", ["q", "sx", "zx"], ["d"]),
        node("DequantizeLinear", ["layer.weight", "sw", "zw"], ["w"], axis=0),
        node("DequantizeLinear", ["b", "sw"], ["bias"], axis=0),
        node("Conv", ["d", "w", "bias"], ["y"]),
    ]
    weights = [
        setting("sx", 0.1, np.float32), setting("zx", 0, np.uint8), setting("sw", [0.1] * 4, np.float32),
        setting("zw", [0] * 4, np.int8), weight("layer.weight", 4, 3, 3, 3, dtype=np.int8), weight("b", 4, dtype=np.int32),
    ]  # fmt: skip
    found = count(nodes, (1, 3, 8, 8), weights)
    assert the_layer(found) == ("standard", 4 * 36 * 27, 112)
    assert found.layers[0].name == "layer"
    assert found.params == 112


def test_integer_operators_are_counted_too(count: Any) -> None:
    nodes = [node("ConvInteger", ["x", "w"], ["c"]), node("Cast", ["c"], ["y"], to=1)]
    assert the_layer(count(nodes, (1, 3, 8, 8), [weight("w", 4, 3, 3, 3, dtype=np.uint8)], x_type=TensorProto.UINT8)) == (
        "standard", 3888, 108,
    )  # fmt: skip


def test_weights_in_half_precision_are_found_behind_a_cast_and_a_transpose(count: Any) -> None:
    nodes = [
        node("Cast", ["w"], ["w32"], to=TensorProto.FLOAT),
        node("Transpose", ["w32"], ["wt"]),
        node("MatMul", ["x", "wt"], ["y"]),
    ]
    assert the_layer(count(nodes, (4, 16), [weight("w", 10, 16, dtype=np.float16)])) == ("linear", 640, 160)


def test_a_weight_that_two_layers_share_counts_once(count: Any) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "w"], ["y"])]
    found = count(nodes, (4, 16), [weight("w", 16, 16)])
    assert found.params == 256
    assert [layer.params for layer in found.layers] == [256, 0]


def test_running_statistics_settings_and_indexes_are_no_parameters(count: Any) -> None:
    nodes = [
        node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["n"]),
        node("Clip", ["n", "low", "high"], ["c"]),
        node("Resize", ["c", "", "scales"], ["r"]),
        node("Gather", ["r", "index"], ["y"], axis=2),
    ]
    weights = [
        weight("gamma", 3), weight("beta", 3), weight("mean", 3), weight("variance", 3), setting("low", 0, np.float32),
        setting("high", 6, np.float32), setting("scales", [1, 1, 2, 2], np.float32), setting("index", [1, 2]),
        weight("read by nobody", 99),
    ]  # fmt: skip
    found = count(nodes, (1, 3, 8, 8), weights)
    assert (found.params, found.madds, found.layers, found.uncounted) == (6, 0, (), ())


def test_symbols_take_the_sizes_that_are_given_everywhere(count: Any) -> None:
    nodes = [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), node("Add", ["c", "z"], ["y"])]
    arguments: dict[str, Any] = {"inputs": [value("z", ("N", 4, "H", "W"))], "output": value("y", ("N", 4, "H", "W"))}
    found = count(nodes, ("N", 3, "H", "W"), [weight("w", 4, 3, 3, 3)], shapes={"x": (2, 3, 8, 6)}, **arguments)
    assert found.madds == 2 * 4 * 48 * 27
    assert [port.dims for port in found.inputs] == [(2, 3, 8, 6), (2, 4, 8, 6)]
    assert found.outputs[0].dims == (2, 4, 8, 6)
    assert found.uncounted == ()


def test_a_layer_whose_size_is_open_is_listed_and_the_rest_counted(count: Any) -> None:
    found = count([node("Conv", ["x", "w"], ["y"])], ("N", 3, "H", "W"), [weight("w", 4, 3, 3, 3)])
    assert (found.madds, found.params, found.uncounted) == (0, 108, ("Conv of unknown size",))


def test_declared_sizes_of_another_input_do_not_win_over_inferred_ones(count: Any) -> None:
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["y"])]
    found = count(
        nodes, ("N", 3, 8, 8), [weight("w", 4, 3, 3, 3)], shapes={"x": (5, 3, 8, 8)},
        value_info=[value("c", (1, 4, 6, 6))], output=value("y", (1, "T", 6, 6)),
    )  # fmt: skip
    assert found.layers[0].output_shape == (5, 4, 6, 6)
    assert found.outputs[0].dims == (5, 4, 6, 6)


def test_declared_sizes_help_behind_an_operator_that_nobody_knows(count: Any) -> None:
    nodes = [node("Swirl", ["x"], ["s"], domain="my.ops"), node("Conv", ["s", "w"], ["y"])]
    found = count(
        nodes, ("N", 3, 8, 8), [weight("w", 4, 3, 3, 3)], shapes={"x": (2, 3, 8, 8)},
        value_info=[value("s", ("N", 3, 8, 8))], domains=["my.ops"],
    )  # fmt: skip
    assert found.madds == 2 * 4 * 36 * 27
    assert found.uncounted == ("my.ops.Swirl",)


WRONG: list[tuple[dict[str, tuple[int, ...]], str]] = [
    ({"image": (1, 3, 8, 8)}, "the model has no input 'image'. Its inputs: 'x', 'z'."),
    ({"x": (1, 3, 8)}, "declares 4 axes: ['N', 3, 8, 8]"),
    ({"x": (1, 4, 8, 8)}, "fixes axis 1 at 3"),
    ({"x": (1, 3, 8, -8)}, "cannot be negative"),
    ({"x": (1, 3, 8, 8), "z": (2,)}, "the symbol 'N' of axis 0 has the size 1 elsewhere"),
]


@pytest.mark.parametrize(("shapes", "expected"), WRONG)
def test_a_shape_that_does_not_fit_is_refused(count: Any, shapes: dict[str, tuple[int, ...]], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        count([node("Relu", ["x"], ["y"])], ("N", 3, 8, 8), inputs=[value("z", ("N",))], shapes=shapes)
    assert expected in str(caught.value)


def test_of_an_if_the_costlier_branch_counts_and_it_is_said(count: Any) -> None:
    branches = {
        f"{name}_branch": helper.make_graph([node("MatMul", ["x", name], [f"{name}_y"])], name, [], [value(f"{name}_y", None)])
        for name in ("then", "else")
    }
    nodes = [
        node("ReduceMax", ["x"], ["m"], keepdims=0),
        node("Cast", ["m"], ["c"], to=9),
        node("If", ["c"], ["y"], **branches),
    ]
    found = count(nodes, (4, 16), [weight("then", 16, 2), weight("else", 16, 30)])
    assert found.madds == 4 * 16 * 30
    assert found.params == 16 * 32
    assert found.notes == ("Of each If, the branch with more multiply-adds is counted.",)


def test_a_loop_with_a_product_inside_is_listed(count: Any) -> None:
    body = helper.make_graph(
        [node("MatMul", ["v", "w"], ["v2"]), node("Identity", ["c"], ["c2"])], "body",
        [value("i", (), 7), value("c", (), 9), value("v", (4, 16))], [value("c2", (), 9), value("v2", (4, 16))],
    )  # fmt: skip
    found = count([node("Loop", ["turns", "", "x"], ["y"], body=body)], (4, 16), [weight("w", 16, 16), setting("turns", 3)])
    assert (found.madds, found.params, found.uncounted) == (0, 256, ("Loop",))


def test_what_may_multiply_and_is_not_counted_is_listed_by_name(count: Any) -> None:
    nodes = [
        node("Einsum", ["x", "x"], ["e"], equation="ij,jk->ik"),
        node("FusedMatMul", ["e", "e"], ["f"], domain="com.microsoft"),
        node("Relu", ["f"], ["y"]),
    ]
    assert count(nodes, (4, 4), domains=["com.microsoft"]).uncounted == ("Einsum", "com.microsoft.FusedMatMul")


def test_a_local_function_is_counted_at_each_of_its_calls(count: Any) -> None:
    body = [node("MatMul", ["a", "w"], ["c"])]
    function = helper.make_function("local", "Layer", ["a", "w"], ["c"], body, [helper.make_opsetid("", 18)])
    nodes = [node("Layer", ["x", "v"], ["h"], domain="local"), node("Layer", ["h", "u"], ["y"], domain="local")]
    found = count(nodes, (4, 16), [weight("v", 16, 8), weight("u", 8, 2)], domains=["local"], functions=[function])
    assert [(layer.madds, layer.params) for layer in found.layers] == [(512, 128), (64, 16)]
    assert found.uncounted == ()


def test_weights_that_a_constant_node_holds_or_fills_are_parameters(count: Any) -> None:
    nodes = [
        node("Constant", [], ["w"], value=weight("", 16, 8)),
        node("ConstantOfShape", ["shape"], ["u"], value=helper.make_tensor("", TensorProto.FLOAT, [1], [0.5])),
        node("MatMul", ["x", "w"], ["h"]),
        node("MatMul", ["h", "u"], ["y"]),
    ]
    found = count(nodes, (4, 16), [setting("shape", [8, 2])])
    assert [(layer.madds, layer.params) for layer in found.layers] == [(512, 128), (64, 16)]
    assert (found.params, found.float_weights) == (144, 128)


DENORMAL = 1e-40
BFLOAT16_BITS = np.array([1, 0x8001, 0, 0x80, 0x7F], "<u2").tobytes()
STORED: list[tuple[str, TensorProto, int]] = [
    ("float32, raw", numpy_helper.from_array(np.array([DENORMAL, -DENORMAL, 0, 1, 1.2e-38], np.float32), "w"), 2),
    ("float32, as a list", helper.make_tensor("w", TensorProto.FLOAT, [5], [DENORMAL, -DENORMAL, 0, 1, 1.2e-38]), 2),
    ("float64", numpy_helper.from_array(np.array([DENORMAL, 1e-300, 0, 1, np.nan]), "w"), 1),
    ("bfloat16, raw", helper.make_tensor("w", TensorProto.BFLOAT16, [5], BFLOAT16_BITS, raw=True), 3),
    ("float16, never", numpy_helper.from_array(np.array([6e-8, 0, 1, 2, 3], np.float16), "w"), 0),
]  # fmt: skip


@pytest.mark.parametrize(("tensor", "expected"), [each[1:] for each in STORED], ids=[each[0] for each in STORED])
def test_denormal_weights_are_counted_in_every_dtype(count: Any, tensor: TensorProto, expected: int) -> None:
    found = count([node("Cast", ["w"], ["v"], to=1), node("Add", ["x", "v"], ["y"])], (5,), [tensor])
    assert (found.denormal_weights, found.float_weights) == (expected, 5)


def test_external_weights_are_mapped_and_small_settings_among_them_read(tmp_path: Path) -> None:
    values = np.ones((1 << 12, 64), np.float32)
    values[3, :7] = DENORMAL
    weights = [numpy_helper.from_array(values, "w"), setting("shape", [4, -1])]
    nodes = [node("Reshape", ["x", "shape"], ["r"]), node("MatMul", ["r", "w"], ["y"])]
    graph = helper.make_graph(nodes, "large", [value("x", (1, 1 << 14))], [value("y", None)], weights)
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    opened = read(path)
    found = facts(opened)
    assert path.stat().st_size < 1000
    assert found.madds == 4 * (1 << 12) * 64
    assert (found.denormal_weights, found.float_weights) == (7, values.size)
    assert not any(tensor.raw_data for tensor in opened.model.graph.initializer)


def test_a_model_above_2_gb_is_counted_without_loading_its_weights(tmp_path: Path) -> None:
    rows, columns = 1 << 15, 1 << 15
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT16, dims=[rows, columns], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    half = [node("Cast", ["w"], ["w32"], to=1), node("MatMul", ["x", "w32"], ["y"])]
    graph = helper.make_graph(half, "huge", [value("x", (1, rows))], [value("y", None)], [tensor])
    (tmp_path / "model.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(2 * rows * columns)  # a file with a hole takes no room
    opened = OnlyStructure(tmp_path / "model.onnx")
    assert opened.params == rows * columns
    assert opened.madds == rows * columns


class OnlyStructure:
    """The facts of a file whose digest is not wanted: 2 GB would have to be read for it."""

    def __init__(self, path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mnbench.graph.onnx_file.digest", lambda _: "")
            found = facts(read(path))
        self.params, self.madds = found.params, found.madds


def test_inference_that_fails_leaves_a_note_and_what_the_file_declares(count: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> ModelProto:
        raise onnx.shape_inference.InferenceError("\nnode 7 has no rule\nmore of it")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", fail)
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    found = count(
        nodes, (4, 16), [weight("w", 16, 8), weight("v", 8, 2)], output=value("y", (4, 2)), value_info=[value("h", (4, 8))]
    )
    assert [layer.madds for layer in found.layers] == [512, 64]
    assert found.notes == ("Shapes inside the graph could not be inferred: node 7 has no rule",)


def test_every_operator_of_the_standard_is_counted_free_or_known_to_be_uncounted() -> None:
    counted = {"Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
    recurrent_or_inner = {"LSTM", "GRU", "RNN", "If", "Loop", "Scan", "SequenceMap"}
    uncounted = {
        "Attention", "AffineGrid", "CausalConvWithState", "DFT", "DeformConv", "Det", "Einsum", "FlexAttention", "GridSample",
        "LinearAttention", "MelWeightMatrix", "STFT",
    }  # fmt: skip
    known = FREE | counted | recurrent_or_inner | uncounted
    newer = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""} - known
    assert newer == set(), "look at each: does it multiply and add?"
    assert not FREE & (counted | recurrent_or_inner | uncounted)


def test_the_layers_sum_to_the_total(count: Any) -> None:
    nodes = [node("Conv", ["x", "a.weight"], ["c"]), node("Conv", ["c", "b.weight"], ["y"])]
    found = count(nodes, (1, 3, 8, 8), [weight("a.weight", 4, 3, 3, 3), weight("b.weight", 2, 4, 1, 1)])
    assert [layer.name for layer in found.layers] == ["a", "b"]
    assert found.madds == sum(layer.madds for layer in found.layers) == math.prod((4, 36, 27)) + math.prod((2, 36, 4))
