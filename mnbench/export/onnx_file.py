"""An ONNX file of the user's, as it is: what it is run on, and what onnxruntime without graph optimisation answers.

The file stays where it is and is opened there; the folder of the artefact has the feed alone.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mnbench.errors import ExportError
from mnbench.export.cache import MAX_REL_ERROR, Made
from mnbench.export.inputs import filled
from mnbench.graph import onnx_facts
from mnbench.graph.costs import GraphFacts
from mnbench.graph.onnx_file import OnnxGraph, read
from mnbench.records import ExportSpec, LayerCost, ModelFacts, Remark, TensorSpec
from mnbench.sources import feeds
from mnbench.sources.feeds import Array
from mnbench.sources.ort_values import bits_of, explained, ort_value

REFERENCE = "onnxruntime without graph optimisation"
NOT_COMPARED = "its outputs are compared with nothing"
EXPLAINED = {"fp32": MAX_REL_ERROR, "int8": 0.1, "fp64": MAX_REL_ERROR}
"""By precision, relative to the largest output: roundings to 8 bits at other places lead as far; double may be computed in
single precision, which is reported."""
FLOATS = {"float32": 1, "float16": 10, "bfloat16": 16}
COMPUTE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedMatMul", "FusedGemm"})


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Read the file, fill its inputs and run it twice. Raises ExportError where it fails, UsageError for unfit data."""
    path = Path(spec.source.locator)
    graph = read(path)
    require_unchanged(spec, graph.sha256)
    inputs = tuple(TensorSpec(name=port.name, dtype=port.dtype, dims=tuple(spec.sizes[port.name])) for port in graph.inputs)
    arrays, inputs = filled(inputs, spec.seed, spec.data)
    facts = onnx_facts.facts(graph, spec.sizes)
    answers, remarks = _answers(path, graph, inputs, arrays)
    outputs: tuple[TensorSpec, ...] = ()
    reference = ""
    if answers is not None:
        outputs = outputs_of(facts, answers, [port.dtype for port in graph.outputs])
        reference = "" if graph.random_operators else REFERENCE
        remarks += remarks_on(
            answers, outputs, facts, [list(port.dims or ()) for port in graph.outputs], data=spec.data is not None
        )
    feeds.save(folder / "feed.npz", arrays, answers or ())
    return Made(
        main=str(path),
        files=graph.files,
        exporter=" ".join(part for part in (graph.producer_name, graph.producer_version) if part) or "unknown",
        max_abs_error=0.0,
        max_rel_error=0.0,
        explained_rel_error=EXPLAINED,
        inputs=inputs,
        outputs=outputs,
        reference=reference,
        strict=False,
        remarks=tuple(remarks),
        facts=counted(spec.model, facts, images(spec)),
    )


def require_unchanged(spec: ExportSpec, sha256: str) -> None:
    """Raise ExportError where a file is no longer what the plan looked at."""
    if sha256 != spec.source.sha256:
        raise ExportError(f"{spec.source.locator} was changed while it was about to be measured; measure again.")


def images(spec: ExportSpec) -> int:
    """Return what counts are divided by to be those of one image: the batch, where the inputs have one."""
    return spec.batch if any(sizes[:1] == (spec.batch,) for sizes in spec.sizes.values()) else 1


def counted(model: str, facts: GraphFacts, number: int) -> ModelFacts:
    """Return the counts of a graph for one image of `number`."""
    return ModelFacts(
        model=model,
        params=facts.params,
        madds=facts.madds // number,
        layers=tuple(per_image(layer, number) for layer in facts.layers),
        uncounted=facts.uncounted,
        denormal_weights=facts.denormal_weights,
    )


def per_image(layer: LayerCost, number: int) -> LayerCost:
    """Return what a layer costs for one image of `number`."""
    if number == 1:
        return layer
    return LayerCost(
        name=layer.name,
        kind=layer.kind,
        params=layer.params,
        madds=layer.madds // number,
        input_elements=layer.input_elements // number,
        output_elements=layer.output_elements // number,
        output_shape=(1, *layer.output_shape[1:]) if layer.output_shape else (),
        padding_madds=layer.padding_madds // number,
    )


