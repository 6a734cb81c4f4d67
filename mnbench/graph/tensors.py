"""What goes into and comes out of a model, and the weights its file stores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Dim = int | str | None
"""The size of an axis: a number, the name of a symbol, or unknown."""

CHUNK_ELEMENTS = 1 << 24
BITS = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16,
    "int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4, "int2": 2,
    "uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "uint4": 4, "uint2": 2,
    "bool": 8, "complex64": 64, "complex128": 128,
    "float8e4m3fn": 8, "float8e4m3fnuz": 8, "float8e5m2": 8, "float8e5m2fnuz": 8, "float8e8m0": 8, "float4e2m1": 4,
}  # fmt: skip
"""Bits per element, as files store them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One input or output of a model."""

    name: str
    dtype: str
    """`float32`, `float16`, `bfloat16`, `int64`, `bool`, `string` …; of a sequence or an optional, that of what it holds.
    Empty if the file does not declare it."""
    dims: tuple[Dim, ...] | None
    """None if even the number of axes is unknown."""
    kind: str = "tensor"
    """`tensor`, `sparse_tensor`, `sequence`, `optional`, `map` or `opaque`."""

    @property
    def open_axes(self) -> tuple[int, ...]:
        """The axes without a number. Empty also if the number of axes is unknown: see `dims`."""
        return tuple(axis for axis, dim in enumerate(self.dims or ()) if not isinstance(dim, int))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One tensor whose values the file holds."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    parameter: bool
    """Whether it is a weight that a network learns, as far as its dtype and the operators that read it can tell."""
    path: Path | None = None
    """The data file, if the values lie in one; they begin at `offset` (bytes) and are little-endian."""
    offset: int = 0
    generated: bool = False
    """Whether the file holds one value that the runtime repeats to this shape."""
    inline: Callable[[], NDArray[np.generic]] | None = field(default=None, repr=False, compare=False)
    """Gives the values that lie in the model file itself; bfloat16 as its 16 bits."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def floating(self) -> bool:
        return self.dtype.startswith(("float", "bfloat"))


def bytes_needed(dtype: str, elements: int) -> int | None:
    """Return how many bytes `elements` values take; None for a dtype without a fixed size."""
    bits = BITS.get(dtype)
    return None if bits is None else (elements * bits + 7) // 8


def dtype_counts(weights: Iterable[Stored]) -> dict[str, int]:
    """Return the number of parameters by dtype, the most frequent first."""
    counts: dict[str, int] = {}
    for weight in weights:
        if weight.parameter:
            counts[weight.dtype] = counts.get(weight.dtype, 0) + weight.elements
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def denormals(weights: Iterable[Stored]) -> tuple[int, int]:
    """Return (denormal values, values looked at) among the stored floating-point tensors; single settings are left out.

    A value is denormal if it is not zero and, as a float32, below 2^-126. A float16 never is. Data files are mapped.
    """
    denormal = looked_at = 0
    for weight in weights:
        if weight.floating and not weight.generated and (weight.parameter or weight.elements > 1):
            looked_at += weight.elements
            denormal += sum(number_of_denormals(part) for part in _parts(weight))
    return denormal, looked_at


def number_of_denormals(values: NDArray[np.generic]) -> int:
    """Count the denormals in an array of float32, of float64, or of uint16 that holds bfloat16.

    The bits are compared and not the values: a processor that takes denormals for zero would find none.
    """
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        size, smallest_normal = values.astype(np.uint32) & 0x7FFF, 1 << 7
    else:
        with np.errstate(all="ignore"):
            size = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32) & 0x7FFFFFFF
        smallest_normal = 1 << 23
    return int(np.count_nonzero((size > 0) & (size < smallest_normal)))


def _parts(weight: Stored) -> Iterator[NDArray[np.generic]]:
    """Yield the values of a dtype that can be denormal as a float32, a chunk at a time."""
    code = {"float32": "<f4", "float64": "<f8", "bfloat16": "<u2"}.get(weight.dtype)
    if code is None or not weight.elements:
        return
    if weight.path is not None:
        values: NDArray[np.generic] = np.memmap(weight.path, code, "r", offset=weight.offset, shape=(weight.elements,))
    elif weight.inline is not None:
        values = weight.inline().reshape(-1)
    else:
        return
    for start in range(0, values.size, CHUNK_ELEMENTS):
        yield values[start : start + CHUNK_ELEMENTS]
