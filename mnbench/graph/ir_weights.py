"""Which constants of an OpenVINO IR are parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mnbench.graph.ir_xml import IrBody, IrLayer, Source, dims_of, dtype_of

NOT_LEARNED: Mapping[str, frozenset[int]] = {
    "BatchNormInference": frozenset({3, 4}),  # running mean and variance: buffers of a module
    "Clamp": frozenset({1, 2}),
    "FakeQuantize": frozenset({1, 2, 3, 4}),
    "Interpolate": frozenset({1, 2, 3}),
    "NonMaxSuppression": frozenset({2, 3, 4, 5}),
    "OneHot": frozenset({1, 2, 3}),
    "Pad": frozenset({1, 2, 3}),
    "Range": frozenset({0, 1, 2}),
}
"""Inputs of layers that take settings or buffers and no weights."""
CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData")
SMALL = frozenset({"int8", "uint8", "int4", "uint4", "int2", "uint2", "float8e4m3fn", "float8e5m2"})
"""Dtypes in which a constant is a weight that was compressed or quantised; larger integers are shapes and indexes."""


def parameters(body: IrBody) -> set[int]:
    """Return the ids (of Python) of the Const layers that are parameters.

    They are floating-point or small integers, and have more than one element unless a convolution or a product reads them.
    Scale and zero point of a compressed weight (Convert, Subtract, Multiply) are none.
    """
    learned: set[int] = set()
    _collect(body, learned)
    return learned


def _collect(body: IrBody, learned: set[int]) -> None:
    roots: dict[Source, frozenset[int]] = {}
    constants: dict[int, IrLayer] = {}
    settings: set[int] = set()
    uses: dict[int, set[tuple[str, int]]] = {}
    for layer in body.layers:
        for inner in layer.bodies:
            _collect(inner, learned)
        read = [roots.get(source) if (source := body.source(layer, place)) else None for place in range(len(layer.inputs))]
        if layer.type == "Const":
            constants[id(layer)] = layer
            result: frozenset[int] | None = frozenset({id(layer)})
        elif layer.type in {"Subtract", "Multiply"} and read[0] and len(read) > 1 and read[1] and _small(read[0], constants):
            settings |= read[1]
            result = read[0]
        elif layer.type in {"Convert", "Reshape"} and read and read[0] is not None:
            result = read[0]
        else:
            result = None
            for place, each in enumerate(read):
                for constant in each or ():
                    uses.setdefault(constant, set()).add((layer.type, place))
        if result is not None:
            roots.update(dict.fromkeys(((layer.id, port.id) for port in layer.outputs), result))
    for constant, readers in uses.items():
        if constant not in settings and _is_weight(constants[constant], readers):
            learned.add(constant)


def _small(roots: frozenset[int], constants: Mapping[int, IrLayer]) -> bool:
    return any(dtype_of(constants[each].data.get("element_type", "")) in SMALL for each in roots)


def _is_weight(constant: IrLayer, readers: set[tuple[str, int]]) -> bool:
    dtype = dtype_of(constant.data.get("element_type", ""))
    if not dtype.startswith(("float", "bfloat")) and dtype not in SMALL:
        return False
    if all(place in NOT_LEARNED.get(kind, ()) for kind, place in readers):
        return False
    sides = dims_of(constant.data.get("shape", "")) or ()
    many = math.prod(side for side in sides if isinstance(side, int)) > 1
    return bool(sides) and (many or any(kind in (*CONVOLUTIONS, "MatMul", "PReLU") for kind, _ in readers))
