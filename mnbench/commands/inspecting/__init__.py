"""What a model is and what each installed backend will do with it: `mnbench inspect MODEL`. Nothing is timed.

a file ──graph.read──▶ inputs, outputs, counts          in this process: nothing of the file is executed
a module ──child──▶ opened, run once, counted           in a process of its own: it is somebody else's code
each backend ──child──▶ does it open the file?          likewise: a runtime may crash or hang on it
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mnbench import backends, sources
from mnbench.commands.compare import OPSET
from mnbench.commands.inspecting.child import Request, ask
from mnbench.environment import package_version
from mnbench.errors import MissingPackageError, UsageError
from mnbench.export.ways import WORDS, way
from mnbench.graph import ir_facts, ir_file, onnx_facts, onnx_file
from mnbench.graph.costs import GraphFacts
from mnbench.graph.opening import size_of
from mnbench.graph.tensors import Port
from mnbench.records import BATCH, ExportSpec, Format, LayerCost, Model, Source, TensorSpec
from mnbench.records.inspection import Does, Inspection, KindCount, ModelFile, Outlook
from mnbench.sources import shapes
from mnbench.sources.naming import id_of
from mnbench.sources.shapes import UnfitInputsError

TIMEOUT_S = 120.0
"""Of one process that opens the model."""
NO_RUNTIMES = (Format.NONE, Format.PROBE)
"""Formats of backends that run no model."""
AS_IT_IS: Mapping[str, str] = {
    Format.ONNX_FILE: Format.ONNX,
    Format.IR_FILE: Format.OPENVINO_IR,
    Format.TORCH_MODULE: Format.TORCH_STATE,
}
"""What a source gives, and the backend's format that is the same thing."""


def inspect(text: str, given: Mapping[str, tuple[int, ...]], timeout_s: float = TIMEOUT_S) -> Inspection:
    """Return what can be said of the model that a user named; `given` are sizes of its inputs, by name.

    A model whose inputs are not fully known has a `problem` that says what to give. Raises UsageError for a model that cannot
    be read or opened at all, and for sizes that contradict it.
    """
    scheme, locator = sources.scheme_of(text)
    source = sources.get(scheme)
    if sentence := source.missing():
        raise MissingPackageError(sentence)
    if source.gives in (Format.ONNX_FILE, Format.IR_FILE):
        found = _file(text, scheme, Path(locator), given)
    else:
        found = _module(sources.resolve([text], given)[0], timeout_s)
    return replace(found, backends=tuple(_outlooks(found, source.gives, timeout_s)))


def _file(title: str, scheme: str, path: Path, given: Mapping[str, tuple[int, ...]]) -> Inspection:
    """Read a file: its graph is parsed and counted, and not executed."""
    graph = onnx_file.read(path) if scheme == "onnx" else ir_file.read(path)
    known = [port.name for port in graph.inputs]
    if unknown := [name for name in given if name not in known]:
        raise UsageError(f"--shape names the input {unknown[0]!r}, which {title} does not have. Inputs: {', '.join(known)}.")
    specs, problem = tuple(map(_spec, graph.inputs)), ""
    sizes: dict[str, tuple[int, ...]] = {}
    images = 1
    try:
        specs = shapes.specs_of(graph.inputs, given, title)
        model = Model(id="", title=title, source=Source(scheme=scheme, locator=""), inputs=specs)
        images = shapes.images_of(model)
        sizes = shapes.resolved(model, images)
    except UnfitInputsError as error:
        problem = str(error)
    counted = _is_closed(graph.inputs)
    if isinstance(graph, onnx_file.OnnxGraph):
        counted = counted or bool(sizes)
        facts, exporter = onnx_facts.facts(graph, sizes), f"{graph.producer_name} {graph.producer_version}"
    else:
        facts, exporter = ir_facts.facts(graph), f"OpenVINO {graph.producer}"
    return Inspection(
        title=title,
        id=id_of(path.stem),
        source=Source(scheme=scheme, locator=str(path.absolute()), sha256=graph.sha256),
        format=WORDS[Format.ONNX_FILE if scheme == "onnx" else Format.IR_FILE],
        exporter=exporter.strip() or "unknown",
        ir_version=graph.ir_version,
        opsets=graph.opsets if isinstance(graph, onnx_file.OnnxGraph) else {},
        inputs=specs,
        outputs=tuple(map(_spec, facts.outputs)),
        problem=problem,
        params=facts.params,
        madds=facts.madds // images if counted else None,
        kinds=_kinds(facts.layers, images),
        weight_dtypes=graph.weight_dtypes,
        denormal_weights=facts.denormal_weights,
        data_dependent=graph.data_dependent,
        random_operators=graph.random_operators,
        uncounted=facts.uncounted,
        notes=_notes(facts, images),
        files=tuple(ModelFile(name=_name(each, path), size_bytes=size_of(each)) for each in graph.files),
    )


