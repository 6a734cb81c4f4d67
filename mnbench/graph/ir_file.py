"""Opens an OpenVINO IR (.xml with its .bin) that a user named and reads what it says about itself, without OpenVINO."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mnbench.errors import ModelFileError
from mnbench.graph.ir_weights import parameters
from mnbench.graph.ir_xml import IrBody, IrLayer, dims_of, dtype_of, parse
from mnbench.graph.opening import HEAD_BYTES, digest, open_regular, refuse_git_lfs, shown, size_of
from mnbench.graph.tensors import Port, Stored, bytes_needed, dtype_counts

RANDOM = frozenset({"RandomUniform", "Multinomial"})
DATA_DEPENDENT = frozenset({
    "NonMaxSuppression", "NonMaxSuppressionIEInternal", "NMSRotated", "MatrixNms", "MulticlassNms", "NonZero", "Unique",
    "If", "Loop", "DetectionOutput", "Proposal", "GenerateProposals", "ExperimentalDetectronDetectionOutput",
    "ExperimentalDetectronGenerateProposalsSingleImage", "CTCGreedyDecoderSeqLen",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IrGraph:
    """What an OpenVINO IR says about itself. Fields as in `mnbench.graph.onnx_file.OnnxGraph`."""

    path: Path
    files: tuple[Path, ...]
    """The .xml, and the .bin if it has weights."""
    sha256: str
    size_bytes: int
    ir_version: int
    producer: str
    """Version of the OpenVINO that wrote the file; empty if it is not told."""
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, Mapping[str, int]]
    """Layers by opset and type, with those inside of other layers."""
    weight_dtypes: Mapping[str, int]
    random_operators: Mapping[str, int]
    data_dependent: Mapping[str, int]
    """Every If and Loop too: whether its condition is fixed is not looked at."""
    weights: tuple[Stored, ...] = field(repr=False)
    """The Const layers in the order of the file."""
    body: IrBody = field(repr=False, compare=False)


def read(path: Path) -> IrGraph:
    """Read the IR whose .xml is at `path`; the .bin beside it is found, not loaded.

    Raises ModelFileError with one sentence: for a file that is missing, empty, not readable, not regular, cut off or no IR, and
    for a .bin that is missing or shorter than the .xml says.
    """
    net = parse(path)
    layers = tuple(net.body.all_layers())
    constants = [layer for layer in layers if layer.type == "Const"]
    data = path.with_suffix(".bin")
    files = (path, data) if any(_place(layer, path)[1] for layer in constants) else (path,)
    if data in files:
        _require_whole(path, data, constants)
    weights = _weights(net.body, constants, path, data)
    kinds = Counter(layer.type for layer in layers)
    return IrGraph(
        path=path,
        files=files,
        sha256=digest(files),
        size_bytes=sum(size_of(file) for file in files),
        ir_version=net.version,
        producer=net.producer,
        inputs=tuple(_input(layer) for layer in net.body.layers if layer.type == "Parameter"),
        outputs=tuple(_output(net.body, layer) for layer in net.body.layers if layer.type == "Result"),
        operators=_operators(layers),
        weight_dtypes=dtype_counts(weights),
        random_operators={kind: number for kind, number in sorted(kinds.items()) if kind in RANDOM},
        data_dependent={kind: number for kind, number in sorted(kinds.items()) if kind in DATA_DEPENDENT},
        weights=weights,
        body=net.body,
    )


def _input(layer: IrLayer) -> Port:
    names = layer.outputs[0].names if layer.outputs else ()
    return Port(
        name=names[0] if names else layer.name,
        dtype=dtype_of(layer.data.get("element_type", "")),
        dims=dims_of(layer.data.get("shape", "...")),
    )


def _output(body: IrBody, result: IrLayer) -> Port:
    """A Result has no name of its own: it is called like the value it hands out."""
    source = body.source(result, 0)
    ports = {(layer.id, port.id): port for layer in body.layers for port in layer.outputs}
    producer = ports.get(source) if source else None
    names = result.output_names or (producer.names if producer else ())
    read = result.inputs[0] if result.inputs else None
    return Port(
        name=names[0] if names else result.name,
        dtype=read.dtype if read else "",
        dims=read.dims if read else None,
    )


def _operators(layers: tuple[IrLayer, ...]) -> dict[str, dict[str, int]]:
    by_opset: dict[str, dict[str, int]] = {}
    for (opset, kind), number in sorted(Counter((layer.opset, layer.type) for layer in layers).items()):
        by_opset.setdefault(opset, {})[kind] = number
    return by_opset


def _place(layer: IrLayer, path: Path) -> tuple[int, int]:
    """Return (offset, size) of a Const in the .bin, in bytes."""
    offset, size = layer.data.get("offset", ""), layer.data.get("size", "")
    if not (offset.isascii() and offset.isdigit() and size.isascii() and size.isdigit()):
        raise ModelFileError(f"the model file {shown(path)} is damaged: the constant {layer.name!r} has no place in the .bin.")
    return int(offset), int(size)


def _require_whole(path: Path, data: Path, constants: list[IrLayer]) -> None:
    what = f"the weights of {shown(path)} in"
    available = size_of(data, what)
    with open_regular(data, what) as file:
        refuse_git_lfs(data, file.read(HEAD_BYTES), what)
    ends = {sum(_place(layer, path)): layer.name for layer in constants}
    end = max(ends)
    if end > available:
        raise ModelFileError(
            f"the weights of {shown(path)} in {shown(data)} have {available:,} bytes, and the constant {ends[end]!r} "
            f"ends at byte {end:,}: the file is cut off or of another model."
        )


def _weights(body: IrBody, constants: list[IrLayer], path: Path, data: Path) -> tuple[Stored, ...]:
    learned = parameters(body)
    weights = []
    for layer in constants:
        offset, size = _place(layer, path)
        dtype = dtype_of(layer.data.get("element_type", ""))
        dims = dims_of(layer.data.get("shape", "")) or ()
        shape = tuple(side for side in dims if isinstance(side, int))
        if (needed := bytes_needed(dtype, math.prod(shape)) or 0) > size or len(shape) < len(dims):
            raise ModelFileError(
                f"the model file {shown(path)} is damaged: the constant {layer.name!r} of shape {list(dims)} "
                f"needs {needed:,} bytes and has {size:,}."
            )
        weights.append(
            Stored(name=layer.name, dtype=dtype, shape=shape, parameter=id(layer) in learned, path=data, offset=offset)
        )
    return tuple(weights)
