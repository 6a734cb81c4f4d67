"""Counts what the network in an ONNX file costs, for inputs of given shapes, without executing it.

Each operator is one of three, as in `mnbench.zoo.count`: it multiplies and adds, it does not by the field's convention, or it
is listed as uncounted.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mnbench.graph.costs import Found, GraphFacts, Shape, Window, convolution, layer_name, product, with_params
from mnbench.graph.onnx_behaviour import RANDOM
from mnbench.graph.onnx_file import OnnxGraph, port, real_inputs
from mnbench.graph.onnx_nodes import STANDARD_DOMAINS, integer, integers, is_standard, operator_name, subgraphs, text
from mnbench.graph.onnx_shapes import Shapes, shapes_of, with_shapes
from mnbench.graph.onnx_weights import constant_tensor, initialisers, is_generator
from mnbench.graph.tensors import Port, Stored, denormals
from mnbench.records import LayerCost

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

CONVOLUTIONS = {"Conv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3), "ConvTranspose": (0, 1)}
PRODUCTS = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3), "Gemm": (0, 1)}
"""Inputs with the two factors."""
RECURRENT = frozenset({"RNN", "GRU", "LSTM"})

FREE = frozenset(
    name
    for line in (
        # The papers' convention: normalisation, activations, pooling and sums of branches are left out.
        "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization LRN",
        "LpNormalization MeanVarianceNormalization Relu LeakyRelu PRelu ThresholdedRelu Elu Selu Celu Gelu Mish Swish",
        "SwiGLU Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Softmax LogSoftmax Hardmax Shrink Clip Dropout Erf",
        "Exp Log Sqrt Reciprocal Pow Add Sub Mul Div Neg Abs Sign Mod Sum Mean Max Min Ceil Floor Round Sin Cos Tan Asin",
        "Acos Atan Sinh Cosh Asinh Acosh Atanh AveragePool MaxPool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool",
        "MaxRoiPool RoiAlign MaxUnpool ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum",
        "ReduceLogSumExp ReduceSumSquare CumSum CumProd ArgMax ArgMin TopK Resize Upsample RotaryEmbedding",
        "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
        # Moving, looking up, making, comparing and converting tensors.
        "Identity Reshape Flatten Transpose Squeeze Unsqueeze Expand Tile Slice Split Concat Pad Gather GatherElements",
        "GatherND Scatter ScatterElements ScatterND TensorScatter DepthToSpace SpaceToDepth Col2Im CenterCropPad",
        "ReverseSequence Trilu Shape Size Constant ConstantOfShape EyeLike Range OneHot Where Compress NonZero Unique",
        "NonMaxSuppression Cast CastLike BitCast QuantizeLinear DequantizeLinear DynamicQuantizeLinear Equal Less",
        "LessOrEqual Greater GreaterOrEqual And Or Xor Not IsNaN IsInf BitShift BitwiseAnd BitwiseOr BitwiseXor",
        "BitwiseNot BlackmanWindow HammingWindow HannWindow SequenceAt SequenceConstruct SequenceEmpty SequenceErase",
        "SequenceInsert SequenceLength SplitToSequence ConcatFromSequence Optional OptionalGetElement OptionalHasElement",
        "StringConcat StringNormalizer StringSplit RegexFullMatch TfIdfVectorizer ImageDecoder",
        " ".join(RANDOM),
    )
    for name in line.split()
)
"""Operators without multiply-adds, by convention or because they only move data."""


def facts(graph: OnnxGraph, shapes: Mapping[str, Shape] | None = None) -> GraphFacts:
    """Count the network for inputs of `shapes`, by name and with the batch: {"input": (1, 3, 224, 224)}, say.

    Inputs that are left out keep the shape the file declares. Layers whose sizes do not follow from that are listed in
    `uncounted`. Of an If the branch with more multiply-adds counts; the body of a Loop or a Scan does not.
    Raises UsageError for an unknown input and for a shape that contradicts the declared one.
    """
    model, notes = with_shapes(graph, shapes or {})
    counter = _Counter(weights=graph.weights, notes=list(notes))
    found = counter.graph(model.graph, ChainMap(), ChainMap())
    layers = with_params(found, graph.weights)
    denormal_weights, float_weights = denormals(graph.weights)
    return GraphFacts(
        inputs=tuple(port(value) for value in real_inputs(model.graph)),
        outputs=tuple(
            _output(port(value), declared) for value, declared in zip(model.graph.output, graph.outputs, strict=True)
        ),
        params=sum(weight.elements for weight in graph.weights if weight.parameter),
        madds=sum(layer.madds for layer in layers),
        layers=layers,
        denormal_weights=denormal_weights,
        float_weights=float_weights,
        uncounted=tuple(counter.uncounted),
        notes=tuple(dict.fromkeys(counter.notes)),
    )


def _output(inferred: Port, declared: Port) -> Port:
    """Return the inferred output, with the file's names for the sizes that are not known."""
    if inferred.dims is None or declared.dims is None or len(inferred.dims) != len(declared.dims):
        return inferred
    named = (dim if isinstance(dim, str) else None for dim in declared.dims)
    dims = tuple(dim if isinstance(dim, int) else name for dim, name in zip(inferred.dims, named, strict=True))
    return replace(inferred, dims=dims)


