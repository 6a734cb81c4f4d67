"""The record of this host: CPU, topology, caches, settings of the kernel, versions, and its state of the moment."""

from __future__ import annotations

import math
import os
import platform
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from mnbench.environment import budget, memory, state, topology
from mnbench.environment.kernel import clock_source, meminfo_bytes, read, read_cpus, read_int
from mnbench.environment.virtual import virtualisation
from mnbench.records import Cache, CpuKind, Environment
from mnbench.system.files import text_of
from mnbench.system.telemetry import VARIABLES

ISA_FLAGS = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
"""CPU flags that decide which kernels a runtime may pick."""

STEERING_PREFIXES = (
    "OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "ORT_", "OV_", "OPENVINO_", "TBB_", "ATEN_", "TORCH_",
    "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD",
)  # fmt: skip
"""Environment variables with these prefixes change threads, ISA, precision or memory of a runtime."""

PACKAGES = ("mnbench", "numpy", "torch", "onnx", "onnxscript", "onnxruntime", "openvino", "pytorchcv")
ADDR_NO_RANDOMIZE = 0x0040000
"""personality(2)."""
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


MUST_BE_TOLD = (
    "isa", "physical_cores", "memory_bytes", "governor", "cores", "numa_nodes", "caches", "turbo", "clock_source",
    "transparent_hugepages", "memory_available_bytes", "swap_total_bytes", "swap_used_bytes", "swappiness",
    "load_average_1min", "cpu_pressure_pct", "memory_pressure_pct", "steal_since_boot_pct", "steal_now_pct", "busy_cpus_now",
    "randomize_va_space", "addresses_fixed", "cpu_kinds",
)  # fmt: skip
"""Facts that every host has: where one of them is None or empty, it is unknown."""


def capture(packages: Iterable[str] = PACKAGES, root: Path = Path("/"), pause: Callable[[], None] | None = None) -> Environment:
    """Return the record of this host. Reads files only; imports no runtime.

    With `pause` (see `half_a_second`) it also says what other programs and other guests took while this process slept.
    What cannot be read is named in `unknown`.
    """
    since_boot, now = state.window(root, pause)
    blocks = topology.processors(root)
    fields = blocks[0] if blocks else {}
    threads, reason = budget.cpu_budget(root)
    affinity = tuple(sorted(os.sched_getaffinity(0)))
    cores, kinds = topology.cores(root), topology.kinds(root)
    swap_total, swap_free = meminfo_bytes("SwapTotal", root), meminfo_bytes("SwapFree", root)
    quota, virtual = budget.cgroup_cpu_quota(root), virtualisation(fields, root)
    name = _cpu_model(fields, kinds, root)
    host = Environment(
        cpu_model=name or f"unknown ({platform.machine()})",
        isa=tuple(flag for flag in ISA_FLAGS if flag in fields.get("flags", fields.get("Features", "")).split()),
        logical_cpus=len(topology.online(root) or ()) or os.cpu_count() or 1,
        physical_cores=len(cores) or None,
        affinity=affinity,
        cpu_budget=threads,
        cpu_budget_reason=reason,
        memory_bytes=meminfo_bytes("MemTotal", root),
        virtualisation=virtual or None,
        governor=_governor(affinity, root),
        kernel=platform.release(),
        python=platform.python_version(),
        packages={name: version for name in packages if (version := package_version(name)) is not None},
        variables={
            text_of(name): text_of(value)
            for name, value in sorted(os.environ.items())
            if name.startswith(STEERING_PREFIXES) and name not in VARIABLES
        },
        cores=cores,
        numa_nodes=len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or None,
        caches=_caches(_first_of_the_fastest(affinity, kinds), root),
        cpuset=budget.cpuset(root),
        cgroup_quota_cpus=None if quota is None or math.isinf(quota) else quota,
        turbo=_turbo(root),
        clock_source=clock_source(root),
        transparent_hugepages=_transparent_hugepages(root),
        memory_available_bytes=memory.available_bytes(root),
        memory_limit_bytes=memory.limit_bytes(root),
        swap_total_bytes=swap_total,
        swap_used_bytes=None if swap_total is None or swap_free is None else swap_total - swap_free,
        swappiness=read_int(root / "proc/sys/vm/swappiness"),
        load_average_1min=state.load_average_1min(root),
        cpu_pressure_pct=state.pressure_pct("cpu", root),
        memory_pressure_pct=state.pressure_pct("memory", root),
        steal_since_boot_pct=since_boot.steal_pct if since_boot else None,
        steal_now_pct=now.steal_pct if now else None,
        busy_cpus_now=now.busy_cpus if now else None,
        randomize_va_space=read_int(root / "proc/sys/kernel/randomize_va_space"),
        addresses_fixed=_addresses_fixed(root),
        cpu_kinds=kinds,
        isolated=topology.isolated(root) or (),
    )
    told = {
        "cpu_model": name,
        "virtualisation": virtual,
        "cgroup_quota_cpus": quota,
        "cpuset": True if host.cpuset is not None or budget.cgroup_is_known(root) else None,
        "memory_limit_bytes": True if memory.limit_is_known(root) else None,
        "isolated": topology.isolated(root),
        "cores": cores if set(affinity) <= {cpu for core in cores for cpu in core} else None,
        **({} if pause else {"steal_now_pct": True, "busy_cpus_now": True}),  # nobody asked
    }
    return replace(host, unknown=_unknown(host, told))


