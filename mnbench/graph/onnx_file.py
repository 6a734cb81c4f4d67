"""Opens an ONNX file that a user named and reads what it says about itself. Weights beside the file are found, not loaded."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mnbench.errors import MissingPackageError, ModelFileError
from mnbench.graph.onnx_behaviour import behaviour
from mnbench.graph.onnx_external import locate
from mnbench.graph.onnx_nodes import all_nodes, dtype_name, operator_name
from mnbench.graph.onnx_weights import stored
from mnbench.graph.opening import HEAD_BYTES, digest, open_regular, refuse_other_formats, shown, size_of
from mnbench.graph.tensors import Dim, Port, Stored, dtype_counts

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TypeProto, ValueInfoProto

PARSED_TIMES = 2
"""Room that a message takes while it is parsed, in times its size."""
LARGEST_BYTES = 2**31 - 1
"""Of one protobuf message. A larger model has its weights in data files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxGraph:
    """What an ONNX file says about itself, before any shape is known."""

    path: Path
    files: tuple[Path, ...]
    """The .onnx file, and each file of external data in the order of their names in the model."""
    sha256: str
    """Digest of all bytes of `files`, in this order; of a single file it is that file's own digest."""
    size_bytes: int
    """Of all `files`."""
    ir_version: int
    opsets: Mapping[str, int]
    """Version by domain; the standard one is called `ai.onnx`."""
    producer_name: str
    producer_version: str
    inputs: tuple[Port, ...]
    """Those that a caller has to fill: initialisers that are listed as inputs are none."""
    outputs: tuple[Port, ...]
    operators: Mapping[str, Mapping[str, int]]
    """Nodes in the file by domain and operator, with those inside of subgraphs and, once, of local functions."""
    functions: tuple[str, ...]
    """Local functions, `domain.name`."""
    weight_dtypes: Mapping[str, int]
    """Parameters by the dtype they are stored in, the most frequent first."""
    random_operators: Mapping[str, int]
    """Nodes that draw random numbers: by design, the model differs from itself."""
    data_dependent: Mapping[str, int]
    """Nodes whose time or size of output depends on the values of the input, not only on its shape."""
    weights: tuple[Stored, ...] = field(repr=False)
    """All tensors whose values the file or its data files hold."""
    model: ModelProto = field(repr=False, compare=False)
    """The parsed file with its functions expanded. External data are not in it."""

    @property
    def open_axes(self) -> tuple[tuple[Port, int], ...]:
        """The axes of inputs that have no number, as (input, axis)."""
        return tuple((port, axis) for port in self.inputs for axis in port.open_axes)


def read(path: Path) -> OnnxGraph:
    """Read the ONNX file at `path` without executing it.

    Raises ModelFileError with one sentence: for a file that is missing, empty, not readable, not regular, not ONNX or cut off,
    and for external data that is missing, too short, or outside of the model's folder. Raises MissingPackageError without onnx.
    """
    model = _parse(path)
    places = locate(model, path)
    files = (path, *dict.fromkeys(place.path for _, place in sorted(places.items())))
    expanded = _without_functions(model)
    weights = stored(expanded, places)
    random_operators, data_dependent = behaviour(expanded)
    return OnnxGraph(
        path=path,
        files=files,
        sha256=digest(files),
        size_bytes=sum(size_of(file) for file in files),
        ir_version=model.ir_version,
        opsets={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        inputs=tuple(port(value) for value in real_inputs(model.graph)),
        outputs=tuple(port(value) for value in model.graph.output),
        operators=_operators(model),
        functions=tuple(operator_name(function.domain, function.name) for function in model.functions),
        weight_dtypes=dtype_counts(weights),
        random_operators=random_operators,
        data_dependent=data_dependent,
        weights=weights,
        model=expanded,
    )


def real_inputs(graph: GraphProto) -> Iterator[ValueInfoProto]:
    """Yield the inputs that are no initialisers. Files up to IR 3 list both; later ones may, to let a caller replace them."""
    given = {tensor.name for tensor in graph.initializer} | {tensor.values.name for tensor in graph.sparse_initializer}
    return (value for value in graph.input if value.name not in given)


def port(value: ValueInfoProto) -> Port:
    """Return a declared value as a record."""
    kind, dtype, dims = _type(value.type)
    return Port(name=value.name, dtype=dtype, dims=dims, kind=kind)


def _type(declared: TypeProto) -> tuple[str, str, tuple[Dim, ...] | None]:
    which = declared.WhichOneof("value")
    if which in {"sequence_type", "optional_type"}:
        inner = declared.sequence_type.elem_type if which == "sequence_type" else declared.optional_type.elem_type
        return which.removesuffix("_type"), _type(inner)[1], None
    if which == "map_type":
        return "map", _type(declared.map_type.value_type)[1], None
    if which in {"tensor_type", "sparse_tensor_type"}:
        tensor = declared.tensor_type if which == "tensor_type" else declared.sparse_tensor_type
        dims: tuple[Dim, ...] | None = None
        if tensor.HasField("shape"):
            dims = tuple(
                dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or None
                for dim in tensor.shape.dim
            )
        return which.removesuffix("_type"), dtype_name(tensor.elem_type), dims
    return "opaque" if which else "tensor", "", None


def _parse(path: Path) -> ModelProto:
    try:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # it has no stubs
        from onnx import ModelProto
    except ImportError as error:
        raise MissingPackageError("an .onnx file is read with the package onnx: pip install onnx.") from error
    size = size_of(path)
    if size > LARGEST_BYTES:
        raise ModelFileError(
            f"the model file {shown(path)} has {size:,} bytes; an ONNX file holds at most 2 GiB and keeps more in data files."
        )
    model = ModelProto()
    with open_regular(path) as file:
        refuse_other_formats(path, file.read(HEAD_BYTES), "ONNX")
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
                model.ParseFromString(view)  # not a copy of up to 2 GB
        except (DecodeError, RecursionError) as error:
            bytearray(PARSED_TIMES * size)  # raises MemoryError where that is the reason, which protobuf does not say
            raise ModelFileError(
                f"the model file {shown(path)} is no complete ONNX file: it is cut off, damaged or of another format "
                f"({size:,} bytes)."
            ) from error
    if not model.HasField("graph") or not model.graph.output or not model.opset_import:
        raise ModelFileError(
            f"the model file {shown(path)} is no complete ONNX file: it holds no graph with outputs and an opset."
        )
    return model


def _without_functions(model: ModelProto) -> ModelProto:
    """Return the model with each call of a local function replaced by its body; as it is, if that cannot be done."""
    if not model.functions:
        return model
    import onnx.inliner

    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError):  # recursion, or a body that does not fit its call
        return model


def _operators(model: ModelProto) -> dict[str, dict[str, int]]:
    counts: Counter[tuple[str, str]] = Counter()
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        counts.update((node.domain or "ai.onnx", node.op_type) for node in all_nodes(nodes))
    by_domain: dict[str, dict[str, int]] = {}
    for (domain, operator), number in sorted(counts.items()):
        by_domain.setdefault(domain, {})[operator] = number
    return by_domain
