"""torch → ONNX: fixed opset, static shapes, one file, no batch normalisation left behind a convolution."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import random
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch

from mnbench import catalog, sources, zoo
from mnbench.catalog.operators import CHAIN_FAMILY
from mnbench.errors import ExportError
from mnbench.export.cache import Made, ensure, made_from
from mnbench.export.chain_graph import INPUT, OUTPUT, graph_of
from mnbench.records import Artifact, ExportSpec, Format
from mnbench.sources.feeds import Array, Difference, Feed, difference
from mnbench.sources.ort_values import bits_of, ort_value

LONGEST_REASON = 300
LARGEST_ALONE_BYTES = 1_500_000_000
"""Of weights in the .onnx file itself, whose format ends at 2 GiB."""


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write model.onnx. Raises ExportError when a network of the catalog does not come out as this module promises."""
    if spec.node_order:
        return _reordered(spec, folder, cache)
    state = ensure(spec, Format.TORCH_STATE, cache)
    feed = Feed.load(cache / state.feed_path, state)
    opened = sources.open_module(spec.source, spec.seed)
    if opened.has_state:
        load_state(spec, opened.module, cache / state.path)
    path = folder / "model.onnx"
    if state.strict and catalog.card(spec.source.locator).family == CHAIN_FAMILY:
        exporter = f"mnbench graph writer, opset {spec.opset}"
        onnx.save(graph_of(opened.module, feed.inputs[0].shape, feed.outputs[0].shape, spec.opset), path)
    else:
        exporter = f"torch.onnx (dynamo) {torch.__version__}, opset {spec.opset}"
        with _explained(spec, strict=state.strict):
            _export_with_torch(opened.exported or opened.module, state, feed, path, spec.opset)
    return _checked(spec, state, feed, path, exporter)


def load_state(spec: ExportSpec, module: torch.nn.Module, path: Path) -> None:
    """Give a module the weights that its reference was computed with."""
    state = torch.load(path, weights_only=True)
    if spec.source.scheme == "catalog":
        zoo.load_weights(module, state)
    else:
        module.load_state_dict(state)


def _checked(spec: ExportSpec, source: Artifact, feed: Feed, path: Path, exporter: str) -> Made:
    """Return what was made, with how far its outputs are from the reference's."""
    if source.strict:
        check_file(path, spec)
    try:
        told = difference(_run(path, source, feed), feed.outputs, source.outputs)
    except Exception:  # onnxruntime raises types of its own
        if source.strict:
            raise
        told = Difference()  # another runtime may open it; the worker of onnxruntime says why this one does not
    if source.strict and told.told:
        raise ExportError(f"{spec.model} as ONNX: {told.told}.")
    errors = (told.max_abs, told.max_rel) if math.isfinite(told.max_rel) else (0.0, 0.0)  # the workers compare once more
    return made_from(source, main=path.name, exporter=exporter, errors=errors)


@contextlib.contextmanager
def _explained(spec: ExportSpec, *, strict: bool) -> Iterator[None]:
    """Say of a user's module in one sentence why torch cannot export it: its own error has a page of advice."""
    try:
        yield
    except Exception as error:
        if strict:
            raise
        cause = error.__cause__ or error
        reason = next(iter(str(cause).strip().splitlines()), "")[:LONGEST_REASON]
        raise ExportError(f"torch cannot export {spec.model} to ONNX: {type(cause).__name__}: {reason}") from error


def _reordered(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write the file of order 0 with its nodes in another order."""
    source = ensure(replace(spec, node_order=0), Format.ONNX, cache)
    model = onnx.load(cache / source.path)
    nodes = reordered(model.graph, random.Random(f"{spec.seed}/nodes/{spec.node_order}"))  # noqa: S311 - no secret
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path = folder / "model.onnx"
    onnx.save(model, path)
    exporter = f"{source.exporter}, node order {spec.node_order}"
    return _checked(spec, source, Feed.load(cache / source.feed_path, source), path, exporter)


def reordered(graph: onnx.GraphProto, generator: random.Random) -> list[onnx.NodeProto]:
    """Return the nodes in a random order in which each still stands behind all it reads. The graph stays as it is.

    Of the nodes that could come next one is drawn; a chain has one order only.
    """
    nodes = list(graph.node)
    producer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    waits = [{producer[name] for name in _read_by(node) if name in producer} for node in nodes]
    readers: dict[int, list[int]] = {}
    for index, needed in enumerate(waits):
        for source in needed:
            readers.setdefault(source, []).append(index)
    ready = [index for index, needed in enumerate(waits) if not needed]
    order: list[int] = []
    while ready:
        order.append(ready.pop(generator.randrange(len(ready))))
        for index in readers.get(order[-1], ()):
            waits[index].discard(order[-1])
            if not waits[index]:
                ready.append(index)
    return [nodes[index] for index in order]


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, with what the graphs inside it (of If and Loop) read from outside."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for child in inner.node:
                yield from _read_by(child)


def _export_with_torch(
    module: torch.nn.Module | torch.export.ExportedProgram, state: Artifact, feed: Feed, path: Path, opset: int
) -> None:
    tensors = tuple(tensor_of(array, spec.dtype) for array, spec in zip(feed.inputs, state.inputs, strict=True))
    names: Any = {"input_names": [INPUT], "output_names": [OUTPUT]} if state.strict else {
        "input_names": [spec.name for spec in state.inputs], "output_names": [spec.name for spec in state.outputs]
    }  # fmt: skip
    large = sum(array.nbytes for array in feed.inputs) + state.size_bytes > LARGEST_ALONE_BYTES
    with _quiet():
        torch.onnx.export(
            module,
            tensors,
            path,
            dynamo=True,
            opset_version=opset,
            external_data=large,
            optimize=True,
            **names,
        )


def tensor_of(array: Array, dtype: str) -> torch.Tensor:
    """Return an array of a feed as a tensor of its type."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor


def check_file(path: Path, spec: ExportSpec) -> None:
    """Raise ExportError unless the file is valid and has the promised opset, static shapes and folded normalisation."""
    model = onnx.load(path)
    onnx.checker.check_model(model)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("") != spec.opset:
        raise ExportError(f"{spec.model} was exported with opset {opsets.get('')}, not {spec.opset}.")
    for value in [*model.graph.input, *model.graph.output]:
        if not all(dimension.dim_value > 0 for dimension in value.type.tensor_type.shape.dim):
            raise ExportError(f"{spec.model}: {value.name!r} has no static shape.")
    if unfolded := unfolded_normalisations(model):
        raise ExportError(
            f"{spec.model}: {len(unfolded)} batch normalisations directly follow a convolution, e.g. {unfolded[0]!r}."
        )


def unfolded_normalisations(model: onnx.ModelProto) -> list[str]:
    """Return the names of BatchNormalization nodes whose input is a convolution's output."""
    producer = {output: node.op_type for node in model.graph.node for output in node.output}
    return [
        node.name for node in model.graph.node
        if node.op_type == "BatchNormalization" and producer.get(node.input[0]) == "Conv"
    ]  # fmt: skip


def _run(path: Path, source: Artifact, feed: Feed) -> list[Array]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = {
        value.name: ort_value(array, spec.dtype)
        for value, array, spec in zip(session.get_inputs(), feed.inputs, source.inputs, strict=True)
    }
    return [bits_of(value) for value in session.run_with_ort_values([value.name for value in session.get_outputs()], values)]


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Keep the exporter's chatter off the terminal; its exceptions still pass."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
