"""An operator many times over, as a network: what is left when dispatch and the graph's edges cancel is the operator.

stride 1, channels kept       op → op → op                  a chain
stride 1, channels change     M→N → N→M → M→N → N→M         there and back
stride above 1, or asked for  op → pool ┐                   copies side by side, each reduced to a number per channel,
                              op → pool ┴→ sum              because what shrinks cannot be chained
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from mnbench.errors import UnknownNameError, UsageError
from mnbench.zoo.layers import conv_bn
from mnbench.zoo.mobilenet_v2 import InvertedResidual

Factory = Callable[[int, int], nn.Module]
"""in_channels, out_channels -> one copy of the operator."""


class Branches(nn.Module):
    """Copies side by side on one input (N, C, H, W); each is averaged over its map, and the averages are added: (N, C')."""

    def __init__(self, copies: list[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        pooled = [self.pool(copy(images)) for copy in self.copies]
        total: Tensor = pooled[0]
        for one in pooled[1:]:
            total = total + one
        return total.flatten(1)


class WithShortcut(nn.Module):
    """A block whose input is added to its output; both have the same shape."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)  # type: ignore[no-any-return]


def chain(
    *,
    kind: str,
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    copies: int = 1,
    expansion: int = 1,
    shortcut: int = 0,
    side_by_side: int = 0,
    groups: int = 1,
    alone: int = 0,
) -> nn.Module:
    """Return a network that repeats an operator: images (N, in_channels, H, W) to a map, or for strides to (N, out_channels).

    `linear` takes (N, in_channels, 1, 1). Raises UsageError for a kind that is not known.
    """
    if kind not in BUILDERS:
        raise UnknownNameError("kind of operator", kind, BUILDERS)

    def one(m: int, n: int) -> nn.Module:
        return BUILDERS[kind](m, n, kernel, stride, groups if kind == "grouped" else expansion, bool(shortcut))

    if (stride > 1 or side_by_side) and not alone:
        return Branches([one(in_channels, out_channels) for _ in range(copies)])
    ways = ((in_channels, out_channels), (out_channels, in_channels))
    layers = [one(*ways[place % 2]) for place in range(copies)]
    return nn.Sequential(nn.Flatten(1), *layers) if kind == "linear" else nn.Sequential(*layers)


def _convolution(activation: type[nn.Module] | None, grouped: bool = False, kernel_of: int | None = None) -> Builder:
    def build(m: int, n: int, kernel: int, stride: int, _expansion: int, _shortcut: bool) -> nn.Module:
        layers = conv_bn(m, n, kernel_of or kernel, stride=stride, groups=m if grouped else 1, relu6=activation is nn.ReLU6)
        if activation is not None and activation is not nn.ReLU6:
            layers.append(activation())
        return layers

    return build


def _grouped(m: int, n: int, kernel: int, stride: int, groups: int, _shortcut: bool) -> nn.Module:
    return conv_bn(m, n, kernel, stride=stride, groups=groups)


def _separable(m: int, n: int, kernel: int, stride: int, _expansion: int, _shortcut: bool) -> nn.Module:
    return nn.Sequential(conv_bn(m, m, kernel, stride=stride, groups=m), conv_bn(m, n, 1))


def _linear(m: int, n: int, *_: object) -> nn.Module:
    return nn.Sequential(nn.Linear(m, n), nn.ReLU())


def _inverted(m: int, n: int, kernel: int, stride: int, expansion: int, shortcut: bool) -> nn.Module:
    if kernel != 3:
        raise UsageError(f"MobileNetV2's block has a kernel of 3, not {kernel}.")
    block = InvertedResidual(m, n, expansion=expansion, stride=stride)
    block.has_shortcut = shortcut
    return block


def _residual(grouped: bool) -> Builder:
    def build(m: int, n: int, kernel: int, stride: int, expansion: int, shortcut: bool) -> nn.Module:
        hidden = m // expansion
        inner = conv_bn(hidden, hidden, kernel, stride=stride, groups=hidden if grouped else 1)
        layers = nn.Sequential(conv_bn(m, hidden, 1), inner, conv_bn(hidden, n, 1, relu6=False))
        return WithShortcut(layers) if shortcut else layers

    return build


Builder = Callable[[int, int, int, int, int, bool], nn.Module]
"""in_channels, out_channels, kernel, stride, expansion (or groups, for the kind that has them), shortcut -> one copy."""

BUILDERS: Mapping[str, Builder] = {
    "standard": _convolution(nn.ReLU6),
    "depthwise": _convolution(nn.ReLU6, grouped=True),
    "pointwise": _convolution(nn.ReLU6, kernel_of=1),
    "separable": _separable,
    "grouped": _grouped,
    "linear": _linear,
    "inverted": _inverted,
    "residual": _residual(grouped=False),
    "residual-depthwise": _residual(grouped=True),
    "pointwise-none": _convolution(None, kernel_of=1),
    "pointwise-relu": _convolution(nn.ReLU, kernel_of=1),
    "pointwise-hardswish": _convolution(nn.Hardswish, kernel_of=1),
}
