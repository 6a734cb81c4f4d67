"""What a host does not tell is unknown: never zero, never "none", and never a run without a caveat."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys

import pytest

from mnbench import environment, store
from mnbench.environment import cpu_sets
from mnbench.measure import conduct as conducting
from mnbench.measure import worker
from mnbench.measure.conduct import conduct
from mnbench.measure.counters import CounterReader
from mnbench.measure.disturbance import disturbances
from mnbench.measure.workload import UsualSpeed
from mnbench.report import host as view
from mnbench.stats.condition import condition_of
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run
from tests.integration.command import SMALLEST
from tests.integration.command import environment as variables
from tests.situations import situation
from tests.situations.causes import without_proc
from tests.situations.made_up_hosts import BARE, HYBRID_LAPTOP, SERVER, write

LOST = {"run_queue_wait_ns": None, "steal_ns": None, "foreign_cpu_ns": None, "other_cpus_ns": None, "busy_threads": None}
BARE_PROC = 'mount -t proc -o subset=pid proc /proc && mount -t tmpfs none /sys && exec "$0" "$@"'


def on_bare_proc(*command):
    """Run mnbench where /proc has processes alone and /sys is empty; skip where that is not allowed."""
    unshare = shutil.which("unshare")
    apart = [unshare, "-m", "--pid", "--fork", "sh", "-c", BARE_PROC]
    if unshare is None or subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount: unshare -m --pid")
    return subprocess.run(
        [*apart, sys.executable, "-m", "mnbench", *command],
        capture_output=True, text=True, env=variables(), check=False, timeout=100,
    )  # fmt: skip


@situation(
    "the host",
    "/proc shows processes alone (systemd: ProcSubset=pid) and there is no /sys",
    "`doctor` calls unknown what it cannot see, and warns; a run measures, with caveats for load, memory, quota and counters",
)
def test_a_bare_proc_is_unknown_to_doctor_and_a_caveat_of_every_run(tmp_path):
    said = on_bare_proc("doctor", "--json")
    assert (said.returncode, said.stderr) == (0, "")
    seen = json.loads(said.stdout)["environment"]
    facts = ("memory_bytes", "memory_available_bytes", "swap_total_bytes", "steal_since_boot_pct", "load_average_1min")
    assert [seen[name] for name in facts] == [None] * len(facts)
    assert {*facts, "cgroup_quota_cpus", "cores"} <= set(seen["unknown"])
    done = on_bare_proc("compare", "--backends", "null", "--launches", "3", "--budget", "20", "--out", str(tmp_path), "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    (directory,) = tmp_path.iterdir()
    codes = {caveat.code for caveat in store.load(directory).caveats}
    assert {
        "load-unknown",
        "memory-unknown",
        "memory-limit-unknown",
        "quota-unknown",
        "topology-unknown",
        "cpu-unknown",
    } <= codes
    assert "counters-unknown" in codes


@situation(
    "the host",
    "A file of the cgroup is empty or odd (`cpu.max`: nothing, `garbage`, `50000 0`; v1: no number; lines without colons)",
    "calls the quota unknown, never *none*, and warns of it",
)
@pytest.mark.parametrize(
    "files",
    [
        {"sys/fs/cgroup/cpu.max": ""},
        {"sys/fs/cgroup/cpu.max": "garbage"},
        {"sys/fs/cgroup/cpu.max": "50000 0"},
        {"sys/fs/cgroup/cpu.max": "-5 100000"},
        {"sys/fs/cgroup/cpu.max": "9" * 5000},
        {"sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/job/cpu.max": "?", "proc/self/cgroup": "0::/job"},
        {"proc/self/cgroup": "3:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": ""},
        {"proc/self/cgroup": "3:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000"},
        {
            "proc/self/cgroup": "3:cpu:/",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "0",
        },
        {"proc/self/cgroup": ""},
        {"proc/self/cgroup": "no colons here\n\n::\n0"},
        {"proc/self/cgroup": "0::/a/folder/that/is/not/mounted", "sys/fs/cgroup": ""},
    ],
)
def test_an_odd_cgroup_file_leaves_the_quota_unknown(files, tmp_path, monkeypatch):
    BARE.build(tmp_path, monkeypatch)
    for path, text in {"proc/self/cgroup": "0::/", **files}.items():
        write(tmp_path, path, text)
    seen = environment.capture(root=tmp_path)
    assert (environment.cgroup_cpu_quota(tmp_path), seen.cgroup_quota_cpus) == (None, None)
    assert dict(view.facts(seen))["cgroup quota"] == "unknown"
    assert "quota-unknown" in {finding.code for finding in environment.findings(seen)}


@pytest.mark.parametrize("files", [{"sys/fs/cgroup/cpu.max": "max 100000"}, {"sys/fs/cgroup/cgroup.procs": "1"}])
def test_a_cgroup_without_a_quota_is_known_to_have_none(files, tmp_path, monkeypatch):
    BARE.build(tmp_path, monkeypatch)
    for path, text in {"proc/self/cgroup": "0::/", **files}.items():
        write(tmp_path, path, text)
    assert environment.cgroup_cpu_quota(tmp_path) == math.inf
    seen = environment.capture(root=tmp_path)
    assert dict(view.facts(seen))["cgroup quota"] == "none"
    assert "cgroup_quota_cpus" not in seen.unknown


@pytest.mark.parametrize(("text", "known"), [("", False), ("garbage", False), ("max", True), (str(2 << 30), True)])
def test_an_odd_limit_of_the_memory_is_unknown(text, known, tmp_path, monkeypatch):
    BARE.build(tmp_path, monkeypatch)
    for path, content in {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": text}.items():
        write(tmp_path, path, content)
    seen = environment.capture(root=tmp_path)
    assert ("memory_limit_bytes" not in seen.unknown) == known
    assert ("memory-limit-unknown" in {finding.code for finding in environment.findings(seen)}) == (not known)
    assert ("limit is unknown" in dict(view.facts(seen))["memory"]) == (not known)


def test_a_cgroup_outside_of_the_namespace_is_not_looked_for_outside_of_its_mount(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/../../job")
    write(tmp_path, "sys/job/cpu.max", "50000 100000")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000")
    assert environment.cgroup_cpu_quota(tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/cpu.max", "200000 100000")
    assert environment.cgroup_cpu_quota(tmp_path) == 2.0


def test_what_nobody_asked_for_is_not_unknown(tmp_path, monkeypatch):
    root = SERVER.build(tmp_path, monkeypatch)
    assert environment.capture(root=root).unknown == ()
    assert environment.capture(root=root, pause=lambda: None).unknown == ("steal_now_pct", "busy_cpus_now")  # no tick passed


def test_a_quota_that_is_known_counts_beside_a_level_that_is_odd(tmp_path):
    for path, text in {"proc/self/cgroup": "0::/job", "sys/fs/cgroup/job/cpu.max": "150000 100000"}.items():
        write(tmp_path, path, text)
    write(tmp_path, "sys/fs/cgroup/cpu.max", "garbage")
    assert environment.cgroup_cpu_quota(tmp_path) == 1.5


ODD = ("", "garbage", "-", "9" * 5000, "\0\0", "1-", "3-1", "1 2 3 4", ":::", "٣")


@situation(
    "the host",
    "Any file of /proc or /sys that mnbench reads holds something odd",
    "takes that fact as unknown; no command ends with a traceback",
)
@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("host", [SERVER, HYBRID_LAPTOP], ids=["server", "laptop"])
def test_an_odd_file_ends_nothing(host, text, tmp_path, monkeypatch):
    host.build(tmp_path, monkeypatch)
    for path in host.files:
        write(tmp_path, path, text)
    seen = environment.capture(root=tmp_path, pause=lambda: None)
    assert all(name and value for name, value in view.facts(seen))
    assert "load-unknown" in {finding.code for finding in environment.findings(seen)}
    assert environment.choose_cpus(1, root=tmp_path)[0] in host.affinity
    assert environment.last_level_cache_bytes(tmp_path)
    assert cpu_sets((1,), lambda: None, tmp_path) == ()
    counted = CounterReader((0, 1), tmp_path).read()
    assert (counted.steal_ns, counted.busy_ns, counted.run_queue_wait_ns) == (None, None, None)


def test_files_in_the_place_of_folders_end_nothing(tmp_path, monkeypatch):
    BARE.build(tmp_path, monkeypatch)
    for path in ("sys/devices/system/cpu", "sys/fs/cgroup", "proc/pressure", "sys/devices/system/node"):
        write(tmp_path, path, "no folder")
    assert environment.capture(root=tmp_path).physical_cores is None


@situation(
    "the host",
    "The kernel does not count steal, load, run-queue wait or threads of a round",
    "stores them as unknown, takes no round for disturbed or clean by them, and says so in a caveat",
)
def test_counters_that_are_unknown_are_none_in_the_rounds_and_a_caveat_of_the_run(tmp_path):
    seen = CounterReader((0,), tmp_path).read().since(CounterReader((0,), tmp_path).read())
    assert (seen.run_queue_wait_ns, seen.steal_ns, seen.foreign_cpu_ns, seen.other_busy_ns, seen.busy_threads()) == (None,) * 5
    unknown = a_round([100] * 3, order=0, **LOST)
    writer = store.RunWriter(tmp_path / "run", a_run(a_plan(a_case()), finished=False))
    writer.launch(a_launch(a_case(), 0))
    writer.round(a_case(), 0, unknown)
    writer.round(a_case(), 0, a_round([100] * 3, order=1, index=1))
    writer.finish(finished=True)
    run = store.load(tmp_path / "run")
    assert {name: getattr(run.samples[0].rounds[0], name) for name in LOST} == LOST
    (caveat,) = run.caveats
    assert (caveat.code, "in up to 1 of 2 rounds: time waited for the CPU, steal" in caveat.observed) == (
        "counters-unknown",
        True,
    )


def test_rounds_with_unknown_counters_have_no_load_and_no_disturbance():
    rounds = [a_round([10**8], order=n, workload_before_ns=1, workload_after_ns=1, **LOST) for n in range(9)]
    run = a_run(a_plan(a_case()), a_launch(a_case(), 0, *rounds))
    assert condition_of(run).rule == "quiet"
    usual = UsualSpeed()
    usual.remember(1, 1)
    assert disturbances(rounds[0], 1, 1, usual) == ()


@pytest.mark.parametrize("schedstat", ["", "0 0 0", "x y z"])
def test_threads_that_the_kernel_does_not_count_are_unknown(schedstat, tmp_path):
    write(tmp_path, "proc/self/task/7/schedstat", schedstat)
    seen = CounterReader((0,), tmp_path).read()
    assert (seen.run_queue_wait_ns, seen.task_cpu_ns, seen.busy_threads()) == (None, None, None)


def test_a_cpu_that_proc_stat_lacks_has_no_steal_of_zero(tmp_path):
    write(tmp_path, "proc/stat", "cpu  1 1 1 1 1 1 1 1\ncpu0 1 1 1 1 1 1 1 1")
    assert CounterReader((0,), tmp_path).read().steal_ns == 10**9 // os.sysconf("SC_CLK_TCK")
    assert CounterReader((0, 1), tmp_path).read().steal_ns is None


class Opened:
    """Counts how many cases a wave has open at once, in the place of starting any."""

    def __init__(self):
        self.groups = []

    def __call__(self, _waves, cases, _launch, _round_ms):
        self.groups.append(len(cases))


@situation(
    "memory",
    "How much memory is available is unknown",
    "keeps the wave whole, so that its cases are still compared side by side, and warns that it may not fit",
)
@pytest.mark.parametrize(("available", "groups"), [(None, [5]), (3 << 30, [4, 1])])
def test_a_wave_stays_whole_when_the_memory_is_unknown(available, groups, tmp_path, monkeypatch):
    opened = Opened()
    monkeypatch.setattr(conducting, "available_memory_bytes", lambda: available)
    monkeypatch.setattr(conducting._Waves, "_group", lambda *arguments: opened(*arguments))
    cases = [a_case(f"m{number}") for number in range(5)]
    plan = a_plan(*cases, launches=1)
    sink = store.RunWriter(tmp_path / "run", a_run(plan, finished=False))
    conduct(plan, {case.id: ("file",) for case in cases}, tmp_path, tmp_path, sink)
    assert opened.groups == groups


def test_a_process_whose_memory_is_not_told_holds_an_unknown_amount(tmp_path):
    write(tmp_path, "proc/self/status", "Name:\tx\nVmRSS:\t12 kB")
    assert worker.resident_bytes("VmRSS", tmp_path) == 12 << 10
    assert worker.resident_bytes("VmHWM", tmp_path) is None


@situation(
    "the host",
    "There is no /proc at all (a bare chroot or sandbox)",
    "measures; threads, load, memory and counters are unknown, with a caveat each",
)
def test_without_any_proc_a_run_measures_and_says_what_is_unknown(tmp_path):
    request = ("compare", "--models", SMALLEST, "--backends", "ort", "torch", "--launches", "3", "--budget", "40", "--quiet")
    command = [*without_proc(), sys.executable, "-m", "mnbench", *request, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables(), timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    (directory,) = tmp_path.iterdir()
    run = store.load(directory)
    assert not run.failures
    assert {"memory-unknown", "load-unknown", "counters-unknown"} <= {caveat.code for caveat in run.caveats}
    assert {r.busy_threads for samples in run.samples for r in samples.rounds} == {None}


def test_open_files_are_counted_without_proc():
    code = "from mnbench.system import processes; import os; print(processes.spare_files(), os.path.exists('/proc/self'))"
    script = ["sh", "-c", f'ulimit -n 64; exec {sys.executable} -c "$0"', code]
    done = [
        subprocess.run([*start, *script], capture_output=True, text=True, check=True, env=variables()).stdout.split()
        for start in (without_proc(), [])
    ]
    assert done == [["45", "False"], ["44", "True"]]  # one for the folder that is listed
