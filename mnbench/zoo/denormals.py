"""Denormal numbers in a network: some engines are 2 to 34 times slower with them, some flush them to zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_NORMAL = torch.finfo(torch.float32).tiny
"""2^-126: a float32 below it, and not zero, is denormal (IEEE 754)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denormals:
    """How many values of a network are denormal."""

    weights: int
    activations: int
    """In the outputs of all modules for one input."""


def count_denormals(module: nn.Module, *inputs: Tensor) -> Denormals:
    """Count denormals among the parameters and buffers of `module`, and in what its modules put out for `inputs`.

    Runs the module once, without gradients; it is not modified.
    """
    return run_and_count(module, *inputs)[1]


def run_and_count(module: nn.Module, *inputs: Tensor) -> tuple[Any, Denormals]:
    """Return the module's output for `inputs`, and the denormals as `count_denormals` counts them, from the same pass."""
    seen = 0

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal seen
        if isinstance(output, Tensor):
            seen += number_of_denormals(output)

    hooks = [part.register_forward_hook(look) for part in module.modules()]
    try:
        with torch.no_grad():
            y = module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    weights = sum(number_of_denormals(value) for value in (*module.parameters(), *module.buffers()))
    return y, Denormals(weights=weights, activations=seen)


def number_of_denormals(values: Tensor) -> int:
    """Return how many elements are denormal; 0 for a tensor of integers."""
    if not values.is_floating_point():
        return 0
    size = values.detach().float().abs()
    return int(((size > 0) & (size < SMALLEST_NORMAL)).sum())
