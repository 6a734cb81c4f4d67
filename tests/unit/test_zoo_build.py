"""Building: the same bits for the same seed, and numbers like those of a trained network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnbench import catalog
from mnbench.errors import UsageError
from mnbench.zoo import build, outline

SMALL = catalog.card("mobilenet_v2_0.35_96")
V2_TABLE = catalog.suite("v2-table")


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine, OpenMP threads that spin for each other made these tests 20 times slower."""
    with threads(1):
        yield


def leaf_outputs(module: nn.Module, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the logits and a copy of what every leaf layer gave."""
    seen: list[Tensor] = []
    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _layer, _inputs, out: seen.append(out.clone()))
    with torch.no_grad():
        return module(image), seen


def denormals(tensor: Tensor) -> int:
    return int(((tensor != 0) & (tensor.abs() < torch.finfo(tensor.dtype).tiny)).sum())


@pytest.mark.parametrize("name", V2_TABLE)
def test_every_network_of_the_table_computes_numbers_of_order_one_without_denormals(name: str) -> None:
    card = catalog.card(name)
    module = build(card, seed=1)
    image = torch.randn(1, *card.input_chw, generator=torch.Generator().manual_seed(2))
    logits, activations = leaf_outputs(module, image)
    floats = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
    assert not module.training
    assert logits.shape == (1, 1000)
    assert 0.3 < logits.std() < 4
    assert logits.abs().max() < 20
    assert sum(map(denormals, (*floats, *activations))) == 0
    assert all(torch.isfinite(out).all() and 0.05 < out.std() < 10 for out in activations)


@pytest.mark.parametrize("name", ["mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224"])
def test_relu6_clips_few_activations(name: str) -> None:
    card = catalog.card(name)
    module = build(card, seed=1)
    clipped = [
        float((out == 6).float().mean())
        for out in leaf_outputs(module, torch.randn(1, *card.input_chw, generator=torch.Generator().manual_seed(2)))[1]
    ]
    assert max(clipped) < 0.05


def test_the_same_seed_gives_the_same_bits() -> None:
    assert same_bits(build(SMALL, seed=7), build(SMALL, seed=7))


def test_another_seed_gives_other_weights() -> None:
    assert not same_bits(build(SMALL, seed=7), build(SMALL, seed=8))


def test_the_number_of_threads_does_not_change_the_bits() -> None:
    with threads(1):
        one = build(SMALL, seed=7)
    with threads(2):
        two = build(SMALL, seed=7)
    assert same_bits(one, two)


def test_building_leaves_the_callers_random_numbers_and_threads_alone() -> None:
    def state() -> tuple[list[int], list[int], int]:
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), torch.get_num_threads()

    torch.manual_seed(11)
    with threads(2):
        before = state()
        build(SMALL, seed=7)
        assert state() == before


def test_an_outline_has_the_shapes_of_the_network_and_no_data() -> None:
    outlined, built = outline(SMALL).state_dict(), build(SMALL).state_dict()
    assert {key: value.shape for key, value in outlined.items()} == {key: value.shape for key, value in built.items()}
    assert all(value.is_meta for value in outlined.values())


def test_normalisation_keeps_its_momentum_for_who_trains_on() -> None:
    norms = [layer for layer in build(SMALL, seed=7).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {layer.momentum for layer in norms} == {0.1}


def test_given_weights_are_the_ones_in_the_network() -> None:
    donor = build(SMALL, seed=7)
    assert same_bits(build(SMALL, seed=8, weights=donor.state_dict()), donor)


def test_weights_of_another_width_are_refused() -> None:
    other = build(catalog.card("mobilenet_v2_0.5_96"), seed=7)
    with pytest.raises(UsageError, match="do not fit"):
        build(SMALL, weights=other.state_dict())
