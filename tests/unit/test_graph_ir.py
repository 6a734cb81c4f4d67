"""What is read from an OpenVINO IR without OpenVINO, and which files are refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from mnbench.errors import ModelFileError
from mnbench.graph import ir_facts, ir_file
from mnbench.graph.costs import GraphFacts
from mnbench.graph.tensors import Port


def saved(folder: Path, outputs: Any, inputs: Any, *, compress: bool = False) -> Path:
    path = folder / "a model.xml"
    ov.save_model(ov.Model(outputs, inputs), path, compress_to_fp16=compress)
    return path


def image(*shape: int, name: str = "x", dtype: Any = np.float32) -> Any:
    parameter = ops.parameter(list(shape), dtype, name=name)
    parameter.output(0).get_tensor().set_names({name})
    return parameter


def constant(values: Any, name: str) -> Any:
    made = ops.constant(values)
    made.set_friendly_name(name)
    return made


def a_network(folder: Path, *, compress: bool = False) -> Path:
    """Write a convolution, a depthwise one, a transposed one and a product."""
    x = image(1, 3, 8, 8)
    h = ops.convolution(x, constant(np.ones((4, 3, 3, 3), np.float32), "a.weight"), [2, 2], [1, 1], [1, 1], [1, 1])
    h = ops.relu(ops.add(h, ops.constant(np.ones((1, 4, 1, 1), np.float32))))
    h = ops.group_convolution(h, constant(np.ones((4, 1, 1, 3, 3), np.float32), "b.weight"), [1, 1], [0, 0], [0, 0], [1, 1])
    h = ops.convolution_backprop_data(h, constant(np.ones((4, 5, 2, 2), np.float32), "c.weight"), [2, 2])
    h = ops.reshape(h, ops.constant(np.array([1, -1])), False)
    h = ops.matmul(h, constant(np.ones((10, 80), np.float32), "d.weight"), False, True)
    h.output(0).get_tensor().set_names({"scores"})
    return saved(folder, [h], [x], compress=compress)


def counted(path: Path) -> GraphFacts:
    return ir_facts.facts(ir_file.read(path))


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        ir_file.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_ports_versions_files_and_digest_are_read(tmp_path: Path) -> None:
    path = a_network(tmp_path)
    graph = ir_file.read(path)
    assert graph.inputs == (Port(name="x", dtype="float32", dims=(1, 3, 8, 8)),)
    assert graph.outputs == (Port(name="scores", dtype="float32", dims=(1, 10)),)
    assert graph.files == (path, tmp_path / "a model.bin")
    assert graph.sha256 == hashlib.sha256(path.read_bytes() + (tmp_path / "a model.bin").read_bytes()).hexdigest()
    assert graph.ir_version == 11
    assert graph.producer.startswith(ov.get_version().split("-")[0])
    assert graph.operators["opset1"]["GroupConvolution"] == 1
    assert graph.weight_dtypes == {"float32": 108 + 4 + 36 + 80 + 800}


def test_layers_are_counted_by_the_zoos_rules(tmp_path: Path) -> None:
    found = counted(a_network(tmp_path))
    layers = [(layer.name, layer.kind, layer.params, layer.madds, layer.output_shape) for layer in found.layers]
    assert layers == [
        ("a", "standard", 108, 4 * 16 * 27, (1, 4, 4, 4)),
        ("b", "depthwise", 36, 4 * 4 * 9, (1, 4, 2, 2)),
        ("c", "standard", 80, 4 * 4 * 20, (1, 5, 4, 4)),
        ("d", "linear", 800, 800, (1, 10)),
    ]
    assert found.layers[0].padding_madds == 4 * 3 * (12**2 - 11**2)
    assert found.params == 1028
    assert found.uncounted == ()


def test_weights_compressed_to_half_precision_are_found_behind_their_conversion(tmp_path: Path) -> None:
    path = a_network(tmp_path, compress=True)
    assert ir_file.read(path).weight_dtypes == {"float16": 1028}
    assert [layer.params for layer in counted(path).layers] == [108, 36, 80, 800]


def test_scales_and_zero_points_of_compressed_weights_are_no_parameters(tmp_path: Path) -> None:
    x = image(2, 16)
    weight = ops.convert(constant(np.ones((10, 16), np.int8), "weight"), np.float32)
    zero = ops.convert(constant(np.ones((10, 1), np.int8), "zero"), np.float32)
    weight = ops.multiply(ops.subtract(weight, zero), ops.constant(np.ones((10, 1), np.float32)))
    path = saved(tmp_path, [ops.matmul(x, weight, False, True)], [x])
    assert ir_file.read(path).weight_dtypes == {"int8": 160}
    (layer,) = counted(path).layers
    assert (layer.kind, layer.params, layer.madds) == ("linear", 160, 320)


def test_ranges_of_fake_quantisation_are_no_parameters(tmp_path: Path) -> None:
    x = image(1, 3, 4, 4)
    bounds = [ops.constant(np.ones((1, 3, 1, 1), np.float32) * value) for value in (0, 1, 2, 3)]
    assert counted(saved(tmp_path, [ops.fake_quantize(x, *bounds, 256)], [x])).params == 0


def test_open_sizes_make_a_layer_uncounted(tmp_path: Path) -> None:
    x = image(-1, 16)
    path = saved(tmp_path, [ops.matmul(x, ops.constant(np.ones((16, 4), np.float32)), False, False)], [x])
    assert ir_file.read(path).inputs[0].dims == (None, 16)
    assert counted(path).uncounted == ("MatMul of unknown size",)
    assert counted(path).params == 64


def test_random_and_data_dependent_layers_are_listed(tmp_path: Path) -> None:
    x = image(4, 4)
    shape = ops.constant(np.array([4, 4]))
    low, high = (ops.constant(np.array(value, np.float32)) for value in (0, 1))
    noisy = ops.add(x, ops.random_uniform(shape, low, high, "f32"))
    graph = ir_file.read(saved(tmp_path, [ops.non_zero(noisy)], [x]))
    assert graph.random_operators == {"RandomUniform": 1}
    assert graph.data_dependent == {"NonZero": 1}


def test_what_may_multiply_and_is_not_counted_is_listed(tmp_path: Path) -> None:
    x = image(4, 4)
    assert counted(saved(tmp_path, [ops.einsum([x, x], "ij,jk->ik")], [x])).uncounted == ("Einsum",)


def test_a_branch_with_a_product_inside_is_listed(tmp_path: Path) -> None:
    x, condition = image(2, 4), image(name="c", dtype=np.bool_)
    bodies = []
    for columns in (3, 3):
        inner = image(2, 4, name="inner")
        product = ops.matmul(inner, ops.constant(np.ones((4, columns), np.float32)), False, False)
        bodies.append((ov.Model([product], [inner]), inner, product))
    choice = ops.if_op(condition)
    results = [body.get_results()[0] for body, _, _ in bodies]
    choice.set_then_body(bodies[0][0])
    choice.set_else_body(bodies[1][0])
    choice.set_input(x.output(0), bodies[0][1], bodies[1][1])
    choice.set_output(*results)
    path = saved(tmp_path, [choice.output(0)], [x, condition])
    graph = ir_file.read(path)
    assert graph.data_dependent == {"If": 1}
    assert graph.operators["opset1"]["MatMul"] == 2
    found = counted(path)
    assert (found.uncounted, found.madds, found.params) == (("If",), 0, 24)


def test_denormal_weights_are_counted_in_the_bin_file(tmp_path: Path) -> None:
    x = image(2, 4)
    values = np.array([[1e-40], [-1e-42], [1], [0]], np.float32)
    found = counted(saved(tmp_path, [ops.matmul(x, ops.constant(values), False, False)], [x]))
    assert (found.denormal_weights, found.float_weights) == (2, 4)


def test_missing_and_short_weights_are_named(tmp_path: Path) -> None:
    path = a_network(tmp_path)
    data = tmp_path / "a model.bin"
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    assert "ends at byte" in refusal(path)
    assert "'a model.bin' have" in refusal(path).replace(f"{tmp_path}/", "")
    data.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in refusal(path) or "ends at byte" in refusal(path)
    data.unlink()
    assert f"in {str(data)!r} does not exist" in refusal(path)


BOMB = """<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><net version="11">&b;</net>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/passwd">]><net version="11">&a;</net>"""
LAYER = """<net version="11"><layers><layer id="0" type="Const" name="c">{}</layer></layers></net>"""
CONTENTS = [
    (BOMB, "declares a document type"),
    (OUTSIDE, "declares a document type"),
    ("", "is empty"),
    ("version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
    ("<!DOCTYPE html><html>", "is an HTML page"),
    ("<html><body>", "is an HTML page"),
    ("<svg></svg>", "is XML, but no OpenVINO IR"),
    ('<net version="11"><layers><layer id="0"/></layers></net>', "is a damaged OpenVINO IR"),
    ('<net version="11"><layers>', "is no complete XML file"),
    ("\x08\x08 not XML", "is no complete XML file"),
    (LAYER.format('<data element_type="f32" shape="2"/>'), "has no place in the .bin"),
    (LAYER.format('<data element_type="f32" shape="2" offset="0" size="-8"/>'), "has no place in the .bin"),
    (LAYER.format('<data element_type="f32" shape="2" offset="0" size="4"/>'), "needs 8 bytes and has 4"),
]


@pytest.mark.parametrize(("content", "expected"), CONTENTS)
def test_what_is_no_ir_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "model.xml"
    path.write_text(content)
    (tmp_path / "model.bin").write_bytes(bytes(16))
    assert expected in refusal(path)


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    path = a_network(tmp_path)
    for each in (tmp_path / "a model.bin", path):
        each.unlink()
        os.mkfifo(each)
        if each != path:
            assert "is a FIFO" in refusal(path)
    assert "is a FIFO" in refusal(path)


def test_an_ir_cut_in_half_is_refused(tmp_path: Path) -> None:
    path = a_network(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "is no complete XML file" in refusal(path)
