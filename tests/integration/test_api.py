"""The Python API and plans as files: what is measured from a script is what the command line measures."""

from __future__ import annotations

import json
import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

import mnbench
from mnbench.errors import UsageError
from tests.integration.command import environment


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file with an open batch."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 8, 8]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    path = tmp_path_factory.mktemp("files") / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


SCRIPT = """
import sys, json
import torch, mnbench
module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).train()
run = mnbench.compare(
    models=[sys.argv[1], ("mine", module, torch.randn(1, 3, 8, 8))], backends=["ort"], batch=1, budget_s=3,
    regimes=["steady"], out=sys.argv[2], cache=sys.argv[3], progress=False,
)
summary = run.summary()
print(json.dumps([sorted(summary["model"]), list(run.comparisons().columns), str(run.directory), module.training]))
"""


def test_a_script_without_a_main_guard_measures_files_and_modules_in_hand(small, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(small), str(tmp_path / "out"), str(tmp_path / "cache")],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    models, columns, directory, training = json.loads(done.stdout.splitlines()[-1])
    assert models == ["mine", "small"]
    assert {"ratio", "ratio_low", "ratio_high", "verdict"} <= set(columns)
    assert training  # the user's module is as it was
    run = mnbench.load(directory)
    assert run.to_dict()["summary"][0]["model"] == "small"
    page = run.report(tmp_path / "pages")
    assert page.is_file()
    assert (tmp_path / "pages" / "summary.csv").is_file()
    assert run.record.plan.models[1].source.scheme == "pt2"


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no model: give a name, a path, or"):
        mnbench.compare(models=[("mine", 3, 4)], cache=tmp_path)


def test_a_plan_is_a_file_that_another_process_carries_out(small, tmp_path):
    def run(*arguments, **kwargs):
        return subprocess.run([sys.executable, "-m", "mnbench", *arguments], capture_output=True, env=environment(),
                              cwd=tmp_path, check=False, **kwargs)  # fmt: skip

    printed = run(
        "plan", "--models", str(small), "--backends", "ort", "--budget", "2", "--regimes", "steady", "--batch", "1", "2"
    )
    assert printed.returncode == 0, printed.stderr
    assert not (tmp_path / "results").exists()
    plan = json.loads(printed.stdout)["plan"]
    assert [case["batch"] for case in plan["cases"]] == [1, 2, 1]
    done = run("measure", "-", "--quiet", input=printed.stdout)
    assert done.returncode == 0, done.stderr
    kept = mnbench.load(tmp_path / done.stdout.decode().strip()).record.plan
    assert [case.id for case in kept.cases][:2] == ["small-ort-fp32-b1-t1", "small-ort-fp32-b2-t1"]
    assert run("measure", "-", input=b"{}").returncode == 2
