"""What host this is, as far as it decides a figure: CPU, caches of truth in /proc and /sys, budgets, versions.

Every reader takes `root`, so that a test can hand it a made-up /proc and /sys.
"""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from mnbench.errors import UsageError
from mnbench.records import Environment

ISA_FLAGS = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
"""CPU flags that decide which kernels a runtime may pick."""

STEERING_PREFIXES = ("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "ORT_", "OV_", "TBB_", "ATEN_")
"""Environment variables with these prefixes change threads, ISA or precision of a runtime."""

MOST_CPUS = 8191
"""Linux numbers CPUs up to CONFIG_NR_CPUS, 8192 at most on x86."""

PACKAGES = ("mnbench", "numpy", "torch", "onnx", "onnxscript", "onnxruntime", "openvino", "pytorchcv")


def capture(packages: Iterable[str] = PACKAGES, root: Path = Path("/")) -> Environment:
    """Return the record of this host. Reads files only; imports no runtime."""
    fields = _cpuinfo(root)
    budget, reason = cpu_budget(root)
    return Environment(
        cpu_model=_cpu_model(fields),
        isa=tuple(flag for flag in ISA_FLAGS if flag in fields.get("flags", fields.get("Features", "")).split()),
        logical_cpus=os.cpu_count() or 1,
        physical_cores=len(set(_core_of_cpu(root).values())) or (os.cpu_count() or 1),
        affinity=tuple(sorted(os.sched_getaffinity(0))),
        cpu_budget=budget,
        cpu_budget_reason=reason,
        memory_bytes=_meminfo_bytes("MemTotal", root),
        virtualisation=_virtualisation(fields, root),
        governor=_read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        kernel=platform.release(),
        python=platform.python_version(),
        packages={name: version for name in packages if (version := package_version(name)) is not None},
        variables={k: v for k, v in sorted(os.environ.items()) if k.startswith(STEERING_PREFIXES)},
    )


def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None. Does not import it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cpu_budget(root: Path = Path("/")) -> tuple[int, str]:
    """Return the most threads this process may keep busy, and which limit decides.

    min(affinity, cpuset, cgroup v1/v2 quota, physical cores): the affinity mask holds the cpuset already, because the kernel
    intersects the two.
    """
    affinity = os.sched_getaffinity(0)
    cores = _core_of_cpu(root)
    limits = {
        "CPUs in the affinity mask": len(affinity),
        "physical cores in the affinity mask": len({cores.get(cpu, (0, cpu)) for cpu in affinity}),
    }
    quota = cgroup_cpu_quota(root)
    if quota is not None:
        limits["CPUs of the cgroup's quota"] = max(1, math.floor(quota))
    reason = min(limits, key=lambda name: limits[name])
    return limits[reason], reason


def choose_cpus(threads: int, requested: Iterable[int] | None = None, root: Path = Path("/")) -> tuple[int, ...]:
    """Return the CPUs a launch is pinned to: one per physical core, never two SMT siblings.

    Without `requested`, the highest-numbered cores are taken, since the low ones serve most interrupts.
    Raises UsageError for more threads than the budget, an unknown or forbidden CPU, siblings, or too few CPUs.
    """
    budget, reason = cpu_budget(root)
    if threads > budget:
        raise UsageError(
            f"{threads} threads were asked for, but this process may use {budget} ({reason}); give --threads {budget} or fewer."
        )
    allowed = sorted(os.sched_getaffinity(0))
    cores = _core_of_cpu(root)
    if requested is None:
        one_per_core = {cores.get(cpu, (0, cpu)): cpu for cpu in reversed(allowed)}
        return tuple(sorted(sorted(one_per_core.values())[-threads:]))
    cpus = tuple(sorted(set(requested)))
    if unknown := [cpu for cpu in cpus if cpu not in allowed]:
        raise UsageError(f"CPU {unknown[0]} is not one this process may use; --cpus can name {_ranges(allowed)}.")
    if len({cores.get(cpu, (0, cpu)) for cpu in cpus}) < len(cpus):
        raise UsageError(f"--cpus {_ranges(cpus)} names two SMT siblings of one core; name one CPU per core.")
    if len(cpus) < threads:
        raise UsageError(f"--cpus {_ranges(cpus)} gives {len(cpus)} for {threads} threads; name at least {threads}.")
    return cpus


def cgroup_cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPU quota of this process's cgroup in CPUs (the tightest one up to the root), or None without one."""
    quotas = [quota for folder in cgroup_folders(root) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def cgroup_folders(root: Path = Path("/")) -> list[Path]:
    """Return the folders of this process's CPU cgroup, from its own up to the mount point, for v1 and v2."""
    folders: list[Path] = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            bases = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif "cpu" in controllers.split(","):
            bases = [root / "sys/fs/cgroup" / name for name in ("cpu", "cpu,cpuacct")]
        else:
            continue
        for base in bases:
            folder = base / path.lstrip("/")
            while folder != base.parent and base in (folder, *folder.parents):
                folders.append(folder)
                folder = folder.parent
    return [folder for folder in folders if folder.is_dir()]


def available_memory_bytes(root: Path = Path("/")) -> int:
    """Return the memory that can be had without swapping, as the kernel estimates it."""
    return _meminfo_bytes("MemAvailable", root)


def parse_cpus(text: str) -> tuple[int, ...]:
    """Parse a kernel-style CPU list: `0`, `0,2`, `1-3`. Raises UsageError."""
    cpus: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise UsageError(f"{text!r} is not a list of CPUs; write it as 0, 0,2 or 1-3.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"{part.strip()!r} is not a range of CPUs; write the smaller number first.")
        if last > MOST_CPUS:
            raise UsageError(f"CPU {last} is not one any kernel has; the largest number is {MOST_CPUS}.")
        cpus.extend(range(first, last + 1))
    return tuple(cpus)


def _quota_of(folder: Path) -> float | None:
    v2 = _read(folder / "cpu.max")
    if v2 is not None:
        limit, _, period = v2.partition(" ")
        return None if limit == "max" else int(limit) / int(period or 100_000)
    v1, period_v1 = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if v1 is None or period_v1 is None or int(v1) <= 0:
        return None
    return int(v1) / int(period_v1)


def _core_of_cpu(root: Path) -> dict[int, tuple[int, int]]:
    """Return (package, core) of each CPU the kernel describes."""
    cores: dict[int, tuple[int, int]] = {}
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*"):
        package, core = _read(folder / "topology/physical_package_id"), _read(folder / "topology/core_id")
        if package is not None and core is not None:
            cores[int(folder.name[3:])] = (int(package), int(core))
    return cores


def _cpuinfo(root: Path) -> dict[str, str]:
    first = (_read(root / "proc/cpuinfo") or "").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _cpu_model(fields: Mapping[str, str]) -> str:
    """Name the CPU; a hypervisor may hide the model's number, so family and model stand beside a bare name."""
    name = fields.get("model name") or platform.processor() or platform.machine()
    if any(character.isdigit() for character in name) or "cpu family" not in fields:
        return name
    return f"{name} (family {fields['cpu family']}, model {fields.get('model', '?')})"


def _virtualisation(fields: Mapping[str, str], root: Path) -> str | None:
    if "hypervisor" not in fields.get("flags", "").split():
        return None
    return _read(root / "sys/class/dmi/id/sys_vendor") or "hypervisor"


def _meminfo_bytes(key: str, root: Path) -> int:
    match = re.search(rf"^{key}:\s+(\d+) kB", _read(root / "proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _ranges(cpus: Iterable[int]) -> str:
    return ",".join(str(cpu) for cpu in cpus)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
