"""What is counted in an exported file is what is counted in the module it was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from torch import nn

from mnbench import catalog, zoo
from mnbench.commands.compare import OPSET
from mnbench.export import ensure_all
from mnbench.graph import ir_facts, ir_file, onnx_facts, onnx_file
from mnbench.graph.costs import GraphFacts
from mnbench.records import Artifact, ExportSpec, Format, LayerCost
from tests.builders import a_spec

# One of each family, at its smallest; widths and resolutions change no operator.
NETWORKS = ("mobilenet_v1_0.25_128", "mobilenet_v2_0.35_96", "shufflenet_v1_g3_1.5_224", "nasnet_a_mobile_224")
FUSED_PADDING = {"nasnet_a_mobile_224": 15}
"""Depthwise convolutions before which the module pads. The exporter makes that padding their own: they read the smaller map."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def artifacts(cache: Path) -> dict[tuple[str, Format], Artifact]:
    wanted = [(spec_of(name), kind) for name in NETWORKS for kind in (Format.ONNX, Format.OPENVINO_IR)]
    return {(spec.model, kind): artifact for (spec, kind), artifact in ensure_all(wanted, cache).items()}


def spec_of(name: str) -> ExportSpec:
    return a_spec(name, opset=OPSET)


def without_params(layers: tuple[LayerCost, ...]) -> list[LayerCost]:
    return sorted((replace(layer, params=0) for layer in layers), key=lambda layer: layer.name)


def folded_channels(name: str, path: Path) -> int:
    """Return the channels of all batch normalisations of the module that are no operator of the exported file any more."""
    card = catalog.card(name)
    counts = zoo.count(zoo.outline(card), (1, *card.input_chw))
    in_module = sum(layer.params for layer in counts.layers if not layer.madds) // 2  # gamma and beta
    graph = onnx.load(path).graph
    sizes = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    return in_module - sum(sizes[node.input[1]] for node in graph.node if node.op_type == "BatchNormalization")


def shared_values(path: Path) -> int:
    """Return how many gammas and betas the file saves, because several normalisations with equal ones share a tensor."""
    graph = onnx.load(path).graph
    sizes = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    read = [name for node in graph.node if node.op_type == "BatchNormalization" for name in node.input[1:3]]
    return sum(sizes[name] for name in read) - sum(sizes[name] for name in set(read))


def dropped_offsets(name: str) -> int:
    """Return the elements of the module's offsets that are all zero, as those of fresh weights are: the exporter drops them."""
    parameters = zoo.build(catalog.card(name), seed=spec_of(name).seed).named_parameters()
    modules = dict(zoo.outline(catalog.card(name)).named_modules())
    return sum(
        value.numel()
        for key, value in parameters
        if key.endswith(".bias") and isinstance(modules[key.removesuffix(".bias")], nn.Linear) and not value.any()
    )


def require_same_layers(name: str, found: GraphFacts, artifact: Artifact) -> None:
    """Layers equal the module's, but for the map that a convolution reads which took over the padding before it."""
    pairs = list(zip(without_params(found.layers), without_params(artifact.facts.layers), strict=True))
    others = [(layer, module) for layer, module in pairs if layer != module]
    assert len(others) == FUSED_PADDING.get(name, 0)
    for layer, module in others:
        assert layer.input_elements < module.input_elements
        assert layer.padding_madds > module.padding_madds
        same = {"input_elements": 0, "padding_madds": 0}
        assert replace(layer, **same) == replace(module, **same)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_onnx_file_counts_like_its_module(name: str, artifacts: dict[tuple[str, Format], Artifact], cache: Path) -> None:
    artifact = artifacts[name, Format.ONNX]
    path = cache / artifact.path
    graph = onnx_file.read(path)
    found = onnx_facts.facts(graph)
    assert (found.madds, found.uncounted, found.notes) == (artifact.facts.madds, artifact.facts.uncounted, ())
    require_same_layers(name, found, artifact)
    # Folding turns gamma and beta of each channel into one offset. Fresh weights have offsets of 0 and equal gammas.
    saved = folded_channels(name, path) + dropped_offsets(name) + shared_values(path)
    assert found.params == artifact.facts.params - saved
    assert found.params == sum(weight.elements for weight in graph.weights if weight.parameter)
    assert found.denormal_weights == artifact.facts.denormal_weights == 0
    assert graph.sha256 == artifact.sha256[artifact.path]
    assert (graph.random_operators, graph.data_dependent) == ({}, {})


@pytest.mark.parametrize("name", NETWORKS)
def test_an_ir_counts_like_the_onnx_file_it_was_made_from(
    name: str, artifacts: dict[tuple[str, Format], Artifact], cache: Path
) -> None:
    artifact = artifacts[name, Format.OPENVINO_IR]
    graph = ir_file.read(cache / artifact.path)
    found = ir_facts.facts(graph)
    before = onnx_facts.facts(onnx_file.read(cache / artifacts[name, Format.ONNX].path))
    assert (found.madds, found.params, found.uncounted) == (before.madds, before.params, ())
    assert without_params(found.layers) == without_params(before.layers)
    assert found.inputs == before.inputs
    assert found.outputs == before.outputs
    assert (graph.random_operators, graph.data_dependent) == ({}, {})
