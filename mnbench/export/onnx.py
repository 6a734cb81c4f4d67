"""torch → ONNX: fixed opset, static shapes, one file, no batch normalisation left behind a convolution."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

from mnbench import catalog, zoo
from mnbench.catalog.operators import CHAIN_FAMILY
from mnbench.errors import ExportError
from mnbench.export.cache import Made, ensure, file_errors, made_from
from mnbench.export.chain_graph import INPUT, OUTPUT, graph_of
from mnbench.records import ExportSpec, Format


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write model.onnx. Raises ExportError when the file is not as this module's first line promises."""
    if spec.node_order:
        return _reordered(spec, folder, cache)
    state = ensure(spec, Format.TORCH_STATE, cache)
    card = catalog.card(spec.model)
    module = zoo.build(card, weights=torch.load(cache / state.path, weights_only=True))
    with np.load(cache / state.feed_path) as feed:
        x, y = feed["input"], feed["output"]
    path = folder / "model.onnx"
    if card.family == CHAIN_FAMILY:
        exporter = f"mnbench graph writer, opset {spec.opset}"
        onnx.save(graph_of(module, tuple(x.shape), tuple(y.shape), spec.opset), path)
    else:
        exporter = f"torch.onnx (dynamo) {torch.__version__}, opset {spec.opset}"
        _export_with_torch(module, x, path, spec.opset)
    check_file(path, spec)
    return made_from(state, main=path.name, exporter=exporter, errors=file_errors("the ONNX file", _run(path, x), y))


def _reordered(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write the file of order 0 with its nodes in another order."""
    source = ensure(replace(spec, node_order=0), Format.ONNX, cache)
    model = onnx.load(cache / source.path)
    nodes = reordered(model.graph, random.Random(f"{spec.seed}/nodes/{spec.node_order}"))  # noqa: S311 - no secret
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path = folder / "model.onnx"
    onnx.save(model, path)
    check_file(path, spec)
    with np.load(cache / source.feed_path) as feed:
        x, y = feed["input"], feed["output"]
    exporter = f"{source.exporter}, node order {spec.node_order}"
    return made_from(source, main=path.name, exporter=exporter, errors=file_errors("the ONNX file", _run(path, x), y))


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


def _export_with_torch(module: torch.nn.Module, x: np.ndarray, path: Path, opset: int) -> None:
    with _quiet():
        torch.onnx.export(
            module,
            (torch.from_numpy(x),),
            path,
            dynamo=True,
            opset_version=opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            optimize=True,
        )


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


def _run(path: Path, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run([OUTPUT], {INPUT: x})
    return np.asarray(output)


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Keep the exporter's chatter off the terminal; its exceptions still pass."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