def outputs_of(facts: GraphFacts, answers: Sequence[Array], dtypes: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Return the outputs with the sizes that they had; those that the graph alone does not tell stay symbols."""
    found = []
    for port, answer, dtype in zip(facts.outputs, answers, dtypes, strict=True):
        known = port.dims is not None and tuple(port.dims) == answer.shape
        dims: tuple[int | str, ...] = answer.shape if known else tuple(f"{size}?" for size in answer.shape) or ("?",)
        found.append(TensorSpec(name=port.name, dtype=dtype, dims=dims))
    return tuple(found)


def remarks_on(
    answers: Sequence[Array], outputs: Sequence[TensorSpec], facts: GraphFacts, declared: Sequence[list[Any]], *, data: bool
) -> Iterator[Remark]:
    """Yield what is odd about the reference's answers, or about what the file says of them."""
    for answer, spec, dims in zip(answers, outputs, declared, strict=True):
        numbers = [dim for dim in dims if isinstance(dim, int)]
        if dims and (len(dims) != answer.ndim or any(
            isinstance(dim, int) and dim != size for dim, size in zip(dims, answer.shape, strict=False)
        )):  # fmt: skip
            shown = ", ".join(str(dim if dim is not None else "?") for dim in dims)
            yield Remark(
                code="declared-shape",
                observed=f"output {spec.name!r} is declared as [{shown}] and came as {list(answer.shape)}",
            )
        elif len(numbers) < len(dims) and any(isinstance(dim, str) for dim in spec.dims):
            yield Remark(
                code="output-size-unknown",
                observed=f"the size of output {spec.name!r} is known only after running (here {list(answer.shape)}); "
                "allocating it is part of the time",
            )
    if nothing := feeds.nothing_in(answers, outputs):
        source = "the data given" if data else "random data"
        yield Remark(code="empty-answers", observed=f"its outputs are {nothing} on {source}: nothing can be compared with them")
    for note in facts.notes:
        yield Remark(code="counting", observed=note)


def _answers(
    path: Path, graph: OnnxGraph, inputs: Sequence[TensorSpec], arrays: Sequence[Array]
) -> tuple[list[Array] | None, list[Remark]]:
    """Return what the reference puts out, or None where it cannot open the file. Raises ExportError where it fails to run."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None, [Remark(code="not-compared", observed=f"{NOT_COMPARED}: onnxruntime is not installed")]
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return None, [Remark(code="not-compared", observed=f"{NOT_COMPARED}: {explained(str(error), ort.__version__)}")]
    feed = {spec.name: ort_value(array, spec.dtype) for spec, array in zip(inputs, arrays, strict=True)}
    try:
        first = _run(session, feed)
        second = _run(session, feed)
    except Exception as error:
        raise ExportError(explained(str(error), ort.__version__)) from error
    remarks = []
    specs = [TensorSpec(name=port.name, dtype=port.dtype, dims=()) for port in graph.outputs]
    if not graph.random_operators and (told := feeds.difference(second, first, specs)).max_rel > 0:
        remarks.append(
            Remark(code="differs-from-itself", observed=f"two runs on the same input differ by {told.max_rel:.2g} (relative)")
        )
    if "float16" in graph.weight_dtypes:
        remarks += list(_computed_in(path))
    return first, remarks


def _run(session: Any, feed: Any) -> list[Array]:
    return [bits_of(value) for value in session.run_with_ort_values([value.name for value in session.get_outputs()], feed)]


def _computed_in(path: Path) -> Iterator[Remark]:
    """Say in which type onnxruntime computes a file in float16: on most CPUs it converts to float32 and back."""
    import onnx
    import onnxruntime as ort
    from onnx import shape_inference

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        model = onnx.load(options.optimized_model_filepath)
    model = shape_inference.infer_shapes(model)
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.input)}
    kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in COMPUTE]
    in_float32 = sum(kinds.get(node.input[0]) == FLOATS["float32"] for node in products)
    yield Remark(
        code="half-precision-file",
        observed=f"the file is in float16; onnxruntime computes {in_float32} of its {len(products)} convolutions and products "
        "in float32, converting to and fro: this is not the speed of float16",
    )
