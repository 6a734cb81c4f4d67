"""This machine's ceilings, measured, and how near each runtime brings each network to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnbench import catalog, environment
from mnbench.catalog import probes
from mnbench.errors import UsageError
from mnbench.records import Case, Plan, Run
from mnbench.records.study import Conclusion, Facts, PlotFile, StudyOptions, Table
from mnbench.stats import roofline
from mnbench.studies import Study
from mnbench.studies.common.planning import sweep_plan, usable_memory_bytes
from mnbench.studies.common.roofline_rows import CeilingRow, NetworkRow, ceiling_rows, measure
from mnbench.studies.roofline.findings import V1, madds_as_proxy, near_the_ceiling

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

V2 = "mobilenet_v2_1.0_224"
NETWORKS = (V1, V2, "shufflenet_v1_g3_1.5_224", "nasnet_a_mobile_224")
QUICK_NETWORKS = NETWORKS[:2]
BUDGET_S, QUICK_BUDGET_S = 150.0, 62.0
"""Quick: with 15 s of export and the conclusion it ends within 90 s."""

KERNELS: dict[str, tuple[str, ...]] = {
    "fp32": ("conv_k7_c32_r56", "conv_k3_c64_r56", "conv_k5_c64_r56", "conv_k3_c128_r56", "matmul_512"),
    "bf16": ("conv_k3_c256_r28", "matmul_512", "matmul_1024"),
    "int8": ("matmul_1024", "matmul_1536"),
}
"""The fastest of about thirty that were tried (docs/methodology.md); the best of them is the ceiling. Several, because cores
differ in caches and kernels, and because all cores together need more work in one call than one core does."""
NEEDS: dict[str, frozenset[str]] = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "int8": frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}),
}
"""CPU flags, one of which a precision needs: without, its kernels run in fp32 or in scalar code, and would be no ceiling."""
SHARE_OF_CACHE = {1: 2, 2: 2}
"""Buffers are a half of the inner caches, a quarter of an outer one, which code and other programs use, too."""
MEMORY_TO_CACHE = 4
"""Buffers in memory are so many times the last-level cache."""


def plan(options: StudyOptions) -> Plan:
    """Probes on one core and on all, and the networks on one core in each runtime.

    Raises UsageError where the kernel does not tell the caches' sizes, and as `sweep_plan` does.
    """
    host = environment.capture()
    if not roofline.capacities(host, 1):
        raise UsageError("the kernel does not tell the sizes of the caches, so their bandwidths cannot be measured apart.")
    all_cores = environment.cpu_budget(cpus=options.cpus)[0]
    models = tuple(catalog.card(name).name for name in options.models) or (QUICK_NETWORKS if options.quick else NETWORKS)
    runtimes = [backend for backend in options.backends if backend not in ("null", "probe")]
    networks = [Case(model=model, backend=backend) for model in models for backend in runtimes]
    missing = {precision for precision, flags in NEEDS.items() if not flags & set(host.isa)}
    options.skipped.extend(f"the CPU has no {name} instructions, so there is no {name} ceiling" for name in sorted(missing))
    counts = tuple(dict.fromkeys((1, all_cores)))
    multiply = {
        threads: [
            Case(model=kernel, backend="probe", precision=precision, threads=threads)
            for precision, kernels in KERNELS.items()
            if precision not in missing
            for kernel in kernels
        ]
        for threads in counts
    }
    move = {threads: _traffic(roofline.capacities(host, threads), threads, options.skipped) for threads in counts}
    # One core's probes stand on both sides of the networks that are held against them.
    cases = [*multiply[1], *networks, *move[1], *(case for n in counts[1:] for case in (*multiply[n], *move[n]))]
    budget_s = QUICK_BUDGET_S if options.quick else BUDGET_S
    return sweep_plan(cases, options, budget_s=budget_s, baseline=V2 if V2 in models else models[0], round_ms=40.0)


def _traffic(capacities: dict[int, int], threads: int, skipped: list[str]) -> list[Case]:
    """Return the reads and copies of each level, every thread in its share of it."""
    sizes = [size // SHARE_OF_CACHE.get(level, 4) // threads for level, size in capacities.items()]
    memory = max(capacities.values()) * MEMORY_TO_CACHE
    if memory > usable_memory_bytes():
        skipped.append(f"memory bandwidth with {threads} threads is left out: it needs {memory >> 20} MiB")
    else:
        sizes.append(memory // threads)
    names = [probes.traffic(kind, size) for size in sizes for kind in probes.TRAFFIC]
    return [Case(model=name, backend="probe", threads=threads) for name in names]


def conclude(run: Run, _facts: Facts) -> Conclusion:
    """Two findings, both tables and both plots, from whatever was measured."""

    def draw_rates() -> Plot:
        from mnbench.studies.common import roofline_plot

        return roofline_plot.rates(run, ceilings, networks)

    def draw_shares() -> Plot:
        from mnbench.studies.common import roofline_plot

        return roofline_plot.shares(run, networks)

    ceilings = ceiling_rows(run)
    measured = measure(run)
    networks = [each.row for each in measured]
    return Conclusion(
        findings=(near_the_ceiling(run, measured), madds_as_proxy(run, measured)),
        tables=(
            Table(
                name="ceilings",
                caption="Every probe: GMAdds/s, or GB/s read and written together. `ceiling` marks the best of its kind. "
                "Level 0 is memory; holds_kib counts all caches of a level that the threads use.",
                kind=CeilingRow,
                rows=ceilings,
            ),
            Table(
                name="networks",
                caption="Each network in each runtime. Floor: sum over layers of max(MAdds/peak, bytes/bandwidth). "
                "roofline_pct: floor over latency, paired by launch.",
                kind=NetworkRow,
                rows=networks,
            ),
        ),
        plots=(
            PlotFile(
                name="roofline",
                caption="Each network's rate of multiply-adds over its multiply-adds per byte, under the measured ceilings.",
                draw=draw_rates,
            ),
            PlotFile(
                name="roofline-share",
                caption="How much of each latency the machine's measured limit explains.",
                draw=draw_shares,
            ),
        ),
    )


STUDY = Study(
    name="roofline",
    question="What is the most this machine can do, and how near does each runtime bring each network to it?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
    takes_models=True,
)
