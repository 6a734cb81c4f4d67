"""ONNX files of the user's."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from mnbench.graph.ir_file import IrGraph
from mnbench.graph.onnx_file import OnnxGraph, read
from mnbench.records import Format, Model, Remark, Source
from mnbench.sources.naming import id_of
from mnbench.sources.shapes import require_numbers, specs_of

QUANTISED = (
    "QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger",
    "DynamicQuantizeLinear", "FakeQuantize",
)  # fmt: skip


class OnnxSource:
    gives = Format.ONNX_FILE
    packages: tuple[str, ...] = ("onnx",)

    def missing(self) -> str | None:
        if importlib.util.find_spec("onnx") is None:
            return "an .onnx file needs the package onnx: pip install onnx."
        return None

    def describe(self, locator: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """Return the model of a file. Raises ModelFileError, and UsageError for inputs that cannot be filled."""
        return model_of_file("onnx", locator, read(Path(locator)), shapes)


def model_of_file(scheme: str, locator: str, graph: OnnxGraph | IrGraph, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """Return the record of a file whose graph was read."""
    path = Path(locator)
    declared = [port for port in graph.outputs if port.dtype or port.kind != "tensor"]
    require_numbers(declared, f"output {{}} of {locator} is {{}}; mnbench measures models that put out numbers or bool only.")
    operators = {operator for kinds in graph.operators.values() for operator in kinds}
    return Model(
        id=id_of(path.stem),
        title=locator,
        source=Source(scheme=scheme, locator=str(path.absolute()), sha256=graph.sha256),
        inputs=specs_of(graph.inputs, shapes, locator),
        precision=_precision(graph, operators),
        remarks=tuple(remarks_of(graph)),
    )


def _precision(graph: OnnxGraph | IrGraph, operators: Set[str]) -> str:
    """Return what an ordinary run of a file computes in: int8 where it is quantised, fp64 where its inputs are."""
    if operators & set(QUANTISED):
        return "int8"
    return "fp64" if any(port.dtype == "float64" for port in graph.inputs) else "fp32"


def remarks_of(graph: OnnxGraph | IrGraph) -> Iterator[Remark]:
    """Yield what a graph says that its user should know before reading a latency."""
    if graph.data_dependent:
        what = ", ".join(f"{number} {name}" for name, number in graph.data_dependent.items())
        yield Remark(
            code="time-depends-on-data",
            observed=f"its time depends on the values of its input, not only on their shape: {what}",
        )
    if graph.random_operators:
        what = ", ".join(f"{number} {name}" for name, number in graph.random_operators.items())
        yield Remark(code="random-by-design", observed=f"it draws random numbers ({what}), so its outputs are not compared")
    halves = sum(number for dtype, number in graph.weight_dtypes.items() if dtype in ("float16", "bfloat16"))
    if halves:
        total, kind = sum(graph.weight_dtypes.values()), max(graph.weight_dtypes, key=lambda name: graph.weight_dtypes[name])
        yield Remark(code="half-precision-file", observed=f"{halves:,} of its {total:,} weights are stored as {kind}")
