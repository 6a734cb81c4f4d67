"""PyTorch in eager mode: the reference that every other backend's outputs are compared with."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mnbench.backends import Feed, missing_sentence
from mnbench.environment.kernel import read
from mnbench.errors import WorkerError
from mnbench.records import Artifact, ExportSpec, Format

_PRECISION_OF_DTYPE = {"torch.float32": "fp32", "torch.bfloat16": "bf16", "torch.float16": "fp16"}


class TorchSession:
    """An eager module in inference mode."""

    def __init__(self, path: Path, spec: ExportSpec, feed: Feed, *, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._module = module_of(spec, path)
        tensors = [torch.from_numpy(array) for array in feed.inputs]
        self._inputs = tuple(
            tensor.view(torch.bfloat16) if known.dtype == "bfloat16" else tensor
            for tensor, known in zip(tensors, feed.input_specs, strict=True)
        )
        self._output: Any = torch.empty(0)
        # Held open for the session's life: entering it in `run` would be timed.
        self._guard = torch.inference_mode()
        self._guard.__enter__()

    def run(self) -> None:
        self._output = self._module(*self._inputs)

    def outputs(self) -> Sequence[NDArray[Any]]:
        import torch

        from mnbench.sources.modules import flatten

        tensors = (tensor.contiguous() for tensor in flatten(self._output))
        return tuple((t.view(torch.uint16) if t.dtype == torch.bfloat16 else t).numpy() for t in tensors)

    def effective(self) -> Mapping[str, str]:
        import torch

        kinds = {_PRECISION_OF_DTYPE.get(str(p.dtype), str(p.dtype)) for p in self._module.parameters()} or {"fp32"}
        if torch.get_float32_matmul_precision() != "highest":
            kinds = {f"fp32 matmul at {torch.get_float32_matmul_precision()}"}
        return {
            "threads": str(min(torch.get_num_threads(), openmp_thread_limit())),
            "streams": "1",
            "precision": "+".join(sorted(kinds)),
            "version": str(torch.__version__),
            "isa": torch.backends.cpu.get_cpu_capability(),
            "threads_inter_op": str(torch.get_num_interop_threads()),
        }

    def close(self) -> None:
        self._guard.__exit__(None, None, None)
        del self._module


def module_of(spec: ExportSpec, path: Path) -> Any:
    """Return the module that an artefact in torch's format is of, in eval mode, with its weights."""
    import torch

    from mnbench import catalog, sources, zoo

    if spec.source.scheme == "catalog":  # without drawing weights first
        return zoo.build(catalog.card(spec.source.locator), weights=torch.load(path, weights_only=True))
    opened = sources.open_module(spec.source, spec.seed)
    if opened.has_state:
        opened.module.load_state_dict(torch.load(path, weights_only=True))
    return opened.module


def openmp_thread_limit() -> int:
    """Return how many threads the OpenMP that torch loaded may use at most (OMP_THREAD_LIMIT), which torch's count ignores."""
    loaded = {line.split()[-1] for line in (read(Path("/proc/self/maps")) or "").splitlines() if "libgomp" in line}
    limits = [ctypes.CDLL(path).omp_get_thread_limit() for path in loaded]
    return min(limits, default=sys.maxsize)


class TorchBackend:
    name = "torch"
    format = Format.TORCH_STATE
    packages: tuple[str, ...] = ("torch",)
    precisions: tuple[str, ...] = ("fp32",)
    environment: Mapping[str, str] = {"OMP_NUM_THREADS": "{threads}", "MKL_NUM_THREADS": "{threads}"}

    def missing(self) -> str | None:
        return missing_sentence(self.name, "torch", "torch", "torch")

    def load_runtime(self) -> None:
        import torch

        torch.set_grad_enabled(False)

    def open(self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str) -> TorchSession:
        if artifact is None or feed is None:
            raise WorkerError("backend 'torch' needs a state dict and an input.")
        return TorchSession(root / artifact.path, artifact.spec, feed, threads=threads)
