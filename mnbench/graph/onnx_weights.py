"""Which tensors an ONNX file stores, which of them are parameters, and where their values lie."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnbench.errors import ModelFileError
from mnbench.graph.onnx_external import Place, is_external, span
from mnbench.graph.onnx_nodes import attribute, dtype_name, is_standard, operator_name, subgraphs
from mnbench.graph.tensors import Stored, bytes_needed

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

NOT_LEARNED: Mapping[str, frozenset[int]] = {
    "BatchNormalization": frozenset({3, 4}),  # running mean and variance: buffers of a module
    "Clip": frozenset({1, 2}),
    "DequantizeLinear": frozenset({1, 2}),
    "Dropout": frozenset({1, 2}),
    "GRU": frozenset({4, 5}),
    "LSTM": frozenset({4, 5, 6}),
    "MelWeightMatrix": frozenset(range(5)),
    "NonMaxSuppression": frozenset({2, 3, 4}),
    "OneHot": frozenset({1, 2}),
    "Pad": frozenset({1, 2, 3}),
    "QLinearConv": frozenset({1, 2, 4, 5, 6, 7}),
    "QLinearMatMul": frozenset({1, 2, 4, 5, 6, 7}),
    "QuantizeLinear": frozenset({1, 2}),
    "RNN": frozenset({4, 5}),
    "Range": frozenset(range(3)),
    "Resize": frozenset({1, 2, 3}),
    "Upsample": frozenset({1}),
}
"""Inputs of operators that take settings, scales, zero points, buffers or first states, and no weights."""
INTEGER_WEIGHTS: Mapping[str, frozenset[int]] = {
    "ConvInteger": frozenset({1}),
    "DequantizeLinear": frozenset({0}),
    "MatMulInteger": frozenset({0, 1}),
    "QLinearConv": frozenset({3, 8}),
    "QLinearMatMul": frozenset({0, 3}),
}
"""Inputs at which a tensor of integers is a weight; elsewhere it is an index, a shape or an axis."""


GENERATED_WEIGHTS: Mapping[str, frozenset[int]] = {
    "BatchNormalization": frozenset({1, 2}),
    "Conv": frozenset({1, 2}),
    "ConvTranspose": frozenset({1, 2}),
    "Gemm": frozenset({1, 2}),
    "MatMul": frozenset({1}),
}
"""Inputs at which what a ConstantOfShape fills with one number is a weight: files for tests keep large networks small so."""


def stored(model: ModelProto, places: Mapping[str, Place]) -> tuple[Stored, ...]:
    """Return the stored tensors in the order in which `tensors_of` numbers them. `places` are the data files by location.

    Floating-point tensors with at least one axis are parameters unless all their readers are among `NOT_LEARNED`; one that
    nobody reads is none. What a ConstantOfShape makes is numbered like a stored tensor.
    Raises ModelFileError for a tensor whose values in the file are fewer or more than its shape says.
    """
    from onnx import TensorProto

    readers = _Readers()
    readers.graph(model.graph, ChainMap())
    return tuple(
        _record(tensor, uses, places) if isinstance(tensor, TensorProto) else _generated(*tensor, uses)
        for tensor, uses in zip(readers.tensors, readers.uses, strict=True)
    )


class _Readers:
    """Numbers the stored tensors of a graph and writes down which inputs of which operators read each."""

    def __init__(self) -> None:
        self.tensors: list[TensorProto | tuple[NodeProto, TensorProto | None]] = []
        self.uses: list[set[tuple[str, int]]] = []

    def graph(self, graph: GraphProto, outer: ChainMap[str, int]) -> None:
        scope = outer.new_child()
        for tensor in initialisers(graph):
            scope[tensor.name] = self._add(tensor)
        for node in graph.node:
            if (constant := constant_tensor(node)) is not None:
                scope[node.output[0]] = self._add(constant)
            elif is_standard(node, "Identity") and node.input[0] in scope:
                scope[node.output[0]] = scope[node.input[0]]
            else:
                for place, name in enumerate(node.input):
                    if name in scope:
                        self.uses[scope[name]].add((operator_name(node.domain, node.op_type), place))
                if is_generator(node):
                    shape = self.tensors[scope[node.input[0]]] if node.input[0] in scope else None
                    scope[node.output[0]] = self._add((node, None if isinstance(shape, tuple) else shape))
            for _, inner in subgraphs(node):
                self.graph(inner, scope)

    def _add(self, tensor: TensorProto | tuple[NodeProto, TensorProto | None]) -> int:
        self.tensors.append(tensor)
        self.uses.append(set())
        return len(self.tensors) - 1


def initialisers(graph: GraphProto) -> list[TensorProto]:
    """Return a graph's initialisers; of a sparse one the values that are not zero."""
    return [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]


