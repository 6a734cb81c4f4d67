"""What about a host spoils measuring: a pure judgement of its record, so that `doctor` and every run say the same.

What is in order gives no finding. What is unknown gives one: a fact that nobody can see is not in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from mnbench.records import Caveat, Environment, Severity

STEAL_PCT = 2.0
"""The limit above which a round counts as disturbed, too."""
BUSY_CPUS_NOTE, BUSY_CPUS_WARNING = 0.1, 0.25
PRESSURE_PCT = 5.0
LEAST_MEMORY_BYTES = 1 << 30
SLOW_CLOCKS = ("hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies", "xen")
"""Read from a device or through a system call, and so much slower than a counter in the CPU (see the null backend)."""
ISA_VARIABLES = ("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "ATEN_CPU_CAPABILITY")
PRECISION_VARIABLES = ("DNNL_DEFAULT_FPMATH_MODE", "ONEDNN_DEFAULT_FPMATH_MODE")
THREAD_PREFIXES = ("OMP_", "GOMP_", "KMP_", "TBB_", "MKL_NUM_", "MKL_DYNAMIC", "MKL_DOMAIN_")
MEMORY_PREFIXES = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


UNGUARDED = (
    (
        ("steal_since_boot_pct", "steal_now_pct", "busy_cpus_now"),
        "load-unknown",
        "load",
        "/proc/stat does not tell how much of the CPU time other programs and other guests take",
        "Let this process see all of /proc (systemd: ProcSubset=all): disturbed rounds cannot be recognised by steal or load.",
    ),
    (
        ("memory_available_bytes",),
        "memory-unknown",
        "memory",
        "how much memory is available is unknown",
        "Make sure yourself that a process of every case fits at once: a wave is not cut to what is available.",
    ),
    (
        ("cgroup_quota_cpus",),
        "quota-unknown",
        "cgroup",
        "whether a cgroup limits the CPU time of this process is unknown",
        "Find out what started it (container, service) and with which limit: above a quota the kernel stops the processes.",
    ),
    (
        ("memory_limit_bytes",),
        "memory-limit-unknown",
        "cgroup",
        "whether a cgroup limits the memory of this process is unknown",
        "Find out what started it and with which limit: above it the kernel kills processes.",
    ),
    (
        ("cores",),
        "topology-unknown",
        "topology",
        "which CPUs share a core is unknown; each counts as a core of its own",
        "With several threads name CPUs of different cores with --cpus: two siblings halve each other's speed.",
    ),
    (
        ("cpu_model",),
        "cpu-unknown",
        "CPU",
        "the CPU's name is unknown; the record cannot tell this host from others",
        "Write down which CPU it is, and compare runs of this host only.",
    ),
)
"""Facts without which figures may be spoiled unseen: (fields of the record, code, subject, observed, advice)."""
NAMES = {
    "isa": "ISA", "physical_cores": "cores", "memory_bytes": "memory size", "governor": "frequency governor",
    "numa_nodes": "NUMA nodes", "clock_source": "clock source", "transparent_hugepages": "huge pages",
    "swap_total_bytes": "swap", "load_average_1min": "load average", "cpu_pressure_pct": "CPU pressure",
    "memory_pressure_pct": "memory pressure", "randomize_va_space": "address randomisation", "cpu_kinds": "kinds of cores",
    "isolated": "isolated CPUs", "addresses_fixed": "this process's address randomisation",
}  # fmt: skip
"""Of facts whose field is called differently; `swap_used_bytes` goes without saying."""


def findings(environment: Environment) -> tuple[Caveat, ...]:
    """Return what spoils figures on this host, warnings before notes. Pure: reads nothing but the record."""
    judges = (_variables, _frequency, _processor, _limits, _virtual, _load, _memory, _kernel, _unknown)
    found = [finding for judge in judges for finding in judge(environment)]
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.WARNING))


def warnings_of(found: Iterable[Caveat]) -> tuple[Caveat, ...]:
    """Return those that may spoil figures: what a run keeps as its caveats. Notes follow from the record at any time."""
    return tuple(finding for finding in found if finding.severity is Severity.WARNING)


def _variables(host: Environment) -> Iterator[Caveat]:
    for name, value in host.variables.items():
        yield _warning(
            "environment-variable",
            name,
            f"{name}={value} is set; it {_effect(name)}",
            "Unset it, unless it is what you want to measure.",
        )


def _effect(name: str) -> str:
    if name in ISA_VARIABLES:
        return "limits the instruction set a runtime uses"
    if name in PRECISION_VARIABLES:
        return "lets a runtime compute fp32 models in a lower precision"
    if name.startswith(THREAD_PREFIXES):
        return "can change a runtime's threads and how long they spin"
    if name.startswith(MEMORY_PREFIXES):
        return "can change how memory is allocated"
    return "can change a runtime's threads, ISA or precision"


def _frequency(host: Environment) -> Iterator[Caveat]:
    if host.governor not in (None, "performance"):
        yield _warning(
            "governor",
            "clock frequency",
            f"the frequency governor is {host.governor!r}",
            "Set it to 'performance' for the run: cpupower frequency-set -g performance.",
        )
    if host.turbo:
        yield _note(
            "turbo",
            "clock frequency",
            "turbo is on; the clock depends on temperature and on what the other cores do",
            "To compare days, turn it off (intel_pstate/no_turbo or cpufreq/boost). Ratios of one run suffer less.",
        )


def _processor(host: Environment) -> Iterator[Caveat]:
    if any(len(cpus) > 1 for cpus in host.cores):
        yield _note(
            "smt",
            "topology",
            f"{host.logical_cpus} CPUs are {host.physical_cores} cores: SMT siblings share a core's units and caches",
            "mnbench takes one CPU per core; keep other programs off the siblings, or turn SMT off.",
        )
    if len(host.cpu_kinds) > 1:
        fastest, other, *_ = host.cpu_kinds
        listed = ", ".join(f"{kind.name} (CPUs {spans(kind.cpus)})" for kind in host.cpu_kinds)
        yield _note(
            "kinds",
            "topology",
            f"cores of {len(host.cpu_kinds)} kinds: {listed}",
            f"mnbench takes {fastest.name} and never mixes kinds; --cpus {other.cpus[-1]} measures on {other.name}.",
        )
    if host.isolated:
        fastest_cpus = host.cpu_kinds[0].cpus if host.cpu_kinds else host.isolated
        best = next((cpu for cpu in reversed(host.isolated) if cpu in fastest_cpus), host.isolated[-1])
        yield _note(
            "isolated",
            "topology",
            f"the scheduler puts nothing on CPUs {spans(host.isolated)} by itself: the quietest ones of this host",
            f"Measure there: --cpus {best}.",
        )
    if {"amx_bf16", "avx512_bf16", "bf16"} & set(host.isa):
        yield _note(
            "bf16",
            "ISA",
            "the CPU computes in bf16, and some runtimes then run fp32 models in it by default",
            "mnbench sets the precision and reads it back; in other tools set it yourself.",
        )
    if "avx" in host.isa and "avx2" not in host.isa:
        yield _note(
            "old-isa", "ISA", "the CPU has no AVX2", "Runtimes fall back to slow kernels; rankings do not carry to newer CPUs."
        )


def _limits(host: Environment) -> Iterator[Caveat]:
    quota = host.cgroup_quota_cpus
    if quota is not None:
        severity = Severity.WARNING if quota < len(host.affinity) else Severity.NOTE
        yield Caveat(
            code="cgroup-quota",
            subject="cgroup",
            observed=f"a quota of {quota:g} CPUs for {len(host.affinity)} usable ones; above it the kernel stops the processes",
            advice=_quota_advice(quota),
            severity=severity,
        )
    if len(host.affinity) == 1:
        yield _warning(
            "one-cpu",
            "affinity",
            "only one CPU may be used; everything else on this host runs on the measured CPU",
            "Give at least two CPUs.",
        )
    elif len(host.affinity) < host.logical_cpus:
        yield _note(
            "affinity",
            "affinity",
            f"{len(host.affinity)} of {host.logical_cpus} CPUs may be used; others run on the rest and share cache and memory",
            "Keep the other CPUs quiet during a run.",
        )


def _quota_advice(quota: float) -> str:
    """Return what helps against a quota: fewer threads where it is enough for one, else only another limit."""
    instead = "give CPUs instead of CPU time (docker run --cpuset-cpus, systemd AllowedCPUs=, Kubernetes' static CPU policy)"
    if quota < 1:
        return f"No thread can run all the time, so every round is stopped; lift the quota, or {instead}."
    return f"Measure with at most {math.floor(quota)} of --threads, or {instead}."


def _virtual(host: Environment) -> Iterator[Caveat]:
    if host.virtualisation is not None:
        yield _note(
            "virtual-machine",
            "virtualisation",
            f"a virtual machine ({host.virtualisation}); other guests share cores, caches and memory unseen, "
            "and the hypervisor may hide SMT siblings and kinds of cores",
            "Trust ratios within a run above milliseconds of different days; use a dedicated host if you can.",
        )
    if host.steal_now_pct is not None and host.steal_now_pct > STEAL_PCT:
        yield _warning(
            "steal",
            "virtualisation",
            f"the hypervisor gives {host.steal_now_pct:g} % of the CPU time to others right now",
            "Measure later or on another host: disturbed rounds are repeated and cost budget.",
        )
    elif host.steal_since_boot_pct is not None and host.steal_since_boot_pct > STEAL_PCT:
        yield _note(
            "steal",
            "virtualisation",
            f"the hypervisor gave {host.steal_since_boot_pct:g} % of the CPU time since boot to others",
            "Expect disturbed rounds; they are repeated and marked.",
        )


def _load(host: Environment) -> Iterator[Caveat]:
    busy = host.busy_cpus_now or 0.0
    many = max(0.5, 0.1 * host.logical_cpus)
    if busy >= BUSY_CPUS_NOTE:
        yield Caveat(
            code="foreign-load",
            subject="load",
            observed=f"other programs keep {busy:.2f} CPUs busy right now",
            advice="Stop them: they take the CPU, the caches and the memory bandwidth.",
            severity=Severity.WARNING if busy >= BUSY_CPUS_WARNING else Severity.NOTE,
        )
    elif host.load_average_1min is not None and host.load_average_1min >= many:
        yield _note(
            "load-average",
            "load",
            f"{host.load_average_1min:g} tasks wanted a CPU on average over the last minute",
            "If that was not you, find out what runs now and then.",
        )
    if host.cpu_pressure_pct is not None and host.cpu_pressure_pct >= PRESSURE_PCT:
        yield _warning(
            "cpu-pressure",
            "load",
            f"some task waited for a CPU in {host.cpu_pressure_pct:g} % of the last 10 s",
            "Stop other programs, or wait until they have ended.",
        )


def _memory(host: Environment) -> Iterator[Caveat]:
    if host.memory_available_bytes is not None and host.memory_available_bytes < LEAST_MEMORY_BYTES:
        yield _warning(
            "memory",
            "memory",
            f"{host.memory_available_bytes >> 20} MiB are available",
            "Free at least 1 GiB: a wave holds one live process of every case.",
        )
    if host.memory_pressure_pct is not None and host.memory_pressure_pct >= PRESSURE_PCT:
        yield _warning(
            "memory-pressure",
            "memory",
            f"some task waited for memory in {host.memory_pressure_pct:g} % of the last 10 s",
            "Free memory before measuring.",
        )
    if host.swap_used_bytes:
        yield _note(
            "swap",
            "memory",
            f"{host.swap_used_bytes >> 20} MiB of swap are in use (swappiness {_or_unknown(host.swappiness)})",
            "Turn swap off for the run (swapoff -a) when memory allows.",
        )


def _kernel(host: Environment) -> Iterator[Caveat]:
    if host.clock_source in SLOW_CLOCKS:
        yield _warning(
            "clock-source",
            "clock",
            f"the clock source is {host.clock_source!r}; reading it takes a device or a system call",
            "Choose a counter in the CPU (tsc, kvm-clock, arch_sys_counter); the null backend's latency shows the cost.",
        )
    if host.randomize_va_space == 0 or host.addresses_fixed:
        cause = "randomize_va_space is 0" if host.randomize_va_space == 0 else "this process was started with setarch -R"
        yield _warning(
            "fixed-addresses",
            "memory",
            f"every process gets the same addresses ({cause}); a lucky or unlucky layout is then part of every figure",
            "Set kernel.randomize_va_space to 2, or start mnbench without setarch -R: intervals hold only what is drawn anew.",
        )
    if host.transparent_hugepages == "always":
        yield _note(
            "huge-pages",
            "memory",
            "transparent huge pages are 'always': the kernel may join pages while a process runs",
            "Set /sys/kernel/mm/transparent_hugepage/enabled to madvise, and to the same on hosts you compare.",
        )


def _unknown(host: Environment) -> Iterator[Caveat]:
    """Warn of each unknown fact that hides what spoils figures; name all others in one note."""
    judged = {name for fields, *_ in UNGUARDED for name in fields} | {"swap_used_bytes"}
    for fields, code, subject, observed, advice in UNGUARDED:
        if set(fields) & set(host.unknown):
            yield _warning(code, subject, observed, advice)
    if others := [NAMES.get(name, name) for name in host.unknown if name not in judged]:
        yield _note(
            "unknown",
            "facts",
            f"this host does not tell: {', '.join(others)}",
            "Nothing is concluded from these; where they differ between two hosts or days, figures may differ for it.",
        )


def placement(host: Environment, cpus: Iterable[int]) -> tuple[Caveat, ...]:
    """Return what is to be said of the CPUs a plan measures on: a warning where they are of several kinds."""
    kinds = host.kinds_of(cpus)
    if len(kinds) < 2:
        return ()
    mixed = _warning(
        "mixed-kinds",
        "topology",
        f"the measured CPUs are of {len(kinds)} kinds: {', '.join(kind.name for kind in kinds)}",
        "Name CPUs of one kind with --cpus: with several kinds the slowest core decides, and a ratio holds for none of them.",
    )
    return (mixed,)


def spans(cpus: Iterable[int]) -> str:
    """Return CPU numbers as the kernel writes them: 0-3,8."""
    found: list[list[int]] = []
    for cpu in sorted(cpus):
        if found and found[-1][1] == cpu - 1:
            found[-1][1] = cpu
        else:
            found.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _warning(code: str, subject: str, observed: str, advice: str) -> Caveat:
    return Caveat(code=code, subject=subject, observed=observed, advice=advice)


def _note(code: str, subject: str, observed: str, advice: str) -> Caveat:
    return Caveat(code=code, subject=subject, observed=observed, advice=advice, severity=Severity.NOTE)


def _or_unknown(value: object) -> str:
    return "unknown" if value is None else str(value)
