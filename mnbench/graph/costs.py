"""The rules by which a layer of a graph is counted, the same for every format and the same as for a torch module.

A convolution's output element is a product over one filter of (input channels / groups) x kernel (MobileNetV1 paper,
section 3.1). A matrix product sums over its inner axis. Offsets, normalisation, activations and pooling are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mnbench.graph.tensors import Port, Stored
from mnbench.records import LayerCost

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFacts:
    """What a model file says about the network in it, for inputs of one shape."""

    inputs: tuple[Port, ...]
    """With the sizes that were given."""
    outputs: tuple[Port, ...]
    """With the sizes that follow from the inputs, where they can be known."""
    params: int
    """Elements of the stored weights. A batch normalisation that was folded into a convolution left one offset per channel
    in place of its gamma and beta, so the file has that many parameters fewer than the module it came from. Exporters may
    also leave out offsets that are all zero and store equal tensors once. Stored values that a network does not learn but
    uses like a weight (a table of positions, say) count too."""
    madds: int
    """For the whole input, batch included."""
    layers: tuple[LayerCost, ...]
    """The layers that multiply and add, in the order of the file. `params` holds weight and offset of the operator; a weight
    that several layers read counts for the first. An offset that a separate operator adds belongs to no layer."""
    denormal_weights: int
    float_weights: int
    """How many values were looked at for denormals: those of all stored floating-point weights and running statistics."""
    uncounted: tuple[str, ...]
    """Operators that may multiply and add and were not counted, each once. If there are any, `madds` may be too low."""
    notes: tuple[str, ...] = ()
    """Sentences on how these figures came about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How a filter moves over its image, for each spatial axis."""

    strides: Sequence[int] = ()
    pads_begin: Sequence[int] = ()
    dilations: Sequence[int] = ()
    auto_pad: str = ""
    """`same_upper`, `same_lower`, `valid`, or empty if `pads_begin` holds."""

    def inside(self, axis: int, *, size: int, kernel: int, places: int) -> int:
        """Return how many of the `places` x `kernel` taps on an axis of `size` elements hit the image and not its padding."""
        stride = max(1, _at(self.strides, axis, 1))
        dilation = _at(self.dilations, axis, 1)
        padding = self._padding(axis, size, (kernel - 1) * dilation + 1, places, stride)
        hits = 0
        for tap in range(kernel):
            first = -((tap * dilation - padding) // stride)  # the smallest place where the tap is at 0 or above
            last = (size - 1 + padding - tap * dilation) // stride
            hits += max(0, min(last, places - 1) - max(first, 0) + 1)
        return hits

    def _padding(self, axis: int, size: int, reach: int, places: int, stride: int) -> int:
        if self.auto_pad not in {"same_upper", "same_lower"}:
            return 0 if self.auto_pad == "valid" else _at(self.pads_begin, axis, 0)
        total = max(0, (places - 1) * stride + reach - size)
        return total // 2 if self.auto_pad == "same_upper" else total - total // 2


def convolution(name: str, image: Shape, filter_shape: Shape, out: Shape, groups: int, window: Window | None) -> LayerCost:
    """Return a convolution's cost, without its parameters. Image and output are (batch, channels, *spatial).

    `filter_shape` is (channels of one group, *kernel). Without a window it is a transposed convolution: each input element
    is spread over one filter, and the padding is not looked at.
    """
    kernel = filter_shape[1:]
    madds = math.prod(out if window else image) * math.prod(filter_shape)
    padding_madds = 0
    if window:
        inside = math.prod(
            window.inside(axis, size=image[2 + axis], kernel=taps, places=out[2 + axis]) for axis, taps in enumerate(kernel)
        )
        padding_madds = out[0] * out[1] * filter_shape[0] * (math.prod(out[2:]) * math.prod(kernel) - inside)
    if groups == 1:
        kind = "pointwise" if all(side == 1 for side in kernel) else "standard"
    else:
        kind = "depthwise" if groups == image[1] else "grouped"
    return _layer(name, kind, madds, image, out, padding_madds)


def product(name: str, activation: Shape, inner: int, out: Shape, *, weighted: bool) -> LayerCost:
    """Return a matrix product's cost, without its parameters: each output element sums over `inner` products.

    A product with a weight is a `linear` layer, one of two activations (attention) is `other`.
    """
    return _layer(name, "linear" if weighted else "other", math.prod(out) * inner, activation, out, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A layer, and the places in the list of stored tensors of those it reads."""

    layer: LayerCost
    weights: frozenset[int]


def with_params(found: Sequence[Found], weights: Sequence[Stored]) -> tuple[LayerCost, ...]:
    """Return the layers with their parameters; a weight that several read counts for the first."""
    claimed: set[int] = set()
    layers = []
    for each in found:
        own = each.weights - claimed
        claimed |= own
        params = sum(weights[place].elements for place in own if weights[place].parameter)
        layers.append(replace(each.layer, params=params))
    return tuple(layers)


def layer_name(read: frozenset[int], weights: Sequence[Stored], otherwise: str) -> str:
    """Return the dotted name of the module a layer comes from, where its weight's name tells it; else `otherwise`."""
    names = [weights[place].name for place in sorted(read) if weights[place].name.endswith(".weight")]
    return names[0].removesuffix(".weight") if names else otherwise


def _layer(name: str, kind: str, madds: int, read: Shape, written: Shape, padding_madds: int) -> LayerCost:
    return LayerCost(
        name=name,
        kind=kind,
        params=0,
        madds=madds,
        input_elements=math.prod(read),
        output_elements=math.prod(written),
        output_shape=written,
        padding_madds=padding_madds,
    )


def _at(values: Sequence[int], axis: int, otherwise: int) -> int:
    return values[axis] if axis < len(values) else otherwise
