"""torch's profiler on the eager network: the operators that no other operator called, in the order they ran.

That order is the one in which the layers were counted, by the same modules, so the k-th operator that multiplies is the k-th
layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnbench.backends import Feed
from mnbench.backends.profilers import Node, compact
from mnbench.backends.torch import TorchSession
from mnbench.errors import WorkerError
from mnbench.records import Artifact

COMPUTE_OPS = frozenset(f"aten::{name}" for name in ("conv1d", "conv2d", "conv3d", "linear", "matmul", "mm", "bmm", "addmm"))


class ProfiledTorch(TorchSession):
    """The backend's session; profiled from `begin` on."""

    cut_ns = 0.0
    """Times are whole nanoseconds."""

    def __init__(self, path: Path, artifact: Artifact, feed: Feed, *, threads: int) -> None:
        super().__init__(path, artifact.spec, feed, threads=threads)
        self._layers = [layer.name for layer in artifact.facts.layers] if artifact.facts else []
        self._runs = 0
        self._profiler: Any = None

    def run(self) -> None:
        super().run()
        self._runs += 1

    def begin(self) -> None:
        import torch

        self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        self._profiler.start()
        self._runs = 0

    def nodes(self) -> list[Node]:
        self._profiler.stop()
        outermost = [event for event in self._profiler.events() if event.cpu_parent is None]
        outermost.sort(key=lambda event: event.time_range.start)
        timed = [(str(event.name), 1000.0 * event.time_range.elapsed_us()) for event in outermost]
        return compact(nodes_of(timed, self._runs, self._layers))


def open_profiled(artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str) -> ProfiledTorch:
    """Build the network, to be profiled. Raises WorkerError without a state dict."""
    if artifact is None or feed is None:
        raise WorkerError("the profiler of 'torch' needs a state dict and an input.")
    return ProfiledTorch(root / artifact.path, artifact, feed, threads=threads)


def nodes_of(timed: Sequence[tuple[str, float]], runs: int, layers: Sequence[str]) -> list[Node]:
    """Return each operator's mean time over `runs` inferences from (name, ns) in order. Raises WorkerError if they differ."""
    length = len(timed) // runs if runs else 0
    names = [name for name, _ in timed[:length]]
    if not length or [name for name, _ in timed] != names * runs:
        raise WorkerError(f"torch's profile does not hold {runs} inferences of the same operators.")
    places = [place for place, name in enumerate(names) if name in COMPUTE_OPS]
    # Fewer or more than layers: the mapping would be a guess, so there is none.
    modules = dict(zip(places, layers, strict=True)) if len(places) == len(layers) else {}
    return [
        Node(
            name=f"{name} {place}",
            type=name.removeprefix("aten::"),
            ns=sum(ns for _, ns in timed[place::length]) / runs,
            multiplies=name in COMPUTE_OPS,
            modules=(modules[place],) if place in modules else (),
        )
        for place, name in enumerate(names)
    ]
