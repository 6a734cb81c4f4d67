"""Real processes for the tests of the command line."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SMALLEST = "mobilenet_v1_0.25_128"
QUICK = ("--launches", "3", "--budget", "40")
"""Ends after the launches, long before the budget, however slow the machine is."""


def environment(*folders: Path, **variables: object) -> dict[str, str]:
    """Return an environment whose processes find this package, the faulty backends and `folders`."""
    path = os.pathsep.join(map(str, (*folders, ROOT, HERE / "faulty")))
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # users have a buffer
    return {**inherited, "PYTHONPATH": path, "COLUMNS": "100", **{name: str(value) for name, value in variables.items()}}


def mnbench(*arguments: object, folders: tuple[Path, ...] = (), cwd: Path | None = None, **variables: object):
    """Run `python -m mnbench` to its end; return what it printed and its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "mnbench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env=environment(*folders, **variables),
    )


def ended(pid: int) -> bool:
    """Wait up to ten seconds for a process that is no child of ours to end; say whether it did."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10.0)[0])
    finally:
        os.close(handle)
