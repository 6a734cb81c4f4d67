"""Gaps in a run: the measuring process stopped, the machine asleep."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest

from mnbench import store
from mnbench.measure import gaps
from mnbench.measure.gaps import GapWatch
from tests.integration.command import environment
from tests.situations import situation

SECOND = 1_000_000_000
STOPPED_S = 4.0


def rounds_of(out):
    return sum(len(path.read_bytes().splitlines()) for path in out.glob(f"*/{store.ROUNDS_FILE}"))


@situation(
    "processes",
    "mnbench itself is stopped in the midst of a run (SIGSTOP, Ctrl-Z, a frozen container)",
    "goes on afterwards, with a caveat that says when and how long; the budget does not count that time",
)
def test_a_run_that_was_stopped_says_when_and_how_long(tmp_path):
    request = ("compare", "--backends", "null", "--launches", "12", "--quiet", "--out", tmp_path)
    command = [sys.executable, "-m", "mnbench", *request]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while rounds_of(tmp_path) < 4 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        process.send_signal(signal.SIGCONT)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    (directory,) = tmp_path.iterdir()
    run = store.load(directory)
    (found,) = [caveat for caveat in run.caveats if caveat.code == gaps.GAP]
    assert re.match(r"a gap of [345] s from \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC on: mnbench did not run", found.observed)
    ended_s = max((r.started_ns + r.wall_ns) / 1e9 for samples in run.samples for r in samples.rounds)
    assert run.measuring_s < ended_s - STOPPED_S + 1.5


@pytest.mark.parametrize(
    ("passed", "jumped", "told"),
    [
        ((1.9, None), (0.0, 0.0), []),
        ((2.5, None), (0.0, 0.0), [(2.5, gaps.STOPPED)]),
        ((60.0, 0.1), (0.0, 0.0), []),  # waiting for a slow worker
        ((60.0, 3.0), (0.0, 0.0), [(3.0, gaps.STOPPED)]),  # its answer was there for three seconds
        ((0.1, None), (3600.0, 0.0), [(3600.0, gaps.SLEPT)]),
        ((0.1, None), (0.0, 30.0), [(30.0, gaps.PAUSED)]),
        ((0.1, None), (0.0, -30.0), []),
        ((0.1, None), (1.0, 4.0), []),
    ],
)
@situation(
    "the host",
    "The machine sleeps or is paused in the midst of a run (suspend, a paused virtual machine)",
    "goes on afterwards, with a caveat that says when and how long: by the clocks that count sleep",
)
def test_a_gap_is_what_passed_without_reason(passed, jumped, told):
    now = [5 * SECOND]
    seen = [(7 * SECOND, 9 * SECOND)]
    watch = GapWatch(lambda: now[0], lambda: seen[0])
    elapsed_s, ready_s = passed
    now[0] += round(elapsed_s * SECOND)
    seen[0] = tuple(old + round(more * SECOND) for old, more in zip(seen[0], jumped, strict=True))
    found = list(watch.look(None if ready_s is None else now[0] - round(ready_s * SECOND)))
    assert [(pytest.approx(gap.lasted_s), gap.why) for gap in found] == told
    assert not list(watch.look())


def test_waiting_that_is_explained_is_no_gap():
    now = [0]
    watch = GapWatch(lambda: now[0], lambda: (0, 0))
    now[0] += 1000 * SECOND
    watch.skip()
    assert not list(watch.look())


def test_the_clocks_of_this_machine_are_steady_against_each_other():
    watch = GapWatch(time.perf_counter_ns)
    assert not list(watch.look())
