"""What a change costs, proved: another package adds a source, a format, a backend and a report, and edits nothing here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mnbench import store
from tests.integration.command import mnbench

TOY = Path(__file__).parent / "toy"


def multiplied(path: Path) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy")
    factor = numpy_helper.from_array(np.array([3.0], np.float32), "f")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "f"], ["y"])], "g", [x], [y], initializer=[factor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_package_adds_a_source_a_format_a_backend_and_a_report_by_entry_points(tmp_path):
    file = multiplied(tmp_path / "triple.onnx")
    done = mnbench(
        "compare", "--models", "toy:2.5", file, "--backends", "toyrt", "ort", "--budget", "3", "--regimes", "steady",
        "--quiet", "--out", tmp_path / "out", "--cache", tmp_path / "cache", folders=(TOY,),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # onnxruntime cannot run the toy, and says so; the other three cases are measured
    directory = Path(done.stdout.strip())
    run = store.load(directory)
    (failure,) = run.failures
    assert failure.case.id == "toy_2.5-ort-fp32-b1-t1"
    assert "given as toy-description, which cannot be converted to ONNX" in failure.reason
    measured = {samples.case.id for samples in run.samples if samples.rounds}
    assert {"toy_2.5-toyrt-fp32-b1-t1", "triple-toyrt-fp32-b1-t1", "triple-ort-fp32-b1-t1"} <= measured
    assert run.environment.packages["mnbench-toy"] == "1.5"
    assert all(samples.max_rel_error == 0 for samples in run.samples if samples.case.backend == "toyrt")
    assert "triple-toyrt-fp32-b1-t1" in (directory / "toy.txt").read_text()


def test_what_a_source_of_another_package_refuses_is_told(tmp_path):
    done = mnbench("compare", "--models", "toy:many", "--backends", "toyrt", folders=(TOY,), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "mnbench: toy:many is no number.\n")
    listed = mnbench("compare", "--models", "toi:2", "--backends", "toyrt", folders=(TOY,), cwd=tmp_path)
    assert listed.returncode == 2
