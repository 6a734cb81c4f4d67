"""Operators read from their names: what is understood, what is refused and how, and what they cost by hand."""

import pytest

from mnbench import catalog
from mnbench.catalog.operators import Operator, cost, parse
from mnbench.errors import UnknownNameError, UsageError


@pytest.mark.parametrize(
    "operator",
    [
        Operator(kind="standard", resolution=14, in_channels=512, out_channels=512, kernel=3, copies=2),
        Operator(kind="pointwise", resolution=112, in_channels=32, out_channels=64, copies=4),
        Operator(kind="depthwise", resolution=56, in_channels=128, out_channels=128, kernel=3, stride=2, copies=8),
        Operator(kind="depthwise", resolution=7, in_channels=64, out_channels=64, kernel=5, side_by_side=1, copies=2),
        Operator(kind="separable", resolution=112, in_channels=32, out_channels=64, kernel=3, alone=1),
        Operator(kind="grouped", resolution=28, in_channels=24, out_channels=48, kernel=3, groups=3, copies=2),
        Operator(kind="linear", resolution=1, in_channels=1024, out_channels=1000, copies=2),
        Operator(kind="inverted", resolution=14, in_channels=64, out_channels=64, kernel=3, expansion=6, shortcut=1, copies=3),
        Operator(kind="pointwise-hardswish", resolution=14, in_channels=64, out_channels=64, copies=3),
    ],
)
def test_a_name_is_read_back_as_the_operator_that_it_was_made_from(operator):
    assert parse(operator.name) == operator
    assert catalog.card(operator.name).name == operator.name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("standard_k3_r0_i16_o16_s1_x1", "resolution must be between 1 and 1024, not 0"),
        ("standard_k3_r-14_i16_o16_s1_x1", "resolution must be between 1 and 1024, not -14"),
        ("standard_k3_r14_i0_o16_s1_x1", "in_channels must be between 1 and 8192, not 0"),
        ("standard_k3_r14_i16_o-1_s1_x1", "out_channels must be between 1 and 8192, not -1"),
        ("standard_k0_r14_i16_o16_s1_x1", "kernel must be between 1 and 31, not 0"),
        ("standard_k3_r14_i16_o16_s0_x1", "stride must be between 1 and 8, not 0"),
        ("standard_k3_r14_i16_o16_s1_x0", "copies must be between 1 and 64, not 0"),
        ("standard_k3_r14_i16_o16_s1_x65", "copies must be between 1 and 64, not 65"),
        ("standard_k3_r1_i16_o16_s2_x1", "a stride of 2 is larger than the input of 1"),
        ("standard_k4_r14_i16_o16_s1_x1", "it must be odd"),
        ("depthwise_k3_r14_i16_o32_s1_x2", "as many channels out as in"),
        ("pointwise_k1_r14_i16_o32_s1_x3", "the copies must be even"),
        ("grouped_k3_r14_i16_o16_s1_g3_x1", "16 channels in and 16 out do not both divide by 3 groups"),
        ("grouped_k3_r14_i16_o24_s1_g16_x2", "16 channels in and 24 out do not both divide by 16 groups"),
        ("grouped_k3_r14_i16_o24_s1_g12_x2", "16 channels in and 24 out do not both divide by 12 groups"),
        ("grouped_k3_r14_i16_o16_s1_g0_x1", "groups must be between 1 and 8192, not 0"),
        ("standard_k3_r14_i16_o16_s1_g2_x1", "groups belong to the kind 'grouped'"),
        ("residual_k3_r14_i16_o16_s1_t3_n0_x1", "16 channels do not divide by 3"),
        ("inverted_k5_r14_i16_o16_s1_t3_n0_x1", "has a kernel of 3, not 5"),
        ("inverted_k3_r14_i16_o24_s1_t3_n1_x2", "a shortcut needs stride 1 and as many channels"),
        ("linear_k1_r7_i16_o16_s1_x1", "has a resolution of 1, not 7"),
        ("standard_k3_r14_i16_o16_s1_a1_x2", "alone has one copy"),
        ("standard_k3_r14_i16_o16_z9_x1", "'z' is no size; known: k, r, i, o, s, x"),
        ("standard_k3_r14_r28_i16_o16_x1", "says its resolution twice"),
        ("standard_k3_r14_x1", "does not say its in_channels and out_channels"),
    ],
)  # fmt: skip
def test_an_operator_that_cannot_be_is_refused_with_what_is_wrong(name, sentence):
    with pytest.raises(UsageError) as refused:
        catalog.card(name)
    assert sentence in str(refused.value)
    assert name.split("_")[0] in str(refused.value)


