"""Probes of the machine: a session is one kernel on memory it owns, and `run` is one call of it.

The kernels are torch's, the fastest found on one Zen 4 core: oneDNN's convolutions reached 56 GMAdds/s where MKL's matrix
product reached 52. A maximum over int32 is limited by loads alone, 213 GB/s in L1; a float maximum, which must watch for NaN,
reached 110, a float sum 192, numpy's reductions 109.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mnbench.backends import Feed, missing_sentence
from mnbench.catalog import probes
from mnbench.catalog.probes import LINE_ELEMENTS, Probe
from mnbench.errors import UsageError, WorkerError
from mnbench.records import Artifact, Format

if TYPE_CHECKING:
    from torch import Tensor

_PRECISION_OF_DTYPE = {"torch.float32": "fp32", "torch.bfloat16": "bf16", "torch.int8": "int8"}
FP32_ERROR = 1e-4
"""Relative to the largest output: fp32 sums of these lengths stay below 1e-6, factors rounded to bf16 give 2e-3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel, ready to be called."""

    call: Callable[[], object]
    reads: tuple[Tensor, ...]
    """The tensors whose type is the precision."""
    error: Callable[[], float] = lambda: 0.0
    """Returns how far some outputs of a call are from exact ones, relative to the largest."""


class ProbeSession:
    """A kernel with its memory."""

    def __init__(self, probe: Probe, *, threads: int, precision: str) -> None:
        import torch

        torch.set_num_threads(threads)
        if probe.kind in probes.TRAFFIC and precision != "fp32":
            raise UsageError(f"probe {probe.name!r} moves fp32 only, not {precision}.")
        if probe.kind == "conv" and precision == "int8":
            raise UsageError(f"probe {probe.name!r} has no int8 kernel; matmul has one.")
        self._kernel = _KERNELS[probe.kind](probe, threads, precision)
        self._call = self._kernel.call

    def run(self) -> None:
        self._call()

    def outputs(self) -> Sequence[NDArray[Any]]:
        return ()

    def effective(self) -> Mapping[str, str]:
        import torch

        kinds = {_PRECISION_OF_DTYPE.get(str(tensor.dtype), str(tensor.dtype)) for tensor in self._kernel.reads}
        # A setting outside (oneDNN's "fpmath" mode, say) may have fp32 tensors multiplied in less; the outputs tell.
        if kinds == {"fp32"} and self._kernel.error() > FP32_ERROR:
            kinds = {"less than fp32"}
        return {
            "threads": str(torch.get_num_threads()),
            "streams": "1",
            "precision": "+".join(sorted(kinds)),
            "version": str(torch.__version__),
            "isa": torch.backends.cpu.get_cpu_capability(),
        }

    def close(self) -> None:
        del self._kernel, self._call


class ProbeBackend:
    name = "probe"
    format = Format.PROBE
    packages: tuple[str, ...] = ("torch",)
    precisions: tuple[str, ...] = ("fp32", "bf16", "int8")
    environment: Mapping[str, str] = {"OMP_NUM_THREADS": "{threads}", "MKL_NUM_THREADS": "{threads}"}

    def missing(self) -> str | None:
        return missing_sentence(self.name, "torch", "torch", "torch")

    def load_runtime(self) -> None:
        import torch

        torch.set_grad_enabled(False)

    def open(self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str) -> ProbeSession:
        probe = probes.parse(artifact.spec.model) if artifact is not None else None
        if probe is None:
            raise WorkerError("backend 'probe' needs the file of a probe.")
        return ProbeSession(probe, threads=threads, precision=precision)


def _matmul(probe: Probe, threads: int, precision: str) -> Kernel:
    import torch

    a, b = (_factor((probe.size, probe.size), precision) for _ in range(2))
    if precision == "int8":
        sums = torch.empty((probe.size, probe.size), dtype=torch.int32)
        return Kernel(call=lambda: torch._int_mm(a, b, out=sums), reads=(a, b))
    product = torch.empty_like(a)

    def error() -> float:
        return _distance(product[0], a[0].double() @ b.double())

    return Kernel(call=lambda: torch.mm(a, b, out=product), reads=(a, b), error=error)


def _conv(probe: Probe, threads: int, precision: str) -> Kernel:
    """Channels last, which oneDNN takes as they are. The output is allocated in the call, from what the last call freed."""
    import torch

    k, channels, size = probe.kernel, probe.channels, probe.resolution + probe.kernel - 1
    layout = torch.channels_last
    image = _factor((1, channels, size, size), precision).contiguous(memory_format=layout)
    weight = _factor((channels, channels, k, k), precision).contiguous(memory_format=layout)
    convolve = torch.nn.functional.conv2d

    def error() -> float:
        corner = image[:, :, :k, :k].double()  # all that the first output pixel sees
        return _distance(convolve(image, weight)[0, :, 0, 0], (corner * weight.double()).sum(dim=(1, 2, 3)))

    return Kernel(call=lambda: convolve(image, weight), reads=(image, weight), error=error)


def _read(probe: Probe, threads: int, precision: str) -> Kernel:
    """Every thread takes the maximum of its own row, as often as there are passes; a row is repeated by a stride of zero."""
    import torch

    buffer = torch.ones(threads, probe.elements)
    rows = buffer.view(torch.int32).unsqueeze(1).expand(threads, probe.passes, probe.elements)
    found = torch.empty((threads, probe.passes), dtype=torch.int32)
    return Kernel(call=lambda: torch.amax(rows, dim=2, out=found), reads=(buffer,))


def _copy(probe: Probe, threads: int, precision: str) -> Kernel:
    """Every thread copies its row to the same place again and again.

    torch refuses a target with a stride of zero, so each pass is a cache line or a few further on. Four nested steps of one
    line each keep all passes within 4 · side lines: 11⁴ passes move the target by 2.8 KB.
    """
    import torch

    side, elements = probe.side, probe.elements
    source = torch.ones(threads, 1, 1, 1, 1, elements)
    length = elements + 4 * side * LINE_ELEMENTS
    room = torch.zeros(threads * length)
    target = room.as_strided((threads, side, side, side, side, elements), (length, *[LINE_ELEMENTS] * 4, 1))
    repeated = source.expand_as(target)
    return Kernel(call=lambda: target.copy_(repeated), reads=(source, room))


_KERNELS: Mapping[str, Callable[[Probe, int, str], Kernel]] = {
    "matmul": _matmul,
    "conv": _conv,
    "read": _read,
    "copy": _copy,
}


def _factor(shape: tuple[int, ...], precision: str) -> Tensor:
    import torch

    generator = torch.Generator().manual_seed(0)
    if precision == "int8":
        return torch.randint(-128, 128, shape, dtype=torch.int8, generator=generator)
    return torch.randn(shape, generator=generator).to(torch.float32 if precision == "fp32" else torch.bfloat16)


def _distance(got: Tensor, exact: Tensor) -> float:
    return float((got.double() - exact).abs().max() / exact.abs().max())
