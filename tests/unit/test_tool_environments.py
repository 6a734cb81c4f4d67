"""`--env LABEL=PATH`: what is read, what is refused, and in what words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnbench.cli.arguments import parser
from mnbench.cli.main import COMMANDS
from mnbench.cli.requests import compare_request
from mnbench.commands import tool_environments
from mnbench.commands.compare import Request, plan
from mnbench.errors import UsageError
from mnbench.measure import harness, inspection
from mnbench.measure.launcher import environment_of
from mnbench.records import Severity, ToolEnvironment
from tests.conftest import a_case, a_plan

ORT = [("ort", "fp32")]


def interpreter(folder: Path, script: str) -> Path:
    """Make a folder that looks like a virtual environment, whose interpreter is a shell script."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return folder


def answering(folder: Path, **found: object) -> Path:
    """Make an environment whose interpreter answers every question with `found`."""
    return interpreter(folder, f"echo '{json.dumps({'python': '3.12.1', **found})}'")


def opened(path: object, label: str = "OLD") -> ToolEnvironment:
    (found,) = tool_environments.open_all([(label, str(path))], ORT)
    return found


def test_a_label_and_a_path_are_told_apart_at_the_first_equals_sign():
    assert tool_environments.parse(["OLD=a=b", "v1.2_x-y="]) == (("OLD", "a=b"), ("v1.2_x-y", ""))
    assert tool_environments.parse([]) == ()


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["OLD"], "--env 'OLD' is not LABEL=PATH; give two: --env OLD=venv-old --env NEW=."),
        (["a b=x", "NEW=y"], "--env label 'a b' is part of file names: use letters, digits, '_', '.' and '-'."),
        (["a/b=x", "NEW=y"], "--env label 'a/b' is part of file names: use letters, digits, '_', '.' and '-'."),
        (["=x", "NEW=y"], "--env label '' is part of file names: use letters, digits, '_', '.' and '-'."),
        (["OLD=x", "OLD=y"], "--env has the label 'OLD' twice; each environment needs a label of its own."),
        (["OLD=x"], "--env OLD=x has nothing to be compared with; give two: --env OLD=venv-old --env NEW=."),
    ],
)
def test_what_is_no_pair_of_labels_and_paths_is_refused(texts, sentence):
    with pytest.raises(UsageError) as refused:
        tool_environments.parse(texts)
    assert str(refused.value) == sentence


def test_a_baseline_network_and_environments_exclude_each_other():
    options = parser(COMMANDS).parse_args(["compare", "--env", "A=.", "--env", "B=.", "--baseline", "mobilenet_v1_1.0_224"])
    with pytest.raises(UsageError, match="exclude each other: with --env each case is compared with A"):
        compare_request(options)


def test_a_point_and_an_empty_path_are_this_environment():
    assert opened(".") == replace(opened(""), label="OLD")
    assert (opened(".").python, opened(".").artifacts) == ("", "")
    assert {"python", "numpy", "msgspec", "onnxruntime"} <= opened(".").packages.keys()


def test_a_folder_with_an_interpreter_is_an_environment_and_links_to_it_are_kept(tmp_path):
    target = answering(tmp_path / "real", packages={"onnxruntime": "1.2"})
    (tmp_path / "link").symlink_to(target)
    found = opened(tmp_path / "link")
    assert found.python == str(tmp_path / "link" / "bin" / "python")
    assert found.packages == {"python": "3.12.1", "onnxruntime": "1.2"}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "environment OLD: {path} does not exist; name a virtual environment or a folder of artefacts."),
        (
            lambda path: path.mkdir(),
            (
                "environment OLD: {path} is neither a virtual environment (it has no bin/python) nor a folder of artefacts "
                "that mnbench exported; for this environment, name '.'."
            ),
        ),
        (
            lambda path: interpreter(path, "echo broken >&2; exit 3"),
            "environment OLD: {path}/bin/python does not run mnbench (exit code 3): broken",
        ),
        (
            lambda path: interpreter(path, "").joinpath("bin/python").chmod(0o644),
            "environment OLD: {path}/bin/python does not start: Permission denied.",
        ),
        (
            lambda path: answering(path, python="3.9.2"),
            "environment OLD: {path}/bin/python is Python 3.9.2; a worker needs Python 3.11 or newer.",
        ),
        (
            lambda path: answering(path, missing=["numpy", "msgspec"]),
            "environment OLD lacks numpy, msgspec: {path}/bin/python -m pip install numpy msgspec",
        ),
        (lambda path: answering(path, refusals=["unknown backend"]), "environment OLD: unknown backend"),
    ],
)
def test_what_no_worker_could_run_in_is_refused_with_one_sentence(tmp_path, make, sentence):
    path = tmp_path / "it"
    make(path)
    with pytest.raises(UsageError) as refused:
        opened(path)
    assert str(refused.value) == sentence.format(path=path)


