"""Signals really sent to real runs: nothing measured is lost, no process stays, and the run goes on."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from mnbench import store
from tests.integration.command import HERE, QUICK, SMALLEST, ended, environment, mnbench
from tests.situations import situation

RUN = ("compare", "--models", SMALLEST, "--backends", "signalling", *QUICK)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


@pytest.fixture(autouse=True)
def _interrupts_arrive():
    """A shell starts what runs in the background with SIGINT ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGHUP, before[1])


def only_run(out):
    (directory,) = out.iterdir()
    return directory


@situation(
    "processes",
    "A run is ended by Ctrl-C, SIGTERM, SIGHUP (its terminal closes) or SIGKILL",
    "keeps every whole round, leaves no process behind, and goes on with `--resume`",
)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_an_ended_run_keeps_its_rounds_leaves_no_process_and_goes_on(tmp_path, number):
    pids, out = tmp_path / "pids", tmp_path / "runs"
    done = mnbench(*RUN, "--out", out, "--quiet", MNBENCH_TEST_PIDS=pids, MNBENCH_TEST_SIGNAL=int(number))
    assert done.returncode == (-number if number == signal.SIGKILL else 128 + number)
    directory = only_run(out)
    assert number == signal.SIGKILL or f"go on with: mnbench compare --resume {directory}" in done.stderr
    assert all(ended(int(pid)) for pid in pids.read_text().split())
    before = store.load(directory)
    assert not before.finished
    assert before.environment.packages["mnbench-faulty"] == "0"  # the runtime of a backend that another package brings
    kept = {(s.case.id, s.launch): s.rounds for s in before.samples if s.rounds}
    assert any(key[0].startswith(SMALLEST) for key in kept)

    done = mnbench("compare", "--resume", directory, "--quiet", MNBENCH_TEST_PIDS=pids)
    assert (done.returncode, done.stderr) == (0, "")
    after = store.load(directory)
    assert after.finished
    rounds = {(s.case.id, s.launch): s.rounds for s in after.samples}
    assert all(rounds[key][: len(value)] == value for key, value in kept.items())
    assert len(rounds) > len(kept)


@situation(
    "processes",
    "Ctrl-C is pressed again and again, or once more while the page of what was measured is made",
    "ends quickly; the run is stored whole, and how to go on is said",
)
@pytest.mark.parametrize("pause_s", [0.005, 0.1])
def test_more_interrupts_take_neither_the_run_nor_the_hint_away(tmp_path, pause_s):
    command = [sys.executable, "-m", "mnbench", "compare", "--backends", "null", "telling", "--models", SMALLEST]
    process = subprocess.Popen(
        [*command, "--launches", "500", "--out", tmp_path / "runs"],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list((tmp_path / "runs").glob("*/samples.csv.gz")) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(1.0)
    while not select.select([process.stderr], [], [], pause_s)[0]:
        process.send_signal(signal.SIGINT)
    errors = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    errors += process.communicate(timeout=30)[1]
    # 130 to a shell in both cases: the last signal may meet an interpreter that has ended its work and its handlers.
    assert process.returncode in (130, -signal.SIGINT), errors
    directory = only_run(tmp_path / "runs")
    assert f"go on with: mnbench compare --resume {directory}" in errors
    assert "Traceback" not in errors
    run = store.load(directory)
    assert not run.finished
    assert run.neighbours is not None  # stored whole: this comes last


@situation(
    "processes",
    "Ctrl-C, SIGTERM, SIGHUP or SIGKILL in the midst of an export",
    "ends the exporting process as well and leaves no empty run",
)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_an_export_ends_with_its_parent(tmp_path, number):
    pids, out = tmp_path / "pids", tmp_path / "runs"
    done = mnbench(
        "compare", "--models", SMALLEST, "--cache", tmp_path / "models", "--out", out,
        folders=(HERE / "watch",), MNBENCH_TEST_PIDS=pids, MNBENCH_TEST_STOP_EXPORT=int(number),
    )  # fmt: skip
    assert ended(int(pids.read_text()))
    if number != signal.SIGKILL:
        assert (done.returncode, done.stderr) == (128 + number, "mnbench: interrupted.\n")
        assert not list(out.iterdir())


def run_in_terminal(*arguments, columns):
    """Run with standard error on a pseudo-terminal; return what was drawn there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mnbench", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**environment(), "COLUMNS": str(columns), "TERM": "xterm"},
    )
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 65536):
            drawn += chunk
    except OSError:  # Linux's way to say that the other side closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return drawn.decode()


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_a_terminal_is_shown_a_bar_of_one_line(tmp_path, columns):
    drawn = run_in_terminal("compare", "--backends", "null", *QUICK, "--out", tmp_path, columns=columns)
    assert "wave 1/3" in drawn
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= columns


def test_a_quiet_run_draws_nothing(tmp_path):
    assert run_in_terminal("compare", "--backends", "null", *QUICK, "--out", tmp_path, "--quiet", columns=80) == ""
