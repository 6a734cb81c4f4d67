"""Which CPUs are measured: siblings and kinds as the kernel lists them, the fastest kind first, kinds never mixed unasked."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from mnbench import environment
from mnbench.environment import arm, topology
from mnbench.environment.virtual import virtualisation
from mnbench.errors import UsageError, WorkerError
from mnbench.measure import worker
from mnbench.report.naming import conditions
from mnbench.report.view import view_of
from tests.builders import make_run
from tests.conftest import an_environment
from tests.situations import situation
from tests.situations.made_up_hosts import ARM_BOARD, BARE, CONTAINER, CPU, DMI, HYBRID_LAPTOP, SERVER, TREE, write


@situation(
    "CPUs",
    "Clusters of an ARM board number their cores alike (big.LITTLE)",
    "takes no two of them for SMT siblings, and measures on the fastest kind",
)
def test_clusters_with_equal_core_numbers_are_no_siblings(tmp_path, monkeypatch):
    root = ARM_BOARD.build(tmp_path, monkeypatch)
    assert [len(core) for core in topology.cores(root)] == [1] * 8
    assert environment.choose_cpus(1, root=root) == (7,)
    assert environment.choose_cpus(4, root=root) == (4, 5, 6, 7)
    assert environment.choose_cpus(2, (0, 4), root) == (0, 4)


@situation(
    "CPUs",
    "A hybrid CPU has performance and efficiency cores",
    "measures on performance cores; refuses more threads than these, and names `--cpus` for mixing kinds",
)
def test_kinds_are_never_mixed_without_being_asked(tmp_path, monkeypatch):
    root = HYBRID_LAPTOP.build(tmp_path, monkeypatch)
    assert environment.choose_cpus(1, root=root) == (2,)
    assert environment.choose_cpus(2, root=root) == (0, 2)
    refused = r"10 threads .* may use 2 \(physical cores that are performance cores\).* Only --cpus mixes kinds of cores"
    with pytest.raises(UsageError, match=refused):
        environment.choose_cpus(10, root=root)
    assert environment.choose_cpus(10, (0, 2, *range(4, 12)), root) == (0, 2, *range(4, 12))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6})
    assert environment.choose_cpus(3, root=root) == (4, 5, 6)


@situation(
    "CPUs",
    "`--cpus` names cores of several kinds",
    "measures there with a caveat, and names the kinds in the headline",
)
def test_mixed_kinds_are_a_caveat_and_the_kind_is_in_the_headline(tmp_path, monkeypatch):
    host = environment.capture(root=HYBRID_LAPTOP.build(tmp_path, monkeypatch))
    assert environment.placement(host, (0, 2)) == ()
    (caveat,) = environment.placement(host, (2, 4))
    assert (caveat.code, caveat.observed) == (
        "mixed-kinds",
        "the measured CPUs are of 2 kinds: performance cores, efficiency cores",
    )
    run, analysis = make_run()
    for cpus, named in (((2,), "performance cores"), ((11,), "efficiency cores"), ((2, 4), "performance cores and efficiency")):
        there = with_host(run, host, cpus)
        assert f"{host.cpu_model} · {named}" in conditions(there)
        assert f"{host.cpu_model} · {named}" in view_of(there, analysis).headline


def with_host(run, host, cpus):
    """Return the run as if it had been measured on some CPUs of a host."""
    return replace(run, environment=host, plan=replace(run.plan, cpus=cpus))


def test_a_host_of_one_kind_has_no_kind_in_its_headline_and_no_caveat(tmp_path, monkeypatch):
    host = environment.capture(root=SERVER.build(tmp_path, monkeypatch))
    run, _ = make_run()
    assert conditions(with_host(run, host, (5,))).startswith(f"{host.cpu_model} · 1 thread")
    assert environment.placement(host, (4, 5)) == ()


@pytest.mark.parametrize(
    ("speeds", "kinds"),
    [
        ({0: {"cpu_capacity": 1024}, 1: {"cpu_capacity": 1024}}, [(0, 1)]),
        ({0: {"cpu_capacity": 446}, 1: {"cpu_capacity": 1024}}, [(1,), (0,)]),
        ({0: {"cpufreq/cpuinfo_max_freq": 5_600_000}, 1: {"cpufreq/cpuinfo_max_freq": 6_000_000}}, [(0, 1)]),  # favoured
        ({0: {"cpufreq/cpuinfo_max_freq": 5_100_000}, 1: {"cpufreq/cpuinfo_max_freq": 3_300_000}}, [(0,), (1,)]),  # compact
        ({0: {"cpu_capacity": 1024}, 1: {"cpu_capacity": 871}, 2: {"cpu_capacity": 250}}, [(0,), (1,), (2,)]),
        ({0: {"cpu_capacity": "x"}, 1: {}}, []),
        ({}, []),
    ],
)
def test_kinds_follow_from_speed_where_nothing_names_them(speeds, kinds, tmp_path):
    for cpu, files in speeds.items():
        for name, value in files.items():
            write(tmp_path, f"{CPU}/cpu{cpu}/{name}", str(value))
    found = environment.kinds(tmp_path)
    assert [kind.cpus for kind in found] == kinds
    assert len({kind.name for kind in found}) == len(found)


def test_units_that_count_events_tell_kinds_apart_where_no_speed_is_told(tmp_path):
    for cpu in range(3):
        write(tmp_path, f"{CPU}/cpu{cpu}/online", "1")
    write(tmp_path, "sys/devices/cpu_atom/cpus", "0-1")
    write(tmp_path, "sys/devices/cpu_core/cpus", "2")
    assert [(kind.name, kind.cpus) for kind in environment.kinds(tmp_path)] == [
        ("performance cores", (2,)),
        ("efficiency cores", (0, 1)),
    ]


@situation(
    "CPUs",
    "Some CPUs are isolated from the scheduler (isolcpus)",
    "`doctor` advises to measure there, and `--cpus` reaches them, though no affinity mask holds them",
)
def test_isolated_cpus_are_reachable(tmp_path, monkeypatch):
    root = SERVER.build(tmp_path, monkeypatch)
    assert environment.choose_cpus(1, root=root) == (5,)
    assert environment.choose_cpus(2, (6, 7), root) == (6, 7)
    with pytest.raises(UsageError, match="two SMT siblings"):
        environment.choose_cpus(2, (7, 15), root)
    write(root, "sys/fs/cgroup/system.slice/bench.service/cpuset.cpus.effective", "0-6")
    with pytest.raises(UsageError, match=r"CPU 7 is not available to this process; --cpus can name 0,1,2,3,4,5,6,8"):
        environment.choose_cpus(1, (7,), root)


@pytest.mark.parametrize(
    ("lists", "cores"),
    [
        ({0: "0-1", 1: "0-1"}, ((0, 1),)),
        ({0: "0-1", 1: "1"}, ((1,),)),  # they contradict each other
        ({0: "2", 1: "1"}, ((1,),)),
        ({0: "", 1: "x"}, ()),
    ],
)
def test_siblings_are_lists_that_agree_and_others_are_unknown(lists, cores, tmp_path, monkeypatch):
    BARE.build(tmp_path, monkeypatch)
    for cpu, text in lists.items():
        write(tmp_path, f"{CPU}/cpu{cpu}/topology/thread_siblings_list", text)
    assert topology.cores(tmp_path) == cores
    seen = environment.capture(root=tmp_path)
    assert ("cores" in seen.unknown) == (cores != ((0, 1),))


@situation(
    "CPUs",
    "A virtual machine may hide SMT siblings and kinds of cores from its kernel",
    "says so in the note on virtual machines; on ARM it finds the machine by DMI or the device tree",
)
@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({f"{DMI}/sys_vendor": "QEMU"}, "QEMU"),
        ({f"{DMI}/sys_vendor": "Amazon EC2", f"{DMI}/product_name": "c7g.large"}, "Amazon EC2"),
        ({f"{DMI}/sys_vendor": "Amazon EC2", f"{DMI}/product_name": "c7g.metal"}, None),
        ({f"{DMI}/sys_vendor": "Ampere(R)"}, None),
        ({f"{TREE}/hypervisor/compatible": "xen,xen-4.17\0xen,xen\0"}, "xen,xen-4.17"),
        ({f"{TREE}/compatible": "linux,dummy-virt\0"}, "linux,dummy-virt"),
        ({f"{TREE}/compatible": "radxa,rock-5b\0"}, None),
    ],
)
def test_an_arm_guest_is_found_by_dmi_or_device_tree(files, found, tmp_path, monkeypatch):
    BARE.build(tmp_path, monkeypatch)
    for path, text in files.items():
        write(tmp_path, path, text)
    seen = environment.capture(root=tmp_path)
    assert (seen.virtualisation, "virtualisation" in seen.unknown) == (found, False)
    said = [finding.observed for finding in environment.findings(seen) if finding.code == "virtual-machine"]
    assert ["the hypervisor may hide SMT siblings and kinds of cores" in text for text in said] == [True] * bool(found)


def test_without_dmi_and_device_tree_an_arm_host_may_be_a_guest(tmp_path):
    assert virtualisation({}, tmp_path) is None
    assert virtualisation({"flags": "avx"}, tmp_path) == ""


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (("0x41", "0xd0b", "0x4", "1"), "ARM Cortex-A76 r4p1"),
        (("0x41", "0xfff", "0x0", "2"), "ARM part 0xfff r0p2"),
        (("0x99", "0x001", "0x0", "0"), "implementer 0x99 part 0x001 r0p0"),
        (("0xc0", "0xac3", "", ""), "Ampere Ampere-1"),
        (("0x41", "", "0x4", "1"), None),
    ],
)
def test_an_arm_core_is_named_by_implementer_part_and_variant(fields, name):
    keys = ("CPU implementer", "CPU part", "CPU variant", "CPU revision")
    assert arm.core_name(dict(zip(keys, fields, strict=True))) == name


@situation("CPUs", "A measured CPU is taken offline during a run", "ends that launch with a failure that says so")
def test_a_cpu_that_went_offline_is_the_reason_of_a_failure(monkeypatch):
    here = sorted(os.sched_getaffinity(0))
    monkeypatch.setattr(worker, "online", lambda _: tuple(here))
    with pytest.raises(WorkerError, match=r"a thread may run on CPUs .*, not on .* CPU 4000 was taken offline"):
        worker.check_affinity((*here, 4000))
    with pytest.raises(WorkerError, match=r"CPUs \[4000\] cannot be used: .*; they may be offline"):
        worker.pin((4000,))


def test_a_container_on_two_siblings_has_one_core(tmp_path, monkeypatch):
    root = CONTAINER.build(tmp_path, monkeypatch)
    assert environment.choose_cpus(1, root=root) == (2,)
    with pytest.raises(UsageError, match=r"may use 1 \(physical cores in the affinity mask\)"):
        environment.choose_cpus(2, root=root)


def test_kinds_belong_to_the_hosts_identity(tmp_path, monkeypatch):
    host = environment.capture(root=ARM_BOARD.build(tmp_path, monkeypatch))
    other = environment.capture(root=HYBRID_LAPTOP.build(tmp_path / "other", monkeypatch))
    differ = {what: (old, new) for what, old, new in environment.host_differences(host, other)}
    assert differ["kinds of cores"] == (
        ["4 × Cortex-A76", "4 × Cortex-A55"],
        ["4 × performance cores", "8 × efficiency cores"],
    )
    stored_before = an_environment()
    assert "kinds of cores" not in {what for what, _, _ in environment.host_differences(host, stored_before)}
