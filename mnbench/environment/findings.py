"""What about a host spoils measuring: a pure judgement of its record, so that `doctor` and every run say the same.

What is in order gives no finding. What the kernel does not tell gives none either: the facts show that it is unknown.
"""

from __future__ import annotations

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


def findings(environment: Environment) -> tuple[Caveat, ...]:
    """Return what spoils figures on this host, warnings before notes. Pure: reads nothing but the record."""
    judges = (_variables, _frequency, _processor, _limits, _virtual, _load, _memory, _kernel)
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
            advice="Lift the quota and use a cpuset instead (docker run --cpuset-cpus rather than --cpus).",
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


def _virtual(host: Environment) -> Iterator[Caveat]:
    if host.virtualisation is not None:
        yield _note(
            "virtual-machine",
            "virtualisation",
            f"a virtual machine ({host.virtualisation}); other guests share cores, caches and memory unseen",
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


def _warning(code: str, subject: str, observed: str, advice: str) -> Caveat:
    return Caveat(code=code, subject=subject, observed=observed, advice=advice)


def _note(code: str, subject: str, observed: str, advice: str) -> Caveat:
    return Caveat(code=code, subject=subject, observed=observed, advice=advice, severity=Severity.NOTE)


def _or_unknown(value: object) -> str:
    return "unknown" if value is None else str(value)
