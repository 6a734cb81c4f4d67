"""The counter against cases worked by hand, one for each kind of layer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from mnbench.errors import UsageError
from mnbench.zoo import Kind, count
from mnbench.zoo.layers import depthwise, pointwise

# layer, input, kind, MAdds as the product one would write down, parameters
LAYERS = [
    pytest.param(
        nn.Conv2d(16, 32, 3, padding=1, bias=False), (1, 16, 14, 14), Kind.STANDARD,
        14 * 14 * 32 * 16 * 9, 32 * 16 * 9, id="standard",
    ),
    pytest.param(
        nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), (1, 16, 14, 14), Kind.DEPTHWISE,
        14 * 14 * 16 * 9, 16 * 9, id="depthwise",
    ),
    pytest.param(
        nn.Conv2d(16, 32, 1, bias=False), (1, 16, 14, 14), Kind.POINTWISE,
        14 * 14 * 32 * 16, 32 * 16, id="pointwise",
    ),
    pytest.param(
        nn.Conv2d(12, 24, 1, groups=3, bias=False), (1, 12, 10, 10), Kind.GROUPED,
        10 * 10 * 24 * 4, 24 * 4, id="grouped",
    ),
    pytest.param(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), (1, 3, 224, 224), Kind.STANDARD,
        112 * 112 * 8 * 3 * 9, 8 * 3 * 9, id="stride 2 and padding 1",
    ),
    pytest.param(
        nn.Conv2d(3, 8, 3, bias=False), (1, 3, 10, 10), Kind.STANDARD,
        8 * 8 * 8 * 3 * 9, 8 * 3 * 9, id="no padding",
    ),
    pytest.param(
        nn.Conv2d(4, 8, 3, padding=2, dilation=2, bias=False), (1, 4, 9, 9), Kind.STANDARD,
        9 * 9 * 8 * 4 * 9, 8 * 4 * 9, id="dilated",
    ),
    pytest.param(
        nn.Conv2d(4, 8, 3, padding=1), (1, 4, 9, 9), Kind.STANDARD,
        9 * 9 * 8 * 4 * 9, 8 * 4 * 9 + 8, id="an offset is a parameter, but adding it is no multiply-add",
    ),
    pytest.param(
        nn.ConvTranspose2d(4, 8, 2, stride=2, bias=False), (1, 4, 5, 5), Kind.STANDARD,
        5 * 5 * 4 * 8 * 4, 4 * 8 * 4, id="transposed",
    ),
    pytest.param(
        nn.Conv1d(4, 8, 5, padding=2, bias=False), (1, 4, 20), Kind.STANDARD,
        20 * 8 * 4 * 5, 8 * 4 * 5, id="one dimension",
    ),
    pytest.param(nn.Linear(20, 7), (1, 20), Kind.LINEAR, 20 * 7, 20 * 7 + 7, id="linear"),
    pytest.param(nn.Linear(20, 7, bias=False), (1, 20), Kind.LINEAR, 20 * 7, 20 * 7, id="linear without offset"),
    pytest.param(nn.Linear(20, 7), (1, 5, 20), Kind.LINEAR, 5 * 20 * 7, 20 * 7 + 7, id="linear over five tokens"),
    pytest.param(
        nn.Conv2d(4, 8, 1, bias=False), (2, 4, 3, 3), Kind.POINTWISE, 2 * 3 * 3 * 8 * 4, 8 * 4, id="batch of two"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape", "kind", "madds", "params"), LAYERS)
def test_a_layer_counts_as_worked_by_hand(
    layer: nn.Module, shape: tuple[int, ...], kind: Kind, madds: int, params: int
) -> None:
    counts = count(layer, shape)
    assert (counts.madds, counts.params, counts.uncounted) == (madds, params, ())
    assert [(row.kind, row.madds, row.params) for row in counts.layers] == [(kind, madds, params)]


@pytest.mark.parametrize(
    ("layer", "shape", "padding_madds"),
    [
        # 3x3 at 7x7: each axis has 21 taps, of which the first and the last lie outside.
        (nn.Conv2d(16, 32, 3, padding=1), (1, 16, 7, 7), (21 * 21 - 19 * 19) * 16 * 32),
        (nn.Conv2d(16, 16, 3, padding=1, groups=16), (1, 16, 7, 7), (21 * 21 - 19 * 19) * 16),
        # Stride 2 at 8x8: four places, at -1, 1, 3 and 5; one tap of twelve outside.
        (nn.Conv2d(4, 8, 3, stride=2, padding=1), (2, 4, 8, 8), 2 * (12 * 12 - 11 * 11) * 4 * 8),
        # Dilated by 2, padded by 2, at 9: taps at -2 and -1, and at 9 and 10, are outside: 4 of 27.
        (nn.Conv2d(4, 8, 3, padding=2, dilation=2), (1, 4, 9, 9), (27 * 27 - 23 * 23) * 4 * 8),
        # 5x5 padded by 2 at 28: 3 taps outside at each end, of 140.
        (nn.Conv2d(4, 8, 5, padding=2), (1, 4, 28, 28), (140 * 140 - 134 * 134) * 4 * 8),
        (nn.Conv1d(4, 8, 5, padding=2), (1, 4, 20), 6 * 4 * 8),
        (nn.Conv2d(4, 8, 3), (1, 4, 9, 9), 0),
        (nn.Conv2d(4, 8, 1), (1, 4, 9, 9), 0),
        (nn.ConvTranspose2d(4, 8, 2, stride=2), (1, 4, 5, 5), 0),
        (nn.Linear(20, 7), (1, 20), 0),
    ],
)
def test_multiply_adds_with_the_padding_count_as_worked_by_hand(
    layer: nn.Module, shape: tuple[int, ...], padding_madds: int
) -> None:
    (row,) = count(layer, shape).layers
    assert row.padding_madds == padding_madds


# V1 paper, Table 3: one layer of kernel 3, 512 -> 512 channels, 14x14, and what each step saves. Millions.
@pytest.mark.parametrize(
    ("separable", "channels", "size", "madds_m", "params_m"),
    [
        (False, 512, 14, 462, 2.36),
        (True, 512, 14, 52.3, 0.27),
        (True, 384, 14, 29.6, 0.15),
        (True, 384, 10, 15.1, 0.15),
    ],
)
def test_the_separable_layer_costs_what_table_3_of_the_v1_paper_says(
    separable: bool, channels: int, size: int, madds_m: float, params_m: float
) -> None:
    convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    layer = nn.Sequential(depthwise(channels, stride=1), pointwise(channels, channels)) if separable else convolution
    counts = count(layer, (1, channels, size, size))
    weights = sum(row.params for row in counts.layers if row.kind is not Kind.OTHER)
    assert counts.madds / 1e6 == pytest.approx(madds_m, abs=0.1 if separable else 1)
    assert weights / 1e6 == pytest.approx(params_m, abs=0.005)


class Products(nn.Module):
    """Plain functions: no layer object announces these."""

    def forward(self, x: Tensor) -> Tensor:
        a = x @ x.transpose(1, 2)  # 2 x (3x5 . 5x3)
        b = torch.einsum("bij,bkj->bik", x, x)  # the same
        return torch.softmax(a + b, dim=-1).matmul(x)  # 2 x (3x3 . 3x5)


def test_products_of_plain_functions_are_counted() -> None:
    counts = count(Products(), (2, 3, 5))
    assert counts.madds == 2 * 3 * 3 * 5 + 2 * 3 * 3 * 5 + 2 * 3 * 5 * 3
    assert counts.uncounted == ()
    assert {row.kind for row in counts.layers} == {Kind.OTHER}


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


def test_attention_counts_as_its_two_products() -> None:
    counts = count(Attention(), (1, 2, 6, 4))
    assert counts.madds == 2 * (6 * 6 * 4) * 2
    assert counts.uncounted == ()


class Fourier(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(torch.fft.rfft(x).abs()).abs().sort().values


def test_an_operator_that_cannot_be_counted_is_named_once() -> None:
    assert count(Fourier(), (1, 8)).uncounted == ("aten::_fft_r2c", "aten::sort")


def test_normalisation_activation_pooling_and_sums_are_free_by_convention() -> None:
    free = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU6(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.ZeroPad2d(1), nn.Flatten())
    counts = count(free, (1, 4, 8, 8))
    assert (counts.madds, counts.uncounted) == (0, ())


def test_running_statistics_are_no_parameters() -> None:
    assert count(nn.BatchNorm2d(4), (1, 4, 8, 8)).params == 8  # gamma and beta


def test_a_row_tells_where_it_is_and_what_it_reads_and_writes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    convolution, norm = count(network, (1, 3, 10, 10)).layers
    assert (convolution.name, convolution.output_shape) == ("0", (1, 8, 5, 5))
    assert (convolution.input_elements, convolution.output_elements) == (3 * 10 * 10, 8 * 5 * 5)
    assert (norm.name, norm.kind, norm.params, norm.madds) == ("1", Kind.OTHER, 16, 0)
    assert (norm.input_elements, norm.output_shape) == (8 * 5 * 5, (1, 8, 5, 5))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6, bias=False)
        self.idle = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(self.layer(x))
        return out


def test_a_layer_that_runs_twice_costs_twice_but_its_parameters_count_once_and_idle_ones_are_listed() -> None:
    counts = count(Twice(), (1, 6))
    assert (counts.madds, counts.params) == (2 * 36, 36 + 35)
    rows = [(row.name, row.params, row.madds) for row in counts.layers]
    assert rows == [("layer", 36, 36), ("layer", 0, 36), ("idle", 35, 0)]


def test_rows_add_up_to_the_totals_and_to_the_sums_by_kind() -> None:
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    counts = count(attention, (1, 5, 8))
    assert sum(row.params for row in counts.layers) == counts.params == sum(p.numel() for p in attention.parameters())
    assert sum(row.madds for row in counts.layers) == counts.madds
    by_kind = counts.by_kind().values()
    assert (sum(params for params, _ in by_kind), sum(madds for _, madds in by_kind)) == (counts.params, counts.madds)


def test_counting_leaves_the_module_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = copy.deepcopy(module.state_dict())
    count(module, (1, 3, 8, 8))
    assert module.training
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert {parameter.device.type for parameter in module.parameters()} == {"cpu"}
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_module_in_training_is_counted_as_in_use() -> None:
    norm = nn.BatchNorm2d(4).train()  # in training it refuses a single value per channel
    assert count(norm, (1, 4, 1, 1)).uncounted == ()


def test_an_input_the_module_cannot_take_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Conv2d cannot be counted for an input of \(1, 4, 8, 8\)"):
        count(nn.Conv2d(3, 4, 3), (1, 4, 8, 8))
