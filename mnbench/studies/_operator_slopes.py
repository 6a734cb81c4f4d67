"""What the studies of chains share: slopes of operators out of a run, and verdicts out of many cells.

A cell of a study is one comparison of two operators in one runtime, or one operator's figure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.catalog.operators import Operator, parse
from mnbench.records import Case, Estimate, Run, Samples
from mnbench.stats.analysis import LaunchLogs, is_noisy, launch_logs, trusted_samples
from mnbench.stats.paired import paired_ratio
from mnbench.stats.slopes import Line, lines, slope_logs
from mnbench.study_records import Holds

Key = tuple[Operator, str]
"""An operator with `copies=1`, and a backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slopes:
    """The lines through the chains of each operator, by launch."""

    lines: Mapping[Key, Mapping[int, Line]]
    noisy: tuple[str, ...]
    """Cases whose rounds were disturbed so often that nothing is concluded from their operators."""
    level: float

    def logs(self, operator: Operator, backend: str) -> LaunchLogs:
        """Return log(ns of one copy) by launch; empty where it was not measured."""
        return slope_logs(self.lines.get((operator, backend), {}))

    def launches(self) -> int:
        """Return the most launches that any operator has."""
        return max((len(found) for found in self.lines.values()), default=0)


def chain_cases(operators: Iterable[Operator], backends: Sequence[str], copies: Sequence[int]) -> list[Case]:
    """Return the cases of a sweep, those to be compared side by side: copies of an operator, its runtimes, then the next."""
    return [
        Case(model=replace(operator, copies=number).name, backend=backend)
        for operator in operators
        for backend in backends
        for number in copies
    ]


def operators_of(run: Run) -> tuple[Operator, ...]:
    """Return the operators of a plan, each once and as one copy, in the plan's order."""
    found = (parse(case.model) for case in run.plan.cases)
    return tuple(dict.fromkeys(replace(operator, copies=1) for operator in found if operator is not None))


def backends_of(run: Run) -> tuple[str, ...]:
    """Return the runtimes of a plan, in its order, without the one that times nothing."""
    return tuple(dict.fromkeys(case.backend for case in run.plan.cases if parse(case.model) is not None))


def measured_slopes(run: Run) -> Slopes:
    """Return the lines of every operator whose chains were measured and quiet enough."""
    launches: dict[Case, list[Samples]] = {}
    for samples in trusted_samples(run):
        launches.setdefault(samples.case, []).append(samples)
    by_copies: dict[Key, dict[int, LaunchLogs]] = {}
    planned: dict[Key, int] = {}
    noisy: list[str] = []
    for case in run.plan.cases:
        operator = parse(case.model)
        if operator is None:
            continue
        key = (replace(operator, copies=1), case.backend)
        planned[key] = planned.get(key, 0) + 1
        if is_noisy(launches.get(case, ())):
            noisy.append(case.id)
        elif logs := launch_logs(launches.get(case, ())):
            by_copies.setdefault(key, {})[operator.copies] = logs
    complete = {key: logs for key, logs in by_copies.items() if len(logs) == planned[key]}
    return Slopes(lines={key: lines(logs) for key, logs in complete.items()}, noisy=tuple(noisy), level=run.plan.level)


def log_ratio(over: LaunchLogs, under: LaunchLogs) -> LaunchLogs:
    """Return log(over / under) by launch that has both."""
    return {launch: over[launch] - under[launch] for launch in sorted(over.keys() & under.keys())}


def mean_logs(parts: Sequence[LaunchLogs]) -> LaunchLogs:
    """Return the mean of logarithms by launch that has them all; empty when one of `parts` is."""
    if not parts:
        return {}
    common = set.intersection(*(set(part) for part in parts))
    return {launch: statistics.fmean(part[launch] for part in parts) for launch in sorted(common)}


def ratio_of(logs: LaunchLogs, level: float) -> Estimate | None:
    """Return the ratio behind log ratios by launch; None below three launches."""
    return paired_ratio(list(logs.values()), level)


def family_level(level: float, comparisons: int) -> float:
    """Return the level of each of several intervals for all of them to hold together at `level` (Bonferroni)."""
    return 1 - (1 - level) / max(1, comparisons)


def within(estimate: Estimate | None, low: float, high: float) -> bool | None:
    """Say whether the truth lies between `low` and `high`: None when the interval reaches over an end, or there is none."""
    if estimate is None:
        return None
    if low <= estimate.low and estimate.high <= high:
        return True
    return False if estimate.high < low or estimate.low > high else None


def combine(judgements: Sequence[bool | None]) -> Holds:
    """Return the verdict on a claim about every cell.

    It holds in part when some cells agree and others contradict it. When none agrees, it is refuted by half of the cells at
    least: the others may be the part in which it holds. A cell that is not decided leaves open whether it holds everywhere.
    """
    if True in judgements and False in judgements:
        return Holds.PARTLY
    if 2 * judgements.count(False) >= len(judgements) > 0:
        return Holds.NO
    return Holds.YES if judgements and None not in judgements else Holds.UNDECIDED


def tally(judgements: Sequence[bool | None]) -> str:
    """Return `7 of 10 cells agree, 2 contradict, 1 is not decided`."""
    yes, no, open_ = (sum(1 for one in judgements if one is kind) for kind in (True, False, None))
    parts = [f"{yes} of {len(judgements)} cells agree", f"{no} contradict"]
    if open_:
        parts.append(f"{open_} {'is' if open_ == 1 else 'are'} not decided")
    return ", ".join(parts)


def limits_of(slopes: Slopes) -> str:
    """Return what every finding of a sweep of chains has to say of its figures."""
    noisy = f" Left out because their rounds were disturbed: {', '.join(slopes.noisy)}." if slopes.noisy else ""
    return (
        f"Slopes over chains in {slopes.launches()} launches, batch 1, one thread, fp32, untrained weights; the chain keeps "
        f"its tensors in the caches as a network does.{noisy}"
    )
