"""What the plans of studies share: which backends, which CPUs, a sweep's rhythm, and what a quick plan lacks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from mnbench import backends, environment
from mnbench.commands.compare import NULL_MODEL
from mnbench.measure.workload import TOLERANCE_PCT
from mnbench.records import Case, Plan
from mnbench.records.study import StudyOptions

QUICK_BUDGET_S = 75.0
"""With the export, a quick study ends within 90 seconds."""
SWEEP_SETTLE_MS = 20.0
"""A sweep opens a graph just before its round: what has to settle is its own caches, not a switch between processes."""
MOST_LAUNCHES = 100


def sweep_plan(
    cases: Iterable[Case],
    options: StudyOptions,
    *,
    budget_s: float,
    baseline: str,
    round_ms: float = 50.0,
    settle_ms: float = SWEEP_SETTLE_MS,
    most_inferences: int = 200,
    quick_launches: int = MOST_LAUNCHES,
    launches: int = MOST_LAUNCHES,
) -> Plan:
    """Return a plan that sweeps over `cases` in their order until the budget is spent, or the launches are made.

    Raises UnknownNameError, MissingPackageError or UsageError for a backend or a number of threads that cannot be had.
    """
    planned = tuple(dict.fromkeys(cases))
    check_backends(planned)
    threads = max((case.threads for case in planned), default=1)
    return Plan(
        cases=(*planned, Case(model=NULL_MODEL, backend="null")),
        baseline=baseline,
        launches=quick_launches if options.quick else launches,
        rounds_per_launch=1,
        round_target_ms=round_ms,
        settle_ms=settle_ms,
        cpus=environment.choose_cpus(threads, options.cpus),
        seed=options.seed,
        budget_s=budget_of(options, budget_s),
        regimes=("steady",),
        sweep=True,
        speed_tolerance_pct=TOLERANCE_PCT,
        least_inferences=3,
        most_inferences=most_inferences,
    )


def budget_of(options: StudyOptions, budget_s: float) -> float:
    """Return the seconds of measuring: those asked for, or the quick ones, or the study's own."""
    if options.budget_s is not None:
        return options.budget_s
    return min(budget_s, QUICK_BUDGET_S) if options.quick else budget_s


def timed_cases(plan: Plan) -> int:
    """Return how many cases a plan has, without the one that times nothing."""
    return sum(1 for case in plan.cases if case.backend != "null")


def less_than_full(plan: Plan, full_budget_s: float) -> str:
    """Say by how much a plan is less than the study's full one, whose budget is `full_budget_s`; empty for a full plan.

    A run stored before quick plans were told apart is known by its budget alone, as is one whose budget was asked for.
    """
    seconds = f"{plan.budget_s:g} s of measuring"
    if plan.full_cases is not None:
        cases = f"{timed_cases(plan)} cases where the full plan has {plan.full_cases}"
        return f"Quick plan: {cases}, {seconds} for its {full_budget_s:g}."
    return f"Short run: {seconds} where the full plan has {full_budget_s:g}." if plan.budget_s < full_budget_s else ""


def check_backends(cases: Sequence[Case]) -> None:
    """Raise UnknownNameError, MissingPackageError or UsageError unless every case's backend can run its precision here."""
    for backend, precision in dict.fromkeys((case.backend, case.precision) for case in cases):
        backends.require(backend, precision)


def usable_memory_bytes() -> int:
    """Return how much memory a cell of a grid may take: half of what is available, because graph and weights exist twice.

    Where the kernel does not tell it, nothing is left out for want of memory: a caveat of the run says that it is unknown.
    """
    available = environment.available_memory_bytes()
    return sys.maxsize if available is None else available // 2
