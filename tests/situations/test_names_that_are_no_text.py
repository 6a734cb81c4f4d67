"""Names that are not UTF-8, a locale without UTF-8, and paths with spaces."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from mnbench import environment, store
from mnbench.commands import listing, tool_environments
from mnbench.errors import StoreError, UsageError
from mnbench.report import findings
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run
from tests.integration.command import environment as of_tests
from tests.situations import situation

BYTES = os.fsencode("folder-") + b"\xff"
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
QUICK = ("compare", "--backends", "null", "--launches", "3", "--budget", "20", "--quiet")


def mnbench(*arguments, cwd=None, **variables):
    """Run mnbench with arguments as bytes; return the exit code and the bytes it printed."""
    command = [sys.executable, "-m", "mnbench", *map(os.fsencode, arguments)]
    inherited = {name: value for name, value in of_tests().items() if not name.startswith("LC_")}
    done = subprocess.run(command, capture_output=True, timeout=100, check=False, cwd=cwd, env={**inherited, **variables})
    return done.returncode, done.stdout, done.stderr


@situation(
    "files",
    "`--out` or the current folder has a name that is not UTF-8",
    "measures there, and prints the path as it is, byte for byte",
)
def test_a_run_in_a_folder_whose_name_is_no_text(tmp_path):
    out = os.fsencode(tmp_path) + b"/" + BYTES
    code, printed, told = mnbench(*QUICK, "--out", out)
    assert (code, told) == (0, b"")
    assert printed.startswith(out + b"/")
    (run,) = (tmp_path / os.fsdecode(BYTES)).iterdir()
    run.rename(run.with_name("r\udcff"))
    code, printed, told = mnbench("list", "runs", "--out", out, "--json")
    assert (code, told) == (0, b"")
    assert b"complete" in printed
    assert listing.rows_of("runs", tmp_path / os.fsdecode(BYTES))[0]["run"] == "r\\udcff"


@situation(
    "files",
    "`--cache` or a path of `--env` is not UTF-8",
    "refuses it with one sentence (exit code 2) before it makes a run",
)
@pytest.mark.parametrize("variables", [{}, C_LOCALE], ids=["UTF-8", "C"])
def test_a_path_that_records_cannot_hold_is_one_sentence(tmp_path, variables):
    for option in (("--cache", BYTES), ("--env", b"A=" + BYTES, "--env", b"B=.")):
        code, printed, told = mnbench("compare", "--backends", "ort", *option, cwd=tmp_path, **variables)
        assert (code, printed, told.count(b"\n")) == (2, b"", 1)
        assert b"is not text in" in told
        assert b"Nothing was measured." in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("list", BYTES), ("report", BYTES), ("compare", "--models", BYTES), (BYTES,)])
def test_an_argument_that_is_no_text_is_one_sentence(tmp_path, arguments):
    code, printed, told = mnbench(*arguments, cwd=tmp_path)
    assert (code, printed, told.count(b"\n")) == (2, b"", 1)
    assert b"folder-\\udcff" in told
    assert not list(tmp_path.iterdir())


@situation(
    "files",
    "An environment variable that steers a runtime is not UTF-8",
    "records it with the byte's number, and measures",
)
def test_a_variable_that_is_no_text_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setitem(os.environ, "OMP_PLACES", os.fsdecode(BYTES))
    seen = environment.capture()
    assert seen.variables["OMP_PLACES"] == "folder-\\udcff"
    store.RunWriter(tmp_path, a_run(a_plan(a_case()), environment=seen))


@situation(
    "files",
    "A C locale without UTF-8 (LC_ALL=C, PYTHONUTF8=0, PYTHONCOERCECLOCALE=0)",
    "measures and reports; in a terminal, characters that it lacks are written as their numbers",
)
def test_a_locale_without_utf_8(tmp_path):
    out = tmp_path / "zoë"
    code, printed, told = mnbench(*QUICK, "--out", out, **C_LOCALE)
    assert (code, told) == (0, b"")
    assert printed.startswith(os.fsencode(out))
    (run,) = out.iterdir()
    assert store.load(run).finished
    for command in (("list", "runs", "--out", out), ("list", "models")):
        code, printed, told = mnbench(*command, **C_LOCALE)
        assert (code, told) == (0, b"")
        assert b"\\u2500" not in printed  # rules are drawn with what there is


@situation(
    "terminals and tables",
    "The path of a run has a space or a quote",
    "quotes it for the shell in every command that is shown for copying",
)
def test_commands_for_copying_are_quoted(tmp_path):
    run = tmp_path / "my run's"
    plan = a_plan(a_case())
    for shown in (plan.going_on(run), a_plan(a_case(), study="layers").going_on(run)):
        assert shlex.split(shown.partition(": ")[2])[-1] == str(run)
    with pytest.raises(StoreError) as refused:
        findings.read_findings(run)
    assert shlex.split(str(refused.value).partition("with: ")[2]) == ["mnbench", "report", str(run)]
    assert plan.going_on("results/r1") == "go on with: mnbench compare --resume results/r1"


def test_a_damaged_name_in_a_run_is_the_last_net(tmp_path):
    """Whatever text cannot be stored, no half-made run stays and the user gets a sentence."""
    with pytest.raises(UnicodeEncodeError), store.new_directory(tmp_path, "2026-01-01T00:00:00+00:00") as directory:
        store.RunWriter(directory, a_run(a_plan(a_case(variant="\udcff"))))
    assert not list(tmp_path.iterdir())


def test_an_environment_below_a_folder_that_is_no_text_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / os.fsdecode(BYTES)
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=r"environment OLD: .* is not text in"):
        tool_environments.open_all((("OLD", "venv"), ("NEW", ".")), ())


def test_a_round_is_stored_below_a_folder_that_is_no_text(tmp_path):
    directory = tmp_path / os.fsdecode(BYTES)
    writer = store.RunWriter(directory, a_run(a_plan(a_case()), finished=False))
    writer.launch(a_launch(a_case(), 0))
    writer.round(a_case(), 0, a_round([1]))
    writer.finish(finished=True)
    assert store.load(directory).finished
