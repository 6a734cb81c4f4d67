"""Two processes and one run directory."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys

import pytest

from mnbench import store
from mnbench.commands import listing
from mnbench.errors import StoreError, UsageError
from mnbench.system import tables
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run
from tests.integration.command import SMALLEST, environment, mnbench
from tests.situations import situation

CASE = a_case()
ROUNDS = tuple(a_round([1000 + order, 1100 + order], order=order, index=order) for order in range(3))
HOLDER = """\
import sys
from pathlib import Path
from mnbench import store

with store.writing(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


def interrupted(directory):
    """Store a run of three rounds that ended before its time; return its writer."""
    writer = store.RunWriter(directory, a_run(a_plan(CASE), id=directory.name, finished=False))
    writer.launch(a_launch(CASE, 0))
    for measured in ROUNDS:
        writer.round(CASE, 0, measured)
    return writer


def holder(directory):
    """Start another process that is writing the run, and wait until it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    process.stdout.readline()
    return process


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.fixture
def other(tmp_path):
    """Another process that is writing the run at `tmp_path / "run"`."""
    interrupted(tmp_path / "run")
    process = holder(tmp_path / "run")
    yield process
    process.kill()
    process.communicate()


@situation(
    "processes",
    "`--resume` of a run that another process is writing",
    "refuses with that process's number (exit code 2) and touches nothing",
)
@pytest.mark.parametrize("command", ["compare", "study"])
def test_a_run_that_another_process_writes_is_not_resumed(tmp_path, other, command):
    if command == "study":
        study = store.RunWriter(tmp_path / "study", a_run(a_plan(CASE, study="separable"), finished=False))
        study.launch(a_launch(CASE, 0))
    run = tmp_path / ("run" if command == "compare" else "study")
    second = holder(run) if command == "study" else None
    before = contents(run)
    done = mnbench(command, "--resume", run)
    pid = (second or other).pid
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"mnbench: process {pid} is writing this run, {run}; wait until it ends, or end it first.\n"
    assert contents(run) == before
    if second:
        second.kill()
        second.communicate()


@situation("processes", "`mnbench list runs` while a run lasts", "calls it *running*, with the number of its process")
def test_a_run_under_way_is_listed_as_running(tmp_path, other):
    assert listing.rows_of("runs", tmp_path)[0]["state"] == f"running (process {other.pid})"
    assert listing.rows_of("runs", tmp_path)[0]["state"].startswith("running")  # asking does not take the lock


@situation("processes", "The process that writes a run is killed", "frees the run: it is *interrupted* and can be resumed")
def test_a_killed_writer_leaves_no_lock(tmp_path, other):
    other.kill()
    other.wait()
    assert listing.rows_of("runs", tmp_path)[0]["state"] == "interrupted"
    with store.writing(tmp_path / "run"):
        pass
    assert not (tmp_path / "run" / store.LOCK_FILE).exists()


def test_one_process_does_not_write_a_run_twice_at_once(tmp_path):
    with store.writing(tmp_path):
        with pytest.raises(UsageError, match=f"process {os.getpid()} is writing this run"), store.writing(tmp_path):
            pass
        assert store.writer_of(tmp_path) == f"process {os.getpid()}"
    assert store.writer_of(tmp_path) is None


def test_a_new_run_is_locked_from_its_first_moment_and_an_empty_one_is_removed(tmp_path):
    seen = []

    def fails():
        with store.new_directory(tmp_path, "2026-01-01T00:00:00+00:00") as directory:
            seen.append(store.writer_of(directory))
            (directory / "logs").mkdir()
            raise StoreError("no space")

    with pytest.raises(StoreError, match="no space"):
        fails()
    assert seen == [f"process {os.getpid()}"]
    assert not list(tmp_path.iterdir())


@situation(
    "processes",
    "A run that is stopped (SIGSTOP) is resumed, then killed and resumed again",
    "refuses the first resume; the second one ends the run, and every round is there once",
)
def test_a_real_run_keeps_its_second_writer_out(tmp_path):
    out, pids = tmp_path / "runs", tmp_path / "pids"
    command = ("compare", "--models", SMALLEST, "--backends", "signalling", "--launches", "3", "--budget", "40", "--quiet")
    variables = {"MNBENCH_TEST_PIDS": pids, "MNBENCH_TEST_SIGNAL": int(signal.SIGSTOP)}
    process = subprocess.Popen(
        [sys.executable, "-m", "mnbench", *command, "--out", str(out)],
        env=environment(**variables), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        (run,) = out.iterdir()
        done = mnbench("compare", "--resume", run)
        assert (done.returncode, f"process {process.pid} is writing this run" in done.stderr) == (2, True)
    finally:
        process.kill()
        process.wait()
    done = mnbench("compare", "--resume", run, "--quiet", MNBENCH_TEST_PIDS=pids)
    assert (done.returncode, done.stderr) == (0, "")
    read = store.load(run)
    assert read.finished
    assert not [caveat for caveat in read.caveats if caveat.code == "rounds-doubled"]


def append_again(directory):
    """Double every line and every sample, headings included, as two writers or a copy onto itself would."""
    for name in (store.ROUNDS_FILE, store.SAMPLES_FILE):
        data = (directory / name).read_bytes()
        (directory / name).write_bytes(data + data)


def second_writer(directory):
    """Measure the last round again, as a second process did that began when the first had written two rounds."""
    writer = store.RunWriter(directory, store.load(directory))
    writer.round(CASE, 0, a_round([9000, 9100], order=2, index=2))


def interleaved(directory):
    """Two processes write the same round: the samples of both come before the lines of both."""
    lines = (directory / store.ROUNDS_FILE).read_bytes().splitlines(keepends=True)
    members = [member for member, _ in tables.complete_members(directory / store.SAMPLES_FILE)]
    other = directory / "other"
    second_writer_in = store.RunWriter(other, a_run(a_plan(CASE), finished=False))
    second_writer_in.round(CASE, 0, a_round([9000, 9100], order=2, index=2))
    _, own_line = (other / store.ROUNDS_FILE).read_bytes().splitlines(keepends=True)
    _, own_member = [member for member, _ in tables.complete_members(other / store.SAMPLES_FILE)]
    members.insert(-1, own_member)  # its samples come first, its line comes second
    (directory / store.SAMPLES_FILE).write_bytes(b"".join(map(gzip.compress, members)))
    (directory / store.ROUNDS_FILE).write_bytes(b"".join([*lines, own_line]))


@situation(
    "files",
    "A run directory that two processes wrote: doubled rows, doubled headings, rows in turns",
    "reads it, keeps the first of each round, and says how many entries repeat others",
)
@pytest.mark.parametrize("damage", [append_again, second_writer, interleaved])
@pytest.mark.parametrize("finished", [False, True])
def test_a_run_that_two_processes_wrote_is_read(tmp_path, damage, finished):
    interrupted(tmp_path).finish(finished=finished)
    damage(tmp_path)
    read = store.load(tmp_path)
    assert read.samples[0].rounds == ROUNDS
    (caveat,) = (caveat for caveat in read.caveats if caveat.code == "rounds-doubled")
    assert "as when two processes write one run; of each round the first is kept" in caveat.observed


def test_a_doubled_run_that_lacks_rounds_is_still_incomplete(tmp_path):
    interrupted(tmp_path).finish(finished=True)
    append_again(tmp_path)
    rounds = tmp_path / store.ROUNDS_FILE
    kept = [line for line in rounds.read_bytes().splitlines(keepends=True) if not line.startswith(f"{CASE.id},0,1,".encode())]
    rounds.write_bytes(b"".join(kept))
    with pytest.raises(StoreError, match="2 whole rounds of 3"):
        store.load(tmp_path)


def test_a_doubled_run_can_be_resumed_and_finished(tmp_path):
    interrupted(tmp_path)
    append_again(tmp_path)
    writer = store.RunWriter(tmp_path, store.load(tmp_path))
    later = a_round([70], order=3, index=3)
    writer.round(CASE, 0, later)
    writer.finish(finished=True)
    assert store.load(tmp_path).samples[0].rounds == (*ROUNDS, later)


def test_rounds_of_two_cases_with_one_place_in_the_order_are_noticed(tmp_path):
    other = a_case("mobilenet_v1_1.0_224")
    interrupted(tmp_path)
    writer = store.RunWriter(tmp_path, store.load(tmp_path))
    writer.launch(a_launch(other, 0))
    writer.round(other, 0, a_round([70], order=2, index=0))
    assert [caveat.code for caveat in store.load(tmp_path).caveats] == ["rounds-doubled"]
