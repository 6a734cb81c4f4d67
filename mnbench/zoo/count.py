"""Counts parameters and multiply-adds by running a module once on tensors that have a shape and no data.

Every operator that reaches torch's dispatcher is seen, those of plain functions too. Each is one of three: it
multiplies and adds (a convolution, or one of `MATRIX_PRODUCTS`), it does not by the field's convention (`FREE`), or it
is unknown and reported as uncounted.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mnbench.errors import UsageError


class Kind(StrEnum):
    """What a layer is, as the papers' tables of resources divide them."""

    STANDARD = "standard"
    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"
    GROUPED = "grouped"
    LINEAR = "linear"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One operator that multiplies and adds, or else one module that owns parameters (a normalisation, say)."""

    name: str
    """Dotted name of the innermost module it runs in; empty for the root."""
    kind: Kind
    params: int
    madds: int
    input_elements: int
    """Elements of the activation it reads, not of its weights."""
    output_elements: int
    output_shape: tuple[int, ...]
    padding_madds: int = 0
    """Of `madds`, those with the zeros of the padding: the papers count them, and a kernel may leave them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a module costs for one input. The layers' figures sum to the totals."""

    params: int
    """Learnable parameters: weights, offsets, gamma and beta. Running statistics are buffers and do not count."""
    madds: int
    uncounted: tuple[str, ...]
    """Operators that neither table knows, each once. If there are any, `madds` may be too low."""
    layers: tuple[Layer, ...]
    """In the order of execution. Modules that own parameters but never ran come last."""

    def by_kind(self) -> dict[Kind, tuple[int, int]]:
        """Return (params, madds) of each kind of layer that occurs."""
        return {
            kind: (
                sum(layer.params for layer in self.layers if layer.kind is kind),
                sum(layer.madds for layer in self.layers if layer.kind is kind),
            )
            for kind in dict.fromkeys(layer.kind for layer in self.layers)
        }


def count(module: nn.Module, *inputs: tuple[int, ...] | Tensor) -> Counts:
    """Count `module` in eval mode for float32 inputs of these shapes, batch included: (1, 3, 224, 224), say; or like tensors.

    The module is not modified: a copy without data runs. Raises UsageError if it cannot run on them.
    """
    shadow = _without_data(module)
    own_params: Counter[str] = Counter()
    for name, parameter in shadow.named_parameters():  # lists a parameter that two modules share once
        own_params[name.rpartition(".")[0]] += parameter.numel()
    ledger = _Ledger(own_params)
    for name, part in shadow.named_modules():
        part.register_forward_pre_hook(partial(ledger.enter, name))
        part.register_forward_hook(ledger.leave)
    empty = [torch.empty(given, device="meta") if isinstance(given, tuple) else given.to("meta") for given in inputs]
    try:
        with torch.no_grad(), torch.device("meta"), ledger:
            shadow(*empty)
    except (RuntimeError, TypeError, ValueError) as error:  # what torch and layers raise for an unfit input
        shapes = " and ".join(str(tuple(each.shape)) for each in empty)
        raise UsageError(f"{type(module).__name__} cannot be counted for an input of {shapes}: {error}") from error
    ledger.close()
    return Counts(
        params=own_params.total(),
        madds=sum(layer.madds for layer in ledger.layers),
        uncounted=tuple(ledger.uncounted),
        layers=tuple(ledger.layers),
    )