Roots = ChainMap[str, frozenset[int]]
"""For each value that is computed from stored tensors alone: their places in the list of stored tensors."""


@dataclass(slots=True)
class _Counter:
    """Walks a graph in the order in which stored tensors are numbered."""

    weights: Sequence[Stored]
    notes: list[str]
    uncounted: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    numbered: int = 0

    def graph(self, graph: GraphProto, outer_shapes: Shapes, outer_roots: Roots) -> list[Found]:
        """Return the layers of a graph in its order."""
        shapes, roots = shapes_of(graph, outer_shapes), outer_roots.new_child()
        for tensor in initialisers(graph):
            roots[tensor.name] = self._next()
        found: list[Found] = []
        for node in graph.node:
            if constant_tensor(node) is not None or is_generator(node):
                place = self._next()
                if all(name in roots for name in node.input):  # else its shape depends on the input
                    roots[node.output[0]] = place
                continue
            read = [roots.get(name) for name in node.input if name]
            inner = list(subgraphs(node))
            if inner:
                found += self._inside(node, [body for _, body in inner], shapes, roots)
            elif node.domain in STANDARD_DOMAINS and node.op_type not in RANDOM and None not in read:
                union = frozenset[int]().union(*(each for each in read if each is not None))
                if is_standard(node, "Shape", "Size"):
                    union = frozenset()  # reads no value
                roots.update(dict.fromkeys(node.output, union))  # computed once, when the model is loaded
            elif (layer := self._layer(node, shapes, roots)) is not None:
                found.append(layer)
        return found

    def _next(self) -> frozenset[int]:
        self.numbered += 1
        return frozenset({self.numbered - 1})

    def _inside(self, node: NodeProto, bodies: list[GraphProto], shapes: Shapes, roots: Roots) -> list[Found]:
        """Count the graphs inside a node: the costliest branch of an If, of other nodes none."""
        before = tuple(self.uncounted)
        branches = [self.graph(body, shapes, roots) for body in bodies]
        if is_standard(node, "If") and branches:
            costs = [sum(found.layer.madds for found in branch) for branch in branches]
            if len(set(costs)) > 1:
                self.notes.append("Of each If, the branch with more multiply-adds is counted.")
            return branches[costs.index(max(costs))]
        if any(branches) or len(self.uncounted) > len(before):
            self.uncounted[operator_name(node.domain, node.op_type)] = None
        return []

    def _layer(self, node: NodeProto, shapes: Shapes, roots: Roots) -> Found | None:
        """Return the layer of a node that multiplies and adds; else None, and list the node if it is unknown."""
        operator = operator_name(node.domain, node.op_type)
        if node.domain in STANDARD_DOMAINS and node.op_type in FREE:
            return None
        count = _counting(node)
        if count is None:
            self.uncounted[operator] = None
            return None
        constants = [roots.get(name, frozenset()) for name in node.input if name]
        weights = frozenset[int]().union(*constants)
        name = layer_name(weights, self.weights, node.name or next((each for each in node.output if each), operator))
        try:
            layer = count(node, name, _Operands(node, shapes, roots))
        except _UnknownShapeError:
            self.uncounted[f"{operator} of unknown size"] = None
            return None
        return Found(layer=layer, weights=weights)


