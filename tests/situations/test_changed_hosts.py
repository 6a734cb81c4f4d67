"""A host that changes during a run or between two, and a quota: said where it is seen."""

from __future__ import annotations

import io
import signal
from dataclasses import replace

import pytest
from rich.console import Console

from mnbench import environment, store
from mnbench.commands import compare, diff
from mnbench.records import CpuKind
from mnbench.report import html
from mnbench.report.terminal import render
from mnbench.report.view import view_of
from tests.builders import make_run
from tests.conftest import a_case, a_plan, a_run, an_environment
from tests.situations import situation
from tests.situations.made_up_hosts import BARE, CLOCK, write

GIB = 1 << 30


class Nobody:
    """Listens to no progress."""

    def measuring(self, progress):
        pass


@situation(
    "the host",
    "The kernel changes its clock source during a run (tsc found unstable)",
    "keeps the run, finished or interrupted, with a caveat that names both sources",
)
@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize(("now", "codes"), [("hpet", ["clock-source-changed"]), ("tsc", []), (None, ["clock-source-changed"])])
def test_a_clock_source_that_changes_is_a_caveat(now, codes, interrupted, tmp_path, monkeypatch):
    def measured(*_):
        if interrupted:
            raise KeyboardInterrupt(signal.SIGINT)

    monkeypatch.setattr(compare, "conduct", measured)
    monkeypatch.setattr(environment, "clock_source", lambda: now)
    run = a_run(a_plan(a_case()), finished=False, environment=an_environment(clock_source="tsc"))
    try:
        compare.measure(run, tmp_path / "run", {}, tmp_path, Nobody())
    except compare.Interrupted:
        assert interrupted
    read = store.load(tmp_path / "run")
    assert ([caveat.code for caveat in read.caveats], read.finished) == (codes, not interrupted)


def test_the_clock_source_is_what_the_kernel_says_and_unknown_where_it_is_silent(tmp_path, monkeypatch):
    BARE.build(tmp_path, monkeypatch)
    assert environment.clock_source(tmp_path) is None
    write(tmp_path, CLOCK, "tsc")
    assert environment.clock_source(tmp_path) == "tsc"


@situation(
    "the host",
    "Clock source, memory, NUMA nodes or swap differ between two runs",
    "`diff` reports them, each with both values; `--resume` refuses to mix them",
)
@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ({"clock_source": "tsc"}, {"clock_source": "hpet"}, ("clock_source", "tsc", "hpet")),
        ({"memory_bytes": 16 * GIB}, {"memory_bytes": 8 * GIB}, ("memory", "16384 MiB", "8192 MiB")),
        ({"numa_nodes": 1}, {"numa_nodes": 2}, ("numa_nodes", 1, 2)),
        ({"swap_total_bytes": 0}, {"swap_total_bytes": GIB}, ("swap_total", "0 MiB", "1024 MiB")),
        ({"governor": "performance"}, {"governor": None, "unknown": ("governor",)}, ("governor", "performance", "unknown")),
    ],
)
def test_diff_reports_what_changed_of_a_host(was, now, told):
    old, new = an_environment(**was), an_environment(**now)
    assert list(environment.setting_differences(old, new)) == [told]
    assert list(environment.host_differences(old, new)) == []


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({"memory_bytes": 16 * GIB}, {"memory_bytes": 16 * GIB - (64 << 20)}),  # another kernel keeps more for itself
        ({"memory_bytes": None}, {"memory_bytes": GIB}),
        ({"clock_source": None}, {"clock_source": "tsc"}),
        ({"swap_total_bytes": None}, {"swap_total_bytes": GIB}),
    ],
)
def test_diff_reports_no_change_where_one_side_is_unknown_or_little_changed(was, now):
    assert list(environment.setting_differences(an_environment(**was), an_environment(**now))) == []


def test_diff_reports_that_another_kind_of_cores_was_measured():
    kinds = (CpuKind(name="Cortex-A76", cpus=(1,)), CpuKind(name="Cortex-A55", cpus=(0,)))
    runs = [a_run(a_plan(a_case(), cpus=cpus), environment=an_environment(cpu_kinds=kinds)) for cpus in ((1,), (0,))]
    assert ("kind of the measured cores", ["Cortex-A76"], ["Cortex-A55"]) in list(diff.setting_changes(*runs))


@situation(
    "CPUs",
    "A cgroup's quota stops the processes",
    "says so before the tables, with advice that fits: fewer threads, or for a quota below one CPU another limit",
)
@pytest.mark.parametrize(
    ("quota", "advice"),
    [
        (0.5, "No thread can run all the time, so every round is stopped; lift the quota, or give CPUs instead"),
        (1.5, "Measure with at most 1 of --threads, or give CPUs instead of CPU time"),
    ],
)
def test_a_quota_is_said_before_the_tables(quota, advice):
    found = environment.findings(an_environment(cgroup_quota_cpus=quota, governor="powersave"))
    run, analysis = make_run()
    analysis = replace(analysis, caveats=found)
    printed = io.StringIO()
    render(view_of(run, analysis), Console(file=printed, width=400))
    for text in (printed.getvalue(), html.page(view_of(run, analysis))):
        assert text.index(advice) < text.index("mobilenet_v1_1.0_224", text.index("network")) < text.index("powersave")
        assert text.count(advice) == 1
