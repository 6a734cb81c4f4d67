"""Loading: from their own weights, the same outputs as torchvision's and timm's networks, the oracle from outside."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import nn

from mnbench.errors import UsageError
from mnbench.zoo import load_weights
from mnbench.zoo.mobilenet_v1 import mobilenet_v1
from mnbench.zoo.mobilenet_v2 import mobilenet_v2
from mnbench.zoo.weights import TIMM_V1, TORCHVISION_V2

KEPT: list[torch.library.Library] = []  # a library's operators vanish with it


def import_with_torchvision(name: str) -> ModuleType:
    """Import torchvision, or a package that needs it, even where torchvision's own operators are not built.

    Its Python part registers shapes for two operators of its C++ part, which is not built for every torch. Naming them
    is enough: no network here calls them.
    """
    pytest.importorskip("PIL")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        pytest.skip(f"{name} is not installed")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        KEPT.append(library)
        return importlib.import_module(name)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine, OpenMP threads that spin for each other made such tests 20 times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def randomise(module: nn.Module) -> None:
    """Draw every parameter and statistic, so that a swapped pair of equal shape shows."""
    generator = torch.Generator().manual_seed(5)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            layer.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5, generator=generator)
            layer.bias.data.normal_(0, 0.5, generator=generator)
            layer.running_mean.normal_(0, 0.3, generator=generator)
            layer.running_var.uniform_(0.2, 1.5, generator=generator)


def assert_same_outputs(ours: nn.Module, theirs: nn.Module) -> None:
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        expected = theirs(images)
        assert expected.std() > 1e-2  # a network that answers nothing would prove nothing
        torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("width", [1.0, 0.35, 1.4])
def test_torchvisions_weights_give_torchvisions_outputs(width: float) -> None:
    torchvision = import_with_torchvision("torchvision")
    theirs = torchvision.models.mobilenet_v2(weights=None, width_mult=width).eval()
    randomise(theirs)
    ours = mobilenet_v2(width).eval()
    load_weights(ours, theirs.state_dict())
    assert_same_outputs(ours, theirs)


@pytest.mark.parametrize(
    ("name", "network", "width"),
    [
        ("mobilenetv1_100", mobilenet_v1, 1.0),
        ("mobilenetv1_125", mobilenet_v1, 1.25),
        ("mobilenetv2_050", mobilenet_v2, 0.5),
        ("mobilenetv2_100", mobilenet_v2, 1.0),
        ("mobilenetv2_140", mobilenet_v2, 1.4),
    ],
)
def test_timms_weights_give_timms_outputs(name: str, network: type[nn.Module], width: float) -> None:
    timm = import_with_torchvision("timm")
    theirs = timm.create_model(name, pretrained=False).eval()
    randomise(theirs)
    ours = network(width).eval()
    load_weights(ours, theirs.state_dict())
    assert_same_outputs(ours, theirs)


def test_every_translated_key_is_reached_by_name_and_not_by_order() -> None:
    ours, other = mobilenet_v1(0.25), mobilenet_v1(0.25)
    shuffled = dict(reversed(other.state_dict().items()))
    load_weights(ours, shuffled)
    assert all(torch.equal(value, ours.state_dict()[key]) for key, value in shuffled.items())


@pytest.mark.parametrize(
    ("scheme", "theirs", "ours"),
    [
        (TIMM_V1, "blocks.3.5.conv_pw.weight", "features.11.pointwise.conv.weight"),
        (TIMM_V1, "blocks.4.0.bn1.running_var", "features.12.depthwise.bn.running_var"),
        (TORCHVISION_V2, "features.1.conv.1.weight", "features.1.project.conv.weight"),
        (TORCHVISION_V2, "features.2.conv.1.0.weight", "features.2.depthwise.conv.weight"),
        (TORCHVISION_V2, "features.18.1.bias", "features.18.bn.bias"),
        (TORCHVISION_V2, "features.2.conv.9.weight", None),
    ],
)
def test_a_key_is_translated_by_the_table(scheme: object, theirs: str, ours: str | None) -> None:
    assert scheme.translate(theirs) == ours  # type: ignore[attr-defined]


def test_the_counters_of_normalisation_may_be_absent() -> None:
    state = {k: v for k, v in mobilenet_v2(0.35).state_dict().items() if not k.endswith("num_batches_tracked")}
    load_weights(mobilenet_v2(0.35), state)


def test_weights_that_lack_a_key_are_refused_by_its_name_and_change_nothing() -> None:
    ours = mobilenet_v2(0.35)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    state = mobilenet_v2(0.35).state_dict()
    del state["features.3.project.conv.weight"]
    with pytest.raises(UsageError, match=r"missing: features\.3\.project\.conv\.weight\."):
        load_weights(ours, state)
    assert all(torch.equal(before[key], value) for key, value in ours.state_dict().items())


def test_weights_with_a_foreign_key_are_refused_by_its_name() -> None:
    state = {**mobilenet_v2(0.35).state_dict(), "head.weight": torch.zeros(1)}
    with pytest.raises(UsageError, match=r"unknown: head\.weight"):
        load_weights(mobilenet_v2(0.35), state)


def test_weights_of_a_wrong_shape_are_refused_with_both_shapes() -> None:
    state = {**mobilenet_v2(0.35).state_dict(), "classifier.bias": torch.zeros(10)}
    with pytest.raises(UsageError, match=r"wrong shape: classifier\.bias is \(10,\) instead of \(1000,\)"):
        load_weights(mobilenet_v2(0.35), state)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(UsageError, match="do not fit MobileNetV1"):
        load_weights(mobilenet_v1(0.25), mobilenet_v2(0.35).state_dict())


def test_a_network_without_a_scheme_takes_its_own_keys() -> None:
    plain = nn.Linear(2, 3)
    load_weights(plain, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)})
    assert plain.weight.sum() == 6
