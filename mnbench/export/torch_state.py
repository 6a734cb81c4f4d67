"""The torch reference: the seeded network's state, one seeded input, and torch's answer to it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mnbench import catalog, zoo
from mnbench.catalog.operators import CHAIN_FAMILY
from mnbench.export.cache import MAX_REL_ERROR, Made, file_errors
from mnbench.records import ExportSpec, LayerCost, ModelCard

BF16_MARGIN = 3.0
"""A runtime may round at other places than torch does in bf16, and so lie this many times as far from fp32."""

CHAIN_CORNER = 16
"""Side of the piece of a map that stands for the whole where a chain's rounding is looked at."""
MOST_EXPLAINED = 0.5
"""A limit near 1 would accept outputs that are all zero."""


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write state.pt and feed.npz.

    The input is standard normal with shape (batch, *card.input_chw), from `spec.seed`: images normalised by mean and standard
    deviation look like that to a network.
    """
    card = catalog.card(spec.model)
    module = zoo.build(card, seed=spec.seed)
    generator = torch.Generator().manual_seed(spec.seed)
    x = torch.randn((spec.batch, *card.input_chw), generator=generator)
    y, denormals = zoo.run_and_count(module, x)
    torch.save(module.state_dict(), folder / "state.pt")
    np.savez(folder / "feed.npz", input=x.numpy(), output=y.numpy())
    counts = zoo.count(module, (1, *card.input_chw))
    return Made(
        main="state.pt",
        exporter=f"torch {torch.__version__}",
        max_abs_error=0.0,
        max_rel_error=0.0,
        params=counts.params,
        madds=counts.madds,
        denormal_weights=denormals.weights,
        denormal_activations=denormals.activations,
        uncounted=counts.uncounted,
        explained_rel_error={
            "fp32": MAX_REL_ERROR,
            "bf16": min(MOST_EXPLAINED, BF16_MARGIN * _bf16_error_of(card, module, x, y)),
        },
        feed_path="",
        layers=layer_costs(counts),
    )


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


def _bf16_error_of(card: ModelCard, module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return `bf16_error`; of a chain on one corner of one image: rounding depends on channels, not on the map's size."""
    if card.family != CHAIN_FAMILY:
        return bf16_error(module, x, y)
    corner = x[:1, :, :CHAIN_CORNER, :CHAIN_CORNER]
    with torch.inference_mode():
        return bf16_error(module, corner, module(corner))


def bf16_error(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return max |y16 - y| / max |y| for the module computed in bf16 by torch: how far this precision leads this network.

    A general limit would be useless: a network with random weights can amplify rounding a hundredfold, a trained one does not.
    """
    with torch.inference_mode():
        y16 = copy.deepcopy(module).to(torch.bfloat16)(x.to(torch.bfloat16)).float()
    return file_errors("torch in bf16", y16.numpy(), y.numpy())[1]
