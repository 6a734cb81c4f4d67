"""OpenVINO, CPU device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnbench.backends import Feed, missing_sentence
from mnbench.environment import package_version
from mnbench.errors import WorkerError
from mnbench.records import Artifact, Format, TensorSpec
from mnbench.sources.openvino_words import first_words

_HINT_OF_PRECISION = {"fp32": "f32", "bf16": "bf16", "int8": "f32", "fp64": "f32"}
"""Of a quantised file the layers that were left in floats run in fp32. The device has no kernels for double."""
_PRECISION_OF_TYPE = {
    "float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "f32": "fp32", "f16": "fp16", "f64": "fp64",
    "i8": "int8", "u8": "int8", "int8_t": "int8", "uint8_t": "int8", "int8": "int8", "uint8": "int8",
}  # fmt: skip
_TYPE_OF_DTYPE = {
    "float32": "f32", "float64": "f64", "float16": "f16", "bool": "boolean", "int8": "i8", "int16": "i16", "int32": "i32",
    "int64": "i64", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip
COMPUTE_LAYERS = frozenset({"Convolution", "GroupConvolution", "FullyConnected", "MatMul", "Deconvolution"})


class OpenVinoSession:
    """One compiled model with one infer request on shared tensors: no copy in the timed call."""

    def __init__(self, path: Path, feed: Feed, *, threads: int, precision: str, counters: bool = False) -> None:
        """With `counters`, the time of every node is counted."""
        ov = runtime()

        # Without the precision hint an fp32 model runs in bf16 on a CPU that has bf16 instructions (docs/methodology.md).
        # Pinning is off because the launch has pinned the process already; OpenVINO's own would narrow it further.
        core = ov.Core()
        model = core.read_model(path)
        if model.is_dynamic():  # a file of the user's; ours have fixed sizes
            model.reshape({model.input(place): list(array.shape) for place, array in enumerate(feed.inputs)})
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": _HINT_OF_PRECISION[precision],
                "ENABLE_CPU_PINNING": False,
                "ENABLE_HYPER_THREADING": False,
                **({"PERF_COUNT": True} if counters else {}),
            },
        )
        self._request = self._compiled.create_infer_request()
        buffers = feed.output_buffers()
        self._kept = (*feed.inputs, *buffers)  # shared with the runtime, not copied
        for place, (array, spec) in enumerate(zip(feed.inputs, feed.input_specs, strict=True)):
            self._request.set_input_tensor(place, _tensor(array, spec))  # by place: OpenVINO renames some inputs
        for place, buffer in enumerate(buffers):
            port = self._compiled.output(place)
            if buffer is None or not port.partial_shape.is_static or tuple(port.shape) != buffer.shape:
                continue
            if port.element_type.get_type_name() == _TYPE_OF_DTYPE.get(str(buffer.dtype)):
                self._request.set_output_tensor(place, ov.Tensor(buffer, shared_memory=True))

    def run(self) -> None:
        self._request.infer(share_outputs=True)  # else the wrapper copies the outputs to new arrays

    def outputs(self) -> Sequence[NDArray[Any]]:
        tensors = (self._request.get_output_tensor(place) for place in range(len(self._compiled.outputs)))
        return tuple(_array(tensor) for tensor in tensors)

    def effective(self) -> Mapping[str, str]:
        ov = runtime()

        kernels = self._compute_precisions()
        hint = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        requirements = _pairs(str(self._compiled.get_property("RUNTIME_REQUIREMENTS")))
        return {
            "threads": str(self._compiled.get_property("INFERENCE_NUM_THREADS")),
            "streams": str(self._compiled.get_property("NUM_STREAMS")),
            # What the layers that multiply were compiled to, which is the fact; the hint is only the wish.
            "precision": "+".join(sorted({_PRECISION_OF_TYPE.get(kind, kind) for kind in kernels or [hint]})),
            "precision_hint": hint,
            "layers": ",".join(f"{kind}:{count}" for kind, count in sorted(kernels.items())),
            "version": ov.get_version(),
            "isa": requirements.get("isa", "not told"),
            "pinning": str(self._compiled.get_property("ENABLE_CPU_PINNING")),
        }

    def _compute_precisions(self) -> Counter[str]:
        """Count the layers that multiply by the precision their kernel runs in."""
        found: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            info = node.get_rt_info()
            if info["layerType"].astype(str) in COMPUTE_LAYERS:
                found[_kernel_precision(info["runtimePrecision"].astype(str), info["primitiveType"].astype(str))] += 1
        return found

    def close(self) -> None:
        del self._request, self._compiled


class OpenVinoBackend:
    name = "openvino"
    format = Format.OPENVINO_IR
    packages: tuple[str, ...] = ("openvino",)
    precisions: tuple[str, ...] = ("fp32", "bf16")
    reads: tuple[str, ...] = (Format.ONNX_FILE, Format.IR_FILE)
    environment: Mapping[str, str] = {"OMP_NUM_THREADS": "{threads}"}

    def missing(self) -> str | None:
        return missing_sentence(self.name, "openvino", "openvino", "openvino")

    def load_runtime(self) -> None:
        runtime().Core()

    def open(
        self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str
    ) -> OpenVinoSession:
        if artifact is None or feed is None:
            raise WorkerError("backend 'openvino' needs an IR file and an input.")
        return OpenVinoSession(root / artifact.path, feed, threads=threads, precision=precision)

    def load(self, path: Path, sizes: Sequence[tuple[int, ...]]) -> None:
        ov = runtime()
        core = ov.Core()
        try:
            model = core.read_model(path)
            if sizes and model.is_dynamic():
                model.reshape({model.input(place): list(shape) for place, shape in enumerate(sizes)})
            core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": _HINT_OF_PRECISION["fp32"]})
        except RuntimeError as error:
            raise WorkerError(f"OpenVINO {package_version('openvino')} cannot open the model: {first_words(error)}") from error


def runtime() -> Any:
    """Return the module openvino."""
    import openvino

    return openvino


def _kernel_precision(stated: str, kernel: str) -> str:
    """Return the precision that a layer is computed in.

    Of a layer whose weights are stored in float16 OpenVINO states f16, also where it converts them when the model is compiled
    and the kernel is one for float32, such as brgconv_avx512_f32 (2026.4.1 on a CPU without float16 arithmetic).
    """
    ending = kernel.rpartition("_")[2]
    return ending if stated == "f16" and ending in _PRECISION_OF_TYPE else stated


def _tensor(array: NDArray[Any], spec: TensorSpec) -> Any:
    """Return a tensor on the memory of an array of a feed."""
    ov = runtime()
    if spec.dtype == "bfloat16":
        return ov.Tensor(array, list(array.shape), ov.Type.bf16)
    return ov.Tensor(array, shared_memory=True)


def _array(tensor: Any) -> NDArray[Any]:
    """Return a copy of a tensor's numbers; of bfloat16 the bits."""
    if tensor.element_type.get_type_name() == "bf16":
        return np.array(tensor.data).view(np.uint16)
    return np.array(tensor.data)


def _pairs(text: str) -> dict[str, str]:
    """Parse OpenVINO's `key=value;key=value`."""
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)
