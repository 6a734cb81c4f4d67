"""OpenVINO's performance counters (property PERF_COUNT, `InferRequest.profiling_info`).

The counters belong to the compiled graph: each node has the sum over all inferences since it was compiled, of which the mean is
told. Each time is cut to whole microseconds when it is added, and the mean once more (src/plugins/intel_cpu/src/perf_count.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from mnbench.backends import Feed
from mnbench.backends.openvino import COMPUTE_LAYERS, OpenVinoSession, runtime
from mnbench.backends.profilers import Node, compact
from mnbench.errors import WorkerError
from mnbench.records import Artifact

WEIGHT = ".weight"
PRODUCT_ALONE = "/WithoutBiases"
"""What OpenVINO appends to the name of a file's operator where it divides it into a product and the adding of offsets."""
_MULTIPLYING_OPS = frozenset({
    "Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul",
})  # fmt: skip
_MICROSECOND = timedelta(microseconds=1)


class ProfiledOpenVino(OpenVinoSession):
    """The backend's session with its counters on."""

    cut_ns = 1000.0
    """Half a microsecond for each of the two cuts."""

    def __init__(self, path: Path, feed: Feed, *, threads: int, precision: str) -> None:
        super().__init__(path, feed, threads=threads, precision=precision, counters=True)
        self._path = path
        self._runs = self._skipped = 0
        self._before_us: Mapping[str, int] = {}

    def run(self) -> None:
        super().run()
        self._runs += 1

    def begin(self) -> None:
        self._skipped, self._before_us = self._runs, self._totals_us()

    def nodes(self) -> list[Node]:
        totals_us, made = self._totals_us(), self._runs - self._skipped
        modules = self._modules()
        found = []
        for info in self._request.profiling_info:
            gained_us = max(0, totals_us[info.node_name] - self._before_us.get(info.node_name, 0))
            found.append(
                Node(
                    name=info.node_name,
                    type=info.node_type,
                    ns=gained_us * 1000 / made,
                    multiplies=info.node_type in COMPUTE_LAYERS and info.node_name in modules,
                    modules=modules.get(info.node_name, ()),
                )
            )
        return compact(found)

    def _totals_us(self) -> dict[str, int]:
        return {info.node_name: info.real_time // _MICROSECOND * self._runs for info in self._request.profiling_info}

    def _modules(self) -> dict[str, tuple[str, ...]]:
        """Return the modules of each node that runs: the file's operators that were fused into it lead to their weights."""
        weights = _modules_of_operators(runtime().Core().read_model(self._path))
        found = {}
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            info = node.get_rt_info()
            if info["layerType"].astype(str) in COMPUTE_LAYERS:
                operators = info["originalLayersNames"].astype(str).split(",")
                named = tuple(weights[name] for name in operators if name in weights)
                found[node.get_friendly_name()] = named or _modules_of_inputs(node)
        return found


def open_profiled(
    artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str
) -> ProfiledOpenVino:
    """Open an IR file with the counters on. Raises WorkerError without a file."""
    if artifact is None or feed is None:
        raise WorkerError("the profiler of 'openvino' needs an IR file and an input.")
    return ProfiledOpenVino(root / artifact.path, feed, threads=threads, precision=precision)


def _modules_of_inputs(node: Any) -> tuple[str, ...]:
    """Return the module whose weights a node of the compiled graph reads; a matrix product keeps only its sum's name."""
    names = [node.input_value(place).get_node().get_friendly_name() for place in range(node.get_input_size())]
    return tuple(name.removesuffix(WEIGHT) for name in names if name.endswith(WEIGHT))


def _modules_of_operators(model: Any) -> dict[str, str]:
    """Return the layer of each multiplying operator of a model, as `mnbench.graph` names it.

    That is the torch module, whose weights are called `<module>.weight`, else the operator itself.
    """
    found = {}
    for operator in model.get_ordered_ops():
        if operator.get_type_name() not in _MULTIPLYING_OPS:
            continue
        source = operator.input_value(1).get_node()
        while source.get_type_name() != "Constant" and source.get_input_size():
            source = source.input_value(0).get_node()  # reshaped into groups, or converted
        weight, own = source.get_friendly_name(), operator.get_friendly_name()
        whole = own.removesuffix(PRODUCT_ALONE)
        found[own] = weight.removesuffix(WEIGHT) if weight.endswith(WEIGHT) else whole
        found.setdefault(whole, found[own])  # a fused kernel keeps the name of its last operator
    return found
