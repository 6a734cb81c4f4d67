"""Tensors of a block that are alive at once, worked by hand on maps of 2x2 and 4x4."""

from __future__ import annotations

import pytest

from mnbench.catalog.operators import Operator, check, cost, parse
from mnbench.errors import UsageError
from mnbench.studies.inverted_residual.block_memory import bound_bytes, inner_channels, materialised_bytes, tensors
from mnbench.zoo.chains import chain
from mnbench.zoo.count import count


def block(kind: str = "inverted", **changes: int) -> Operator:
    fields = {"resolution": 2, "in_channels": 8, "out_channels": 8, "kernel": 3, "expansion": 6, "shortcut": 1}
    return Operator(kind=kind, **{**fields, **changes})


RESIDUAL = {"in_channels": 24, "out_channels": 24, "expansion": 3}


@pytest.mark.parametrize(
    ("operator", "sizes", "materialised", "bound"),
    [
        # 32 in, 6 times as much inside twice, 32 out. The depthwise reads 192 and writes 192 beside the 32 of the shortcut.
        (block(), (32, 192, 192, 32), 192 + 192 + 32, 32 + 32 + 4 + 4),
        (block(shortcut=0), (32, 192, 192, 32), 192 + 192, 32 + 32 + 4 + 4),
        # No expansion layer: the projection reads 32 and writes 32 beside the shortcut.
        (block(expansion=1), (32, 32, 32), 32 + 32 + 32, 32 + 32 + 4),
        # Stride 2 on 4x4: the depthwise reads 48 maps of 16 and writes 48 of 4.
        (block(resolution=4, stride=2, out_channels=16, shortcut=0), (128, 768, 192, 64), 768 + 192, 128 + 64 + 16 + 4),
        # Wide, narrow, wide: the last layer reads 32 and writes 96 beside the 96 of the shortcut.
        (block("residual-depthwise", **RESIDUAL), (96, 32, 32, 96), 32 + 96 + 96, 96 + 96 + 4 + 4),
        # A standard convolution mixes the channels: nothing is gained over writing every tensor.
        (block("residual", **RESIDUAL), (96, 32, 32, 96), 32 + 96 + 96, 32 + 96 + 96),
        (block("residual", **RESIDUAL, shortcut=0), (96, 32, 32, 96), 96 + 32, 96 + 32),
    ],
)
def test_tensors_alive_at_once_are_those_worked_by_hand(operator, sizes, materialised, bound):
    assert tensors(operator) == sizes
    assert materialised_bytes(operator) == 4 * materialised
    assert bound_bytes(operator) == 4 * bound
    assert materialised_bytes(operator, element_bytes=1) == materialised


def test_an_operator_without_an_inside_is_refused():
    with pytest.raises(UsageError, match="'pointwise' is no block"):
        tensors(Operator(kind="pointwise", resolution=2, in_channels=8, out_channels=8))


@pytest.mark.parametrize(
    ("operator", "madds", "params"),
    [
        # 24·8 + 9·8 + 8·24 = 456 weights, on 16 places each.
        (block("residual-depthwise", resolution=4, **RESIDUAL), 456 * 16, 456),
        # Stride 2: 192 weights on 16 places, 9·8 on 4, 8·48 on 4.
        (block("residual-depthwise", resolution=4, in_channels=24, out_channels=48, expansion=3, stride=2, shortcut=0),
         192 * 16 + 72 * 4 + 384 * 4, 192 + 72 + 384),
    ],
)  # fmt: skip
def test_a_residual_block_with_a_depthwise_inside_costs_what_was_worked_by_hand_and_its_module_counts(operator, madds, params):
    assert (cost(operator).madds, cost(operator).params) == (madds, params)
    module = chain(kind=operator.kind, in_channels=operator.in_channels, out_channels=operator.out_channels, kernel=3,
                   stride=operator.stride, expansion=operator.expansion, shortcut=operator.shortcut)  # fmt: skip
    counted = count(module, (1, operator.in_channels, operator.resolution, operator.resolution))
    assert counted.madds == madds
    assert sum(layer.params for layer in counted.layers if layer.madds) == params
    assert inner_channels(operator) == 8


def test_the_name_of_a_residual_block_with_a_depthwise_inside_is_read_back():
    operator = block("residual-depthwise", **RESIDUAL)
    assert operator.name == "residual-depthwise_k3_r2_i24_o24_s1_t3_n1_x1"
    assert parse(operator.name) == operator
    with pytest.raises(UsageError, match="24 channels do not divide by 5"):
        check(block("residual-depthwise", in_channels=24, out_channels=24, expansion=5))
