"""ONNX → OpenVINO IR, with fp32 weights kept fp32.

Uses the runtime's own reader and writer; the converter tool, which reports to a web service, is loaded with openvino but muted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnbench.export.cache import Made, ensure, file_errors, made_from
from mnbench.records import ExportSpec, Format


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write model.xml and model.bin."""
    import openvino as ov

    source = ensure(spec, Format.ONNX, cache)
    path = folder / "model.xml"
    core = ov.Core()
    # save_model halves the weights to fp16 unless told otherwise.
    ov.save_model(core.read_model(cache / source.path), path, compress_to_fp16=False)
    with np.load(cache / source.feed_path) as feed:
        x, y = feed["input"], feed["output"]
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return made_from(
        source,
        main=path.name,
        exporter=f"openvino {ov.get_version()} from {source.exporter}",
        errors=file_errors("the IR", compiled([x])[0], y),
    )
