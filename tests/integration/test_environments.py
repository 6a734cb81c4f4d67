"""Two real environments in one run: the harness is one, the runtimes are two, and a planted slow-down is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy
import pytest

from mnbench import store
from tests.integration.command import HERE, QUICK, SMALLEST, mnbench

BACKEND = """
import sys
from mnbench.backends.null import NullBackend, NullSession

class Session(NullSession):
    def run(self):
        for _ in range({work}):
            pass

    def effective(self):
        return {{**super().effective(), "version": "{version}", "prefix": sys.prefix}}

class Toy(NullBackend):
    name = "toy"
    packages = ("toyruntime",)

    def missing(self):
        return {missing!r}

    def open(self, artifact, root, feed, *, threads, precision):
        return Session(threads=threads, precision=precision)
"""
WORK = 20_000
TOY = (
    "compare",
    "--models",
    SMALLEST,
    "--backends",
    "toy",
    "--regimes",
    "steady",
    "--launches",
    "6",
    "--budget",
    "40",
    "--quiet",
)


def a_runtime(folder: Path, version: str, work: int = WORK, missing: str | None = None) -> Path:
    """Write the package of a runtime that counts to `work`, with its backend for mnbench."""
    info = folder / f"toyruntime-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / "toy_backend.py").write_text(BACKEND.format(work=work, version=version, missing=missing))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toyruntime\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[mnbench.backends]\ntoy = toy_backend:Toy\n")
    return folder


def a_venv(folder: Path, runtime: Path | None, packages=(numpy, msgspec)) -> Path:
    """Make a virtual environment that borrows only `packages` of this one, and has a runtime."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in packages:
        home = Path(package.__file__).parents[1]
        for part in home.glob(f"{package.__name__}*"):
            if not (site / part.name).exists():
                (site / part.name).symlink_to(part)
    if runtime:
        (site / "toy.pth").write_text(f"{runtime}\n")
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The runtime as this environment has it."""
    return a_runtime(tmp_path_factory.mktemp("here"), "2.0")


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """Another environment with an earlier version of the runtime, as fast."""
    folder = tmp_path_factory.mktemp("there")
    return a_venv(folder / "venv", a_runtime(folder / "runtime", "1.0"))


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """Another environment whose runtime takes half as long again."""
    folder = tmp_path_factory.mktemp("slow")
    return a_venv(folder / "venv", a_runtime(folder / "runtime", "3.0", WORK * 3 // 2))


def toy(here: Path, *arguments: object):
    """Run `mnbench` where the toy runtime is installed, on a machine that never disturbs a round."""
    return mnbench(*arguments, folders=(here, HERE / "watch"), MNBENCH_TEST_QUIET=1)


def only_run(out: Path) -> Path:
    (directory,) = out.iterdir()
    return directory


def test_a_slower_environment_is_found_and_ends_with_exit_code_1(tmp_path, here, there, slow):
    done = toy(here, *TOY, "--env", f"OLD={there}", "--env", f"NEW={slow}", "--fail-if-slower", "20", "--out", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Regressions (significantly slower, estimated above 20 %): 1 of 1 cases: " in done.stderr
    assert f"{SMALLEST}-toy-fp32-b1-t1-NEW by" in done.stderr
    run = store.load(only_run(tmp_path))
    stated = {s.case.environment: (s.effective["version"], s.effective["prefix"]) for s in run.samples if s.case.environment}
    assert stated == {"OLD": ("1.0", str(there)), "NEW": ("3.0", str(slow))}
    assert {known.label: known.packages["toyruntime"] for known in run.plan.environments} == {"OLD": "1.0", "NEW": "3.0"}
    waves = {label: {s.launch for s in run.samples if s.case.environment == label and s.rounds} for label in ("OLD", "NEW")}
    assert waves["OLD"] == waves["NEW"]  # both in each wave


def test_the_same_run_the_other_way_round_passes_and_is_reported_without_those_environments(tmp_path, here, there, slow):
    gone = tmp_path / "gone"
    shutil.copytree(there, gone, symlinks=True)
    out = tmp_path / "runs"
    done = toy(here, *TOY, "--env", f"OLD={slow}", "--env", f"NEW={gone}", "--fail-if-slower", "0", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Regressions (significantly slower, estimated above 0 %): none." in done.stderr
    shutil.rmtree(gone)
    told = mnbench("report", only_run(out), "--json")
    assert told.returncode == 0, told.stderr
    (compared,) = json.loads(told.stdout)["comparisons"]
    assert (compared["kind"], compared["environment"], compared["verdict"]) == ("environment", "NEW", "faster")
    page = (only_run(out) / "report.html").read_text()
    assert "OLD: toy 3.0; NEW: toy 1.0." in page


def test_a_launch_that_fails_in_one_environment_ends_with_exit_code_2(tmp_path, here, there):
    broken = a_runtime(tmp_path / "runtime", "4.0")
    source = (broken / "toy_backend.py").read_text()
    (broken / "toy_backend.py").write_text(
        source.replace("    def run(self):\n", "    def run(self):\n        raise OSError\n")
    )
    venv = a_venv(tmp_path / "venv", broken)
    done = toy(here, *TOY, "--env", f"OLD={there}", "--env", f"NEW={venv}", "--fail-if-slower", "5", "--out", tmp_path / "o")
    assert done.returncode == 2
    assert "1 of 1 cases cannot be compared" in done.stderr
    assert "a launch in NEW failed" in done.stderr


def test_this_environment_can_be_one_of_the_two(tmp_path, here, slow):
    done = toy(here, *TOY, "--env", "NEW=", "--env", f"SLOW={slow}", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    run = store.load(only_run(tmp_path))
    assert {s.effective["version"] for s in run.samples if s.case.environment == "NEW"} == {"2.0"}


def test_an_interrupted_run_goes_on_and_not_once_an_environment_is_gone(tmp_path, here, there, slow):
    out = tmp_path / "runs"
    mine = tmp_path / "mine"
    shutil.copytree(there, mine, symlinks=True)
    toy(here, *TOY, "--env", f"OLD={mine}", "--env", f"NEW={slow}", "--out", out)
    file = only_run(out) / "run.json"
    document = json.loads(file.read_text())
    document["finished"] = False
    document["plan"]["launches"] = 7
    del document["rounds"]
    file.write_text(json.dumps(document))
    resume = ("compare", "--resume", only_run(out), "--fail-if-slower", "20", "--quiet")
    (mine / "bin" / "python").rename(mine / "bin" / "away")
    refused = toy(here, *resume)
    assert refused.returncode == 2
    assert "environment OLD: " in refused.stderr
    assert "does not start: No such file or directory." in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    (mine / "bin" / "away").rename(mine / "bin" / "python")
    done = toy(here, *resume)
    assert done.returncode == 1, done.stderr
    run = store.load(only_run(out))
    assert {s.launch for s in run.samples if s.case.environment == "OLD"} == set(range(7))


def test_an_environment_without_the_runtime_fails_with_one_sentence(tmp_path, here):
    lacking = a_runtime(tmp_path / "runtime", "1.0", missing="it is not here")
    for venv, name in (
        (a_venv(tmp_path / "no-runtime", lacking), "toyruntime"),
        (a_venv(tmp_path / "no-numpy", lacking, packages=(msgspec,)), "numpy"),
    ):
        done = toy(here, *TOY, "--env", f"OLD={venv}", "--env", "NEW=.", "--out", tmp_path / "runs")
        sentence = f"mnbench: environment OLD lacks {name}: {venv}/bin/python -m pip install {name}\n"
        assert (done.returncode, done.stderr) == (2, sentence)
    assert not (tmp_path / "runs").exists()


def squeezed(path):
    return path.read_text(encoding="utf-8").replace(" ", "")


def test_two_folders_of_artefacts_are_measured_with_this_environment(tmp_path):
    """The second folder's file is of another name, as another exporter's would be."""
    cache, out = tmp_path / "models", tmp_path / "runs"
    first = mnbench("compare", "--models", SMALLEST, "--backends", "ort", *QUICK, "--quiet", "--cache", cache, "--out", out)
    assert first.returncode == 0, first.stderr
    shutil.rmtree(only_run(out))
    old = tmp_path / "old"
    shutil.copytree(cache, old)
    ask = (
        "compare", "--models", SMALLEST, "--backends", "ort", *QUICK, "--quiet", "--cache", tmp_path / "unused",
        "--out", out, "--env", f"OLD={old}", "--env", f"NEW={cache}",
    )  # fmt: skip
    done = mnbench(*ask)
    assert done.returncode == 0, done.stderr
    run = store.load(only_run(out))
    assert [Path(known.artifacts) for known in run.plan.environments] == [old, cache]
    assert not (tmp_path / "unused").exists()
    assert {s.case.environment for s in run.samples if s.rounds} >= {"OLD", "NEW"}
    assert not any(caveat.code == "same-versions" for caveat in run.caveats)
    (model,) = (path for path in old.glob("*/model.onnx") if '"node_order":0' in squeezed(path.parent / "artifact.json"))
    model.write_bytes(model.read_bytes() + b"x")
    damaged = mnbench(*ask)
    assert damaged.returncode == 2
    assert damaged.stderr.startswith(f"mnbench: environment OLD: {model.parent} is damaged, or its ")
    shutil.rmtree(model.parent)
    absent = mnbench(*ask)
    assert absent.returncode == 2
    assert f"environment OLD: {old} has no artefact of {SMALLEST} as onnx" in absent.stderr
