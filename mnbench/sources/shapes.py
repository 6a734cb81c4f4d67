"""Sizes of the inputs of a file: which axis is the batch, and which ones the user has to give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mnbench.errors import UsageError
from mnbench.graph.tensors import Dim, Port
from mnbench.records import BATCH, Model, TensorSpec

IMAGE_AXES = (4, 5)
"""Inputs with so many axes are images or volumes, whose first axis is the batch also where its size is fixed."""
DTYPES = (
    "float32", "float64", "float16", "bfloat16", "bool",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip
"""Of inputs that can be filled, and of outputs that can be compared."""
FILES = ("onnx", "ir")
"""Sources that know every input before a model is opened."""


class UnfitInputsError(UsageError):
    """A model that can be read and not run as it was named: an input has an open size, or holds no numbers."""


def specs_of(ports: Sequence[Port], shapes: Mapping[str, tuple[int, ...]], title: str) -> tuple[TensorSpec, ...]:
    """Return the inputs with every axis known but the batch, which is `BATCH`.

    An open first axis is the batch where the input has two axes or more; all inputs share it. Raises UnfitInputsError for
    inputs that hold no numbers and for open axes that `shapes` lacks, UsageError for shapes that contradict the file.
    """
    require_numbers(ports, f"input {{}} of {title} is {{}}; mnbench fills tensors of numbers or bool only.")
    symbols: dict[str, int] = {}
    for port in ports:
        if port.name in shapes:
            _bind(port, shapes[port.name], symbols, title)
    specs = tuple(_spec(port, shapes, symbols) for port in ports)
    if unknown := [(spec.name, axis, dim) for spec in specs for axis, dim in enumerate(spec.dims) if _is_open(dim)]:
        axes = "; ".join(f"axis {axis} of input {name!r}{f' ({dim})' if dim != '?' else ''}" for name, axis, dim in unknown)
        example = next(spec for spec in specs if any(_is_open(dim) for dim in spec.dims))
        sizes = ",".join(str(1 if dim == BATCH else dim if isinstance(dim, int) else 64) for dim in example.dims)
        raise UnfitInputsError(f"{title} has open axes: {axes}. Give their sizes, for example --shape {example.name}={sizes}")
    if without := [port.name for port in ports if port.dims is None and port.name not in shapes]:
        raise UnfitInputsError(f"{title} does not say how many axes input {without[0]!r} has: give --shape {without[0]}=…")
    return specs


def require_numbers(ports: Sequence[Port], sentence: str) -> None:
    """Raise UnfitInputsError, with the name and the kind of a port in `sentence`, for the first that holds no numbers."""
    for port in ports:
        if port.kind != "tensor" or port.dtype not in DTYPES:
            what = f"a {port.kind} of {port.dtype or 'an unknown type'}" if port.kind != "tensor" else (
                f"a tensor of {port.dtype or 'an unknown type'}"
            )  # fmt: skip
            raise UnfitInputsError(sentence.format(repr(port.name), what))


def resolved(model: Model, batch: int) -> dict[str, tuple[int, ...]]:
    """Return the sizes of each input for `batch`. Raises UsageError where a model has no such batch."""
    found = {}
    for spec in model.inputs:
        if sizes_known(spec):
            found[spec.name] = tuple(batch if dim == BATCH else int(dim) for dim in spec.dims)
    if not model.inputs and model.source.scheme in FILES:
        if batch != 1:
            raise UsageError(f"{model.title} has no inputs: --batch {batch} cannot be measured.")
        return found
    if any(BATCH in spec.dims or not sizes_known(spec) for spec in model.inputs) or not model.inputs:
        return found
    images = [dims[0] for dims in found.values() if len(dims) in IMAGE_AXES]
    if images and batch != images[0]:
        raise UsageError(f"the batch of {model.title} is fixed at {images[0]}: --batch {batch} cannot be measured.")
    if not images and batch != 1:
        raise UsageError(f"{model.title} has no batch axis that is open: --batch {batch} cannot be measured.")
    return found


def sizes_known(spec: TensorSpec) -> bool:
    """Say whether the sizes of a model's input are known before it is opened. Those of a scalar are: it has no axes."""
    return bool(spec.dims or spec.dtype)


def images_of(model: Model) -> int:
    """Return the batch that an artefact of the model is counted for: 1, or that of a file with a fixed one."""
    if any(BATCH in spec.dims for spec in model.inputs):
        return 1
    fixed = [spec.dims[0] for spec in model.inputs if len(spec.dims) in IMAGE_AXES]
    return int(fixed[0]) if fixed else 1


def _is_open(dim: int | str) -> bool:
    return isinstance(dim, str) and dim != BATCH


def _spec(port: Port, shapes: Mapping[str, tuple[int, ...]], symbols: Mapping[str, int]) -> TensorSpec:
    dims: Sequence[Dim] = port.dims or ()
    if port.name in shapes:
        return TensorSpec(name=port.name, dtype=port.dtype, dims=_given(dims, shapes[port.name]))
    named = tuple(
        BATCH if axis == 0 and len(dims) > 1 and not isinstance(dim, int)
        else dim if isinstance(dim, int)
        else symbols.get(dim or "", dim or "?")
        for axis, dim in enumerate(dims)
    )  # fmt: skip
    return TensorSpec(name=port.name, dtype=port.dtype, dims=named)


def _given(dims: Sequence[Dim], sizes: tuple[int, ...]) -> tuple[int | str, ...]:
    """Return the sizes given; a first axis that is open in the file stays the batch, if it was given as 1."""
    if len(sizes) > 1 and dims and not isinstance(dims[0], int) and sizes[0] == 1:
        return (BATCH, *sizes[1:])
    return sizes


def _bind(port: Port, sizes: tuple[int, ...], symbols: dict[str, int], title: str) -> None:
    if port.dims is None:
        return
    if len(sizes) != len(port.dims):
        raise UsageError(f"--shape gives input {port.name!r} of {title} {len(sizes)} axes; it has {len(port.dims)}.")
    for axis, (dim, size) in enumerate(zip(port.dims, sizes, strict=True)):
        if isinstance(dim, int) and dim != size:
            raise UsageError(f"--shape gives axis {axis} of input {port.name!r} of {title} {size}; the file fixes {dim}.")
        if isinstance(dim, str) and dim and axis and symbols.setdefault(dim, size) != size:
            raise UsageError(f"--shape gives the axis {dim!r} of {title} two sizes: {symbols[dim]} and {size}.")