def test_a_misspelt_kind_gets_the_nearest_one_and_a_misspelt_network_a_network():
    with pytest.raises(UnknownNameError, match="unknown kind of operator 'depthwize'; did you mean 'depthwise'"):
        catalog.card("depthwize_k3_r14_i16_o16_s1_x1")
    with pytest.raises(UnknownNameError, match="unknown model 'mobilenet_v3'; did you mean 'mobilenet_v"):
        catalog.card("mobilenet_v3")


# name, MAdds, weights, activations read and written, of one copy for one image: the products one would write down
COSTS = [
    ("standard_k3_r14_i512_o512_s1_x2", 9 * 512 * 512 * 14 * 14, 9 * 512 * 512, 2 * 512 * 14 * 14),
    ("standard_k3_r224_i3_o32_s2_x2", 9 * 3 * 32 * 112 * 112, 9 * 3 * 32, 3 * 224 * 224 + 32 * 112 * 112),
    ("depthwise_k5_r28_i64_o64_s1_x2", 25 * 64 * 28 * 28, 25 * 64, 2 * 64 * 28 * 28),
    ("depthwise_k3_r14_i512_o512_s2_x2", 9 * 512 * 7 * 7, 9 * 512, 512 * 14 * 14 + 512 * 7 * 7),
    ("pointwise_k1_r112_i32_o64_s1_x2", 32 * 64 * 112 * 112, 32 * 64, (32 + 64) * 112 * 112),
    ("linear_k1_r1_i1024_o1000_s1_x2", 1024 * 1000, 1024 * 1000, 2024),
    ("grouped_k3_r14_i24_o48_s1_g3_x2", 9 * 8 * 48 * 14 * 14, 9 * 8 * 48, (24 + 48) * 14 * 14),
    ("separable_k3_r14_i64_o64_s1_x2", (9 * 64 + 64 * 64) * 14 * 14, 9 * 64 + 64 * 64, 4 * 64 * 14 * 14),
    # There and back: depthwise on 32 and on 64 channels, so 48 on average.
    ("separable_k3_r14_i32_o64_s1_x2", (9 * 48 + 32 * 64) * 14 * 14, 9 * 48 + 32 * 64, (2 * 48 + 96) * 14 * 14),
    ("separable_k3_r14_i32_o64_s1_a1_x1", (9 * 32 + 32 * 64) * 14 * 14, 9 * 32 + 32 * 64, (2 * 32 + 96) * 14 * 14),
    ("separable_k3_r14_i32_o64_s2_x2", (9 * 32 + 32 * 64) * 7 * 7, 9 * 32 + 32 * 64, 32 * 196 + 32 * 49 + 96 * 49),
    ("inverted_k3_r14_i16_o16_s1_t6_n1_x2", (2 * 16 * 96 + 9 * 96) * 196, 2 * 16 * 96 + 9 * 96, (112 + 192 + 112) * 196),
    ("residual_k3_r14_i64_o64_s1_t4_n1_x2", (2 * 64 * 16 + 9 * 256) * 196, 2 * 64 * 16 + 9 * 256, (80 + 32 + 80) * 196),
]


@pytest.mark.parametrize(("name", "madds", "params", "elements"), COSTS)
def test_one_copy_costs_what_one_works_out_by_hand(name, madds, params, elements):
    found = cost(parse(name))
    assert (found.madds, found.params, found.activation_elements) == (madds, params, elements)
    assert found.bytes(batch=8) == 4 * (params + 8 * elements)
