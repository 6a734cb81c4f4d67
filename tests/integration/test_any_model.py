"""Models of every source in one command, and in the tests of a user's own repository."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from mnbench import store
from mnbench.records import Format
from tests import odd_models
from tests.integration.command import ROOT, SMALLEST, environment, mnbench
from tests.odd_models import saved
from tests.opened import RUNTIMES, look, outcomes

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
SHORT = ("--regimes", "steady", "--budget", "2")
CODE = """
from torch import nn, ones


def net():
    return nn.Linear(8, 4), ones(1, 8)


def broken():
    raise ValueError("no")
"""


def test_models_of_every_source_are_measured_in_one_command(tmp_path):
    import openvino as ov
    import torch

    if importlib.util.find_spec("timm") is None:
        pytest.skip("needs timm")
    path = saved(odd_models.convolution(("N", 3, 16, 16), ("N", 4, 16, 16)), tmp_path / "mine.onnx")
    ov.save_model(ov.Core().read_model(path), tmp_path / "mine.xml")
    torch.export.save(torch.export.export(torch.nn.Linear(8, 4), (torch.ones(1, 8),)), tmp_path / "saved.pt2")
    (tmp_path / "code.py").write_text(CODE)
    models = (SMALLEST, "mine.onnx", "mine.xml", "saved.pt2", "code.py:net", "code:broken", "timm:tinynet_e")
    done = mnbench("compare", "--models", *models, "--backends", "ort", "openvino", *SHORT, cwd=tmp_path)
    assert done.returncode == 1  # one model is broken, one is OpenVINO's alone
    assert "Traceback" not in done.stdout + done.stderr
    run = store.load(next((tmp_path / "results").iterdir()))
    reasons = {(failure.case.model, failure.case.backend): failure.reason for failure in run.failures}
    assert reasons.pop(("code_broken", "ort")) == "broken() failed: ValueError: no"
    assert reasons.pop(("code_broken", "openvino")) == "broken() failed: ValueError: no"
    (sentence,) = reasons.values()
    assert "is given as OpenVINO IR, which cannot be converted to ONNX." in sentence
    brought = {(artifact.spec.model, artifact.format) for artifact in run.artifacts}
    assert len({model for model, _ in brought}) == len(models) - 1
    assert len([kind for _, kind in brought if kind == Format.OPENVINO_IR]) == len(models) - 1
    assert len([kind for _, kind in brought if kind == Format.ONNX]) == len(models) - 2


def test_the_smallest_light_models_of_the_onnx_package_run_in_both_runtimes(tmp_path):
    """IR 3, and every weight is listed as an input."""
    found = outcomes(look(LIGHT / "light_squeezenet.onnx", LIGHT / "light_shufflenet.onnx"), tmp_path / "cache")
    assert len(found) == 2 * len(RUNTIMES)
    for outcome in found.values():
        assert not outcome.failed
        assert [spec.dims for spec in outcome.artifact.inputs] == [(1, 3, 224, 224)]


def test_a_users_repository_times_its_own_file_as_the_readme_shows(tmp_path):
    (code,) = re.findall(r"```python\n(import pytest\n.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "test_speed.py").write_text(code)
    saved(odd_models.convolution(("N", 3, 16, 16), ("N", 4, 16, 16)), tmp_path / "my.onnx")
    saved(odd_models.convolution(("N", 3, "H", "W"), ("N", 4, "H", "W")), tmp_path / "open.onnx")
    saved(odd_models.quantised(), tmp_path / "int8.onnx")
    (tmp_path / "test_more.py").write_text(
        "def test_sizes(mnbench_session):\n"
        "    session, reply = mnbench_session('open.onnx', 'ort', batch=2, shapes={'x': (1, 3, 8, 8)})\n"
        "    assert session.outputs()[0].shape == (2, 4, 8, 8)\n\n\n"
        "def test_quantised(mnbench_session):\n"
        "    mnbench_session('int8.onnx', 'openvino')[0].run()\n"
    )
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    short = ("--benchmark-only", "--benchmark-max-time=0.1", "--benchmark-min-rounds=1", "test_speed.py")
    for arguments, passed in ((short, "2 passed"), (("--benchmark-disable", "test_more.py"), "2 passed")):
        done = subprocess.run(
            [*pytest_, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment(), timeout=120
        )
        assert (done.returncode, passed in done.stdout) == (0, True), done.stdout
