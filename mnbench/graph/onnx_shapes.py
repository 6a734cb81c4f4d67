"""The shape of every value in an ONNX graph, for inputs of given shapes."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mnbench.errors import UsageError
from mnbench.graph.costs import Shape
from mnbench.graph.onnx_external import is_external
from mnbench.graph.onnx_file import OnnxGraph, port, real_inputs
from mnbench.graph.tensors import Port, Stored, bytes_needed

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

LARGEST_SETTING_ELEMENTS = 1024
"""Tensors up to this size may be shapes, axes or sizes, so inference gets their values. Larger ones are weights."""
Shapes = ChainMap[str, Shape]


def with_shapes(graph: OnnxGraph, shapes: Mapping[str, Shape]) -> tuple[ModelProto, tuple[str, ...]]:
    """Return a copy of the graph without weights, with the shapes of its values inferred, and notes on what went wrong.

    `shapes` gives inputs a full shape by name; what it says of a symbol holds for all inputs. Other axes stay as they are.
    Sizes that the file declares for values inside the graph are used only where none can be inferred: they may hold for
    another input. Raises UsageError for an unknown input and for a shape that contradicts the declared one.
    """
    skeleton = _skeleton(graph)
    symbols = _fix_inputs(skeleton, graph.inputs, shapes)
    declared = {value.name: value for value in (*graph.model.graph.value_info, *graph.model.graph.output)}
    inferred, notes = _infer(skeleton)
    outputs = {value.name for value in skeleton.graph.output}
    known = {
        value.name for value in _values(inferred.graph)
        if _is_known(value) or (value.name in outputs and port(value).dims is not None)
    }  # fmt: skip
    missing = [_with_symbols(value, symbols) for name, value in declared.items() if name not in known]
    missing = [value for value in missing if port(value).dims is not None]
    if missing:
        by_name = {value.name: value for value in skeleton.graph.output}
        for value in missing:
            if value.name in by_name:
                by_name[value.name].CopyFrom(value)
            else:
                skeleton.graph.value_info.add().CopyFrom(value)
        inferred, notes = _infer(skeleton)
    return inferred, notes


def shapes_of(graph: GraphProto, outer: Shapes) -> Shapes:
    """Return the known shapes in a graph by name of the value, with those of the graphs around it."""
    scope = outer.new_child()
    for tensor in graph.initializer:
        scope[tensor.name] = tuple(tensor.dims)
    for sparse in graph.sparse_initializer:
        scope[sparse.values.name] = tuple(sparse.dims)
    for value in _values(graph):
        dims = port(value).dims
        if dims is not None and all(isinstance(side, int) for side in dims):
            scope[value.name] = tuple(side for side in dims if isinstance(side, int))
    return scope


def _values(graph: GraphProto) -> Iterable[ValueInfoProto]:
    return (*graph.input, *graph.value_info, *graph.output)


def _is_known(value: ValueInfoProto) -> bool:
    declared = port(value)
    return declared.kind != "tensor" or (declared.dims is not None and not declared.open_axes)


def _skeleton(graph: OnnxGraph) -> ModelProto:
    """Copy the graph without the values of its weights and without what it declares of the values inside of it."""
    from onnx import ModelProto

    source, skeleton = graph.model, ModelProto()
    skeleton.ir_version = source.ir_version
    skeleton.opset_import.extend(source.opset_import)
    skeleton.functions.extend(source.functions)
    skeleton.graph.name = source.graph.name
    skeleton.graph.node.extend(source.graph.node)
    skeleton.graph.input.extend(source.graph.input)
    skeleton.graph.sparse_initializer.extend(source.graph.sparse_initializer)
    for output in source.graph.output:
        copied = skeleton.graph.output.add()
        copied.CopyFrom(output)
        if copied.type.HasField("tensor_type"):
            copied.type.tensor_type.ClearField("shape")
    # Stored tensors begin with the outer graph's initialisers.
    for tensor, record in zip(source.graph.initializer, graph.weights, strict=False):
        _copy_setting(tensor, record, skeleton.graph.initializer.add())
    return skeleton


def _copy_setting(tensor: TensorProto, record: Stored, into: TensorProto) -> None:
    if math.prod(tensor.dims) <= LARGEST_SETTING_ELEMENTS and not is_external(tensor):
        into.CopyFrom(tensor)
        return
    into.name, into.data_type = tensor.name, tensor.data_type
    into.dims.extend(tensor.dims)
    size = bytes_needed(record.dtype, record.elements)
    if record.path is not None and record.elements <= LARGEST_SETTING_ELEMENTS and size:
        into.raw_data = np.fromfile(record.path, np.uint8, size, offset=record.offset).tobytes()


def _fix_inputs(skeleton: ModelProto, inputs: tuple[Port, ...], shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Write the given sizes into the inputs; return the symbols' sizes."""
    ports = {each.name: each for each in inputs}
    if unknown := sorted(set(shapes) - set(ports)):
        raise UsageError(f"the model has no input {unknown[0]!r}. Its inputs: {', '.join(map(repr, ports)) or 'none'}.")
    symbols: dict[str, int] = {}
    for name, shape in shapes.items():
        _bind(ports[name], tuple(shape), symbols)
    for value in real_inputs(skeleton.graph):
        if not value.type.HasField("tensor_type"):
            continue
        tensor = value.type.tensor_type
        if value.name in shapes:
            tensor.ClearField("shape")
            for side in shapes[value.name]:
                tensor.shape.dim.add().dim_value = side
        _bind_symbols(value, symbols)
    return symbols


def _bind(declared: Port, shape: Shape, symbols: dict[str, int]) -> None:
    given = f"input {declared.name!r} was given the shape {list(shape)}"
    if any(side < 0 for side in shape):
        raise UsageError(f"{given}, and a size cannot be negative.")
    if declared.dims is None:
        return
    shown = [dim if dim is not None else "?" for dim in declared.dims]
    if len(shape) != len(declared.dims):
        raise UsageError(f"{given}, and the model declares {len(declared.dims)} axes: {shown}.")
    for axis, (side, dim) in enumerate(zip(shape, declared.dims, strict=True)):
        if isinstance(dim, int) and dim != side:
            raise UsageError(f"{given}, and the model fixes axis {axis} at {dim}: {shown}.")
        if isinstance(dim, str) and symbols.setdefault(dim, side) != side:
            raise UsageError(f"{given}, and the symbol {dim!r} of axis {axis} has the size {symbols[dim]} elsewhere.")


def _with_symbols(value: ValueInfoProto, symbols: Mapping[str, int]) -> ValueInfoProto:
    from onnx import ValueInfoProto

    copied = ValueInfoProto()
    copied.CopyFrom(value)
    _bind_symbols(copied, symbols)
    return copied


def _bind_symbols(value: ValueInfoProto, symbols: Mapping[str, int]) -> None:
    if value.type.HasField("tensor_type"):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in symbols:
                dim.dim_value = symbols[dim.dim_param]


def _infer(model: ModelProto) -> tuple[ModelProto, tuple[str, ...]]:
    import onnx.shape_inference

    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True), ()
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return model, (f"Shapes inside the graph could not be inferred: {reason}",)
