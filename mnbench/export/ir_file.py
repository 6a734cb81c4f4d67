"""An OpenVINO IR of the user's, as it is: what it is run on, and what OpenVINO itself answers in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnbench.environment import package_version
from mnbench.errors import ExportError
from mnbench.export.cache import Made
from mnbench.export.inputs import filled
from mnbench.export.onnx_file import EXPLAINED, counted, images, outputs_of, remarks_on, require_unchanged
from mnbench.graph import ir_facts
from mnbench.graph.ir_file import read
from mnbench.records import ExportSpec, Remark, TensorSpec
from mnbench.sources import feeds
from mnbench.sources.feeds import Array
from mnbench.sources.openvino_words import first_words

REFERENCE = "OpenVINO in fp32"


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Read the file, fill its inputs and run it twice. Raises ExportError where it fails, UsageError for unfit data."""
    path = Path(spec.source.locator)
    graph = read(path)
    require_unchanged(spec, graph.sha256)
    inputs = tuple(TensorSpec(name=port.name, dtype=port.dtype, dims=tuple(spec.sizes[port.name])) for port in graph.inputs)
    arrays, inputs = filled(inputs, spec.seed, spec.data)
    facts = ir_facts.facts(graph)
    compiled = compile_model(path, [tuple(array.shape) for array in arrays])
    answers = run(compiled, inputs, arrays)
    outputs = outputs_of(facts, answers, [port.dtype for port in graph.outputs])
    remarks = list(
        remarks_on(answers, outputs, facts, [list(port.dims or ()) for port in graph.outputs], data=spec.data is not None)
    )
    if not graph.random_operators and (told := feeds.difference(run(compiled, inputs, arrays), answers, outputs)).max_rel > 0:
        remarks.append(
            Remark(code="differs-from-itself", observed=f"two runs on the same input differ by {told.max_rel:.2g} (relative)")
        )
    feeds.save(folder / "feed.npz", arrays, answers)
    return Made(
        main=str(path),
        files=graph.files,
        exporter=f"OpenVINO {graph.producer}".strip(),
        max_abs_error=0.0,
        max_rel_error=0.0,
        explained_rel_error=EXPLAINED,
        inputs=inputs,
        outputs=outputs,
        reference="" if graph.random_operators else REFERENCE,
        strict=False,
        remarks=tuple(remarks),
        facts=counted(spec.model, facts, images(spec)),
    )


def compile_model(path: Path, shapes: list[tuple[int, ...]]) -> Any:
    """Return a file compiled by OpenVINO in fp32, its open inputs with these sizes, by place. Raises ExportError."""
    import openvino as ov

    core = ov.Core()
    try:
        model = core.read_model(path)
        if model.is_dynamic():
            fix_inputs(model, shapes)
        return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise ExportError(f"OpenVINO {package_version('openvino')} cannot open the model: {first_words(error)}") from error


def fix_inputs(model: Any, shapes: Sequence[tuple[int, ...]]) -> None:
    """Give a model's inputs these sizes, by place: OpenVINO renames some. Raises RuntimeError where they do not fit."""
    model.reshape({model.input(place): list(shape) for place, shape in enumerate(shapes)})


def run(compiled: Any, inputs: tuple[TensorSpec, ...], arrays: list[Array]) -> list[Array]:
    """Return the outputs of one inference, in order, as arrays of their own. Raises ExportError."""
    import openvino as ov

    request = compiled.create_infer_request()
    for place, (spec, array) in enumerate(zip(inputs, arrays, strict=True)):
        tensor = ov.Tensor(array, list(array.shape), ov.Type.bf16) if spec.dtype == "bfloat16" else ov.Tensor(array)
        request.set_input_tensor(place, tensor)
    try:
        request.infer()
    except RuntimeError as error:
        raise ExportError(f"OpenVINO fails inside the model: {first_words(error)}") from error
    return [np.array(request.get_output_tensor(place).data) for place in range(len(compiled.outputs))]
