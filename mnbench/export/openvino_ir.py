"""ONNX → OpenVINO IR, with fp32 weights kept fp32.

Uses the runtime's own reader and writer; the converter tool, which reports to a web service, is loaded with openvino but muted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from mnbench.export.cache import Made, ensure, file_errors, made_from
from mnbench.records import ExportSpec, Format


def name_by_place(model: Any) -> None:
    """Name by its place each operation that OpenVINO named by itself: type and a number that counts on through the process.

    Else the bytes of a file depend on what its process converted before, and a resumed run meets another digest.
    """
    for place, operation in enumerate(model.get_ordered_ops()):
        kind = operation.get_type_name()
        if re.fullmatch(rf"{re.escape(kind)}_[0-9]+", operation.get_friendly_name()):
            operation.set_friendly_name(f"{kind}_at_{place}")


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write model.xml and model.bin."""
    import openvino as ov

    source = ensure(spec, Format.ONNX, cache)
    path = folder / "model.xml"
    core = ov.Core()
    model = core.read_model(cache / source.path)
    name_by_place(model)
    # save_model halves the weights to fp16 unless told otherwise.
    ov.save_model(model, path, compress_to_fp16=False)
    with np.load(cache / source.feed_path) as feed:
        x, y = feed["input"], feed["output"]
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return made_from(
        source,
        main=path.name,
        exporter=f"openvino {ov.get_version()} from {source.exporter}",
        errors=file_errors("the IR", compiled([x])[0], y),
    )
