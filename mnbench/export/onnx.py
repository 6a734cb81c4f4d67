"""torch → ONNX: fixed opset, static shapes, one file, no batch normalisation left behind a convolution."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

from mnbench import catalog, zoo
from mnbench.errors import ExportError
from mnbench.export.cache import Made, ensure, file_errors
from mnbench.records import ExportSpec, Format

INPUT, OUTPUT = "input", "logits"


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write model.onnx. Raises ExportError when the file is not as this module's first line promises."""
    state = ensure(spec, Format.TORCH_STATE, cache)
    module = zoo.build(catalog.card(spec.model), weights=torch.load(cache / state.path, weights_only=True))
    with np.load(cache / state.feed_path) as feed:
        x, y = feed["input"], feed["output"]
    path = folder / "model.onnx"
    with _quiet():
        torch.onnx.export(
            module,
            (torch.from_numpy(x),),
            path,
            dynamo=True,
            opset_version=spec.opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            optimize=True,
        )
    check_file(path, spec)
    max_abs, max_rel = file_errors("the ONNX file", _run(path, x), y)
    return Made(
        main=path.name,
        exporter=f"torch.onnx (dynamo) {torch.__version__}, opset {spec.opset}",
        max_abs_error=max_abs,
        max_rel_error=max_rel,
        params=state.params,
        madds=state.madds,
        denormal_weights=state.denormal_weights,
        denormal_activations=state.denormal_activations,
        uncounted=state.uncounted,
        explained_rel_error=state.explained_rel_error,
        feed_path=state.feed_path,
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
