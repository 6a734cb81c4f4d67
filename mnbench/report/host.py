"""What `mnbench doctor` shows: the facts of a host, then what about it spoils measuring, with advice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mnbench.records import Cache, Caveat, Environment, Severity
from mnbench.report.grid import standard_console

UNKNOWN = "not told by the kernel"
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
    return f"{_plural(warnings, 'warning')}, {_plural(len(findings) - warnings, 'note')}; what is not named is in order."


def facts(host: Environment) -> list[tuple[str, str]]:
    """Return (name, value) of each fact, in the order shown."""
    return [*_cpu_facts(host), *_limit_facts(host), *_state_facts(host), *_software_facts(host)]


def _cpu_facts(host: Environment) -> list[tuple[str, str]]:
    siblings = [cpus for cpus in host.cores if len(cpus) > 1]
    nodes = "" if host.numa_nodes is None else f", {_plural(host.numa_nodes, 'NUMA node')}"
    return [
        ("CPU", host.cpu_model),
        ("ISA", " ".join(host.isa) or UNKNOWN),
        ("topology", f"{_plural(host.physical_cores, 'core')}, {_plural(host.logical_cpus, 'CPU')}{nodes}"),
        ("SMT siblings", " ".join("+".join(map(str, cpus)) for cpus in siblings) or "none"),
        ("caches", ", ".join(map(_cache, host.caches)) or UNKNOWN),
        ("governor", host.governor or UNKNOWN),
        ("turbo", UNKNOWN if host.turbo is None else "on" if host.turbo else "off"),
        ("clock source", host.clock_source or UNKNOWN),
    ]


def _limit_facts(host: Environment) -> list[tuple[str, str]]:
    quota = "none" if host.cgroup_quota_cpus is None else f"{host.cgroup_quota_cpus:g} CPUs"
    return [
        ("affinity", _cpus(host.affinity)),
        ("cpuset", "none" if host.cpuset is None else _cpus(host.cpuset)),
        ("cgroup quota", quota),
        ("CPU budget", f"{_plural(host.cpu_budget, 'thread')} ({host.cpu_budget_reason})"),
        ("virtualisation", host.virtualisation or "none seen"),
    ]


def _state_facts(host: Environment) -> list[tuple[str, str]]:
    swap = f"{_mib(host.swap_used_bytes)} of {_mib(host.swap_total_bytes)} in use"
    return [
        ("steal", f"{_number(host.steal_now_pct, ' %')} now, {_number(host.steal_since_boot_pct, ' %')} since boot"),
        ("busy CPUs", f"{_number(host.busy_cpus_now)} now; load average {_number(host.load_average_1min)}"),
        ("pressure", f"CPU {_number(host.cpu_pressure_pct, ' %')}, memory {_number(host.memory_pressure_pct, ' %')} of 10 s"),
        ("memory", f"{_mib(host.memory_available_bytes)} of {_mib(host.memory_bytes)} available"),
        ("swap", f"{swap}, swappiness {_number(host.swappiness)}" if host.swap_total_bytes else "none"),
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
    shared = f" for CPUs {_cpus(cache.shared_cpus)}" if len(cache.shared_cpus) > 1 else ""
    size = f"{cache.size_bytes >> 20} MiB" if cache.size_bytes >= 1 << 20 else f"{cache.size_bytes >> 10} KiB"
    return f"L{cache.level}{kind} {size}{shared}"


def _cpus(cpus: Sequence[int]) -> str:
    """Return CPU numbers as the kernel writes them: 0-3,8."""
    spans: list[list[int]] = []
    for cpu in sorted(cpus):
        if spans and spans[-1][1] == cpu - 1:
            spans[-1][1] = cpu
        else:
            spans.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _addresses(host: Environment) -> str:
    """Say whether each process gets other addresses; of two facts one that is unknown leaves it unknown."""
    if host.randomize_va_space == 0 or host.addresses_fixed:
        return "the same in every process"
    if host.randomize_va_space is None or host.addresses_fixed is None:
        return UNKNOWN
    return "drawn for each process" if host.randomize_va_space > 1 else "drawn for each process, but not the heap's"


def _mib(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes >> 20} MiB"


def _number(value: float | None, unit: str = "") -> str:
    return "?" if value is None else f"{value:g}{unit}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
