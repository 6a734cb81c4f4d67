"""ONNX → OpenVINO IR, with fp32 weights kept fp32.

Uses the runtime's own reader and writer; the converter tool, which reports to a web service, is loaded with openvino but muted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mnbench.environment import package_version
from mnbench.errors import ExportError
from mnbench.export.cache import Made, ensure, made_from
from mnbench.export.ir_file import fix_inputs
from mnbench.records import ExportSpec, Format
from mnbench.sources.feeds import Feed, difference
from mnbench.sources.openvino_words import first_words


def name_by_place(model: Any) -> None:
    """Name by its place each operation that OpenVINO named by itself: type and a number that counts on through the process.

    Else the bytes of a file depend on what its process converted before, and a resumed run meets another digest.
    """
    for place, operation in enumerate(model.get_ordered_ops()):
        kind = operation.get_type_name()
        if re.fullmatch(rf"{re.escape(kind)}_[0-9]+", operation.get_friendly_name()):
            operation.set_friendly_name(f"{kind}_at_{place}")


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write model.xml and model.bin, with the sizes of the inputs fixed. Raises ExportError for what OpenVINO cannot read."""
    import openvino as ov

    source = ensure(spec, Format.ONNX, cache)
    path = folder / "model.xml"
    core = ov.Core()
    try:
        model = core.read_model(cache / source.path)
        if not source.strict and model.is_dynamic():
            fix_inputs(model, [tuple(int(dim) for dim in given.dims) for given in source.inputs])
    except RuntimeError as error:
        raise ExportError(f"OpenVINO {package_version('openvino')} cannot read {spec.model}: {first_words(error)}") from error
    name_by_place(model)
    # save_model halves the weights to fp16 unless told otherwise.
    ov.save_model(model, path, compress_to_fp16=False)
    errors = (0.0, 0.0)
    if source.strict:
        feed = Feed.load(cache / source.feed_path, source)
        compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        told = difference([compiled(list(feed.inputs))[0]], feed.outputs, source.outputs)
        if told.told:
            raise ExportError(f"{spec.model} as OpenVINO IR: {told.told}.")
        errors = told.max_abs, told.max_rel
    return made_from(
        source,
        main=path.name,
        exporter=f"openvino {ov.get_version()} from {source.exporter}",
        errors=errors,
    )
