"""What a machine was too noisy for: cases, whole runs, and ratios that are not known well enough beside a disturbance.

Counted are disturbed rounds, at the first try. Only sweeps repeat a disturbed round, at once and beside the same disturbance:
with its repeat, one bad moment would weigh twice what a good one does. Waves repeat none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from mnbench.records import Caveat, Comparison, Condition, Plan, Round, Samples, Verdict
from mnbench.stats.condition import LOADED

NOISY_SHARE = 1 / 3
"""Share of disturbed first tries from which on nothing is concluded: what is left was measured beside the same disturbance."""
UNQUIET_SHARE = 1 / 6
"""Of a whole run: from it on a ratio is not concluded from unless its interval is narrow. Not every burst leaves a trace in the
round it falls into, so beside many of them the undisturbed rounds are not all what they seem (docs/methodology.md)."""
NOISY_ROUNDS = 3
TOO_NOISY = "too-noisy"
"""Code of the caveat that names a case from which nothing is concluded."""

UNQUIET = "unquiet-machine"
"""Code of the caveat that names a case with a ratio that is refused for its width."""

OF_THE_HOST = {"changed CPU speed", "steal"}
"""Disturbances that no program on this machine causes."""

QUIET = Condition(rule="quiet")

Key = TypeVar("Key")


def first_tries(launches: Iterable[Samples], regime: str = "steady") -> list[Round]:
    """Return the rounds of one regime of a case without those that repeat one."""
    tries: dict[tuple[str, int, int], Round] = {}
    for samples in launches:
        for kept in samples.rounds:
            if kept.regime == regime:
                tries.setdefault((samples.case.id, samples.launch, kept.index), kept)
    return list(tries.values())


def is_noisy(launches: Iterable[Samples], regime: str = "steady", share: float = NOISY_SHARE) -> bool:
    """Say whether so many rounds in one regime (a share, and three) were disturbed that the others are not to be trusted."""
    tries = first_tries(launches, regime)
    disturbed = sum(1 for r in tries if r.disturbances)
    return disturbed >= NOISY_ROUNDS and disturbed > share * len(tries)


def noisy_cases(launches: Mapping[Key, Sequence[Samples]]) -> set[Key]:
    """Return the cases of a run that nothing is concluded from: those too noisy by themselves, or all if the run as a whole is.

    The dozen rounds of one case tell little of a machine that is disturbed half of the time; those of all cases do.
    """
    if is_noisy(chain.from_iterable(launches.values())):
        return set(launches)
    return {key for key, found in launches.items() if is_noisy(found)}


def judge(
    comparisons: Iterable[Comparison],
    noisy: Collection[str],
    launches: Mapping[str, Sequence[Samples]],
    plan: Plan,
    condition: Condition = QUIET,
) -> list[Comparison]:
    """Return the comparisons, with the verdict "machine too noisy" where nothing may be concluded.

    That is every one beside a steady load that may press on the memory, and one with a case that is too noisy. In an unquiet
    run (more than a sixth of its first tries were disturbed), or beside another steady load, it is one whose interval is wider
    than ± `plan.equivalence_pct`: its verdict could be right and its ratio well off.
    """
    if condition.presses:
        return [replace(c, verdict=Verdict.TOO_NOISY) for c in comparisons]
    unquiet = condition != QUIET or is_unquiet(launches)
    return [
        replace(c, verdict=Verdict.TOO_NOISY)
        if {c.case.id, c.baseline.id} & set(noisy) or (unquiet and _is_wide(c, plan))
        else c
        for c in comparisons
    ]


def caveats(
    comparisons: Iterable[Comparison],
    noisy: Collection[str],
    launches: Mapping[str, Sequence[Samples]],
    condition: Condition = QUIET,
) -> Iterator[Caveat]:
    """Say what an unquiet or loaded run was too noisy for, beyond the cases that have a caveat of their own."""
    refused = [c for c in comparisons if c.verdict is Verdict.TOO_NOISY and not {c.case.id, c.baseline.id} & set(noisy)]
    tries = first_tries(chain.from_iterable(launches.values())) if refused else []
    reasons = [LOADED] if condition != QUIET else [reason for r in tries for reason in r.disturbances]
    beside = "" if condition == QUIET else f", the others were made beside {condition.busy_cpus:.1f} busy CPUs"
    because = condition.presses or "the interval of a ratio of this case is wide"
    for case_id in dict.fromkeys(c.case.id for c in refused):
        yield Caveat(
            code=UNQUIET,
            subject=case_id,
            observed=f"{sum(1 for r in tries if r.disturbances)} of the run's {len(tries)} rounds were disturbed at the first "
            f"try{beside}; {because}",
            advice=f"No conclusion is drawn from that ratio. {advice(reasons)} Or raise --budget.",
        )


def advice(reasons: Iterable[str]) -> str:
    """Return what a user can do about disturbed rounds: the host's own doing cannot be stopped from here."""
    if set(reasons) <= OF_THE_HOST:
        return (
            "The host did this (its other tenants, or its clock frequency), not a program on this machine: measure at another "
            "time or on another host. The rounds are kept in rounds.csv."
        )
    return "Stop other programs on this machine (`mnbench doctor` shows them); the rounds are kept in rounds.csv."


def _is_wide(comparison: Comparison, plan: Plan) -> bool:
    return comparison.ratio is not None and comparison.ratio.half_width_pct > plan.equivalence_pct


def is_unquiet(launches: Mapping[Key, Sequence[Samples]]) -> bool:
    """Say whether more than a sixth of a run's first tries were disturbed."""
    return is_noisy(chain.from_iterable(launches.values()), share=UNQUIET_SHARE)
