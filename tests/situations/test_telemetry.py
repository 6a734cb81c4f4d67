"""Nothing here opens a connection or writes into the user's home, whatever a runtime would do by itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.integration.command import HERE, QUICK, SMALLEST, environment, mnbench
from tests.situations import situation

OF_CI = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL", "PYTEST_CURRENT_TEST")
"""Where these are set, some packages keep quiet by themselves."""
LOOK = """
import json, os, sys, time
import mnbench
__import__(sys.argv[1])
time.sleep(0.2)
descriptors = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
print(json.dumps({
    "threads": len(os.listdir("/proc/self/task")),
    "sockets": [d for d in descriptors if d.startswith("socket:")],
    "files": [d for d in descriptors if d.startswith(sys.argv[2])],
}))
"""


def clean(home, **variables):
    """Return the variables of a user with a new home, and not those of a CI."""
    home.mkdir(exist_ok=True)
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    inherited = {name: value for name, value in environment().items() if name not in (*OF_CI, "ORT_DISABLE_TELEMETRY")}
    return {**inherited, **own, **variables}


@situation(
    "processes",
    "A runtime that would phone home is imported (onnxruntime, openvino; new home, no CI)",
    "keeps it from it before the import: no thread, no socket, no file",
)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_imported_runtime_has_no_telemetry(tmp_path, runtime):
    pytest.importorskip(runtime)
    home = tmp_path / "home"
    done = subprocess.run([sys.executable, "-c", LOOK, runtime, str(home)], capture_output=True, text=True, check=True,
                          env=clean(home), cwd=tmp_path)  # fmt: skip
    assert json.loads(done.stdout) == {"threads": 1, "sockets": [], "files": []}
    assert not list(home.rglob("*"))


def test_a_whole_run_opens_no_socket_and_leaves_nothing_at_home(tmp_path):
    home, sockets = tmp_path / "home", tmp_path / "sockets"
    quiet = dict.fromkeys(OF_CI, "")
    arguments = ("--models", SMALLEST, "--backends", "ort", "openvino", *QUICK, "--quiet", "--out", tmp_path / "runs")
    variables = {**clean(home, MNBENCH_TEST_SOCKETS=str(sockets)), **quiet}
    done = mnbench("compare", *arguments, folders=(HERE / "watch",), **variables)
    assert done.returncode == 0, done.stderr
    assert not sockets.exists(), sockets.read_text()
    left = [path for path in home.rglob("*") if path.is_file() and "matplotlib" not in path.parts]  # its list of fonts
    assert not left