def _module(model: Model, timeout_s: float) -> Inspection:
    """Open a module in a process of its own and run it once. Raises UsageError where it cannot be opened."""
    spec = ExportSpec(
        model=model.id, precision="fp32", batch=1, opset=OPSET, seed=0, source=model.source,
        shapes=tuple(shapes.resolved(model, 1).items()),
    )  # fmt: skip
    answer = ask(Request(spec=spec), timeout_s)
    if answer.failure:
        raise UsageError(f"{model.title}: {answer.failure}")
    return Inspection(
        title=model.title,
        id=model.id,
        source=model.source,
        format=WORDS[Format.TORCH_MODULE],
        exporter=f"torch {package_version('torch') or ''}".strip(),
        inputs=answer.inputs or model.inputs,
        outputs=answer.outputs,
        problem=answer.problem,
        params=answer.params,
        madds=answer.madds,
        kinds=_kinds(answer.layers),
        weight_dtypes=answer.weight_dtypes,
        denormal_weights=answer.denormal_weights,
        uncounted=answer.uncounted,
        remarks=answer.remarks,
        files=tuple(_own_files(model.source)),
    )


def _own_files(source: Source) -> Iterator[ModelFile]:
    """Yield the file that a module comes from, where it comes from one."""
    path = Path(source.locator if source.scheme == "pt2" else source.locator.rpartition(":")[0])
    if source.sha256 and path.is_file():
        yield ModelFile(name=path.name, size_bytes=path.stat().st_size)


def _outlooks(found: Inspection, gives: str, timeout_s: float) -> Iterator[Outlook]:
    """Yield what each installed backend that runs models will do."""
    for name in backends.names():
        try:
            backend = backends.get(name)
        except UsageError:  # another package's, and broken: `mnbench list backends` says why
            continue
        if backend.format not in NO_RUNTIMES and not backend.missing():
            yield _outlook(found, gives, name, timeout_s)


def _outlook(found: Inspection, gives: str, name: str, timeout_s: float) -> Outlook:
    """Return what a backend will do: by the way to its format, and for a file by trying to open it there."""
    backend = backends.get(name)
    steps = way(gives, backend.format)
    if not steps:
        detail = f"{found.format} cannot be converted to {WORDS.get(backend.format, backend.format)}"
        return Outlook(backend=name, does=Does.CANNOT, detail=f"{detail}.")
    if missing := _missing(package for edge in steps for package in edge.packages):
        return Outlook(backend=name, does=Does.CANNOT, detail=f"the conversion needs the package {missing}.")
    formats = dict.fromkeys(WORDS.get(each, each) for each in (gives, *(edge.gives for edge in steps)))
    same = AS_IT_IS.get(gives) == backend.format
    does, detail = (Does.OPENS, "as it is") if same else (Does.CONVERTS, " → ".join(formats))
    if not isinstance(backend, backends.Loader) or gives not in backend.reads:
        return Outlook(backend=name, does=does, detail=f"{detail}{'' if same else '; tried when it is measured'}")
    sizes = (
        tuple(tuple(1 if dim == BATCH else int(dim) for dim in spec.dims) for spec in found.inputs) if _is_known(found) else ()
    )
    answer = ask(Request(backend=name, path=found.source.locator, sizes=sizes), timeout_s)
    if answer.failure:
        return Outlook(backend=name, does=Does.CANNOT, detail=answer.failure)
    return Outlook(backend=name, does=does, detail=f"{detail}{'' if same else '; the file opens'} ({answer.version})")


def _is_known(found: Inspection) -> bool:
    """Say whether each input has its sizes, but for the batch."""
    return not found.problem and all(isinstance(dim, int) or dim == BATCH for spec in found.inputs for dim in spec.dims)


def _missing(packages: Iterable[str]) -> str:
    """Return the first package that is not installed; empty without one. The catalog's own is asked for by its source."""
    return next((name for name in packages if name != "pytorchcv" and importlib.util.find_spec(name) is None), "")


def _kinds(layers: Sequence[LayerCost], images: int = 1) -> tuple[KindCount, ...]:
    """Return the layers by kind, the kind with the most multiply-adds first."""
    found = [
        KindCount(
            kind=kind,
            layers=len(same),
            params=sum(layer.params for layer in same),
            madds=sum(layer.madds for layer in same) // images,
        )
        for kind in dict.fromkeys(layer.kind for layer in layers)
        if (same := [layer for layer in layers if layer.kind == kind])
    ]
    return tuple(sorted(found, key=lambda each: -each.madds))


def _notes(facts: GraphFacts, images: int) -> tuple[str, ...]:
    fixed = (f"The file fixes a batch of {images}; multiply-adds are those of one image.",) if images > 1 else ()
    return (*facts.notes, *fixed)


def _spec(port: Port) -> TensorSpec:
    """Return an input or output as the file declares it; `?` for a size without a name, `…` for an unknown number of axes."""
    dims = ("…",) if port.dims is None else tuple(dim if dim is not None else "?" for dim in port.dims)
    return TensorSpec(name=port.name, dtype=port.dtype if port.kind == "tensor" else f"{port.kind} of {port.dtype}", dims=dims)


def _is_closed(ports: Sequence[Port]) -> bool:
    return all(port.dims is not None and not port.open_axes for port in ports)


def _name(file: Path, model: Path) -> str:
    """Return a file's name beside the model's main file."""
    return str(file.relative_to(model.parent)) if file.is_relative_to(model.parent) else file.name
