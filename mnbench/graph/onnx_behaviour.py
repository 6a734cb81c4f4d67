"""Which nodes of an ONNX graph draw random numbers, and which take a time that depends on the input's values."""

from __future__ import annotations

import math
from collections import ChainMap, Counter
from enum import Enum
from typing import TYPE_CHECKING

from mnbench.graph.onnx_external import is_external
from mnbench.graph.onnx_nodes import is_standard, operator_name, subgraphs
from mnbench.graph.onnx_weights import constant_tensor, initialisers

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
SIZED_BY_DATA = (
    "NonMaxSuppression", "NonZero", "Unique", "Compress", "StringSplit", "TfIdfVectorizer", "ImageDecoder", "RegexFullMatch",
)  # fmt: skip
"""Operators whose output's size or whose time follows from the values of their inputs."""


LARGEST_SETTING_ELEMENTS = 32


class _Known(Enum):
    """What of a value is known before a model runs, its inputs' shapes given."""

    VALUE = "value"
    """The values themselves: constants, and what is computed from constants and shapes."""
    SIZE = "size"
    """Its shape only."""
    NOTHING = "nothing"
    """Not even its shape."""


def behaviour(model: ModelProto) -> tuple[dict[str, int], dict[str, int]]:
    """Return (nodes that draw random numbers, nodes whose time or output's size depends on data), each by operator.

    An If whose condition follows from constants and shapes always takes the same branch, and a Loop whose number of turns
    does always takes the same time: they are not listed. Nor is a Scan, whose turns are the size of an axis. Functions must
    have been expanded. A Dropout counts as random if it is, or may be, in training mode.
    """
    reader = _Reader()
    reader.graph(model.graph, ChainMap())
    return dict(sorted(reader.random.items())), dict(sorted(reader.data_dependent.items()))


class _Reader:
    def __init__(self) -> None:
        self.random: Counter[str] = Counter()
        self.data_dependent: Counter[str] = Counter()

    def graph(self, graph: GraphProto, outer: ChainMap[str, _Known]) -> None:
        known = outer.new_child()
        zeros: set[str] = set()
        for value in graph.input:
            known[value.name] = _Known.SIZE
        for tensor in initialisers(graph):
            known[tensor.name] = _Known.VALUE
            if _is_zero(tensor):
                zeros.add(tensor.name)
        for node in graph.node:
            constant = constant_tensor(node)
            if constant is not None and _is_zero(constant):
                zeros.update(node.output)
            inputs = [known.get(name, _Known.SIZE) for name in node.input if name]
            result = self._node(node, inputs, known, zeros)
            before = self.data_dependent.total()
            for _, inner in subgraphs(node):
                self.graph(inner, known)
            for name in node.output:
                known[name] = _Known.NOTHING if self.data_dependent.total() > before else result

    def _node(self, node: NodeProto, inputs: list[_Known], known: ChainMap[str, _Known], zeros: set[str]) -> _Known:
        name = operator_name(node.domain, node.op_type)
        random = is_standard(node, *RANDOM) or _is_training(node, zeros)
        if random:
            self.random[name] += 1
        if _depends_on_data(node, known):
            self.data_dependent[name] += 1
            return _Known.NOTHING
        if _Known.NOTHING in inputs:
            return _Known.NOTHING
        fixed = all(each is _Known.VALUE for each in inputs) and not any(True for _ in subgraphs(node))
        if (fixed and not random) or is_standard(node, "Shape", "Size"):
            return _Known.VALUE
        return _Known.SIZE


def _depends_on_data(node: NodeProto, known: ChainMap[str, _Known]) -> bool:
    def fixed(place: int) -> bool:
        name = node.input[place] if place < len(node.input) else ""
        return not name or known.get(name) is _Known.VALUE

    if "NonMaxSuppression" in node.op_type or "NMS" in node.op_type:  # of any domain
        return True
    if is_standard(node, "If"):
        return not fixed(0)
    if is_standard(node, "TopK"):
        return not fixed(1)
    if is_standard(node, "Loop"):
        return not (fixed(0) and node.input and node.input[0] and fixed(1) and _never_breaks(node))
    return is_standard(node, *SIZED_BY_DATA)


def _never_breaks(loop: NodeProto) -> bool:
    """Return whether a Loop's body cannot end it early: it takes no condition, or hands on the one it got, or a constant."""
    if len(loop.input) < 2 or not loop.input[1]:
        return True  # the condition that the body puts out is then ignored
    for _, body in subgraphs(loop):
        if len(body.input) < 2 or not body.output:
            return False
        condition, handed_on = body.output[0].name, {body.input[1].name}
        handed_on |= {tensor.name for tensor in body.initializer}
        for node in body.node:
            if is_standard(node, "Constant") or (is_standard(node, "Identity") and node.input[0] in handed_on):
                handed_on.update(node.output)
        if condition not in handed_on:
            return False
    return True


def _is_training(node: NodeProto, zeros: set[str]) -> bool:
    """Return whether a Dropout drops: from opset 12 on, if its third input is given and not false."""
    if node.op_type not in {"Dropout", "BiasDropout", "BitmaskDropout", "BitmaskBiasDropout"}:
        return False
    place, ratio = (4, 3) if "Bias" in node.op_type else (2, 1)
    if len(node.input) <= place or not node.input[place] or node.input[place] in zeros:
        return False
    return not (len(node.input) > ratio and node.input[ratio] in zeros)


def _is_zero(tensor: TensorProto) -> bool:
    """Return whether a tensor is small enough to be a setting, and zero or false."""
    import numpy as np
    from onnx import numpy_helper

    if math.prod(tensor.dims) > LARGEST_SETTING_ELEMENTS or is_external(tensor):  # its size in bytes would copy it all
        return False
    try:
        return not np.any(numpy_helper.to_array(tensor))
    except (ValueError, TypeError):  # strings, and values that do not fit the shape
        return False
