"""Sandboxes that let a process pin itself alone, or nothing at all."""

from __future__ import annotations

import os
import shutil

import pytest

from mnbench import store
from tests.integration.command import QUICK, SMALLEST, environment, mnbench
from tests.situations import situation
from tests.situations.causes import preloaded

ALL, OTHERS = "pid >= 0", "pid != 0"
REFUSING = """
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *mask) {
    if (%s) { errno = EPERM; return -1; }
    return syscall(SYS_sched_setaffinity, pid, size, mask);
}
"""
RUN = ("compare", "--models", SMALLEST, "--backends", "ort", "openvino", *QUICK, "--quiet")


@situation(
    "CPUs",
    "A sandbox lets a thread pin itself, and no other one",
    "pins what can be pinned, and measures; a thread that runs elsewhere fails its launch",
)
def test_a_process_that_may_pin_itself_alone_is_measured(tmp_path):
    done = mnbench(*RUN, "--out", tmp_path / "runs", LD_PRELOAD=preloaded(tmp_path, REFUSING % OTHERS))
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "runs").iterdir()
    run = store.load(directory)
    assert not run.failures
    assert {samples.effective.get("affinity") for samples in run.samples} <= {str(cpus[0]) for cpus in (run.plan.cpus,)}


@situation(
    "CPUs",
    "A sandbox lets nothing be pinned",
    "says so once, before anything is exported or measured, and how to start it on given CPUs (`taskset`)",
)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_where_nothing_can_be_pinned_it_says_so_before_measuring(tmp_path):
    library = preloaded(tmp_path, REFUSING % ALL)
    done = mnbench(*RUN, "--out", tmp_path / "runs", LD_PRELOAD=library)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "does not let mnbench pin itself to CPU" in done.stderr
    assert "taskset -c" in done.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset")
def test_started_on_the_very_cpus_it_needs_to_pin_nothing(tmp_path):
    import subprocess
    import sys

    cpu = str(max(os.sched_getaffinity(0)))
    variables = environment(LD_PRELOAD=preloaded(tmp_path, REFUSING % ALL))
    command = ["taskset", "-c", cpu, sys.executable, "-m", "mnbench", *RUN, "--out", str(tmp_path / "runs")]
    plain = {name: value for name, value in variables.items() if name != "LD_PRELOAD"}
    wrapped = [*command[:3], "env", f"LD_PRELOAD={variables['LD_PRELOAD']}", *command[3:]]
    done = subprocess.run(wrapped, capture_output=True, text=True, check=False, env=plain, timeout=120)
    assert done.returncode == 0, done.stderr
