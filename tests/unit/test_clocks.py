"""No clock is read outside mnbench.measure: who times, and how, is decided in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mnbench

PACKAGE = Path(mnbench.__file__).parent
ALLOWED = {("commands/compare.py", "datetime.now")}
"""The date a run carries in its name: never subtracted from another."""
CLOCKS = {"now", "utcnow", "today", "default_timer", "timeit", "times", "clock_gettime", "clock_gettime_ns"}


def clock_reads(source: str) -> set[str]:
    """Return what a module says that reads a clock: anything of `time` but sleep, and the now of dates."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in ("time", "timeit")}
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "timeit"):
            found |= {node.module for alias in node.names if alias.name != "sleep"}
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if owner in ("datetime", "date", "os", "time", "timeit"):
                found.add(f"{owner}.{node.attr}")
    return found


MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "measure")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_outside_measure_reads_no_clock(module):
    reads = clock_reads((PACKAGE / module).read_text(encoding="utf-8"))
    assert not {(str(module), read) for read in reads} - ALLOWED


@pytest.mark.parametrize(
    "line",
    ["import time", "from time import perf_counter_ns", "import datetime; datetime.datetime.now()", "import os; os.times()"],
)
def test_a_read_of_a_clock_is_found(line):
    assert clock_reads(line)


def test_to_sleep_is_not_to_read_a_clock():
    assert not clock_reads("from time import sleep")
    assert clock_reads("from time import sleep, monotonic")
