"""Profilers: a runtime's own account of where an inference's time goes, node by node. Found by backend in one literal table.

A profiler opens an artefact with the settings its backend uses, and the runtime's profiling on.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mnbench.backends import Feed, Session
from mnbench.errors import UsageError
from mnbench.records import Artifact

PROFILERS: Mapping[str, str] = {
    "ort": "mnbench.backends.ort_profile:open_profiled",
    "openvino": "mnbench.backends.openvino_profile:open_profiled",
    "torch": "mnbench.backends.torch_profile:open_profiled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a runtime's graph, or all nodes of one type that multiply nothing."""

    name: str
    """As the runtime calls it; of several nodes their type."""
    type: str
    """`Conv`, `Reorder` …: the runtime's own word."""
    ns: float
    """Time in one inference, averaged over those profiled."""
    multiplies: bool = False
    """Whether it is of a type that multiplies and adds, and so should belong to a layer."""
    modules: tuple[str, ...] = ()
    """Dotted names of the torch modules whose weights it holds; several when layers were fused into one kernel."""
    nodes: int = 1


class ProfiledSession(Session, Protocol):
    """A session whose nodes are timed by the runtime."""

    cut_ns: float
    """What the profile loses of each node's time on average, because it cuts times to whole microseconds."""

    def begin(self) -> None:
        """Forget the inferences made so far: they were the warm-up."""

    def nodes(self) -> list[Node]:
        """Return the time of each node since `begin`. The session cannot run afterwards. Raises WorkerError."""


class ProfileOpener(Protocol):
    """As `Backend.open`."""

    def __call__(
        self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str
    ) -> ProfiledSession: ...


def get(backend: str) -> ProfileOpener:
    """Return what opens a backend's artefact for profiling; imports no runtime. Raises UsageError for one without."""
    if backend not in PROFILERS:
        raise UsageError(
            f"backend {backend!r} has no profiler, so its layers cannot be timed; these have: {', '.join(PROFILERS)}."
        )
    module, _, attribute = PROFILERS[backend].partition(":")
    opener: ProfileOpener = getattr(importlib.import_module(module), attribute)
    return opener


def compact(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that multiply, each by itself, then the others, added up by type. Nodes without time are left out."""
    kept: list[Node] = []
    by_type: dict[str, list[Node]] = {}
    for node in nodes:
        if node.multiplies or node.modules:
            kept.append(node)
        elif node.ns > 0:
            by_type.setdefault(node.type, []).append(node)
    return kept + [
        Node(name=kind, type=kind, ns=sum(node.ns for node in same), nodes=sum(node.nodes for node in same))
        for kind, same in sorted(by_type.items())
    ]
