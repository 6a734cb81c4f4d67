"""The torch reference: a module's state, the inputs of one call, and torch's answers to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mnbench import catalog, sources, zoo
from mnbench.catalog.operators import CHAIN_FAMILY
from mnbench.errors import ExportError
from mnbench.export.cache import MAX_REL_ERROR, Made
from mnbench.export.inputs import filled
from mnbench.records import ExportSpec, LayerCost, ModelFacts, Remark, TensorSpec
from mnbench.sources import feeds
from mnbench.sources.modules import OpenedModule, call_inputs, explained, flatten

OUTPUT = "logits"

BF16_MARGIN = 3.0
"""A runtime may round at other places than torch does in bf16, and so lie this many times as far from fp32."""

CHAIN_CORNER = 16
"""Side of the piece of a map that stands for the whole where a chain's rounding is looked at."""
MOST_EXPLAINED = 0.5
"""A limit near 1 would accept outputs that are all zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One call of a module, and what was counted in it."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[Tensor, ...]
    output_specs: tuple[TensorSpec, ...]
    counts: zoo.Counts
    denormals: zoo.Denormals
    remarks: tuple[Remark, ...]


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write state.pt and feed.npz.

    An input without data of the user's or of the source's is standard normal, from `spec.seed`: images normalised by mean and
    standard deviation look like that to a network. Raises UsageError, ExportError.
    """
    opened = sources.open_module(spec.source, spec.seed)
    ran = run(opened, spec)
    torch.save(opened.module.state_dict() if opened.has_state else {}, folder / "state.pt")
    feeds.save(folder / "feed.npz", [_array(tensor) for tensor in ran.tensors], [_array(output) for output in ran.outputs])
    return Made(
        main="state.pt",
        exporter=f"torch {torch.__version__}",
        max_abs_error=0.0,
        max_rel_error=0.0,
        facts=ModelFacts(
            model=spec.model,
            params=ran.counts.params,
            madds=ran.counts.madds,
            layers=layer_costs(ran.counts),
            uncounted=ran.counts.uncounted,
            denormal_weights=ran.denormals.weights,
            denormal_activations=ran.denormals.activations,
        ),
        explained_rel_error={"fp32": MAX_REL_ERROR, **_explained_in_bf16(spec, opened.module, ran.tensors, ran.outputs)},
        inputs=ran.inputs,
        outputs=ran.output_specs,
        reference="torch",
        strict=_is_ours(spec),
        remarks=ran.remarks,
    )


def run(opened: OpenedModule, spec: ExportSpec) -> Run:
    """Call a module once and count it. Raises UsageError, UnfitInputsError for sizes that nobody knows, ExportError."""
    ours, module = _is_ours(spec), opened.module
    with explained("the model"):
        wanted = call_inputs(opened, {} if ours else spec.sizes, spec.batch)
        tensors, inputs = _inputs(wanted, spec)
        made, denormals = zoo.run_and_count(module, *tensors)
        outputs = flatten(made)
        remarks = list(_remarks(module, tensors, outputs)) if not ours else []
        if ours and not all(output.any() for output in outputs):
            raise ExportError(f"torch's outputs of {spec.model} are all zero; no other output can be judged against them.")
        counts = _counts(module, [_of_one_image(tensor, spec.batch) for tensor in tensors], strict=ours)
    specs = tuple(
        TensorSpec(name=OUTPUT if len(outputs) == 1 else f"output_{place}", dtype=_dtype(output), dims=tuple(output.shape))
        for place, output in enumerate(outputs)
    )
    return Run(
        tensors=tuple(tensors),
        inputs=inputs,
        outputs=tuple(outputs),
        output_specs=specs,
        counts=counts,
        denormals=denormals,
        remarks=tuple(remarks),
    )


def _is_ours(spec: ExportSpec) -> bool:
    return spec.source.scheme == "catalog"


def _inputs(wanted: Mapping[str, Tensor | tuple[int, ...]], spec: ExportSpec) -> tuple[list[Tensor], tuple[TensorSpec, ...]]:
    """Return the tensors of a call, and what they are."""
    generator = torch.Generator().manual_seed(spec.seed)
    tensors, specs = [], []
    for name, given in wanted.items():
        drawn = isinstance(given, tuple)
        tensor = torch.randn(given, generator=generator) if isinstance(given, tuple) else given
        tensors.append(tensor)
        how = "standard normal" if drawn else "the example that its source gives"
        specs.append(TensorSpec(name=name, dtype=_dtype(tensor), dims=tuple(tensor.shape), filled=how))
    if spec.data is not None:
        arrays, filled_specs = filled(specs, spec.seed, spec.data)
        from_data = f"from {Path(spec.data.path).name}"
        for place, (array, told) in enumerate(zip(arrays, filled_specs, strict=True)):
            if told.filled == from_data:
                tensors[place], specs[place] = _tensor(array, told.dtype), told
    return tensors, tuple(specs)


