"""ONNX Runtime, CPU execution provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnbench.backends import Feed, missing_sentence
from mnbench.errors import WorkerError
from mnbench.records import Artifact, Format

_PRECISION_OF_TENSOR = {"tensor(float)": "fp32", "tensor(bfloat16)": "bf16", "tensor(float16)": "fp16"}


class OrtSession:
    """One InferenceSession with input and output bound to fixed buffers (IOBinding): no copy in the timed call."""

    def __init__(self, path: Path, feed: Feed, *, threads: int, profile_prefix: Path | None = None) -> None:
        """With `profile_prefix`, every inference is profiled, into a file whose name begins so."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        if profile_prefix is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile_prefix)
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        if self._session.get_providers() != ["CPUExecutionProvider"]:
            raise WorkerError(f"onnxruntime chose the providers {self._session.get_providers()}, not the CPU alone.")
        self._output = feed.output_buffer()
        self._input = ort.OrtValue.ortvalue_from_numpy(feed.input)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._session.get_inputs()[0].name, self._input)
        binding.bind_output(
            self._session.get_outputs()[0].name,
            device_type="cpu",
            element_type=np.float32,
            shape=self._output.shape,
            buffer_ptr=self._output.ctypes.data,
        )
        self._binding = binding

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> Sequence[NDArray[Any]]:
        return (self._output,)

    def effective(self) -> Mapping[str, str]:
        import onnxruntime as ort

        options = self._session.get_session_options()
        # ORT tells neither its pool's size nor a precision per layer. The options are what the session was made with (how many
        # threads really ran is measured in every round); it computes in the types the graph is written in.
        kinds = {_PRECISION_OF_TENSOR.get(value.type, value.type) for value in self._session.get_inputs()}
        return {
            "threads": str(options.intra_op_num_threads),
            "streams": str(options.inter_op_num_threads),
            "precision": "+".join(sorted(kinds)),
            "version": ort.__version__,
            "providers": ",".join(self._session.get_providers()),
            "optimization": options.graph_optimization_level.name,
            "execution_mode": options.execution_mode.name,
        }

    def close(self) -> None:
        del self._binding, self._session


class OrtBackend:
    name = "ort"
    format = Format.ONNX
    packages: tuple[str, ...] = ("onnxruntime",)
    precisions: tuple[str, ...] = ("fp32",)
    environment: Mapping[str, str] = {"OMP_NUM_THREADS": "{threads}"}

    def missing(self) -> str | None:
        return missing_sentence(self.name, "onnxruntime", "onnxruntime", "ort")

    def load_runtime(self) -> None:
        import onnxruntime as ort

        ort.set_default_logger_severity(3)

    def open(self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str) -> OrtSession:
        if artifact is None or feed is None:
            raise WorkerError("backend 'ort' needs an ONNX file and an input.")
        return OrtSession(root / artifact.path, feed, threads=threads)
