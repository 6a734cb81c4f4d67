"""Is what was asked for still there after a runtime has compiled it? Layers that were merged or dropped would spoil a slope.

OpenVINO tells in every launch what it compiled the graph to. ONNX Runtime writes its optimised graph to a file, on request.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from mnbench.records import Format, Run

LayersByCase = dict[str, dict[str, int]]
"""Case id -> kind of layer of the compiled graph -> how many."""
CONVOLUTIONS = ("Conv", "FusedConv")
MULTIPLYING = "layers that multiply"
"""OpenVINO's launches tell how many there are, not which."""


def ort_layers(run: Run, cache: Path, models: Iterable[str]) -> LayersByCase:
    """Return the nodes of ONNX Runtime's optimised graph of each model that the run measured in it, by the kind of node.

    A model whose file is not in the cache any more is left out. Loads onnxruntime and onnx.
    """
    files = {a.spec.model: cache / a.path for a in run.artifacts if a.format == Format.ONNX}
    found: LayersByCase = {}
    for case in run.plan.cases:
        if case.backend == "ort" and case.model in set(models) and files.get(case.model, Path()).is_file():
            found[case.id] = _optimised(files[case.model])
    return found


def openvino_layers(run: Run) -> LayersByCase:
    """Return how many layers that multiply OpenVINO compiled each case to, as its launches told."""
    found: LayersByCase = {}
    for samples in run.samples:
        if samples.case.backend == "openvino" and (told := samples.effective.get("layers", "")):
            found[samples.case.id] = {MULTIPLYING: sum(int(part.rpartition(":")[2]) for part in told.split(","))}
    return found


def convolutions(layers: Mapping[str, int]) -> int:
    """Return how many of a compiled graph's layers are convolutions."""
    return sum(number for kind, number in layers.items() if kind in (*CONVOLUTIONS, MULTIPLYING))


def _optimised(path: Path) -> dict[str, int]:
    import onnx
    import onnxruntime as ort

    ort.set_default_logger_severity(3)  # it warns that the file depends on this CPU, which is the point
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(target)
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(target, load_external_data=False).graph
    return dict(Counter(node.op_type for node in graph.node))
