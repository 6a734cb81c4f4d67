"""`mnbench inspect`: what a model is and what each runtime will do with it, without timing anything."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from mnbench.commands import inspecting
from mnbench.commands.inspecting import child
from mnbench.commands.inspecting.child import Request, ask
from mnbench.errors import UsageError
from mnbench.records.inspection import Does, Inspection
from mnbench.report import inspection
from mnbench.sources.feeds import Array
from tests.integration.command import mnbench

MODULES = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))

def broken():
    raise ValueError("no weights here")

def aborts():
    import os
    os.abort()
"""


def weights(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def a_file(path: Path, dims: list[int | str], *, domain: str = "", operator: str = "Relu", **changes: Any) -> Path:
    """A 3x3 convolution of 3 to 8 channels, then one more operator."""
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node(operator, ["c"], ["y"], domain=domain),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights(8, 3, 3, 3), "w")],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="hand", **changes)
    onnx.save(model, path)
    return path


def does(found: Inspection) -> dict[str, Does]:
    return {outlook.backend: outlook.does for outlook in found.backends if outlook.backend in ("ort", "openvino", "torch")}


def detail(found: Inspection, backend: str) -> str:
    return next(outlook.detail for outlook in found.backends if outlook.backend == backend)


def shown(found: Inspection, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width)
    inspection.render(found, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_file_says_what_goes_in_what_it_costs_and_what_each_runtime_does(tmp_path: Path) -> None:
    found = inspecting.inspect(str(a_file(tmp_path / "a b.onnx", ["N", 3, 16, 16])), {})
    assert (found.id, found.format, found.ir_version, dict(found.opsets)) == ("a_b", "ONNX", 8, {"ai.onnx": 17})
    assert found.exporter == "hand"
    assert [(spec.name, spec.dtype, spec.dims) for spec in found.inputs] == [("x", "float32", ("batch", 3, 16, 16))]
    assert [(spec.name, spec.dims) for spec in found.outputs] == [("y", (1, 8, 16, 16))]
    assert (found.params, found.madds) == (8 * 27, 8 * 27 * 256)
    assert [(kind.kind, kind.layers) for kind in found.kinds] == [("standard", 1)]
    assert dict(found.weight_dtypes) == {"float32": 216}
    assert [(file.name, file.size_bytes) for file in found.files] == [("a b.onnx", (tmp_path / "a b.onnx").stat().st_size)]
    assert does(found) == {"ort": Does.OPENS, "openvino": Does.CONVERTS, "torch": Does.CANNOT}
    assert "onnxruntime" in detail(found, "ort")
    assert detail(found, "openvino").startswith("ONNX → OpenVINO IR")
    assert not found.problem


def test_open_sizes_are_named_and_the_rest_is_still_told(tmp_path: Path) -> None:
    path = str(a_file(tmp_path / "open.onnx", ["N", 3, "H", "W"]))
    found = inspecting.inspect(path, {})
    assert "--shape x=1,3,64,64" in found.problem
    assert found.inputs[0].dims == ("N", 3, "H", "W")
    assert (found.params, found.madds) == (216, None)
    assert does(found)["ort"] is Does.OPENS
    assert "unknown while sizes are open" in shown(found)
    closed = inspecting.inspect(path, {"x": (1, 3, 8, 8)})
    assert (closed.problem, closed.madds) == ("", 216 * 64)


@pytest.mark.parametrize(("given", "words"), [({"z": (1,)}, "names the input 'z'"), ({"x": (1, 4, 8, 8)}, "the file fixes 3")])
def test_sizes_that_contradict_the_file_are_an_error(tmp_path: Path, given: dict[str, tuple[int, ...]], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        inspecting.inspect(str(a_file(tmp_path / "open.onnx", ["N", 3, "H", "W"])), given)


def test_a_fixed_batch_is_counted_for_one_image(tmp_path: Path) -> None:
    found = inspecting.inspect(str(a_file(tmp_path / "eight.onnx", [8, 3, 16, 16])), {})
    assert found.madds == 216 * 256
    assert found.kinds[0].madds == 216 * 256
    assert "batch of 8" in found.notes[0]


def test_an_operator_that_no_runtime_knows_is_the_reason_of_both(tmp_path: Path) -> None:
    found = inspecting.inspect(str(a_file(tmp_path / "own.onnx", [1, 3, 8, 8], domain="my.ops", operator="Swirl")), {})
    assert does(found) == dict.fromkeys(("ort", "openvino", "torch"), Does.CANNOT)
    assert "my.ops.Swirl" in detail(found, "ort")
    assert "my.ops.Swirl" in detail(found, "openvino")
    assert found.uncounted == ("my.ops.Swirl",)


def test_an_ir_file_is_opened_by_openvino_alone(tmp_path: Path) -> None:
    ov.save_model(ov.Core().read_model(a_file(tmp_path / "m.onnx", [1, 3, 8, 8])), tmp_path / "m.xml", compress_to_fp16=False)
    found = inspecting.inspect(str(tmp_path / "m.xml"), {})
    assert found.format == "OpenVINO IR"
    assert [file.name for file in found.files] == ["m.xml", "m.bin"]
    assert does(found) == {"ort": Does.CANNOT, "openvino": Does.OPENS, "torch": Does.CANNOT}
    assert found.madds == 216 * 64
    assert "cannot be converted to ONNX" in detail(found, "ort")


def test_a_module_is_opened_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULES)
    found = inspecting.inspect(f"{tmp_path}/mine.py:net", {"input": (1, 3, 10, 10)})
    assert found.params == 8 * 27 + 8 + 8 * 5 + 5
    assert found.madds == 8 * 27 * 64 + 40
    assert [(spec.name, spec.dims) for spec in found.inputs] == [("input", (1, 3, 10, 10))]
    assert [spec.dims for spec in found.outputs] == [(1, 5)]
    assert does(found) == {"ort": Does.CONVERTS, "openvino": Does.CONVERTS, "torch": Does.OPENS}
    unknown = inspecting.inspect(f"{tmp_path}/mine.py:net", {})
    assert "--shape input=1,3,224,224" in unknown.problem
    assert (unknown.params, unknown.madds) == (found.params, None)


@pytest.mark.parametrize(
    ("function", "words"), [("broken", "ValueError: no weights here"), ("aborts", "with SIGABRT"), ("none", "has no 'none'")]
)
def test_a_module_that_cannot_be_opened_is_an_error(tmp_path: Path, function: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(MODULES)
    with pytest.raises(UsageError, match=words):
        inspecting.inspect(f"{tmp_path}/mine.py:{function}", {})


def test_a_network_of_the_catalog_has_its_own_counts() -> None:
    found = inspecting.inspect("mobilenet_v1_0.25_128", {})
    assert {kind.kind for kind in found.kinds} == {"standard", "depthwise", "pointwise", "linear"}
    assert found.inputs[0].dims == (1, 3, 128, 128)
    assert "the model is built by code" in shown(found)


def test_a_runtime_that_hangs_is_given_up(tmp_path: Path) -> None:
    answer = ask(Request(backend="ort", path=str(a_file(tmp_path / "m.onnx", [1, 3, 8, 8]))), timeout_s=0.01)
    assert answer.failure == "opening it takes longer than 0.01 s."


def test_the_child_is_ended_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a model that hangs would outlive a killed mnbench."""
    asked: list[bool] = []
    monkeypatch.setattr(child, "die_with_parent", lambda: asked.append(True))
    read_end, write_end = os.pipe()
    monkeypatch.setattr(
        "sys.stdin", type("Stdin", (), {"buffer": type("B", (), {"read": lambda _: b'{"backend": "nonesuch"}'})()})
    )
    try:
        assert child.main([str(write_end)]) == 0
        assert b"unknown backend" in os.read(read_end, 1 << 16)
    finally:
        os.close(read_end)
        os.close(write_end)
    assert asked == [True]


@pytest.mark.parametrize("width", [24, 40, 80])
def test_nothing_is_cut_on_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    found = inspecting.inspect(str(a_file(tmp_path / "open.onnx", ["N", 3, 16, 16])), {})
    text = shown(found, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert found.source.sha256 in "".join(line.strip() for line in text.splitlines())


def test_the_command_prints_text_or_json_and_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    path = a_file(tmp_path / "m.onnx", [1, 3, 8, 8])
    done = mnbench("inspect", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "float32 [1, 3, 8, 8]" in done.stdout
    document = json.loads(mnbench("inspect", path, "--json").stdout)
    assert document["madds"] == 216 * 64
    assert {each["backend"]: each["does"] for each in document["backends"]}["ort"] == "opens"
    (tmp_path / "page.onnx").write_text("<!DOCTYPE html><html></html>")
    refused = mnbench("inspect", tmp_path / "page.onnx")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is an HTML page" in refused.stderr
    assert refused.stderr.count("\n") == 1