def _unknown(host: Environment, told: Mapping[str, object]) -> tuple[str, ...]:
    """Return the facts that are unknown, in the record's order; of those in `told`, the ones that are None there."""
    names = Environment.__slots__
    must = {name for name in MUST_BE_TOLD if name not in told and getattr(host, name) in (None, ())}
    return tuple(name for name in names if name in must or (name in told and told[name] is None))


def _first_of_the_fastest(affinity: Sequence[int], kinds: Sequence[CpuKind]) -> int:
    fastest = (cpu for kind in kinds for cpu in affinity if cpu in kind.cpus)
    return next(fastest, affinity[0])


def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None. Does not import it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model(fields: Mapping[str, str], kinds: Sequence[CpuKind], root: Path) -> str | None:
    """Name the CPU; a hypervisor may hide the model's number, so family and model stand beside a bare name.

    An ARM host is named by its cores, those of the fastest kind first. None where nothing names it.
    """
    names = topology.arm_names(root)
    cores = Counter(
        names[cpu] for cpu in dict.fromkeys((*(cpu for kind in kinds for cpu in kind.cpus), *names)) if cpu in names
    )
    if cores:
        return next(iter(cores)) if len(cores) == 1 else " + ".join(f"{number} × {name}" for name, number in cores.items())
    name = fields.get("model name")
    if name is None or any(character.isdigit() for character in name) or "cpu family" not in fields:
        return name or None
    return f"{name} (family {fields['cpu family']}, model {fields.get('model', '?')})"


def _governor(cpus: Iterable[int], root: Path) -> str | None:
    folder = root / "sys/devices/system/cpu"
    governors = {read(folder / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus}
    return ", ".join(sorted(filter(None, governors))) or None


def _turbo(root: Path) -> bool | None:
    """Tell whether turbo is on: intel_pstate says when it is off, other drivers when it is on."""
    folder = root / "sys/devices/system/cpu"
    no_turbo, boost = read_int(folder / "intel_pstate/no_turbo"), read_int(folder / "cpufreq/boost")
    if no_turbo is not None:
        return no_turbo == 0
    return None if boost is None else boost == 1


def _addresses_fixed(root: Path) -> bool | None:
    """Tell whether this process has the personality ADDR_NO_RANDOMIZE; the kernel gives the flags as a hexadecimal number."""
    text = read(root / "proc/self/personality")
    return bool(int(text, 16) & ADDR_NO_RANDOMIZE) if text and re.fullmatch("[0-9a-fA-F]{1,16}", text) else None


def _transparent_hugepages(root: Path) -> str | None:
    match = re.search(r"\[(\w+)\]", read(root / "sys/kernel/mm/transparent_hugepage/enabled") or "")
    return match[1] if match else None


def last_level_cache_bytes(root: Path = Path("/")) -> int:
    """Return the size of the largest cache that the first usable CPU of the fastest kind sees; 32 MiB where it is unknown."""
    cpu = _first_of_the_fastest(sorted(os.sched_getaffinity(0)), topology.kinds(root))
    return max((cache.size_bytes for cache in _caches(cpu, root)), default=32 << 20)


def _caches(cpu: int, root: Path) -> tuple[Cache, ...]:
    folders = sorted((root / f"sys/devices/system/cpu/cpu{cpu}/cache").glob("index[0-9]*"))
    found = (_cache(folder) for folder in folders)
    return tuple(cache for cache in found if cache is not None)


def _cache(folder: Path) -> Cache | None:
    size = re.fullmatch(r"([0-9]{1,12})([KMG]?)", read(folder / "size") or "")
    level = read_int(folder / "level")
    if size is None or level is None:
        return None
    return Cache(
        level=level,
        kind=(read(folder / "type") or "unknown").lower(),
        size_bytes=int(size[1]) * UNITS[size[2]],
        shared_cpus=read_cpus(folder / "shared_cpu_list") or (int(folder.parent.parent.name[3:]),),
    )