def test_an_interpreter_without_numpy_says_so_before_anything_imports_it(tmp_path):
    """A real interpreter with no site-packages at all."""
    folder = interpreter(tmp_path / "bare", f'exec {sys.executable} -S -E "$@"')
    with pytest.raises(UsageError, match=r"environment OLD lacks numpy, msgspec: .*/bin/python -m pip install numpy msgspec"):
        opened(folder)


def test_an_interpreter_without_the_runtime_is_told_to_install_it(tmp_path):
    found = inspection.look("", [("ort", "fp32"), ("ort", "fp64"), ("nonsense", "fp32")])
    assert found.missing == ()
    assert "cannot run precision 'fp64'" in found.refusals[0]
    assert "unknown backend 'nonsense'" in found.refusals[1]


def test_a_stored_plan_needs_its_environments_back_with_the_same_versions(tmp_path):
    path = answering(tmp_path / "old", packages={"onnxruntime": "1.2"})
    case = a_case(environment="OLD")
    stored = a_plan(case, environments=(opened(path),))
    tool_environments.check_unchanged(stored)
    answering_now = json.dumps({"python": "3.12.1", "packages": {"onnxruntime": "1.3"}})
    (path / "bin" / "python").write_text(f"#!/bin/sh\necho '{answering_now}'\n")
    with pytest.raises(UsageError, match=r"environment OLD has changed: onnxruntime was 1\.2 and is 1\.3; measure again\."):
        tool_environments.check_unchanged(stored)
    (path / "bin" / "python").unlink()
    with pytest.raises(UsageError, match=r"environment OLD: .*bin/python does not start: No such file or directory\."):
        tool_environments.check_unchanged(stored)


def test_a_stored_plan_needs_its_folder_of_artefacts_back(tmp_path):
    environment = ToolEnvironment(label="OLD", artifacts=str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"environment OLD: the folder .*gone is gone; put it back, or measure again\."):
        tool_environments.check_unchanged(a_plan(a_case(environment="OLD"), environments=(environment,)))


def test_equal_versions_are_a_note_and_not_an_error():
    same = [ToolEnvironment(label=label, packages={"onnxruntime": "1.2"}) for label in ("OLD", "NEW")]
    (note,) = tool_environments.caveats(same)
    assert (note.code, note.severity, note.subject) == ("same-versions", Severity.NOTE, "NEW")
    assert note.observed == "OLD and NEW have the same versions: onnxruntime 1.2"
    other = replace(same[1], packages={"onnxruntime": "1.3"})
    artifacts = replace(same[1], artifacts="/elsewhere")
    assert not list(tool_environments.caveats([same[0], other]))
    assert not list(tool_environments.caveats([same[0], artifacts]))
    assert not list(tool_environments.caveats([]))


def test_the_plan_has_every_case_in_every_environment_and_one_null(tmp_path):
    paths = (("OLD", str(answering(tmp_path / "old"))), ("NEW", "."))
    made = plan(Request(models=("mobilenet_v1_0.25_128",), backends=("ort", "openvino"), environments=paths))
    assert [(case.backend, case.environment) for case in made.cases] == [
        ("ort", "OLD"), ("ort", "NEW"), ("openvino", "OLD"), ("openvino", "NEW"), ("null", ""),
    ]  # fmt: skip
    assert [known.label for known in made.environments] == ["OLD", "NEW"]


def test_the_null_backend_alone_is_nothing_to_compare():
    with pytest.raises(UsageError, match="--env compares runtimes; name a backend other than null"):
        plan(Request(backends=("null",), environments=(("A", "."), ("B", "."))))


def test_a_worker_starts_where_numpy_and_msgspec_are_all_that_is_installed():
    """Anything else that is not the standard library's is hidden from the interpreter."""
    code = """
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {"mnbench", "msgspec", "numpy"} | sys.stdlib_module_names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import mnbench.measure.worker, mnbench.measure.inspection
from mnbench import backends
for name in backends.BUILT_IN:
    backends.get(name)
print("imported")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.stdout == "imported\n", done.stderr


def test_the_folder_that_holds_this_package_is_not_on_the_import_path_of_a_worker(tmp_path, monkeypatch):
    """There, this environment's numpy or runtime could stand in for the other's."""
    monkeypatch.setenv("PYTHONPATH", str(harness.PACKAGE.parent))
    ending = "from importlib import import_module"
    body = harness.BOOTSTRAP.partition(ending)[0] + "\nprint(package.__file__, *sys.path, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", body, str(harness.PACKAGE), "unused"],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=harness.inherited(sys.executable),
    )  # fmt: skip
    origin, *folders = done.stdout.splitlines()
    assert Path(origin).parent == harness.PACKAGE
    assert str(harness.PACKAGE.parent) not in folders


def test_the_import_path_of_this_interpreter_does_not_leak_into_another_one(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/here")
    assert environment_of(a_case())["PYTHONPATH"] == "/here"
    foreign = environment_of(a_case(), "/other/bin/python")
    assert "PYTHONPATH" not in foreign
    assert foreign["OMP_NUM_THREADS"] == "1"
