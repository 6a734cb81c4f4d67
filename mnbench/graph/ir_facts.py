"""Counts what the network in an OpenVINO IR costs, for the shapes in the file, by the rules of `mnbench.graph.costs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mnbench.graph.costs import Found, GraphFacts, Shape, Window, convolution, layer_name, product, with_params
from mnbench.graph.ir_file import IrGraph
from mnbench.graph.ir_weights import CONVOLUTIONS
from mnbench.graph.ir_xml import IrBody, IrLayer, Source
from mnbench.graph.tensors import Stored, denormals
from mnbench.records import LayerCost

UNKNOWN = frozenset({
    "BinaryConvolution", "CausalConvWithState", "DFT", "DeformableConvolution", "Einsum", "GRUCell", "GRUSequence",
    "GridSample", "IDFT", "IRDFT", "Inverse", "LSTMCell", "LSTMSequence", "PagedAttentionExtension", "RDFT", "RNNCell",
    "RNNSequence", "STFT", "ScaledDotProductAttention",
})  # fmt: skip
"""Layers that multiply and add, or may, and that are not counted."""
OPSETS = frozenset(f"opset{number}" for number in range(1, 17))
"""OpenVINO's own sets of operators as far as they were looked through for `UNKNOWN`. Layers of others are not counted."""


def facts(graph: IrGraph) -> GraphFacts:
    """Count the network. Layers whose sizes are open in the file are listed in `uncounted`, as are If, Loop and TensorIterator
    that hold layers which multiply and add.
    """
    counter = _Counter(graph.weights)
    found = counter.body(graph.body)
    layers = with_params(found, graph.weights)
    denormal_weights, float_weights = denormals(graph.weights)
    return GraphFacts(
        inputs=graph.inputs,
        outputs=graph.outputs,
        params=sum(weight.elements for weight in graph.weights if weight.parameter),
        madds=sum(layer.madds for layer in layers),
        layers=layers,
        denormal_weights=denormal_weights,
        float_weights=float_weights,
        uncounted=tuple(counter.uncounted),
    )


@dataclass(slots=True)
class _Counter:
    """Walks the layers in the order in which constants are numbered."""

    weights: tuple[Stored, ...]
    uncounted: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    numbered: int = 0

    def body(self, body: IrBody) -> list[Found]:
        """Return the layers that multiply and add."""
        roots: dict[Source, frozenset[int]] = {}
        found = []
        for layer in body.layers:
            read = [roots.get(source) if (source := body.source(layer, place)) else None for place in range(len(layer.inputs))]
            if layer.type == "Const":
                self._set(roots, layer, frozenset({self.numbered}))
                self.numbered += 1
            elif layer.type == "ShapeOf":
                self._set(roots, layer, frozenset())  # once the shapes are known, so is this
            elif layer.bodies:
                self._inside(layer)
            elif read and None not in read:
                self._set(roots, layer, frozenset[int]().union(*(each for each in read if each is not None)))
            elif (each := self._layer(layer, read)) is not None:
                found.append(each)
        return found

    def _set(self, roots: dict[Source, frozenset[int]], layer: IrLayer, value: frozenset[int]) -> None:
        roots.update(dict.fromkeys(((layer.id, port.id) for port in layer.outputs), value))

    def _inside(self, layer: IrLayer) -> None:
        before = len(self.uncounted)
        found = [each for body in layer.bodies for each in self.body(body)]
        if found or len(self.uncounted) > before:
            self.uncounted[layer.type] = None

    def _layer(self, layer: IrLayer, read: list[frozenset[int] | None]) -> Found | None:
        if layer.type not in (*CONVOLUTIONS, "MatMul"):
            if layer.type in UNKNOWN or layer.opset not in OPSETS:
                self.uncounted[layer.type] = None
            return None
        weights = frozenset[int]().union(*(each for each in read if each))
        shapes = [_shape(port.dims) for port in (*layer.inputs[:2], *layer.outputs[:1])]
        if len(shapes) < 3 or None in shapes:
            self.uncounted[f"{layer.type} of unknown size"] = None
            return None
        first, second, out = (shape for shape in shapes if shape is not None)
        name = layer_name(weights, self.weights, layer.name)
        constants = [place for place in (0, 1) if read[place] is not None]
        if layer.type == "MatMul":
            return Found(layer=_product(layer, name, (first, second), out, constants), weights=weights)
        return Found(layer=_convolution(layer, name, first, second, out), weights=weights)


def _shape(dims: tuple[int | str | None, ...]) -> Shape | None:
    sides = tuple(dim for dim in dims if isinstance(dim, int))
    return sides if len(sides) == len(dims) else None


def _product(layer: IrLayer, name: str, factors: tuple[Shape, Shape], out: Shape, constants: list[int]) -> LayerCost:
    left = factors[0]
    inner = left[-2] if layer.data.get("transpose_a") in {"true", "1"} and len(left) > 1 else left[-1]
    return product(name, factors[1] if constants == [0] else left, inner, out, weighted=bool(constants))


def _convolution(layer: IrLayer, name: str, image: Shape, filters: Shape, out: Shape) -> LayerCost:
    """Filters are (out, in, *kernel), with the groups before them; those of BackpropData are (in, out, *kernel)."""
    grouped = layer.type.startswith("Group")
    auto_pad = layer.data.get("auto_pad", "explicit")
    window = Window(
        strides=_integers(layer.data, "strides"),
        pads_begin=_integers(layer.data, "pads_begin"),
        dilations=_integers(layer.data, "dilations"),
        auto_pad="" if auto_pad == "explicit" else auto_pad,
    )
    transposed = layer.type.endswith("BackpropData")
    groups = filters[0] if grouped else 1
    return convolution(name, image, filters[2 if grouped else 1 :], out, groups, None if transposed else window)


def _integers(data: Mapping[str, str], name: str) -> tuple[int, ...]:
    return tuple(int(each) for each in data.get(name, "").split(",") if each.strip().isdigit())