def _remarks(module: nn.Module, tensors: Sequence[Tensor], outputs: Sequence[Tensor]) -> Iterator[Remark]:
    """Run a user's module once more; yield what is odd about its outputs."""
    with torch.inference_mode():
        again = flatten(module(*tensors))
    specs = [TensorSpec(name=f"output_{place}", dtype=_dtype(output), dims=()) for place, output in enumerate(outputs)]
    arrays = [_array(output) for output in outputs]
    if (told := feeds.difference([_array(output) for output in again], arrays, specs)).max_rel > 0:
        yield Remark(code="differs-from-itself", observed=f"two runs on the same input differ by {told.max_rel:.2g} (relative)")
    if nothing := feeds.nothing_in(arrays, specs):
        yield Remark(code="empty-answers", observed=f"its outputs are {nothing}, so that nothing can be compared with them")


def _counts(module: nn.Module, tensors: Sequence[Tensor], *, strict: bool) -> zoo.Counts:
    """Return what a module costs for one image; of a user's module that cannot run without data, its parameters alone."""
    try:
        return zoo.count(module, *tensors)
    except Exception as error:  # a user's code may do anything with a tensor that has no data
        if strict:
            raise
        params = sum(parameter.numel() for parameter in module.parameters())
        reason = f"all of it ({type(error).__name__} on tensors without data)"
        return zoo.Counts(params=params, madds=0, uncounted=(reason,), layers=())


def _of_one_image(tensor: Tensor, batch: int) -> Tensor:
    return tensor[:1] if batch > 1 and tensor.dim() and tensor.shape[0] == batch else tensor


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _array(tensor: Tensor) -> feeds.Array:
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _tensor(array: feeds.Array, dtype: str) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor


def layer_costs(counts: zoo.Counts) -> tuple[LayerCost, ...]:
    """Return the layers that multiply and add. The others are normalisation, which an exported file has folded away."""
    return tuple(
        LayerCost(
            name=layer.name,
            kind=str(layer.kind),
            params=layer.params,
            madds=layer.madds,
            input_elements=layer.input_elements,
            output_elements=layer.output_elements,
            output_shape=layer.output_shape,
            padding_madds=layer.padding_madds,
        )
        for layer in counts.layers
        if layer.madds
    )


def _explained_in_bf16(
    spec: ExportSpec, module: nn.Module, tensors: Sequence[Tensor], outputs: Sequence[Tensor]
) -> Mapping[str, float]:
    """Return how far bf16 may lead a network; nothing for a module that torch cannot compute in it.

    Of a chain one corner of one image is looked at: rounding depends on channels, not on the map's size.
    """
    if len(tensors) != 1 or len(outputs) != 1 or tensors[0].dtype != torch.float32:
        return {}
    x, y = tensors[0], outputs[0]
    if spec.source.scheme == "catalog" and catalog.card(spec.source.locator).family == CHAIN_FAMILY:
        x = x[:1, :, :CHAIN_CORNER, :CHAIN_CORNER]
        with torch.inference_mode():
            y = module(x)
    try:
        error = bf16_error(module, x, y)
    except (RuntimeError, TypeError, NotImplementedError):
        if spec.source.scheme == "catalog":
            raise
        return {}
    return {"bf16": min(MOST_EXPLAINED, BF16_MARGIN * error)}


def bf16_error(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return max |y16 - y| / max |y| for the module computed in bf16 by torch: how far this precision leads this network.

    A general limit would be useless: a network with random weights can amplify rounding a hundredfold, a trained one does not.
    """
    with torch.inference_mode():
        y16 = flatten(copy.deepcopy(module).to(torch.bfloat16)(x.to(torch.bfloat16)))[0].float()
    spec = TensorSpec(name=OUTPUT, dtype="float32", dims=())
    return feeds.difference([y16.numpy()], [y.numpy()], [spec]).max_rel
