"""Under which load a run was measured. A load that is the same in all rounds is a condition; one that comes and goes disturbs.

Only load on the CPUs that are not measured can be a condition: what runs on the measured CPU takes turns with the inferences.
Pure: judged from the stored counters, so that a run can be judged again.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mnbench.records import Condition, Neighbour, Plan, Round, Run, Samples

LOADED = "load on other CPUs"
CHANGED = "other load than in most rounds"
LOADED_SHARE = 0.25
"""Of the time of the CPUs that are not measured: beyond it others press on the memory and cache that all share."""
STEADY_SHARE = 0.8
"""Of the rounds that must have the same load for it to be the run's condition."""
FEWEST_ROUNDS = 6
NAMED = 3
UNSEEN_CPUS = 0.25
"""Of busy CPUs: what fewer do is within what a quiet machine does."""
LEAST_LOAD_NS = 25_000_000
"""Load is counted in ticks of 10 ms on most kernels."""


def condition_of(run: Run) -> Condition:
    """Return the condition of a run: `quiet`, or `steady-load` with the busy CPUs beside the measured ones."""
    found = condition_among(run.samples, run.plan, run.environment.logical_cpus)
    return found if found.rule == "quiet" else replace(found, presses=_presses(found.busy_cpus, run))


def _presses(busy_cpus: float, run: Run) -> str:
    """Return why a steady load may press on the memory and caches that all CPUs share; empty where it does not.

    A program that computes within its own caches changes no ratio. One that streams through memory changes them by up to 8 %
    (docs/methodology.md), and nothing in the readings tells it from the other: what it holds does.
    """
    if run.neighbours is None:
        return "which programs these are is unknown"
    cache_bytes = max((cache.size_bytes for cache in run.environment.caches), default=0)
    large = [n for n in run.neighbours if n.resident_bytes is None or n.resident_bytes > cache_bytes]
    if sum(n.busy_cpus for n in large) > UNSEEN_CPUS:
        held = ", ".join(f"{n.name} ({_held(n)})" for n in large[:NAMED])
        return f"{held} may press on the memory and caches that all CPUs share"
    unseen = busy_cpus - sum(n.busy_cpus for n in run.neighbours)
    return f"{unseen:.1f} of these are of programs that cannot be seen from here" if unseen > UNSEEN_CPUS else ""


def _held(neighbour: Neighbour) -> str:
    return "of unknown size" if neighbour.resident_bytes is None else f"{neighbour.resident_bytes >> 20} MiB"


def condition_among(launches: Iterable[Samples], plan: Plan, logical_cpus: int) -> Condition:
    """Return the condition that launches of a plan were made under, on a machine of so many CPUs."""
    others = max(1, logical_cpus - len(plan.cpus))
    steady = (r for samples in launches for r in samples.rounds if r.regime == "steady" and r.wall_ns > LEAST_LOAD_NS)
    busy = [load for r in steady if (load := busy_cpus(r)) is not None]
    if plan.quiet_only or len(busy) < FEWEST_ROUNDS:
        return Condition(rule="quiet")
    usual = statistics.median(busy)
    alike = sum(1 for load in busy if abs(load - usual) <= LOADED_SHARE * others)
    if usual <= LOADED_SHARE * others or alike < STEADY_SHARE * len(busy):
        return Condition(rule="quiet")
    return Condition(rule="steady-load", busy_cpus=round(usual, 1))


def busy_cpus(measured: Round) -> float | None:
    """Return how many CPUs beside the measured ones were busy during a round; None where that is unknown."""
    return None if measured.other_cpus_ns is None else measured.other_cpus_ns / measured.wall_ns


def judged(launches: Iterable[Samples], condition: Condition, plan: Plan, logical_cpus: int) -> list[Samples]:
    """Return the launches with the load on other CPUs judged by a condition, in all rounds alike."""
    if condition.rule == "quiet":
        return list(launches)
    others = max(1, logical_cpus - len(plan.cpus))
    return [replace(s, rounds=tuple(_judged(r, condition.busy_cpus, others) for r in s.rounds)) for s in launches]


def _judged(measured: Round, usual: float, others: int) -> Round:
    if measured.other_cpus_ns is None:
        return measured
    kept: Sequence[str] = [reason for reason in measured.disturbances if reason != LOADED]
    if abs(measured.other_cpus_ns - usual * measured.wall_ns) > max(LOADED_SHARE * others * measured.wall_ns, LEAST_LOAD_NS):
        kept = [*kept, CHANGED]
    return measured if tuple(kept) == measured.disturbances else replace(measured, disturbances=tuple(kept))
