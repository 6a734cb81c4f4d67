"""OpenVINO, CPU device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mnbench.backends import Feed, missing_sentence
from mnbench.errors import WorkerError
from mnbench.records import Artifact, Format

_HINT_OF_PRECISION = {"fp32": "f32", "bf16": "bf16"}
_PRECISION_OF_TYPE = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "f32": "fp32", "f16": "fp16"}
COMPUTE_LAYERS = frozenset({"Convolution", "GroupConvolution", "FullyConnected", "MatMul", "Deconvolution"})


class OpenVinoSession:
    """One compiled model with one infer request on shared tensors: no copy in the timed call."""

    def __init__(self, path: Path, feed: Feed, *, threads: int, precision: str, counters: bool = False) -> None:
        """With `counters`, the time of every node is counted."""
        ov = runtime()

        # Without the precision hint an fp32 model runs in bf16 on a CPU that has bf16 instructions (docs/methodology.md).
        # Pinning is off because the launch has pinned the process already; OpenVINO's own would narrow it further.
        self._compiled = ov.Core().compile_model(
            path,
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
        self._input = feed.input
        self._output = feed.output_buffer()
        self._request = self._compiled.create_infer_request()
        self._request.set_input_tensor(ov.Tensor(self._input, shared_memory=True))
        self._request.set_output_tensor(ov.Tensor(self._output, shared_memory=True))

    def run(self) -> None:
        self._request.infer(share_outputs=True)  # else the wrapper copies the outputs to new arrays

    def outputs(self) -> Sequence[NDArray[Any]]:
        return (self._output,)

    def effective(self) -> Mapping[str, str]:
        ov = runtime()

        kernels = self._compute_precisions()
        hint = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        requirements = _pairs(str(self._compiled.get_property("RUNTIME_REQUIREMENTS")))
        return {
            "threads": str(self._compiled.get_property("INFERENCE_NUM_THREADS")),
            "streams": str(self._compiled.get_property("NUM_STREAMS")),
            # What the layers that multiply were compiled to, which is the fact; the hint is only the wish.
            "precision": "+".join(sorted({_PRECISION_OF_TYPE.get(kind, kind) for kind in kernels})) or hint,
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
                found[info["runtimePrecision"].astype(str)] += 1
        return found

    def close(self) -> None:
        del self._request, self._compiled


class OpenVinoBackend:
    name = "openvino"
    format = Format.OPENVINO_IR
    packages: tuple[str, ...] = ("openvino",)
    precisions: tuple[str, ...] = ("fp32", "bf16")
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


def runtime() -> Any:
    """Return the module openvino."""
    import openvino

    return openvino


def _pairs(text: str) -> dict[str, str]:
    """Parse OpenVINO's `key=value;key=value`."""
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)
