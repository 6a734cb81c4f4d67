"""ONNX Runtime, CPU execution provider."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnbench.backends import Feed, missing_sentence
from mnbench.errors import WorkerError
from mnbench.records import Artifact, Format
from mnbench.sources.ort_values import bits_of, explained, ort_value

NUMPY_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(bool)": np.bool_,
    "tensor(int8)": np.int8, "tensor(int16)": np.int16, "tensor(int32)": np.int32, "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8, "tensor(uint16)": np.uint16, "tensor(uint32)": np.uint32, "tensor(uint64)": np.uint64,
}  # fmt: skip
"""Outputs of these types go to a buffer of ours."""


class OrtSession:
    """One InferenceSession with inputs and outputs bound (IOBinding): no copy in the timed call.

    Outputs whose size is known before lie in fixed buffers; others are allocated by the runtime in each call.
    """

    def __init__(self, path: Path, feed: Feed, *, threads: int, profile_prefix: Path | None = None, bound: bool = True) -> None:
        """With `profile_prefix`, every inference is profiled, into a file whose name begins so.

        Without `bound` the runtime allocates all outputs: it refuses to bind those that a file declares wrongly.
        """
        import onnxruntime as ort

        options = ort.SessionOptions()
        if profile_prefix is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile_prefix)
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # it raises types of its own
            raise WorkerError(explained(str(error), ort.__version__)) from error
        if self._session.get_providers() != ["CPUExecutionProvider"]:
            raise WorkerError(f"onnxruntime chose the providers {self._session.get_providers()}, not the CPU alone.")
        binding = self._session.io_binding()
        self._inputs = [ort_value(array, spec.dtype) for array, spec in zip(feed.inputs, feed.input_specs, strict=True)]
        for declared, value in zip(self._session.get_inputs(), self._inputs, strict=True):
            binding.bind_ortvalue_input(declared.name, value)
        names = [declared.name for declared in self._session.get_outputs()]
        self._buffers = feed.output_buffers() or (None,) * len(names)
        for name, buffer, declared in zip(names, self._buffers, self._session.get_outputs(), strict=True):
            if buffer is None or declared.type not in NUMPY_TYPES:
                binding.bind_output(name, "cpu")  # its size is known only after running
                continue
            binding.bind_output(
                name,
                device_type="cpu",
                element_type=NUMPY_TYPES[declared.type],
                shape=buffer.shape,
                buffer_ptr=buffer.ctypes.data,
            )
        self._binding = binding
        self._values: Sequence[Any] = ()
        if not bound:
            given = dict(zip((declared.name for declared in self._session.get_inputs()), self._inputs, strict=True))
            self._run_unbound = functools.partial(self._session.run_with_ort_values, names, given)
            self.run = self._unbound  # type: ignore[method-assign]

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def _unbound(self) -> None:
        self._values = self._run_unbound()

    def outputs(self) -> Sequence[NDArray[Any]]:
        return tuple(bits_of(value) for value in self._values or self._binding.get_outputs())

    def effective(self) -> Mapping[str, str]:
        import onnxruntime as ort

        options = self._session.get_session_options()
        # ORT tells neither its pool's size nor a precision per layer. The options are what the session was made with (how many
        # threads really ran is measured in every round); it computes in the types the graph is written in. Of half precisions
        # an x86 has no kernels: the values are converted to float32 (a remark of the artefact says how many).
        kinds = {"fp64" if value.type == "tensor(double)" else "fp32" for value in self._session.get_inputs()} or {"fp32"}
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
    reads: tuple[str, ...] = (Format.ONNX_FILE,)
    environment: Mapping[str, str] = {"OMP_NUM_THREADS": "{threads}"}

    def missing(self) -> str | None:
        return missing_sentence(self.name, "onnxruntime", "onnxruntime")

    def load_runtime(self) -> None:
        import onnxruntime as ort

        ort.set_default_logger_severity(3)

    def open(self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str) -> OrtSession:
        if artifact is None or feed is None:
            raise WorkerError("backend 'ort' needs an ONNX file and an input.")
        bound = all(remark.code != "declared-shape" for remark in artifact.remarks)
        return OrtSession(root / artifact.path, feed, threads=threads, bound=bound)

    def load(self, path: Path, sizes: Sequence[tuple[int, ...]]) -> None:
        import onnxruntime as ort

        try:
            ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # it raises types of its own
            raise WorkerError(explained(str(error), ort.__version__)) from error
