"""Ways between formats: one converter per edge, and the shortest way from what a source gives to what a backend opens.

    torch module ──▶ torch state ──▶ ONNX ──▶ OpenVINO IR
                      ONNX file ──▶ ONNX        IR file ──▶ OpenVINO IR

A converter asks the cache for the format before it (`mnbench.export.cache.ensure`), so a way is made step by step.
"""

from __future__ import annotations

import functools
import importlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mnbench.errors import UsageError
from mnbench.records import ExportSpec, Format

if TYPE_CHECKING:
    from mnbench.export.cache import Made

ENTRY_POINT_GROUP = "mnbench.converters"
WORDS: Mapping[str, str] = {
    Format.ONNX: "ONNX",
    Format.ONNX_FILE: "ONNX",
    Format.OPENVINO_IR: "OpenVINO IR",
    Format.IR_FILE: "OpenVINO IR",
    Format.TORCH_MODULE: "torch module",
    Format.TORCH_STATE: "torch module",
}
"""Formats as sentences call them; another package's is called by its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A converter from one format to another."""

    gives: str
    takes: str
    function: str
    """`module:function`, called as an `Exporter`."""
    packages: tuple[str, ...] = ()
    """Distributions whose versions decide the content of what it makes."""


Exporter = Callable[[ExportSpec, Path, Path], "Made"]
"""(spec, folder to write into, cache) → what was made."""

EDGES: tuple[Edge, ...] = (
    Edge(
        takes=Format.TORCH_MODULE,
        gives=Format.TORCH_STATE,
        function="mnbench.export.torch_state:export",
        packages=("torch",),
    ),
    Edge(takes=Format.TORCH_STATE, gives=Format.ONNX, function="mnbench.export.onnx:export", packages=("onnx", "onnxscript")),
    Edge(takes=Format.ONNX_FILE, gives=Format.ONNX, function="mnbench.export.onnx_file:export", packages=("onnxruntime",)),
    Edge(takes=Format.ONNX, gives=Format.OPENVINO_IR, function="mnbench.export.openvino_ir:export", packages=("openvino",)),
    Edge(takes=Format.IR_FILE, gives=Format.OPENVINO_IR, function="mnbench.export.ir_file:export", packages=("openvino",)),
    Edge(takes=Format.TORCH_MODULE, gives=Format.PROBE, function="mnbench.export.probe:export"),
)


@functools.cache
def edges() -> tuple[Edge, ...]:
    """Return every converter: the built-in ones, then those of other packages, whose entry points load an `Edge`."""
    from importlib.metadata import entry_points

    found = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            found.append(cast(Edge, entry.load()))
        except Exception as error:  # another package's code; whatever it raises, the user gets a sentence
            raise UsageError(f"converter {entry.name!r} ({entry.value}) cannot be loaded: {error!r}.") from error
    return (*EDGES, *found)


def way(takes: str, gives: str) -> tuple[Edge, ...] | None:
    """Return the shortest way from one format to another, or None where there is none."""
    ways: dict[str, tuple[Edge, ...]] = {takes: ()}
    queue = deque([takes])
    while queue:
        here = queue.popleft()
        for edge in edges():
            if edge.takes == here and edge.gives not in ways:
                ways[edge.gives] = (*ways[here], edge)
                queue.append(edge.gives)
    return ways.get(gives)


def exporter_of(edge: Edge) -> Exporter:
    """Return the function of a converter."""
    module, _, attribute = edge.function.partition(":")
    return cast(Exporter, getattr(importlib.import_module(module), attribute))
