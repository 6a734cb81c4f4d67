"""Made-up hosts: roots with the files of /proc and /sys that such a host has, and nothing else."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mnbench.environment.host import STEERING_PREFIXES

CPU = "sys/devices/system/cpu"
DMI = "sys/class/dmi/id"
TREE = "sys/firmware/devicetree/base"
CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"
HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
MIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUpHost:
    """What the kernel of a host would say: files by path, and what system calls answer."""

    affinity: tuple[int, ...]
    machine: str = "x86_64"
    cpus: int
    """Those that are on, numbered from 0."""
    files: Mapping[str, str] = field(default_factory=dict)

    def build(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Write the host's files below `root`, and let system calls answer for it; return `root`."""
        for path, text in self.files.items():
            write(root, path, text)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(self.affinity))
        monkeypatch.setattr(os, "cpu_count", lambda: self.cpus)
        monkeypatch.setattr(platform, "machine", lambda: self.machine)
        monkeypatch.setattr(platform, "release", lambda: "6.12.0")
        monkeypatch.setattr(platform, "python_version", lambda: "3.12.1")
        for name in list(os.environ):
            if name.startswith(STEERING_PREFIXES):
                monkeypatch.delenv(name)
        return root


def write(root: Path, path: str, text: str) -> None:
    """Write one file of a made-up host."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(f"{text}\n" if text else "")


def stat(cpus: Iterable[int], *, busy: int, idle: int, steal: int = 0) -> str:
    """Return /proc/stat of CPUs that each spent so many ticks."""
    numbers = list(cpus)
    lines = [f"cpu{cpu} {busy} 0 0 {idle} 0 0 0 {steal} 0 0" for cpu in numbers]
    total = f"cpu  {busy * len(numbers)} 0 0 {idle * len(numbers)} 0 0 0 {steal * len(numbers)} 0 0"
    return "\n".join([total, *lines, "ctxt 1"])


def _kernel(cpus: int, *, memory_mib: int, available_mib: int, swap_mib: int = 0) -> dict[str, str]:
    """Return what every whole /proc and /sys has."""
    memory = {"MemTotal": memory_mib, "MemAvailable": available_mib, "SwapTotal": swap_mib, "SwapFree": swap_mib}
    return {
        "proc/stat": stat(range(cpus), busy=10_000, idle=990_000),
        "proc/meminfo": "\n".join(f"{name}: {mib * MIB} kB" for name, mib in memory.items()),
        "proc/loadavg": "0.05 0.03 0.01 1/200 4242",
        "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1",
        "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1",
        "proc/sys/vm/swappiness": "60",
        "proc/sys/kernel/randomize_va_space": "2",
        "proc/self/personality": "00000000",
        "proc/self/cgroup": "0::/",
        "sys/fs/cgroup/cpuset.cpus.effective": f"0-{cpus - 1}",
        f"{CPU}/online": f"0-{cpus - 1}",
        f"{CPU}/isolated": "",
        HUGE_PAGES: "always [madvise] never",
        "sys/devices/system/node/node0/cpulist": f"0-{cpus - 1}",
    }


def _topology(groups: Iterable[str], *, package: int = 0) -> dict[str, str]:
    """Return the lists of siblings: each group is a core, such as `0-1`."""
    found = {}
    for core, group in enumerate(groups):
        first, _, last = group.replace(",", "-").partition("-")
        for cpu in {int(first), int(last or first)}:
            folder = f"{CPU}/cpu{cpu}/topology"
            found |= {f"{folder}/core_cpus_list": group, f"{folder}/thread_siblings_list": group}
            found |= {f"{folder}/core_id": str(core), f"{folder}/physical_package_id": str(package)}
    return found


def _caches(cpu: int, **caches: str) -> dict[str, str]:
    """Return the caches of a CPU: `L1d="48K 0-1"`."""
    kinds = {"d": "Data", "i": "Instruction", "": "Unified"}
    found = {}
    for index, (name, text) in enumerate(caches.items()):
        size, shared = text.split()
        folder = f"{CPU}/cpu{cpu}/cache/index{index}"
        found |= {f"{folder}/level": name[1], f"{folder}/type": kinds[name[2:]]}
        found |= {f"{folder}/size": size, f"{folder}/shared_cpu_list": shared}
    return found


def _clocks(cpus: Iterable[int], *, max_khz: int, governor: str) -> dict[str, str]:
    folders = [f"{CPU}/cpu{cpu}/cpufreq" for cpu in cpus]
    clocks = {f"{folder}/cpuinfo_max_freq": str(max_khz) for folder in folders}
    return clocks | {f"{folder}/scaling_governor": governor for folder in folders}


def _x86(cpus: int, name: str, flags: str) -> dict[str, str]:
    blocks = [f"processor\t: {cpu}\nmodel name\t: {name}\nflags\t\t: {flags}" for cpu in range(cpus)]
    return {"proc/cpuinfo": "\n\n".join(blocks), CLOCK: "tsc"}


def _arm(cpu: int, part: str, variant: int, revision: int) -> str:
    return (
        f"processor\t: {cpu}\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: {variant:#x}\nCPU part\t: {part}\nCPU revision\t: {revision}"
    )


ARM_BOARD = MadeUpHost(
    affinity=tuple(range(8)),
    machine="aarch64",
    cpus=8,
    files={
        **_kernel(8, memory_mib=16_000, available_mib=14_000),
        "proc/cpuinfo": "\n\n".join(
            [*(_arm(cpu, "0xd05", 2, 0) for cpu in range(4)), *(_arm(cpu, "0xd0b", 4, 0) for cpu in range(4, 8))]
        ),
        CLOCK: "arch_sys_counter",
        f"{TREE}/compatible": "radxa,rock-5b\0rockchip,rk3588\0",
        # The cores of each cluster are numbered from 0: nothing but the lists tells that these are no siblings.
        **{path: text for cluster in ("0123", "45", "67") for path, text in _topology(cluster).items()},
        **{f"{CPU}/cpu{cpu}/cpu_capacity": "414" if cpu < 4 else "1024" for cpu in range(8)},
        **_clocks(range(4), max_khz=1_800_000, governor="performance"),
        **_clocks(range(4, 6), max_khz=2_400_000, governor="performance"),
        **_clocks(range(6, 8), max_khz=2_352_000, governor="performance"),
        **_caches(0, L1d="32K 0", L2="128K 0", L3="3072K 0-7"),
        **_caches(4, L1d="64K 4", L2="512K 4", L3="3072K 0-7"),
    },
)
"""Four Cortex-A55 and two clusters of two Cortex-A76, as on an RK3588."""

HYBRID_LAPTOP = MadeUpHost(
    affinity=tuple(range(12)),
    cpus=12,
    files={
        **_kernel(12, memory_mib=16_000, available_mib=9_000, swap_mib=4_096),
        **_x86(12, "13th Gen Intel(R) Core(TM) i5-1335U", "avx avx2 fma f16c avx_vnni"),
        **_topology(["0-1", "2-3", *(str(cpu) for cpu in range(4, 12))]),
        "sys/devices/cpu_core/cpus": "0-3",
        "sys/devices/cpu_atom/cpus": "4-11",
        f"{DMI}/sys_vendor": "LENOVO",
        f"{CPU}/intel_pstate/no_turbo": "0",
        **_clocks(range(4), max_khz=4_600_000, governor="powersave"),
        **_clocks(range(4, 12), max_khz=3_400_000, governor="powersave"),
        **_caches(0, L1d="48K 0-1", L1i="32K 0-1", L2="1280K 0-1", L3="12288K 0-11"),
    },
)
"""Two performance cores with two CPUs each, and eight efficiency cores with the higher numbers."""

SERVER = MadeUpHost(
    affinity=(*range(6), *range(8, 14)),  # isolcpus takes the isolated ones out of every mask
    cpus=16,
    files={
        **_kernel(16, memory_mib=256_000, available_mib=240_000),
        **_x86(16, "Intel(R) Xeon(R) Gold 6444Y", "avx avx2 fma avx512f amx_bf16"),
        **_topology([f"{cpu},{cpu + 8}" for cpu in range(4)]),
        **_topology([f"{cpu},{cpu + 8}" for cpu in range(4, 8)], package=1),
        "proc/self/cgroup": "0::/system.slice/bench.service",
        "sys/fs/cgroup/system.slice/bench.service/cpu.max": "250000 100000",
        "sys/fs/cgroup/system.slice/bench.service/cpuset.cpus.effective": "0-15",
        "sys/fs/cgroup/system.slice/cpu.max": "max 100000",
        "sys/devices/system/node/node1/cpulist": "4-7,12-15",
        f"{DMI}/sys_vendor": "Dell Inc.",
        f"{CPU}/isolated": "6-7,14-15",
        f"{CPU}/intel_pstate/no_turbo": "1",
        **_clocks(range(16), max_khz=4_000_000, governor="performance"),
        **_caches(0, L1d="48K 0,8", L1i="32K 0,8", L2="2048K 0,8", L3="46080K 0-3,8-11"),
    },
)
"""Two sockets of four cores with SMT, a quota of two and a half CPUs by cgroup v2, and one pair of isolated cores."""

CONTAINER = MadeUpHost(
    affinity=(2, 3),
    cpus=4,
    files={
        **_kernel(4, memory_mib=8_000, available_mib=6_000),
        **_x86(4, "AMD EPYC 7B13", "avx avx2 fma hypervisor"),
        **_topology(["0-1", "2-3"]),
        "sys/fs/cgroup/cpu.max": "max 100000",
        "sys/fs/cgroup/cpuset.cpus.effective": "2-3",
        "sys/fs/cgroup/memory.max": str(2 << 30),
        f"{DMI}/sys_vendor": "Google",
        **_caches(2, L1d="32K 2-3", L1i="32K 2-3", L2="512K 2-3", L3="32768K 0-3"),
    },
)
"""A container on two CPUs of a virtual machine, with a limit of its memory."""

BARE = MadeUpHost(affinity=(0, 1), cpus=2, files={"proc/self/status": "VmRSS:\t1 kB"})
"""A /proc with processes alone (systemd: ProcSubset=pid), and no /sys."""

HOSTS = {
    "arm-board": ARM_BOARD,
    "hybrid-laptop": HYBRID_LAPTOP,
    "server-with-quota": SERVER,
    "container": CONTAINER,
    "bare-proc": BARE,
}
