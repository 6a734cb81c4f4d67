"""Small ONNX files made with onnx.helper, each odd in one way that files of users are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx import helper as h

Dims = Sequence[int | str | None] | None
F32, I64, I32, U8, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.BOOL
FOREVER = 2**31


def value(name: str, dims: Dims, kind: int = F32) -> ValueInfoProto:
    return h.make_tensor_value_info(name, kind, dims)


def weight(name: str, *shape: int, kind: type = np.float32, scale: float = 0.1) -> TensorProto:
    numbers = np.random.default_rng(len(name)).standard_normal(shape) * scale
    return onnx.numpy_helper.from_array(numbers.astype(kind), name)


def constant(name: str, numbers: object, kind: type = np.int64) -> TensorProto:
    return onnx.numpy_helper.from_array(np.asarray(numbers, kind), name)


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    stored: Sequence[TensorProto] = (),
    *,
    opset: int = 17,
    ir: int = 8,
    domains: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> ModelProto:
    graph = h.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(stored))
    opsets = [h.make_opsetid("", opset), *(h.make_opsetid(domain, 1) for domain in domains)]
    return h.make_model(
        graph, opset_imports=opsets, ir_version=ir, functions=list(functions), producer_name="a tool", producer_version="1.0"
    )


def convolution(dims: Dims = (1, 3, 16, 16), out: Dims = (1, 4, 16, 16), name: str = "x", **changes: int) -> ModelProto:
    """An image, one convolution of 3x3 with 4 filters."""
    node = h.make_node("Conv", [name, "w"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], name="conv")
    return model([node], [value(name, dims)], [value("y", out)], [weight("w", 4, 3, 3, 3)], **changes)


def product(dims: Dims = (1, 8), out: Dims = (1, 4), kind: int = F32) -> ModelProto:
    """One product with a weight of 8x4."""
    stored = weight("w", 8, 4, kind=h.tensor_dtype_to_np_dtype(kind))
    return model([h.make_node("MatMul", ["x", "w"], ["y"])], [value("x", dims, kind)], [value("y", out, kind)], [stored])


def of_dtype(kind: int) -> ModelProto:
    """An input of any type that is used as a number."""
    cast = h.make_node("Cast", ["x"], ["f"], to=F32)
    return model([cast, h.make_node("MatMul", ["f", "w"], ["y"])], [value("x", (1, 8), kind)], [value("y", (1, 4))],
                 [weight("w", 8, 4)])  # fmt: skip


def lying_batch() -> ModelProto:
    """A batch that is open outside and 1 in a Reshape."""
    nodes = [
        h.make_node("Reshape", ["x", "shape"], ["flat"], name="flatten"), h.make_node("MatMul", ["flat", "w"], ["y"]),
    ]  # fmt: skip
    return model(nodes, [value("x", ("N", 3, 4))], [value("y", ("N", 4))], [constant("shape", [1, 12]), weight("w", 12, 4)])


def initialisers_are_inputs() -> ModelProto:
    """As IR 3 asks for: every initialiser is listed as an input as well."""
    made = convolution(opset=7, ir=3)
    made.graph.input.append(value("w", (4, 3, 3, 3)))
    return made


def custom_domain() -> ModelProto:
    node = h.make_node("Swirl", ["x"], ["y"], domain="my.ops")
    return model([node], [value("x", (1, 8))], [value("y", (1, 8))], domains=["my.ops"])


def local_function() -> ModelProto:
    twice = h.make_function("local", "Twice", ["a"], ["b"], [h.make_node("Add", ["a", "a"], ["b"])], [h.make_opsetid("", 17)])
    node = h.make_node("Twice", ["x"], ["y"], domain="local")
    return model([node], [value("x", (1, 8))], [value("y", (1, 8))], domains=["local"], functions=[twice])


def branch() -> ModelProto:
    def side(operator: str) -> GraphProto:
        return h.make_graph([h.make_node(operator, ["x"], [operator])], operator, [], [value(operator, (1, 8))])

    nodes = [
        h.make_node("ReduceSum", ["x"], ["sum"], keepdims=0), h.make_node("Greater", ["sum", "zero"], ["more"]),
        h.make_node("If", ["more"], ["y"], then_branch=side("Relu"), else_branch=side("Neg")),
    ]  # fmt: skip
    return model(nodes, [value("x", (1, 8))], [value("y", (1, 8))], [constant("zero", 0.0, np.float32)])


def loop(turns: int) -> ModelProto:
    """Adds a number so many times."""
    body = h.make_graph(
        [h.make_node("Identity", ["go"], ["on"]), h.make_node("Add", ["sum", "sum"], ["more"])],
        "body", [value("turn", (), I64), value("go", (), BOOL), value("sum", (1, 4))],
        [value("on", (), BOOL), value("more", (1, 4))],
    )  # fmt: skip
    stored = [constant("turns", turns), constant("true", True, np.bool_)]
    return model([h.make_node("Loop", ["turns", "true", "x"], ["y"], body=body)], [value("x", (1, 4))], [value("y", (1, 4))],
                 stored)  # fmt: skip


def detector(most: int = 20) -> ModelProto:
    """NonMaxSuppression: how many boxes there are is known only after running."""
    stored = [constant("most", [most]), constant("iou", [0.5], np.float32), constant("score", [0.0], np.float32)]
    node = h.make_node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "score"], ["found"])
    return model([node], [value("boxes", (1, 50, 4)), value("scores", (1, 2, 50))], [value("found", (None, 3), I64)], stored)


def random_output() -> ModelProto:
    nodes = [h.make_node("RandomNormalLike", ["x"], ["noise"]), h.make_node("Add", ["x", "noise"], ["y"])]
    return model(nodes, [value("x", (1, 8))], [value("y", (1, 8))])


def dropout_in_training() -> ModelProto:
    stored = [constant("ratio", 0.5, np.float32), constant("training", True, np.bool_)]
    return model([h.make_node("Dropout", ["x", "ratio", "training"], ["y"])], [value("x", (1, 64))], [value("y", (1, 64))],
                 stored)  # fmt: skip


def nan_output() -> ModelProto:
    return model([h.make_node("Log", ["x"], ["y"])], [value("x", (1, 64))], [value("y", (1, 64))])


def zero_output() -> ModelProto:
    nodes = [h.make_node("Sub", ["x", "x"], ["y"])]
    return model(nodes, [value("x", (1, 8))], [value("y", (1, 8))])


def wrong_declared_output() -> ModelProto:
    return model([h.make_node("Relu", ["x"], ["y"])], [value("x", (3, 64))], [value("y", (1, "T"))])


def ceil_pooling() -> ModelProto:
    """Runtimes disagree on whether the last window, which begins in the padding, is one."""
    node = h.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1], strides=[2, 2], ceil_mode=1)
    return model([node], [value("x", (1, 3, 8, 8))], [value("y", (1, 3, 4, 4))], opset=22, ir=10)


def huge_logits() -> ModelProto:
    """All classes are equal but for rounding, which Softmax magnifies: no runtime is wrong."""
    stored = [weight("w", 16, 3, 3, 3, scale=1e3), constant("v", np.full((200, 16, 1, 1), 1e3), np.float32)]
    nodes = [
        h.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), h.make_node("Relu", ["c"], ["r"]),
        h.make_node("Conv", ["r", "v"], ["l"]), h.make_node("GlobalAveragePool", ["l"], ["g"]),
        h.make_node("Softmax", ["g"], ["y"], axis=1),
    ]  # fmt: skip
    return model(nodes, [value("x", (1, 3, 32, 32))], [value("y", (1, 200, 1, 1))], stored)


def denormal_weights() -> ModelProto:
    stored = weight("w", 64, 64, scale=1e-40)
    return model([h.make_node("MatMul", ["x", "w"], ["y"])], [value("x", (1, 64))], [value("y", (1, 64))], [stored])


def index(rows: int = 100) -> ModelProto:
    node = h.make_node("Gather", ["table", "ids"], ["y"])
    return model([node], [value("ids", (1, 16), I64)], [value("y", (1, 16, 8))], [weight("table", rows, 8)])


def image_and_shape() -> ModelProto:
    """As detectors have it: an image, and its size as a second input."""
    nodes = [h.make_node("Cast", ["im_shape"], ["f"], to=F32), h.make_node("ReduceSum", ["image"], ["sum"], keepdims=0),
             h.make_node("Mul", ["f", "sum"], ["y"])]  # fmt: skip
    return model(nodes, [value("image", ("N", 3, 16, 16)), value("im_shape", ("N", 2), I64)], [value("y", ("N", 2))])


def image_without_batch() -> ModelProto:
    return model([h.make_node("Relu", ["x"], ["y"])], [value("x", (3, 16, 16))], [value("y", (3, 16, 16))])


def quantised() -> ModelProto:
    stored = [
        constant("s", 0.05, np.float32), constant("z", 0, np.uint8), weight("w", 4, 3, 3, 3, kind=np.int8, scale=40.0),
        constant("ws", 0.01, np.float32), constant("wz", 0, np.int8),
    ]  # fmt: skip
    nodes = [
        h.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), h.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        h.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"]),
        h.make_node("Conv", ["d", "dw"], ["y"], kernel_shape=[3, 3]),
    ]  # fmt: skip
    return model(nodes, [value("x", (1, 3, 16, 16))], [value("y", (1, 4, 14, 14))], stored)


def odd_names() -> ModelProto:
    made = convolution(name="serving/default:0")
    made.graph.node[0].output[0] = made.graph.output[0].name = "StatefulPartitionedCall/y:0"
    return made


def several_outputs() -> ModelProto:
    """Integers, a scalar, bool and floats, in one model."""
    nodes = [
        h.make_node("ArgMax", ["x"], ["place"], axis=1), h.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        h.make_node("Greater", ["x", "mean"], ["above"]), h.make_node("Relu", ["x"], ["y"]),
    ]  # fmt: skip
    outputs = [value("place", (1, 1), I64), value("mean", ()), value("above", (1, 8), BOOL), value("y", (1, 8))]
    return model(nodes, [value("x", (1, 8))], outputs)


def scalar_input() -> ModelProto:
    nodes = [h.make_node("Mul", ["x", "factor"], ["y"])]
    return model(nodes, [value("x", (1, 8)), value("factor", ())], [value("y", (1, 8))])


def no_input() -> ModelProto:
    return model([h.make_node("Relu", ["w"], ["y"])], [], [value("y", (4, 4))], [weight("w", 4, 4)])


def unused_input() -> ModelProto:
    """A second input that nothing reads; runtimes may drop it."""
    return model([h.make_node("Relu", ["x"], ["y"])], [value("x", (1, 8)), value("mask", (1, 8))], [value("y", (1, 8))])


def dropout_of_nothing() -> ModelProto:
    """OpenVINO renames the input of a Dropout that does nothing."""
    nodes = [h.make_node("Dropout", ["x"], ["d"]), h.make_node("Relu", ["d"], ["y"])]
    return model(nodes, [value("x", (1, 8))], [value("y", (1, 8))])


def input_is_output() -> ModelProto:
    """One output is the input itself, another one is stored in the file."""
    nodes = [h.make_node("Identity", ["x"], ["same"]), h.make_node("Relu", ["x"], ["y"])]
    outputs = [value("same", (1, 8)), value("y", (1, 8)), value("w", (4, 4))]
    return model(nodes, [value("x", (1, 8))], outputs, [weight("w", 4, 4)])


def empty_output() -> ModelProto:
    """What is left of nothing: an output of no elements."""
    nodes = [h.make_node("Slice", ["x", "from", "to"], ["none"]), h.make_node("Relu", ["x"], ["y"])]
    return model(nodes, [value("x", (1, 8))], [value("none", (0, 8)), value("y", (1, 8))],
                 [constant("from", [0, 0]), constant("to", [0, 8])])  # fmt: skip


def strings(*, inside: bool = False) -> ModelProto:
    """Takes strings; or, with `inside`, puts them out."""
    if inside:
        node = h.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)
        return model([node], [value("x", (1, 8))], [value("y", (1, 8), TensorProto.STRING)])
    node = h.make_node("Cast", ["x"], ["y"], to=F32)
    return model([node], [value("x", (1, 8), TensorProto.STRING)], [value("y", (1, 8))])


def sequence(*, inside: bool = False) -> ModelProto:
    """Takes a sequence of tensors; or, with `inside`, puts it out."""
    many = h.make_tensor_sequence_value_info("x", F32, None)
    if inside:
        many.name = "y"
        return model([h.make_node("SplitToSequence", ["x"], ["y"])], [value("x", (4, 8))], [many])
    return model([h.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)], [many], [value("y", None)])


def saved(made: ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(made, path)
    return path


def saved_outside(made: ModelProto, path: Path, data: str) -> Path:
    """Save a model with its weights in a file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(made, path, save_as_external_data=True, location=data, size_threshold=0)
    return path


