"""The writer of chains against torch: every kind of operator, in every format that a runtime opens."""

import numpy as np
import onnx
import pytest

from mnbench import catalog
from mnbench.commands.compare import OPSET
from mnbench.export import ensure_all
from mnbench.records import Format
from tests.builders import a_spec
from tests.unit.test_zoo_chains import CHAINS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All chains as ONNX and OpenVINO IR. `ensure` compares each file's outputs with torch's, and refuses more than 1e-3."""
    cache = tmp_path_factory.mktemp("models")
    specs = [a_spec(name, batch=2, opset=OPSET) for name in CHAINS]
    wanted = [(spec, kind) for spec in specs for kind in (Format.ONNX, Format.OPENVINO_IR)]
    return cache, {(spec.model, kind): artifact for (spec, kind), artifact in ensure_all(wanted, cache).items()}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_computes_in_both_formats_what_torch_computes(made, name):
    cache, artifacts = made
    for kind in (Format.ONNX, Format.OPENVINO_IR):
        assert artifacts[name, kind].max_rel_error < 1e-4
    with np.load(cache / artifacts[name, Format.ONNX].feed_path) as feed:
        assert feed["input_0"].shape == (2, *catalog.card(name).input_chw)
        assert feed["output_0"].std() > 0  # outputs that are all alike would prove nothing


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_has_a_convolution_a_copy_with_weights_of_its_own_and_no_normalisation(made, name):
    cache, artifacts = made
    graph = onnx.load(cache / artifacts[name, Format.ONNX].path).graph
    kinds = [node.op_type for node in graph.node]
    copies = int(name.rpartition("_x")[2])
    layers = kinds.count("Conv") + kinds.count("Gemm")
    assert layers % copies == 0
    assert layers >= copies
    assert "BatchNormalization" not in kinds
    weights = [bytes(w.raw_data) for w in graph.initializer if w.name.endswith(".weight")]
    assert len(set(weights)) == layers
