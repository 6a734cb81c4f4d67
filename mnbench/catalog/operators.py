"""Single operators and blocks as networks: one layer many times over, so that it can be exported and timed like a network.

Two kinds of name. Those of the suite `v1-operators` are listed. All others are read from the name itself, so that a study can
ask for any shape without a list of thousands:

    KIND_k3_r14_i512_o512_s1_x4     kernel 3, resolution 14x14, 512 channels in, 512 out, stride 1, 4 copies

An operator that keeps its shape is chained, one that changes its channels goes there and back (an even number of copies), one
with a stride has copies side by side that end in a pool each (`mnbench.zoo.chains` builds them). The time of one is the slope
over the number of copies, in which dispatch and the graph's edges cancel (docs/methodology.md). With `_a1` an operator is a
graph of its own and nothing else, whatever its shape: what a benchmark of single operators times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mnbench.catalog.networks import APACHE, Network
from mnbench.errors import UnknownNameError, UsageError

V1_SHAPES = ((112, 32, 64), (56, 128, 128), (28, 256, 256), (14, 512, 512), (7, 1024, 1024))
"""(resolution, input channels, output channels) of five of its separable convolutions of stride 1."""

KINDS = ("standard", "depthwise", "pointwise", "separable")


def _operator(kind: str, resolution: int, in_channels: int, out_channels: int) -> Network:
    arguments: dict[str, float | int | str] = {"in_channels": in_channels}
    if kind != "depthwise":
        arguments["out_channels"] = out_channels
    return Network(
        name=f"{kind}_{resolution}_{in_channels}_{out_channels}",
        family=f"{kind}_convolution",
        build=f"mnbench.zoo.operators:{kind}_convolution",
        arguments=arguments,
        resolution=resolution,
        channels=in_channels,
        license=APACHE,
    )


OPERATORS = tuple(_operator(kind, *(shape if kind != "depthwise" else (shape[0], shape[1], shape[1])))
                  for shape in V1_SHAPES for kind in KINDS)  # fmt: skip

CHAIN_FAMILY = "chain"
"""Family of the cards read from a name."""
CHAIN_KINDS: Mapping[str, str] = {
    "standard": "convolution, batch normalisation, ReLU6",
    "depthwise": "depthwise convolution, batch normalisation, ReLU6",
    "pointwise": "1x1 convolution, batch normalisation, ReLU6",
    "separable": "depthwise, then pointwise, each with batch normalisation and ReLU6",
    "grouped": "convolution in g groups of channels, batch normalisation, ReLU6",
    "linear": "fully connected, ReLU",
    "inverted": "MobileNetV2's block: expand t times, depthwise, project; shortcut if n is 1",
    "residual": "ResNet's bottleneck: reduce to 1/t, standard convolution, expand; shortcut if n is 1",
    "residual-depthwise": "the same with a depthwise convolution inside: MobileNetV2's block turned inside out",
    "pointwise-none": "1x1 convolution, batch normalisation",
    "pointwise-relu": "1x1 convolution, batch normalisation, ReLU",
    "pointwise-hardswish": "1x1 convolution, batch normalisation, hard-swish",
}
"""What each kind repeats. `mnbench.zoo.chains` has a builder for each."""
LETTERS: Mapping[str, str] = {
    "k": "kernel", "r": "resolution", "i": "in_channels", "o": "out_channels", "s": "stride", "x": "copies",
    "t": "expansion", "n": "shortcut", "b": "side_by_side", "g": "groups", "a": "alone",
}  # fmt: skip
BLOCKS = ("inverted", "residual", "residual-depthwise")
"""The kinds that have an expansion and may have a shortcut."""
_NAME = re.compile(r"(?P<kind>[a-z0-9-]+)(?P<rest>(?:_[a-z]-?\d+)+)")
MOST = {"kernel": 31, "resolution": 1024, "in_channels": 8192, "out_channels": 8192, "stride": 8, "copies": 64, "expansion": 64,
        "shortcut": 1, "side_by_side": 1, "groups": 8192, "alone": 1}  # fmt: skip
SWITCHES = ("shortcut", "side_by_side", "alone")
LETTERS_OF_A_NAME = 3
"""From so many sizes on, a name is meant as an operator's: a kind that is not known is then told as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator of a chain: what a name says."""

    kind: str
    resolution: int
    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    copies: int = 1
    expansion: int = 1
    shortcut: int = 0
    side_by_side: int = 0
    """1 for copies side by side where a chain would do: the difference is the cost of the pools behind them."""
    groups: int = 1
    """Of the kind `grouped`: each output channel sees in_channels / groups inputs."""
    alone: int = 0
    """1 for one copy as a graph of its own, with nothing behind it."""

    @property
    def name(self) -> str:
        """The name that is read back as this operator."""
        shape = f"k{self.kernel}_r{self.resolution}_i{self.in_channels}_o{self.out_channels}_s{self.stride}"
        extra = f"_t{self.expansion}_n{self.shortcut}" if self.kind in BLOCKS else ""
        extra += f"_g{self.groups}" if self.kind == "grouped" else ""
        extra += ("_b1" if self.side_by_side else "") + ("_a1" if self.alone else "")
        return f"{self.kind}_{shape}{extra}_x{self.copies}"

    @property
    def out_resolution(self) -> int:
        """Of a convolution padded by kernel // 2."""
        return (self.resolution + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one operator costs for one image, by arithmetic."""

    madds: int
    params: int
    """Weights only: batch normalisation is folded into the convolution when it runs."""
    activation_elements: int
    """Read and written, each layer of a pair by itself."""

    def bytes(self, element_bytes: int = 4, batch: int = 1) -> int:
        """Return what must at least be moved for `batch` images: every weight once, every activation in and out."""
        return element_bytes * (self.params + batch * self.activation_elements)

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            madds=self.madds + other.madds,
            params=self.params + other.params,
            activation_elements=self.activation_elements + other.activation_elements,
        )


def parse(name: str) -> Operator | None:
    """Return the operator of a name; None for a name that is not of this form.

    Raises UsageError for sizes that cannot be: zero or negative, a stride larger than the input, an even kernel, groups that do
    not divide the channels, letters that are unknown or twice there, a depthwise convolution that changes its channels, an
    odd number of copies that go there and back; and for a kind that is unknown.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    if match["kind"] not in CHAIN_KINDS:
        if match["rest"].count("_") < LETTERS_OF_A_NAME:
            return None  # rather a misspelt network
        raise UnknownNameError("kind of operator", match["kind"], CHAIN_KINDS)
    values: dict[str, int] = {}
    for part in match["rest"].split("_")[1:]:
        letter, number = part[0], int(part[1:])
        if letter not in LETTERS:
            raise UsageError(
                f"operator {name!r}: {letter!r} is no size; known: {', '.join(LETTERS)} ({', '.join(LETTERS.values())})."
            )
        if LETTERS[letter] in values:
            raise UsageError(f"operator {name!r} says its {LETTERS[letter]} twice.")
        values[LETTERS[letter]] = number
    missing = [field for field in ("resolution", "in_channels", "out_channels") if field not in values]
    if missing:
        raise UsageError(f"operator {name!r} does not say its {' and '.join(missing)}.")
    operator = Operator(kind=match["kind"], **values)
    check(operator)
    return operator


def check(operator: Operator) -> None:
    """Raise UsageError for an operator that cannot be."""
    name = operator.name
    for field in LETTERS.values():
        value, least = getattr(operator, field), 0 if field in SWITCHES else 1
        if not least <= value <= MOST[field]:
            raise UsageError(f"operator {name!r}: {field} must be between {least} and {MOST[field]}, not {value}.")
    if operator.kernel % 2 == 0:
        raise UsageError(f"operator {name!r}: a kernel of {operator.kernel} cannot be padded evenly; it must be odd.")
    if operator.kind == "inverted" and operator.kernel != 3:
        raise UsageError(f"operator {name!r}: MobileNetV2's block has a kernel of 3, not {operator.kernel}.")
    if operator.kind == "linear" and operator.resolution > 1:
        raise UsageError(f"operator {name!r}: a fully connected layer has a resolution of 1, not {operator.resolution}.")
    if operator.stride > operator.resolution:
        raise UsageError(f"operator {name!r}: a stride of {operator.stride} is larger than the input of {operator.resolution}.")
    if operator.kernel > operator.resolution + 2 * (operator.kernel // 2):
        raise UsageError(f"operator {name!r}: a kernel of {operator.kernel} is larger than the padded input.")
    changes = operator.in_channels != operator.out_channels
    if operator.kind == "depthwise" and changes:
        raise UsageError(f"operator {name!r}: a depthwise convolution has as many channels out as in.")
    if operator.alone and (operator.copies > 1 or operator.side_by_side):
        raise UsageError(f"operator {name!r}: an operator alone has one copy, and nothing beside it.")
    if operator.groups > 1 and operator.kind != "grouped":
        raise UsageError(f"operator {name!r}: groups belong to the kind 'grouped'.")
    if operator.in_channels % operator.groups or operator.out_channels % operator.groups:
        sizes = f"{operator.in_channels} channels in and {operator.out_channels} out"
        raise UsageError(f"operator {name!r}: {sizes} do not both divide by {operator.groups} groups.")
    if operator.stride == 1 and changes and not (operator.side_by_side or operator.alone) and operator.copies % 2:
        raise UsageError(f"operator {name!r}: channels that change go there and back, so the copies must be even.")
    if operator.shortcut and (changes or operator.stride > 1):
        raise UsageError(f"operator {name!r}: a shortcut needs stride 1 and as many channels out as in.")
    if operator.kind.startswith("residual") and operator.in_channels % operator.expansion:
        raise UsageError(f"operator {name!r}: {operator.in_channels} channels do not divide by {operator.expansion}.")


def network_of(operator: Operator) -> Network:
    """Return the network that repeats an operator."""
    arguments: dict[str, float | int | str] = {field: getattr(operator, field) for field in LETTERS.values()}
    del arguments["resolution"]
    return Network(
        name=operator.name,
        family=CHAIN_FAMILY,
        build="mnbench.zoo.chains:chain",
        arguments={"kind": operator.kind, **arguments},
        resolution=operator.resolution,
        channels=operator.in_channels,
        license=APACHE,
    )


def cost(operator: Operator) -> Cost:
    """Return what one copy costs, by the formulas of the V1 paper's section 3.1; there and back, the mean of both ways.

    Standard: DK² · M · N · DF². Depthwise: DK² · M · DF². Pointwise: M · N · DF². With a stride, DF is the output's.
    """
    there = _cost_one_way(operator, operator.in_channels, operator.out_channels)
    one_way = operator.stride > 1 or operator.side_by_side or operator.alone
    if one_way or operator.in_channels == operator.out_channels:
        return there
    both = there + _cost_one_way(operator, operator.out_channels, operator.in_channels)
    return Cost(madds=both.madds // 2, params=both.params // 2, activation_elements=both.activation_elements // 2)


def _cost_one_way(op: Operator, m: int, n: int) -> Cost:
    formula = _FORMULAS.get(op.kind) or _FORMULAS[op.kind.partition("-")[0]]  # an activation costs nothing by convention
    return formula(op, m, n)


def _convolution(op: Operator, m: int, n: int, kernel: int, groups: int = 1, stride: int = 1, resolution: int = 0) -> Cost:
    size = resolution or op.resolution
    out = (size + 2 * (kernel // 2) - kernel) // stride + 1
    weights = kernel * kernel * m * n // groups
    return Cost(madds=weights * out * out, params=weights, activation_elements=m * size * size + n * out * out)


def _separable(op: Operator, m: int, n: int) -> Cost:
    depthwise = _convolution(op, m, m, op.kernel, groups=m, stride=op.stride)
    return depthwise + _convolution(op, m, n, 1, resolution=op.out_resolution)


def _linear(op: Operator, m: int, n: int) -> Cost:
    return Cost(madds=m * n, params=m * n, activation_elements=m + n)


def _inverted(op: Operator, m: int, n: int) -> Cost:
    hidden = m * op.expansion
    rest = _convolution(op, hidden, hidden, op.kernel, groups=hidden, stride=op.stride)
    rest += _convolution(op, hidden, n, 1, resolution=op.out_resolution)
    return rest if op.expansion == 1 else _convolution(op, m, hidden, 1) + rest


def _residual(op: Operator, m: int, n: int) -> Cost:
    hidden = m // op.expansion
    groups = hidden if op.kind == "residual-depthwise" else 1
    inner = _convolution(op, hidden, hidden, op.kernel, groups=groups, stride=op.stride)
    return _convolution(op, m, hidden, 1) + inner + _convolution(op, hidden, n, 1, resolution=op.out_resolution)


_FORMULAS: Mapping[str, Callable[[Operator, int, int], Cost]] = {
    "standard": lambda op, m, n: _convolution(op, m, n, op.kernel, stride=op.stride),
    "depthwise": lambda op, m, _n: _convolution(op, m, m, op.kernel, groups=m, stride=op.stride),
    "pointwise": lambda op, m, n: _convolution(op, m, n, 1, stride=op.stride),
    "separable": _separable,
    "grouped": lambda op, m, n: _convolution(op, m, n, op.kernel, groups=op.groups, stride=op.stride),
    "linear": _linear,
    "inverted": _inverted,
    "residual": _residual,
    "residual-depthwise": _residual,
}
