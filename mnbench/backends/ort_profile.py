"""onnxruntime's profiler (`SessionOptions.enable_profiling`): one event a node and inference, cut to whole microseconds.

What the optimiser leaves of names: a node keeps its own, or, moved to the blocked layout NCHWc, gets that of the value it puts
out with `_nchwc` behind it. Either leads to a node of the file, and that one's weights are called `<module>.weight`.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mnbench.backends import Feed
from mnbench.backends.ort import OrtSession
from mnbench.backends.profilers import Node, compact
from mnbench.errors import WorkerError
from mnbench.records import Artifact

if TYPE_CHECKING:
    import onnx

WEIGHT = ".weight"
EVENT = "_kernel_time"
BLOCKED = "_nchwc"
FILE_OPS = frozenset({"Conv", "Gemm", "MatMul", "ConvTranspose"})
COMPUTE_OPS = frozenset({*FILE_OPS, "FusedConv", "FusedGemm", "FusedMatMul", "NhwcFusedConv"})
"""What multiplies; the fused ones are the optimiser's."""


class ProfiledOrt(OrtSession):
    """The backend's session with profiling on."""

    cut_ns = 500.0

    def __init__(self, path: Path, feed: Feed, *, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mnbench-profile-")
        super().__init__(path, feed, threads=threads, profile_prefix=Path(self._folder.name) / "ort")
        self._path = path
        self._runs = self._skipped = 0

    def run(self) -> None:
        super().run()
        self._runs += 1

    def begin(self) -> None:
        self._skipped = self._runs

    def nodes(self) -> list[Node]:
        import onnx

        events = msgspec.json.decode(Path(self._session.end_profiling()).read_bytes())
        self._folder.cleanup()
        return compact(nodes_of(events, self._skipped, self._runs, onnx.load(self._path, load_external_data=False).graph))


def open_profiled(artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str) -> ProfiledOrt:
    """Open an ONNX file with profiling on. Raises WorkerError without a file."""
    if artifact is None or feed is None:
        raise WorkerError("the profiler of 'ort' needs an ONNX file and an input.")
    return ProfiledOrt(root / artifact.path, feed, threads=threads)


def nodes_of(events: list[dict[str, Any]], skipped: int, runs: int, graph: onnx.GraphProto) -> list[Node]:
    """Return each node's time over inferences number `skipped` to `runs`. Raises WorkerError for a profile with gaps."""
    times_us: dict[tuple[str, str], list[int]] = defaultdict(list)
    types: dict[tuple[str, str], str] = {}
    for event in events:  # sorted by their start
        if event["cat"] == "Node" and event["name"].endswith(EVENT):
            key = (event["args"]["node_index"], event["name"].removesuffix(EVENT))
            times_us[key].append(event["dur"])
            types[key] = event["args"]["op_name"]
    if not times_us or any(len(times) != runs for times in times_us.values()):
        raise WorkerError(f"onnxruntime's profile does not hold {runs} inferences of every node.")
    names = ModuleNames(graph)
    return [
        Node(
            name=key[1],
            type=types[key],
            ns=1000 * sum(times[skipped:]) / (runs - skipped),
            multiplies=types[key] in COMPUTE_OPS,
            modules=names.of(key[1]) if types[key] in COMPUTE_OPS else (),
        )
        for key, times in times_us.items()
    ]


class ModuleNames:
    """From a node of the optimised graph to the layer it computes, by the names of the file's graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._by_name: Mapping[str, onnx.NodeProto] = {node.name: node for node in graph.node if node.name}
        self._producer: Mapping[str, onnx.NodeProto] = {value: node for node in graph.node for value in node.output}
        # A node without a name is called by its type and its number. Constants become initialisers and have no number.
        self._numbered: Mapping[str, onnx.NodeProto] = {
            f"{node.op_type}_{number}": node
            for number, node in enumerate(node for node in graph.node if node.op_type != "Constant")
            if not node.name
        }

    def of(self, name: str) -> tuple[str, ...]:
        """Return the layer of an optimised node, as `mnbench.graph` names it; empty when its name leads nowhere.

        That is the torch module, where the weight's name tells it, else the node of the file.
        """
        node = self._by_name.get(name) or self._producer.get(name.removesuffix(BLOCKED)) or self._numbered.get(name)
        while node is not None and node.op_type not in FILE_OPS:  # an activation, fused behind what we look for
            node = self._producer.get(node.input[0]) if node.input else None
        if node is None:
            return ()
        weights = [read.removesuffix(WEIGHT) for read in node.input if read.endswith(WEIGHT)]
        return (weights[0] if weights else node.name or node.output[0],)
