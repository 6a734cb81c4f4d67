"""What a model is run on, and how its answers are compared with the reference's.

Arrays are numpy's; bfloat16, which numpy lacks, is held as the uint16 of its bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnbench.records import Artifact, Layout, TensorSpec

Array = NDArray[Any]
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The inputs that every backend is given, and the reference's answers; all C-contiguous, in the order of the model."""

    inputs: tuple[Array, ...]
    input_specs: tuple[TensorSpec, ...]
    outputs: tuple[Array, ...] = ()
    """Empty without a reference."""
    output_specs: tuple[TensorSpec, ...] = ()
    output_offset_bytes: int = 0
    """Where behind a page the buffers for a session's own outputs begin."""

    @classmethod
    def load(cls, path: Path, artifact: Artifact, layout: Layout = Layout()) -> Feed:  # noqa: B008 - frozen
        """Return the feed of an artefact, its inputs where `layout` says."""
        with np.load(path) as arrays:
            inputs = tuple(
                aligned(arrays[f"input_{place}"], layout.input_offset_bytes) for place in range(len(artifact.inputs))
            )
            outputs = tuple(arrays[f"output_{place}"] for place in range(len(artifact.outputs))) if artifact.reference else ()
        return cls(
            inputs=inputs,
            input_specs=artifact.inputs,
            outputs=outputs,
            output_specs=artifact.outputs,
            output_offset_bytes=layout.output_offset_bytes,
        )

    def output_buffers(self) -> tuple[Array | None, ...]:
        """Return memory for each output of a session, where the layout says; None for one whose size is not known before.

        It holds no number yet, as far as the type has a value for that.
        """
        if not self.outputs:
            return (None,) * len(self.output_specs)
        return tuple(
            aligned(np.full_like(array, np.nan if array.dtype.kind == "f" else 0), self.output_offset_bytes)
            if all(isinstance(dim, int) for dim in spec.dims) else None
            for array, spec in zip(self.outputs, self.output_specs, strict=True)
        )  # fmt: skip


def save(path: Path, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
    """Write the file that `Feed.load` reads."""
    arrays: dict[str, Any] = {f"input_{place}": array for place, array in enumerate(inputs)}
    arrays |= {f"output_{place}": array for place, array in enumerate(outputs)}
    np.savez(path, **arrays)


def aligned(array: Array, offset_bytes: int = 0) -> Array:
    """Return a contiguous copy that begins `offset_bytes` behind a page, a multiple of 64 as runtimes' own tensors have it.

    numpy's own large arrays begin 16 bytes behind a page, so that each 64-byte load of them touches two lines.
    """
    room = np.empty(array.nbytes + 2 * PAGE_BYTES, dtype=np.uint8)
    skip = -room.ctypes.data % PAGE_BYTES + offset_bytes
    copy = room[skip : skip + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def numbers(array: Array, dtype: str) -> NDArray[np.float64]:
    """Return the values of an array as float64."""
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far outputs are from the reference's."""

    max_abs: float = 0.0
    max_rel: float = 0.0
    """Over the largest value of the reference in the same output; infinite where shapes differ or one is not finite."""
    told: str = ""
    """What is different beside the numbers."""


def difference(outputs: Sequence[Array], reference: Sequence[Array], specs: Sequence[TensorSpec]) -> Difference:
    """Return the largest difference over all outputs."""
    if len(outputs) != len(reference):
        return Difference(
            max_abs=np.inf, max_rel=np.inf, told=f"the number of outputs differs: {len(outputs)} and {len(reference)}"
        )
    worst = Difference()
    for output, answer, spec in zip(outputs, reference, specs, strict=True):
        found = _difference(output, answer, spec)
        if found.max_rel > worst.max_rel or (found.told and not worst.told):
            worst = found
    return worst


def _difference(output: Array, answer: Array, spec: TensorSpec) -> Difference:
    name = f"of {spec.name!r} "
    if output.shape != answer.shape:
        shapes = f"{list(output.shape)} and {list(answer.shape)}"
        return Difference(max_abs=np.inf, max_rel=np.inf, told=f"output shapes {name}differ: {shapes}")
    y, r = numbers(output, spec.dtype), numbers(answer, spec.dtype)
    finite = np.isfinite(r)
    if not np.array_equal(np.isfinite(y), finite) or not np.array_equal(y[~finite], r[~finite], equal_nan=True):
        return Difference(max_abs=np.inf, max_rel=np.inf, told=f"values {name}are not finite where the reference's are")
    if not finite.any():
        return Difference()
    max_abs = float(np.abs(y[finite] - r[finite]).max())
    scale = float(np.abs(r[finite]).max())
    return Difference(max_abs=max_abs, max_rel=max_abs / scale if scale else (np.inf if max_abs else 0.0))


def nothing_in(outputs: Sequence[Array], specs: Sequence[TensorSpec]) -> str:
    """Say when outputs hold nothing to judge by: `NaN` or `zero`; else an empty string."""
    arrays = [numbers(array, spec.dtype) for array, spec in zip(outputs, specs, strict=True)]
    if any(np.isnan(array).any() for array in arrays):
        return "NaN"
    return "zero" if arrays and all(array.size and not array.any() for array in arrays) else ""
