"""From a model card to a torch module that computes numbers like a trained network's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mnbench.catalog.operators import CHAIN_FAMILY
from mnbench.catalog.probes import PROBE_FAMILY
from mnbench.errors import UsageError
from mnbench.records import ModelCard
from mnbench.zoo.weights import load_weights

CHAIN_CALIBRATION = 28
"""Side of the map that calibrates a chain of operators."""
CALIBRATION_BATCH = 4
"""Images of the calibration pass: at 3x3, the smallest map of the catalog, a channel's variance rests on 36 values."""


def build(card: ModelCard, *, seed: int = 0, weights: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Return the network of `card` in eval mode, with `weights`, or else with initial weights drawn from `seed`.

    The same seed gives the same bits on the same machine. The caller's random numbers are not disturbed.
    Raises UsageError if `weights` do not fit the network.
    """
    factory = _factory(card)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU only: torch.manual_seed would reseed other devices too
        module = factory(**card.arguments)
        if weights is None:
            initialise(module, _calibration_chw(card))
        module = _for_inference(card, module)
    if weights is not None:
        load_weights(module, weights)
    return module.eval()


def _calibration_chw(card: ModelCard) -> tuple[int, int, int]:
    """Return the size of the calibration pass: a chain's statistics do not depend on the map's size, and its cost does."""
    channels, height, width = card.input_chw
    most = CHAIN_CALIBRATION if card.family == CHAIN_FAMILY else max(height, width)
    return channels, min(height, most), min(width, most)


def outline(card: ModelCard) -> nn.Module:
    """Return the network of `card` in eval mode with shapes but no data: enough to count it, and quick to make."""
    with torch.device("meta"):
        return _for_inference(card, _factory(card)(**card.arguments)).eval()


def _factory(card: ModelCard) -> Callable[..., nn.Module]:
    if card.family == PROBE_FAMILY:
        raise UsageError(f"{card.name!r} is a probe of the machine and no network; only the backend 'probe' runs it.")
    module_name, _, attribute = card.build.partition(":")
    factory: Callable[..., nn.Module] = getattr(importlib.import_module(module_name), attribute)
    return factory


def _for_inference(card: ModelCard, module: nn.Module) -> nn.Module:
    """Return a network in the form in which it runs: what the module of its builder makes of it in `for_inference`, if any."""
    finish: Callable[[nn.Module], nn.Module] | None = getattr(
        importlib.import_module(card.build.partition(":")[0]), "for_inference", None
    )
    return module if finish is None else finish(module)


@torch.no_grad()
def initialise(module: nn.Module, input_chw: tuple[int, int, int]) -> None:
    """Give `module` weights drawn from torch's generator and statistics that keep every activation of order 1.

    Weights are normal with He et al.'s variance 2 / fan-in (arXiv:1502.01852), offsets 0. The running mean and variance
    of each batch normalisation are then those of one pass over normal noise of shape (CALIBRATION_BATCH, *input_chw).
    Without that pass they are 0 and 1 and do not normalise: activations shrink or grow from layer to layer, down to
    denormals, which are slow on a CPU, or up to where ReLU6 clips them, and int8 calibration sees no fair range.
    """
    norms = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
            norms.append((layer, layer.momentum))
            layer.momentum = None  # torch then averages over the passes: after one pass, exactly that pass's statistics
    module.train()
    with _one_thread():
        module(torch.randn(CALIBRATION_BATCH, *input_chw))
    for layer, momentum in norms:
        layer.momentum = momentum
    module.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread. With two, sums are split elsewhere and the statistics differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
