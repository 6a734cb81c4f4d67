"""Chains of operators as modules: what is counted on them is what the formulas say, copy by copy."""

import pytest
import torch

from mnbench import catalog, zoo
from mnbench.catalog.operators import CHAIN_KINDS, cost, parse
from mnbench.zoo.chains import BUILDERS, Branches

CHAINS = [
    "standard_k3_r14_i16_o16_s1_x3",
    "standard_k5_r14_i16_o24_s1_x4",
    "standard_k3_r15_i3_o16_s2_x3",
    "depthwise_k3_r14_i16_o16_s1_x3",
    "depthwise_k5_r14_i16_o16_s2_x2",
    "depthwise_k3_r7_i16_o16_s1_b1_x2",
    "pointwise_k1_r14_i16_o24_s1_x2",
    "separable_k3_r14_i16_o24_s1_x2",
    "separable_k3_r14_i16_o24_s2_x2",
    "separable_k3_r14_i16_o24_s1_a1_x1",
    "grouped_k3_r14_i12_o24_s1_g3_x2",
    "linear_k1_r1_i16_o10_s1_x2",
    "inverted_k3_r14_i16_o16_s1_t6_n1_x2",
    "inverted_k3_r14_i16_o24_s2_t6_n0_x2",
    "residual_k3_r14_i16_o16_s1_t4_n1_x2",
    "residual-depthwise_k3_r14_i16_o16_s1_t4_n1_x2",
    "pointwise-none_k1_r14_i16_o16_s1_x2",
    "pointwise-relu_k1_r14_i16_o16_s1_x2",
    "pointwise-hardswish_k1_r14_i16_o16_s1_x2",
]


@pytest.mark.parametrize("name", CHAINS)
def test_the_counter_finds_in_the_module_what_the_formula_says_of_each_copy(name):
    operator, card = parse(name), catalog.card(name)
    counts = zoo.count(zoo.outline(card), (1, *card.input_chw))
    weights = sum(layer.params for layer in counts.layers if layer.madds)
    if operator.kind == "linear":
        weights -= 16 + 10  # offsets
    assert counts.madds == operator.copies * cost(operator).madds
    assert weights == operator.copies * cost(operator).params
    assert counts.uncounted == ()


def test_every_kind_that_a_name_may_have_is_built_and_counted_here():
    assert set(CHAIN_KINDS) == set(BUILDERS) == {name.partition("_")[0] for name in CHAINS}


def test_a_stride_stands_side_by_side_and_ends_in_a_number_a_channel():
    module = zoo.outline(catalog.card("depthwise_k3_r14_i16_o16_s2_x3"))
    assert isinstance(module, Branches)
    assert module(torch.empty(1, 16, 14, 14, device="meta")).shape == (1, 16)


def test_an_operator_alone_has_nothing_behind_it():
    for name in ("depthwise_k3_r14_i16_o16_s2_a1_x1", "pointwise_k1_r7_i16_o16_s1_a1_x1"):
        module = zoo.outline(catalog.card(name))
        size = parse(name).resolution
        assert module(torch.empty(1, 16, size, size, device="meta")).shape == (1, 16, 7, 7)
