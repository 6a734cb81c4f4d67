"""What `mnbench doctor` shows: the facts of a host, then what about it spoils measuring, with advice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mnbench.environment import spans
from mnbench.records import Cache, Caveat, CpuKind, Environment, Severity
from mnbench.report.grid import standard_console

UNKNOWN = "unknown"
RUNTIMES = ("onnxruntime", "openvino", "torch")
STYLES = {Severity.WARNING: "bold yellow", Severity.NOTE: "cyan"}


def render(host: Environment, findings: Sequence[Caveat], console: Console | None = None) -> None:
    """Print the facts and the findings on `console` (default: standard output)."""
    console = console or standard_console()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("fact", no_wrap=True, style="bold")
    table.add_column("value", overflow="fold")
    for name, value in facts(host):
        table.add_row(Text(name), Text(value))
    console.print(table)
    for finding in findings:
        head = (f"{finding.severity:<8}", STYLES[finding.severity])
        console.print(Text.assemble(head, (finding.code, "bold"), f"  {finding.subject}: {finding.observed}"))
        console.print(Text(f"        {finding.advice}", style="dim"))
    console.print(Text(summary(findings), style="bold"))


def to_json(host: Environment, findings: Sequence[Caveat]) -> str:
    """Return the record as run.json holds it, and the findings."""
    document = {"environment": asdict(host), "findings": [asdict(finding) for finding in findings]}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def summary(findings: Sequence[Caveat]) -> str:
    """Return one sentence on what was found."""
    warnings = sum(finding.severity is Severity.WARNING for finding in findings)
    if not findings:
        return "ok: nothing seen that spoils measuring."
    unknown = any(finding.code.endswith("unknown") for finding in findings)
    others = "what is unknown may hide others" if unknown else "no other problems were found"
    return f"{_plural(warnings, 'warning')}, {_plural(len(findings) - warnings, 'note')}; {others}."


def facts(host: Environment) -> list[tuple[str, str]]:
    """Return (name, value) of each fact, in the order shown."""
    return [*_cpu_facts(host), *_limit_facts(host), *_state_facts(host), *_software_facts(host)]


def _cpu_facts(host: Environment) -> list[tuple[str, str]]:
    siblings = [cpus for cpus in host.cores if len(cpus) > 1]
    nodes = "NUMA nodes unknown" if host.numa_nodes is None else _plural(host.numa_nodes, "NUMA node")
    cores = "cores unknown" if host.physical_cores is None else _plural(host.physical_cores, "core")
    shared = " ".join("+".join(map(str, cpus)) for cpus in siblings) or "none"
    return [
        ("CPU", host.cpu_model),
        ("ISA", " ".join(host.isa) or UNKNOWN),
        ("topology", f"{cores}, {_plural(host.logical_cpus, 'CPU')}, {nodes}"),
        ("kinds of cores", ", ".join(map(_kind, host.cpu_kinds)) if host.cpu_kinds else UNKNOWN),
        ("SMT siblings", UNKNOWN if "cores" in host.unknown else shared),
        ("isolated CPUs", UNKNOWN if "isolated" in host.unknown else spans(host.isolated) or "none"),
        ("caches", ", ".join(map(_cache, host.caches)) or UNKNOWN),
        ("governor", host.governor or UNKNOWN),
        ("turbo", UNKNOWN if host.turbo is None else "on" if host.turbo else "off"),
        ("clock source", host.clock_source or UNKNOWN),
    ]


def _limit_facts(host: Environment) -> list[tuple[str, str]]:
    def told(name: str, value: str | None, nothing: str) -> str:
        return UNKNOWN if name in host.unknown else value or nothing

    quota, cpuset = host.cgroup_quota_cpus, host.cpuset
    return [
        ("affinity", spans(host.affinity)),
        ("cpuset", told("cpuset", None if cpuset is None else spans(cpuset), "none")),
        ("cgroup quota", told("cgroup_quota_cpus", None if quota is None else f"{quota:g} CPUs", "none")),
        ("CPU budget", f"{_plural(host.cpu_budget, 'thread')} ({host.cpu_budget_reason})"),
        ("virtualisation", told("virtualisation", host.virtualisation, "none seen")),
    ]


def _state_facts(host: Environment) -> list[tuple[str, str]]:
    return [
        ("steal", f"{_number(host.steal_now_pct, ' %')} now, {_number(host.steal_since_boot_pct, ' %')} since boot"),
        ("busy CPUs", f"{_number(host.busy_cpus_now)} now; load average {_number(host.load_average_1min)}"),
        ("pressure of 10 s", f"CPU {_number(host.cpu_pressure_pct, ' %')}, memory {_number(host.memory_pressure_pct, ' %')}"),
        ("memory", f"{_mib(host.memory_bytes)}, available {_mib(host.memory_available_bytes)}{_limit(host)}"),
        ("swap", _swap(host)),
        ("huge pages", host.transparent_hugepages or UNKNOWN),
        ("addresses", _addresses(host)),
    ]


def _software_facts(host: Environment) -> list[tuple[str, str]]:
    others = ", ".join(f"{name} {version}" for name, version in host.packages.items() if name not in RUNTIMES)
    return [
        ("kernel", host.kernel),
        ("Python", host.python),
        ("runtimes", ", ".join(f"{name} {host.packages.get(name, 'not installed')}" for name in RUNTIMES)),
        ("packages", others or "none"),
        ("variables", " ".join(f"{name}={value}" for name, value in host.variables.items()) or "none that steer a runtime"),
    ]


def _cache(cache: Cache) -> str:
    kind = "" if cache.kind == "unified" else cache.kind[:1]
    shared = f" for CPUs {spans(cache.shared_cpus)}" if len(cache.shared_cpus) > 1 else ""
    size = f"{cache.size_bytes / (1 << 20):.4g} MiB" if cache.size_bytes >= 1 << 20 else f"{cache.size_bytes >> 10} KiB"
    return f"L{cache.level}{kind} {size}{shared}"


def _kind(kind: CpuKind) -> str:
    clock = "" if kind.max_mhz is None else f" up to {kind.max_mhz / 1000:.2g} GHz"
    name = kind.name or "all alike"
    return f"{name}{'' if clock and clock.strip() in name else clock} (CPUs {spans(kind.cpus)})"


def _swap(host: Environment) -> str:
    if host.swap_total_bytes is None:
        return UNKNOWN
    if not host.swap_total_bytes:
        return "none"
    used = f"{_mib(host.swap_used_bytes)} of {_mib(host.swap_total_bytes)} in use"
    return f"{used}, swappiness {_number(host.swappiness)}"


def _addresses(host: Environment) -> str:
    """Say whether each process gets other addresses; of two facts one that is unknown leaves it unknown."""
    if host.randomize_va_space == 0 or host.addresses_fixed:
        return "the same in every process"
    if host.randomize_va_space is None or host.addresses_fixed is None:
        return UNKNOWN
    return "drawn for each process" if host.randomize_va_space > 1 else "drawn for each process, but not the heap's"


def _limit(host: Environment) -> str:
    if "memory_limit_bytes" in host.unknown:
        return "; this cgroup's limit is unknown"
    return "" if host.memory_limit_bytes is None else f"; this cgroup may use {_mib(host.memory_limit_bytes)}"


def _mib(size_bytes: int | None) -> str:
    return UNKNOWN if size_bytes is None else f"{size_bytes >> 20} MiB"


def _number(value: float | None, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value:g}{unit}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