def _without_data(module: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose parameters and buffers have shapes only, so that it costs next to no memory."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.to("meta"), requires_grad=False) for p in module.parameters()}
    memo.update({id(b): b.to("meta") for b in module.buffers()})
    return copy.deepcopy(module, memo).eval()


MATRIX_PRODUCTS: Mapping[str, int] = {
    "aten::mm": 0,
    "aten::bmm": 0,
    "aten::mv": 0,
    "aten::dot": 0,
    "aten::linear": 0,
    "aten::addmm": 1,
    "aten::addmv": 1,
    "aten::baddbmm": 1,
}
"""Operators that sum products over the last axis of their left factor, and the position of that factor.

Where it is 1, argument 0 is an offset, and adding it does not count. Attention, einsum and matmul arrive as these.
"""

FREE = frozenset(
    f"aten::{name}"
    for line in (
        # The papers' convention: normalisation, activations, pooling and sums of branches are left out.
        "native_batch_norm _native_batch_norm_legit_no_training native_layer_norm native_group_norm _fused_rms_norm",
        "relu relu_ hardtanh hardtanh_ clamp clamp_ clamp_min clamp_min_ clamp_max clamp_max_ leaky_relu leaky_relu_",
        "elu elu_ gelu silu silu_ mish mish_ sigmoid sigmoid_ tanh tanh_ hardswish hardswish_ hardsigmoid hardsigmoid_",
        "_prelu_kernel softplus _softmax _safe_softmax _log_softmax exp log sqrt rsqrt erf",
        "add add_ sub sub_ rsub mul mul_ div div_ neg abs pow maximum minimum where",
        "avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d",
        "max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d mean sum amax amin max min",
        "native_dropout bernoulli_ upsample_nearest1d upsample_nearest2d upsample_nearest3d",
        # Moving, looking up, making and converting tensors.
        "view _unsafe_view reshape _reshape_alias alias t transpose permute expand squeeze unsqueeze select slice",
        "narrow split split_with_sizes unsafe_split unbind chunk unfold as_strided flatten unflatten cat stack",
        "clone copy_ _to_copy contiguous detach lift_fresh constant_pad_nd reflection_pad2d roll flip",
        "replication_pad2d pixel_shuffle pixel_unshuffle native_channel_shuffle repeat gather index index_select",
        "embedding arange zeros ones full empty empty_like zeros_like ones_like full_like new_zeros new_ones new_empty",
        "new_full fill_ zero_ scalar_tensor tril triu eq ne lt le gt ge logical_not logical_and logical_or bitwise_not",
        "masked_fill masked_fill_ floor floor_ ceil round",
    )
    for name in line.split()
)
"""Operators without multiply-adds, by convention or because they only move data."""


def _convolution(args: tuple[Any, ...], out: Tensor) -> tuple[Kind, int, int]:
    """Return kind, multiply-adds, and those of them with padding, of an aten::convolution.

    Each output element is a product over one filter of in_channels / groups x kernel (V1 paper, section 3.1).
    Transposed, it is the mirror image: each input element is spread over one filter.
    """
    image, weight, transposed, groups = args[0], args[1], args[6], args[8]
    madds = (image if transposed else out).numel() * weight[0].numel()
    padding_madds = 0 if transposed else _padding_madds(args, out)
    if groups == 1:
        kind = Kind.POINTWISE if all(side == 1 for side in weight.shape[2:]) else Kind.STANDARD
    else:
        kind = Kind.DEPTHWISE if groups == image.shape[1] else Kind.GROUPED
    return kind, madds, padding_madds


def _padding_madds(args: tuple[Any, ...], out: Tensor) -> int:
    """Return the multiply-adds with the zeros around the image: those whose tap of the filter lies outside on some axis."""
    image, weight, _, strides, paddings, dilations = args[:6]
    inside = everywhere = 1
    for axis, kernel in enumerate(weight.shape[2:]):
        stride, padding, dilation = (each[axis % len(each)] for each in (strides, paddings, dilations))
        places = range(out.shape[2 + axis])
        taps = [place * stride - padding + tap * dilation for place in places for tap in range(kernel)]
        inside *= sum(0 <= tap < image.shape[2 + axis] for tap in taps)
        everywhere *= len(taps)
    return int(out.shape[0] * out.shape[1] * weight.shape[1] * (everywhere - inside))


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch does not annotate it
    """Writes down what runs inside it, under the module it runs in."""

    def __init__(self, own_params: Mapping[str, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch does not annotate it
        self.layers: list[Layer] = []
        self.uncounted: dict[str, None] = {}  # a set that keeps its order
        self._own_params = own_params
        self._unclaimed = dict(own_params)
        self._running: list[str] = []

    def enter(self, name: str, _module: nn.Module, _inputs: object) -> None:
        self._running.append(name)

    def leave(self, _module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """A module whose parameters no product has claimed becomes a layer of its own."""
        if self._running[-1] in self._unclaimed:
            tensors = [value for value in inputs if isinstance(value, Tensor)]
            self._write(Kind.OTHER, 0, tensors[0] if tensors else None, output if isinstance(output, Tensor) else None)
        self._running.pop()

    def close(self) -> None:
        """Write a layer for each module whose parameters nothing has claimed: it never ran, or another used them."""
        for name in tuple(self._unclaimed):
            self._running.append(name)
            self._write(Kind.OTHER, 0, None, None)

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        operator = func._schema.name
        if operator == "aten::convolution":
            kind, madds, padding_madds = _convolution(args, out)
            self._write(kind, madds, args[0], out, padding_madds)
        elif operator in MATRIX_PRODUCTS:
            left = args[MATRIX_PRODUCTS[operator]]
            kind = Kind.LINEAR if self._running[-1] in self._own_params else Kind.OTHER
            self._write(kind, out.numel() * left.shape[-1], left, out)
        elif operator not in FREE:
            self.uncounted[operator] = None
        return out

    def _write(self, kind: Kind, madds: int, read: Tensor | None, written: Tensor | None, padding_madds: int = 0) -> None:
        name = self._running[-1]
        self.layers.append(
            Layer(
                name=name,
                kind=kind,
                params=self._unclaimed.pop(name, 0),
                madds=madds,
                input_elements=0 if read is None else read.numel(),
                output_elements=0 if written is None else written.numel(),
                output_shape=() if written is None else tuple(written.shape),
                padding_madds=padding_madds,
            )
        )