class _UnknownShapeError(Exception):
    """A size that a count needs does not follow from the inputs' shapes."""


@dataclass(frozen=True, slots=True)
class _Operands:
    """What a node reads and writes."""

    node: NodeProto
    shapes: Shapes
    roots: Roots

    def read(self, place: int, axes: int = 0) -> Shape:
        """Return the shape of an input. Raises `_UnknownShapeError`, also if it has fewer than `axes` axes."""
        return self._shape(self.node.input[place] if place < len(self.node.input) else "", axes)

    def written(self, axes: int = 0) -> Shape:
        """Return the shape of the first output, likewise."""
        return self._shape(self.node.output[0] if self.node.output else "", axes)

    def is_constant(self, place: int) -> bool:
        return self.node.input[place] in self.roots

    def _shape(self, name: str, axes: int) -> Shape:
        shape = self.shapes.get(name)
        if shape is None or len(shape) < axes:
            raise _UnknownShapeError
        return shape


def _convolution(node: NodeProto, name: str, operands: _Operands) -> LayerCost:
    image_place, filter_place = CONVOLUTIONS[node.op_type]
    filters = operands.read(filter_place, 2)
    image, out = operands.read(image_place, len(filters)), operands.written(len(filters))
    auto_pad = text(node, "auto_pad").lower()
    window = Window(
        strides=integers(node, "strides"),
        pads_begin=integers(node, "pads"),  # the second half, at the ends, follows from the sizes
        dilations=integers(node, "dilations"),
        auto_pad="" if auto_pad == "notset" else auto_pad,
    )
    transposed = node.op_type == "ConvTranspose"
    return convolution(name, image, filters[1:], out, integer(node, "group", 1), None if transposed else window)


def _product(node: NodeProto, name: str, operands: _Operands) -> LayerCost:
    left, right = PRODUCTS[node.op_type]
    factor = operands.read(left, 1)
    inner = factor[0] if node.op_type == "Gemm" and integer(node, "transA", 0) else factor[-1]
    constants = [place for place in (left, right) if operands.is_constant(place)]
    activation = operands.read(right) if constants == [left] else factor
    return product(name, activation, inner, operands.written(), weighted=bool(constants))


def _recurrent(node: NodeProto, name: str, operands: _Operands) -> LayerCost:
    """Each step multiplies the input and the state with a matrix per gate and direction; unused steps count."""
    sequence, recurrence = operands.read(0, 3), operands.read(2, 3)
    directions, rows, state = recurrence[:3]  # rows: gates x state
    steps = sequence[0] * sequence[1]  # by step and image, or the other way round (layout 1)
    out = (
        (sequence[0], directions, sequence[1], state) if not integer(node, "layout", 0) else (*sequence[:2], directions, state)
    )
    one = product(name, sequence, 1, out, weighted=operands.is_constant(1) and operands.is_constant(2))
    return replace(one, madds=steps * directions * rows * (sequence[2] + state))


def _counting(node: NodeProto) -> Callable[[NodeProto, str, _Operands], LayerCost] | None:
    if node.domain not in STANDARD_DOMAINS:
        return None
    for operators, count in ((CONVOLUTIONS, _convolution), (PRODUCTS, _product), (RECURRENT, _recurrent)):
        if node.op_type in operators:
            return count
    return None
