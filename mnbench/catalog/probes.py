"""Probes: kernels that measure the machine instead of a network, and the work of one call of each.

    matmul_N          a square matrix product, N x N times N x N
    conv_kK_cC_rR     a KxK convolution without padding, C channels in and out, of R x R outputs
    read_SIZE         every thread reads its own buffer of SIZE (16k, 4m) over and over
    copy_SIZE         every thread copies one half of its own buffer of SIZE to the other half

They are named like networks and timed like networks (`mnbench.backends.probe`), so that the machine's ceilings are measured
by the same clock, in the same launches, with the same guards as what is compared with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mnbench.catalog.networks import APACHE, Network
from mnbench.errors import UsageError

PROBE_FAMILY = "probe"
"""Family of the cards of probes."""
COMPUTE, TRAFFIC = ("matmul", "conv"), ("read", "copy")
ELEMENT_BYTES = 4
"""Buffers of `read` and `copy` hold float32."""
LINE_ELEMENTS = 16
"""Of a cache line of 64 bytes."""
CALL_BYTES = 256 << 20
"""About what one call moves per thread: 1 ms in the fastest cache, where the call itself (a microsecond) does not count."""
UNITS: Mapping[str, int] = {"k": 1 << 10, "m": 1 << 20}
MOST_BYTES = 8 << 30
MOST = {"size": 8192, "kernel": 15, "channels": 2048, "resolution": 512}

_COMPUTE_NAME = re.compile(r"matmul_(?P<size>\d+)|conv_k(?P<kernel>\d+)_c(?P<channels>\d+)_r(?P<resolution>\d+)")
_TRAFFIC_NAME = re.compile(r"(?P<kind>read|copy)_(?P<number>\d+)(?P<unit>[km])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a name says."""

    kind: str
    size: int = 0
    """Of a matrix."""
    kernel: int = 0
    channels: int = 0
    resolution: int = 0
    buffer_bytes: int = 0
    """What one thread reads, or what it reads and writes: its working set."""

    @property
    def name(self) -> str:
        """The name that is read back as this probe."""
        if self.kind == "matmul":
            return f"matmul_{self.size}"
        if self.kind == "conv":
            return f"conv_k{self.kernel}_c{self.channels}_r{self.resolution}"
        unit = "m" if self.buffer_bytes % UNITS["m"] == 0 else "k"
        return f"{self.kind}_{self.buffer_bytes // UNITS[unit]}{unit}"

    @property
    def madds(self) -> int:
        """Multiply-adds of one call, by all threads together; 0 for traffic.

        Of a convolution, K² · C² · R². It has no padding: kernels leave products with zeros out, and a peak of products that
        were not made would be none (padded, a 7x7 convolution at 28x28 has 12 % of them).
        """
        if self.kind == "matmul":
            return self.size**3
        return self.kernel**2 * self.channels**2 * self.resolution**2

    @property
    def elements(self) -> int:
        """Elements of one pass that a thread reads (and of `copy` writes as often), in whole cache lines."""
        halves = 2 if self.kind == "copy" else 1
        return self.buffer_bytes // (halves * ELEMENT_BYTES * LINE_ELEMENTS) * LINE_ELEMENTS

    @property
    def side(self) -> int:
        """Fourth root of the number of passes."""
        return max(1, round((CALL_BYTES / self.buffer_bytes) ** 0.25)) if self.buffer_bytes else 0

    @property
    def passes(self) -> int:
        """How often one call goes over the buffer: a fourth power, so that a tensor of four small steps can say it."""
        return int(self.side**4)


def parse(name: str) -> Probe | None:
    """Return the probe of a name; None for a name that is not of this form. Raises UsageError for sizes that cannot be."""
    if match := _COMPUTE_NAME.fullmatch(name):
        sizes = {field: int(text) for field, text in match.groupdict().items() if text is not None}
        if wrong := [field for field, value in sizes.items() if not 1 <= value <= MOST[field]]:
            raise UsageError(f"probe {name!r}: {wrong[0]} must be between 1 and {MOST[wrong[0]]}, not {sizes[wrong[0]]}.")
        return Probe(kind="matmul" if "size" in sizes else "conv", **sizes)
    if match := _TRAFFIC_NAME.fullmatch(name):
        size = int(match["number"]) * UNITS[match["unit"]]
        if not 1 <= size <= MOST_BYTES:
            raise UsageError(f"probe {name!r}: a buffer must have between 1 KiB and {MOST_BYTES >> 20} MiB.")
        return Probe(kind=match["kind"], buffer_bytes=size)
    return None


def traffic(kind: str, buffer_bytes: int) -> str:
    """Return the name of the probe of a buffer, rounded down to whole KiB (1 at least)."""
    return Probe(kind=kind, buffer_bytes=max(1, buffer_bytes >> 10) << 10).name


def network_of(probe: Probe) -> Network:
    """Return the entry of a probe. It has no builder: only the backend `probe` runs it."""
    return Network(name=probe.name, family=PROBE_FAMILY, build="", arguments={}, resolution=1, channels=1, license=APACHE)
