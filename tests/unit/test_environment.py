import math
import os

import pytest

from mnbench import environment
from mnbench.errors import UsageError
from mnbench.records import Cache

CPUINFO = """processor\t: 0
model name\t: AMD EPYC
cpu family\t: 26
model\t\t: 2
flags\t\t: fpu avx avx2 avx512f hypervisor amx_tile

processor\t: 1
model name\t: another
"""


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A made-up host: four CPUs on two cores, no quota."""

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("proc/cpuinfo", CPUINFO)
    write("proc/meminfo", "MemTotal:       1024 kB\nMemAvailable:    512 kB\n")
    for cpu, core in enumerate((0, 0, 1, 1)):
        write(f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", "0\n")
        write(f"sys/devices/system/cpu/cpu{cpu}/topology/core_id", f"{core}\n")
        write(f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", f"{2 * core}-{2 * core + 1}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    return HostFiles(tmp_path, write)


class HostFiles:
    def __init__(self, root, write):
        self.root, self.write = root, write


def test_the_record_names_cpu_isa_cores_and_memory(host):
    seen = environment.capture(root=host.root)
    assert seen.cpu_model == "AMD EPYC (family 26, model 2)"
    assert seen.isa == ("avx", "avx2", "avx512f", "amx_tile")
    assert (seen.physical_cores, seen.memory_bytes, seen.virtualisation) == (2, 1 << 20, "hypervisor")


def test_the_record_holds_topology_caches_and_settings_of_the_kernel(host):
    cache = "sys/devices/system/cpu/cpu0/cache/index3"
    for path, text in {
        f"{cache}/level": "3\n", f"{cache}/type": "Unified\n", f"{cache}/size": "32768K\n",
        f"{cache}/shared_cpu_list": "0-3\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor": "performance\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "proc/sys/vm/swappiness": "60\n",
        "proc/loadavg": "1.25 0.5 0.1 1/90 7\n",
        "proc/pressure/cpu": "some avg10=7.50 avg60=0.46 avg300=5.58 total=1\nfull avg10=0.00 avg60=0 avg300=0 total=0\n",
    }.items():  # fmt: skip
        host.write(path, text)
    seen = environment.capture(root=host.root)
    assert seen.cores == ((0, 1), (2, 3))
    assert seen.caches == (Cache(level=3, kind="unified", size_bytes=32 << 20, shared_cpus=(0, 1, 2, 3)),)
    assert seen.governor == "performance, powersave"
    assert (seen.clock_source, seen.transparent_hugepages, seen.swappiness) == ("hpet", "madvise", 60)
    assert (seen.load_average_1min, seen.cpu_pressure_pct, seen.memory_pressure_pct) == (1.25, 7.5, None)


@pytest.mark.parametrize(
    ("path", "text", "turbo"),
    [
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n", False),
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "0\n", True),
        ("sys/devices/system/cpu/cpufreq/boost", "1\n", True),
        ("sys/devices/system/cpu/cpufreq/boost", "0\n", False),
        ("sys/unrelated", "1\n", None),
    ],
)
def test_turbo_is_read_from_either_driver_and_is_unknown_without_one(host, path, text, turbo):
    host.write(path, text)
    assert environment.capture(root=host.root).turbo is turbo


@pytest.mark.parametrize(
    ("cgroup", "path"),
    [
        ("0::/job\n", "sys/fs/cgroup/job/cpuset.cpus.effective"),
        ("0::/job\n", "sys/fs/cgroup/cpuset.cpus.effective"),
        ("3:cpuset:/job\n", "sys/fs/cgroup/cpuset/job/cpuset.effective_cpus"),
        ("3:cpuset:/\n", "sys/fs/cgroup/cpuset/cpuset.cpus"),
    ],
)
def test_the_cpuset_is_found_in_both_versions_of_cgroups(host, cgroup, path):
    host.write("proc/self/cgroup", cgroup)
    host.write(path, "0,2-3\n")
    assert environment.capture(root=host.root).cpuset == (0, 2, 3)


@pytest.mark.parametrize(
    ("setting", "personality", "known"),
    [("2", "00000000", (2, False)), ("0", "00040000", (0, True)), ("1", "00440000", (1, True)), ("2", None, (2, None)),
     (None, "00000000", (None, False)), (None, None, (None, None))],
)  # fmt: skip
def test_whether_addresses_are_drawn_is_read_for_the_kernel_and_for_this_process(host, setting, personality, known):
    for path, text in (("proc/sys/kernel/randomize_va_space", setting), ("proc/self/personality", personality)):
        if text is not None:
            host.write(path, f"{text}\n")
    seen = environment.capture(root=host.root)
    assert (seen.randomize_va_space, seen.addresses_fixed) == known


def test_steal_and_foreign_load_are_those_of_the_pause(host):
    each = "cpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1 1 1 1\nctxt 5\n"
    host.write("proc/stat", f"cpu 100 0 100 700 0 0 0 100 50 0\n{each}")
    later = f"cpu 120 0 110 760 0 0 0 110 99 0\n{each}"
    seen = environment.capture(root=host.root, pause=lambda: host.write("proc/stat", later))
    assert (seen.steal_now_pct, seen.busy_cpus_now) == (10.0, 0.6)  # 10 and 30 of 100 ticks, on two CPUs
    assert seen.steal_since_boot_pct == 10.0
    still = environment.capture(root=host.root, pause=lambda: None)
    assert (still.steal_now_pct, still.busy_cpus_now) == (None, None)


def test_a_host_that_tells_nothing_is_still_described(tmp_path):
    seen = environment.capture(root=tmp_path, pause=lambda: None)
    assert (seen.caches, seen.cpuset, seen.turbo, seen.steal_now_pct, seen.numa_nodes) == ((), None, None, None, None)
    unknown = {"load", "memory", "memory-limit", "quota", "topology", "cpu"}
    unknown = {"unknown", *(f"{name}-unknown" for name in unknown)}
    found = {finding.code for finding in environment.findings(seen)}
    assert unknown <= found <= unknown | {"affinity", "one-cpu", "environment-variable"}


def test_the_budget_is_cores_not_siblings(host):
    assert environment.cpu_budget(host.root) == (2, "physical cores in the affinity mask")


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "max 100000\n"}, math.inf),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
          "sys/fs/cgroup/a/cpu.max": "100000 100000\n"}, 1.0),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/job\n", "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
          "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"proc/self/cgroup": "1:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({}, None),
    ],
)  # fmt: skip
def test_the_tightest_cgroup_quota_is_found_in_both_versions(host, files, quota):
    for path, text in files.items():
        host.write(path, text)
    assert environment.cgroup_cpu_quota(host.root) == quota


def test_a_quota_below_the_cores_sets_the_budget(host):
    host.write("proc/self/cgroup", "0::/job\n")
    host.write("sys/fs/cgroup/job/cpu.max", "150000 100000\n")
    assert environment.cpu_budget(host.root) == (1, "CPUs of the cgroup's quota")


def test_launches_are_pinned_to_the_last_cores_one_cpu_each(host):
    assert environment.choose_cpus(1, root=host.root) == (2,)
    assert environment.choose_cpus(2, root=host.root) == (0, 2)


@pytest.mark.parametrize(
    ("threads", "cpus", "message"),
    [
        (3, None, r"3 threads were asked for, but this process may use 2 \(physical cores in the affinity mask\)"),
        (1, (9,), r"CPU 9 is not available to this process; --cpus can name 0,1,2,3"),
        (2, (0, 1), r"names two SMT siblings"),
        (2, (0,), r"gives 1 for 2 threads"),
    ],
)
def test_cpus_that_cannot_be_had_are_refused(host, threads, cpus, message):
    with pytest.raises(UsageError, match=message):
        environment.choose_cpus(threads, cpus, host.root)


def test_cpu_lists_are_read_as_the_kernel_writes_them():
    assert environment.parse_cpus("0,2-4") == (0, 2, 3, 4)


@pytest.mark.parametrize("text", ["", "a", "1-", "3-1", "0;1", "-1", "0-99999999"])
def test_what_is_no_cpu_list_is_refused(text):
    with pytest.raises(UsageError):
        environment.parse_cpus(text)


def test_this_host_can_be_described():
    seen = environment.capture()
    assert seen.cpu_budget >= 1
    assert seen.packages["numpy"]
