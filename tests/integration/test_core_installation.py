"""The core alone, installed into an empty environment from the wheel of this tree: it measures an ONNX file and makes reports.

Takes packages from the index, as the test command itself does; `-m "not installs"` leaves it out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.integration.command import ROOT

pytestmark = pytest.mark.installs

MOST_BYTES = 350_000_000
OF_THE_ENVIRONMENT = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
"""What an empty environment has already."""
EXTRAS = ("torch", "onnxscript", "openvino", "pytorchcv", "timm", "torchvision", "scipy", "pandas")
Mnbench = Callable[..., "subprocess.CompletedProcess[str]"]


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a virtual environment that has the core and nothing else."""
    folder = tmp_path_factory.mktemp("core")
    python = folder / "venv" / "bin" / "python"
    constraints = ("-c", ROOT / "constraints.txt")
    for command in (
        (sys.executable, "-m", "venv", folder / "venv"),
        (python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT),
    ):
        done = run(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    done = run(python, "-m", "pip", "install", "--quiet", *constraints, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "venv"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a convolution, x.onnx, and with files of other kinds that are never opened."""
    folder = tmp_path_factory.mktemp("work")
    weights = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "one convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 30, 30])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), folder / "x.onnx")
    for name in ("a.pt2", "made.py", "a.xml"):
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def mnbench(core: Path, work: Path) -> Mnbench:
    return lambda *arguments: run(core / "bin" / "mnbench", *arguments, cwd=work)


@pytest.fixture(scope="module")
def measured(mnbench: Mnbench) -> subprocess.CompletedProcess[str]:
    return mnbench("compare", "--models", "x.onnx", "--backends", "ort", "--budget", "5", "--json")


def test_the_core_takes_at_most_350_mb_with_all_it_pulls(core: Path) -> None:
    (packages,) = core.glob("lib/python*/site-packages")
    files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
    assert (
        sum(file.stat().st_size for file in files if file.relative_to(packages).parts[0] not in OF_THE_ENVIRONMENT)
        <= MOST_BYTES
    )


def test_what_belongs_to_an_extra_is_not_importable_in_the_core(core: Path, work: Path) -> None:
    code = "import importlib.util, sys; print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    assert run(core / "bin" / "python", "-c", code, *EXTRAS, cwd=work).stdout.strip() == ""


def test_the_core_measures_an_onnx_file(measured: subprocess.CompletedProcess[str]) -> None:
    assert measured.returncode == 0, measured.stderr
    assert measured.stderr == ""
    row = next(row for row in json.loads(measured.stdout)["summary"] if row["backend"] == "ort")
    assert row["model"] == "x"
    assert row["latency_ms"] > 0
    assert row["madds"] == 8 * 30 * 30 * 3 * 9


def test_the_core_makes_every_report_again(measured: subprocess.CompletedProcess[str], mnbench: Mnbench, work: Path) -> None:
    name = json.loads(measured.stdout)["run_id"]
    folder = work / "results" / name
    made = ("summary.csv", "comparison.csv", "report.html")
    for file in made:
        (folder / file).unlink()
    assert mnbench("report", name, "--quiet").returncode == 0
    assert all((folder / file).stat().st_size for file in made)
    assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")


def test_of_the_default_backends_the_core_measures_the_one_it_has_and_says_so_in_one_line(mnbench: Mnbench) -> None:
    done = mnbench("compare", "--models", "x.onnx", "--budget", "5", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "mnbench: backend 'openvino' needs the package openvino: pip install 'mnbench[openvino]'. Measuring with ort.\n"
    )
    assert {row["backend"] for row in json.loads(done.stdout)["summary"]} == {"ort", "null"}


@pytest.mark.parametrize(
    "arguments", [("list", "models"), ("list", "backends"), ("list", "runs"), ("study", "--list"), ("doctor",), ("--help",)]
)
def test_what_measures_nothing_works_in_the_core(mnbench: Mnbench, arguments: tuple[str, ...]) -> None:
    done = mnbench(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_plan_of_another_host_that_needs_an_extra_is_refused(mnbench: Mnbench, work: Path) -> None:
    plan = mnbench("plan", "--models", "x.onnx", "--backends", "ort", "--budget", "5")
    assert (plan.returncode, plan.stderr) == (0, "")
    other = plan.stdout.replace('"backend": "ort"', '"backend": "openvino"')
    assert other != plan.stdout
    (work / "plan.json").write_text(other, encoding="utf-8")
    done = mnbench("measure", "plan.json")
    sentence = "backend 'openvino' needs the package openvino: pip install 'mnbench[openvino]'."
    assert (done.returncode, done.stderr) == (2, f"mnbench: {sentence}\n")


CATALOG = "networks of the catalog need the package torch: pip install 'mnbench[all]', or give --models PATH.onnx."
FUNCTION = "a function that returns a torch module needs the package torch: pip install 'mnbench[torch]'."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("compare",), CATALOG),
        (("compare", "--suite", "v1-grid"), CATALOG),
        (("compare", "--models", "mobilenet_v2_1.0_224"), CATALOG),
        (
            ("compare", "--models", "timm:resnet18"),
            "models of timm need the packages torch and timm: pip install 'mnbench[zoo]'.",
        ),
        (
            ("compare", "--models", "torchvision:resnet18"),
            "models of torchvision need the packages torch and torchvision: pip install 'mnbench[zoo]'.",
        ),
        (("compare", "--models", "a.pt2"), "a .pt2 file needs the package torch: pip install 'mnbench[torch]'."),
        (("compare", "--models", "made.py:make"), FUNCTION),
        (("compare", "--models", "package.module:make"), FUNCTION),
        (
            ("compare", "--models", "a.xml"),
            "an OpenVINO IR (.xml) needs the package openvino: pip install 'mnbench[openvino]'.",
        ),
        (
            ("compare", "--models", "x.onnx", "--backends", "ort", "openvino"),
            "backend 'openvino' needs the package openvino: pip install 'mnbench[openvino]'.",
        ),
        (
            ("compare", "--models", "x.onnx", "--backends", "torch"),
            "backend 'torch' needs the package torch: pip install 'mnbench[torch]'.",
        ),
        (("selftest", "--quick"), CATALOG),
        (
            ("study", "separable", "--quick"),
            "studies time networks and operators of the catalog, which need the package torch: pip install 'mnbench[all]'.",
        ),
    ],
)
def test_what_the_core_lacks_is_named_with_its_extra(mnbench: Mnbench, arguments: tuple[str, ...], sentence: str) -> None:
    done = mnbench(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"mnbench: {sentence}\n")