def constant_tensor(node: NodeProto) -> TensorProto | None:
    """Return the tensor that a Constant node holds; None for other nodes and for constants of other types."""
    value = attribute(node, "value") if is_standard(node, "Constant") else None
    return value.t if value is not None and value.HasField("t") and node.output else None


def is_generator(node: NodeProto) -> bool:
    """Return whether a node repeats one number to a tensor."""
    return is_standard(node, "ConstantOfShape") and len(node.input) == 1 and len(node.output) == 1


def _generated(node: NodeProto, shape: TensorProto | None, uses: set[tuple[str, int]]) -> Stored:
    """Return what a ConstantOfShape makes; without axes, and no parameter, if its shape is not stored in the file itself."""
    from onnx import numpy_helper

    value = attribute(node, "value")
    dtype = "float32" if value is None else dtype_name(value.t.data_type)
    try:
        sides = () if shape is None or is_external(shape) else tuple(int(side) for side in numpy_helper.to_array(shape))
    except (ValueError, TypeError):
        sides = ()
    if any(side < 0 for side in sides):
        sides = ()
    weight = any(place in GENERATED_WEIGHTS.get(operator, ()) for operator, place in uses)
    return Stored(name=node.output[0], dtype=dtype, shape=sides, parameter=weight and bool(sides), generated=True)


def _record(tensor: TensorProto, uses: set[tuple[str, int]], places: Mapping[str, Place]) -> Stored:
    dtype, shape = dtype_name(tensor.data_type), tuple(tensor.dims)
    if any(side < 0 for side in shape):
        raise ModelFileError(f"the weight {tensor.name!r} has the shape {list(shape)}, and a size cannot be negative.")
    floating = dtype.startswith(("float", "bfloat")) and bool(shape)
    parameter = any(
        place not in NOT_LEARNED.get(operator, ()) if floating else place in INTEGER_WEIGHTS.get(operator, ())
        for operator, place in uses
    )
    if is_external(tensor):
        path, offset = span(tensor, places)
        return Stored(name=tensor.name, dtype=dtype, shape=shape, parameter=parameter, path=path, offset=offset)
    _require_whole(tensor, dtype, math.prod(shape))
    return Stored(name=tensor.name, dtype=dtype, shape=shape, parameter=parameter, inline=partial(_values, tensor, dtype))


def _require_whole(tensor: TensorProto, dtype: str, elements: int) -> None:
    needed = bytes_needed(dtype, elements)
    if needed is None or not tensor.HasField("raw_data"):
        return
    if len(tensor.raw_data) != needed:
        raise ModelFileError(
            f"the weight {tensor.name!r} of shape {list(tensor.dims)} holds {len(tensor.raw_data):,} bytes "
            f"and needs {needed:,}: the file is damaged."
        )


def _values(tensor: TensorProto, dtype: str) -> NDArray[np.generic]:
    """Return the values of a float32, float64 or bfloat16 tensor in the model file, flat; bfloat16 as its 16 bits."""
    if tensor.HasField("raw_data"):
        return np.frombuffer(tensor.raw_data, {"float32": "<f4", "float64": "<f8", "bfloat16": "<u2"}[dtype])
    if dtype == "bfloat16":
        return np.asarray(tensor.int32_data, dtype=np.int64).astype(np.uint16)
    return np.asarray(tensor.float_data if dtype == "float32" else tensor.double_data, dtype=dtype)
