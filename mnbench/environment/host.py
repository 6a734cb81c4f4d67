"""The record of this host: CPU, topology, caches, settings of the kernel, versions, and its state of the moment."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path

from mnbench.environment import budget, state
from mnbench.environment.kernel import meminfo_bytes, read, read_int
from mnbench.files import text_of
from mnbench.records import Cache, Environment
from mnbench.telemetry import VARIABLES

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


def capture(packages: Iterable[str] = PACKAGES, root: Path = Path("/"), pause: Callable[[], None] | None = None) -> Environment:
    """Return the record of this host. Reads files only; imports no runtime.

    With `pause` (see `half_a_second`) it also says what other programs and other guests took while this process slept.
    """
    since_boot, now = state.window(root, pause)
    fields = _cpuinfo(root)
    threads, reason = budget.cpu_budget(root)
    affinity = tuple(sorted(os.sched_getaffinity(0)))
    cores = budget.cores(root)
    swap_total = meminfo_bytes("SwapTotal", root)
    return Environment(
        cpu_model=_cpu_model(fields),
        isa=tuple(flag for flag in ISA_FLAGS if flag in fields.get("flags", fields.get("Features", "")).split()),
        logical_cpus=os.cpu_count() or 1,
        physical_cores=len(cores) or (os.cpu_count() or 1),
        affinity=affinity,
        cpu_budget=threads,
        cpu_budget_reason=reason,
        memory_bytes=meminfo_bytes("MemTotal", root),
        virtualisation=_virtualisation(fields, root),
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
        caches=_caches(affinity[0], root),
        cpuset=budget.cpuset(root),
        cgroup_quota_cpus=budget.cgroup_cpu_quota(root),
        turbo=_turbo(root),
        clock_source=read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        transparent_hugepages=_transparent_hugepages(root),
        memory_available_bytes=state.available_memory_bytes(root) or None,
        swap_total_bytes=swap_total,
        swap_used_bytes=swap_total - meminfo_bytes("SwapFree", root),
        swappiness=read_int(root / "proc/sys/vm/swappiness"),
        load_average_1min=state.load_average_1min(root),
        cpu_pressure_pct=state.pressure_pct("cpu", root),
        memory_pressure_pct=state.pressure_pct("memory", root),
        steal_since_boot_pct=since_boot.steal_pct if since_boot else None,
        steal_now_pct=now.steal_pct if now else None,
        busy_cpus_now=now.busy_cpus if now else None,
        randomize_va_space=read_int(root / "proc/sys/kernel/randomize_va_space"),
        addresses_fixed=_addresses_fixed(root),
    )


def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None. Does not import it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpuinfo(root: Path) -> dict[str, str]:
    first = (read(root / "proc/cpuinfo") or "").split("\n\n", 1)[0]
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
    return read(root / "sys/class/dmi/id/sys_vendor") or "hypervisor"


def _governor(cpus: Iterable[int], root: Path) -> str | None:
    folder = root / "sys/devices/system/cpu"
    governors = {read(folder / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus} - {None}
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
    return bool(int(text, 16) & ADDR_NO_RANDOMIZE) if text and re.fullmatch("[0-9a-fA-F]+", text) else None


def _transparent_hugepages(root: Path) -> str | None:
    match = re.search(r"\[(\w+)\]", read(root / "sys/kernel/mm/transparent_hugepage/enabled") or "")
    return match[1] if match else None


def last_level_cache_bytes(root: Path = Path("/")) -> int:
    """Return the size of the largest cache the first usable CPU sees; 32 MiB where the kernel does not tell."""
    return max((cache.size_bytes for cache in _caches(min(os.sched_getaffinity(0)), root)), default=32 << 20)


def _caches(cpu: int, root: Path) -> tuple[Cache, ...]:
    folders = sorted((root / f"sys/devices/system/cpu/cpu{cpu}/cache").glob("index[0-9]*"))
    found = (_cache(folder) for folder in folders)
    return tuple(cache for cache in found if cache is not None)


def _cache(folder: Path) -> Cache | None:
    size = re.fullmatch(r"(\d+)([KMG]?)", read(folder / "size") or "")
    level = read_int(folder / "level")
    if size is None or level is None:
        return None
    return Cache(
        level=level,
        kind=(read(folder / "type") or "unknown").lower(),
        size_bytes=int(size[1]) * UNITS[size[2]],
        shared_cpus=budget.parse_cpus(read(folder / "shared_cpu_list") or folder.parent.parent.name[3:]),
    )