ODD: dict[str, Callable[[], ModelProto]] = {
    "dyn_batch": lambda: convolution(("N", 3, 16, 16), ("N", 4, 16, 16)),
    "anonymous_batch": lambda: convolution((None, 3, 16, 16), (None, 4, 16, 16)),
    "lying_batch": lying_batch,
    "image_without_batch": image_without_batch,
    "wrong_declared_output": wrong_declared_output,
    "image_and_shape": image_and_shape,
    "index": index,
    "quantised": quantised,
    "initialisers_are_inputs": initialisers_are_inputs,
    "branch": branch,
    "loop": lambda: loop(5),
    "detector": detector,
    "ceil_pooling": ceil_pooling,
    "huge_logits": huge_logits,
    "random_output": random_output,
    "dropout_in_training": dropout_in_training,
    "nan_output": nan_output,
    "zero_output": zero_output,
    "denormal_weights": denormal_weights,
    "odd_names": odd_names,
    "several_outputs": several_outputs,
    "scalar_input": scalar_input,
    "unused_input": unused_input,
    "dropout_of_nothing": dropout_of_nothing,
    "input_is_output": input_is_output,
    "empty_output": empty_output,
    "no_input": no_input,
    "float16": lambda: product(kind=TensorProto.FLOAT16),
    "float64": lambda: product(kind=TensorProto.DOUBLE),
    "bfloat16_cast": lambda: of_dtype(TensorProto.BFLOAT16),
    **{f"takes_{np.dtype(kind).name}": (lambda kind=kind: of_dtype(h.np_dtype_to_tensor_dtype(np.dtype(kind))))
       for kind in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                    "bool")},
}  # fmt: skip
"""Files that can be measured, by what is odd about them."""
BACKENDS_REFUSE: dict[str, Callable[[], ModelProto]] = {
    "custom_domain": custom_domain,
    "local_function": local_function,
    "ir_99": lambda: convolution(ir=99),
    "opset_999": lambda: convolution(opset=999),
    "strings_out": lambda: strings(inside=True),
    "sequence_out": lambda: sequence(inside=True),
}
