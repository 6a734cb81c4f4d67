"""What the studies of chains share: from a run to the time of each operator.

An operator's time is the slope of its line in each launch, less what stands behind copies side by side where a study asks for
that. `Times.time` refuses a slope that noise outweighs: one that is not positive in some launch, or whose interval is wider
than ± 50 %.

A slope is a difference of latencies, so that what slows one round down weighs manyfold. On a shared host a tenth of all
rounds took 10 to 80 % longer, and nothing that the kernel counts shows it: work of others on the same core, probably. The
reference workload timed beside each round does show it. A round beside which it ran at another speed is marked as disturbed
when it is measured, and repeated, whatever the round itself took; no study uses it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mnbench.catalog.operators import Operator, cost, parse
from mnbench.commands.compare import NULL_MODEL
from mnbench.records import Case, Estimate, Run, Samples
from mnbench.stats.analysis import LaunchLogs, trusted_samples
from mnbench.stats.intervals import FEWEST_LAUNCHES, geometric_mean
from mnbench.stats.noise import noisy_cases
from mnbench.stats.rounds import launch_logs
from mnbench.studies.common.slopes import SLOPE_METHOD, Line, intercept, lines, positive_logs, slopes_of

LINE_WEIGHT_BYTES = 10 << 20
"""Weights of the longest chain of a line, where that can be met. Others on the host share the last-level cache: a fully
connected layer of 4 MB took 51 us a copy in chains of 8 MB, and 58 to 160 us, launch by launch, in chains of 16 MB (AMD EPYC,
32 MB). Such a slope tells what the others left, not what the operator takes.
"""
WIDEST_PCT = 50.0
"""Half the width of the widest interval that is kept."""
SINGLE_METHOD = "graph of one operator, geometric mean of the launches' lower quartiles, Student t on logs"
NOT_MEASURED, TOO_FEW = "not measured", "too few launches left"
"""Timed in fewer launches than an interval needs; timed in enough, of which too many were disturbed."""
NOISE, WIDE = "noise outweighs the slope", "interval wider than ± 50 %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is timed, and where. `operator` has one copy."""

    operator: Operator
    backend: str
    batch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The time of one operator; without an estimate, `refused` says why."""

    slopes_ns: Mapping[int, float]
    """By launch, also of a time that is refused: in a sum of many it may still be a small part."""
    logs: LaunchLogs
    """log(ns) by launch; empty for a time that is refused."""
    estimate: Estimate | None
    intercept: Estimate | None
    refused: str = ""


class Times:
    """Every time that a run tells, computed when it is asked for."""

    def __init__(self, run: Run, *, subtracts_tails: bool = False) -> None:
        """Read a run. `subtracts_tails`: subtract what stands behind copies side by side, which the plan must time as well."""
        self._run, self.level, self._subtracts_tails = run, run.plan.level, subtracts_tails
        self._times: dict[Key, Time] = {}

    @cached_property
    def backends(self) -> tuple[str, ...]:
        return backends_of(self._run)

    @cached_property
    def _launches(self) -> Mapping[Case, Sequence[Samples]]:
        launches: dict[Case, list[Samples]] = {}
        for samples in trusted_samples(self._run):
            launches.setdefault(samples.case, []).append(samples)
        return launches

    @cached_property
    def noisy(self) -> tuple[str, ...]:
        """Chains whose rounds were disturbed so often that nothing is concluded from them."""
        chains = (case for case in self._run.plan.cases if parse(case.model) is not None)
        return tuple(case.id for case in chains if case in self._noisy_cases)

    @cached_property
    def _noisy_cases(self) -> Collection[Case]:
        return noisy_cases(self._launches)

    @cached_property
    def latencies(self) -> Mapping[Case, LaunchLogs]:
        """log(ns) by launch of each graph; none for one that was mostly disturbed."""
        return {case: {} if case in self._noisy_cases else launch_logs(found) for case, found in self._launches.items()}

    def disturbed(self) -> tuple[int, int]:
        """Return how many rounds were marked as disturbed when they were measured, and of how many."""
        rounds = [r for launches in self._launches.values() for samples in launches for r in samples.rounds]
        return sum(1 for r in rounds if r.disturbances), len(rounds)

    @cached_property
    def _cases(self) -> Mapping[Key, Mapping[int, Case]]:
        """By operator: its chains by number of copies, as the plan has them."""
        found: dict[Key, dict[int, Case]] = {}
        for case in self._run.plan.cases:
            operator = parse(case.model)
            if operator is not None and (not operator.alone or operator.kind == "linear"):
                key = Key(operator=replace(operator, copies=1, alone=0), backend=case.backend, batch=case.batch)
                found.setdefault(key, {})[operator.copies] = case
        return {key: by_copies for key, by_copies in found.items() if len(by_copies) > 1}

    @cached_property
    def chains(self) -> Mapping[Key, Mapping[int, LaunchLogs]]:
        """By operator: the latencies of the chains that make its line, by number of copies."""
        found = {key: {n: self.latencies.get(case, {}) for n, case in cases.items()} for key, cases in self._cases.items()}
        return {key: _line_of(key.operator, by_copies) for key, by_copies in found.items()}

    @cached_property
    def _fitted(self) -> Mapping[Key, dict[int, Line]]:
        return {key: lines(by_copies, partly=True) for key, by_copies in self.chains.items()}

    def lines(self) -> Iterable[Key]:
        """Return every line of the plan, without those that only tell what stands behind copies side by side."""
        return (key for key in self.chains if not key.operator.side_by_side)

    def lines_of(self, key: Key) -> Mapping[int, Line]:
        """Return the line of each launch through an operator's chains; empty where it was not measured."""
        return self._fitted.get(key, {})

    def launches(self) -> int:
        """Return the most launches that any operator has."""
        return max((len(found) for found in self._fitted.values()), default=0)

    def logs(self, operator: Operator, backend: str) -> LaunchLogs:
        """Return log(ns of one copy) by launch, however wide; empty where it was not measured, or is not positive."""
        return positive_logs(self._slopes_ns(Key(operator=operator, backend=backend)))

    def time(self, key: Key) -> Time:
        """Return the time of an operator, refused where noise outweighs it."""
        if key not in self._times:
            self._times[key] = self._time(key)
        return self._times[key]

    def tail(self, key: Key) -> dict[int, float]:
        """Return by launch the ns that pool and sum behind one copy cost, for the output of `key`'s operator."""
        chained, branched = (self.lines_of(one) for one in tail_keys(key))
        return {n: branched[n].slope_ns - chained[n].slope_ns for n in sorted(chained.keys() & branched.keys())}

    def single(self, key: Key) -> LaunchLogs:
        """Return log(ns) by launch of the operator as a graph of its own; empty where it was not timed.

        Its launches are judged by the rule that those of the chains are: it stands in ratios to slopes, and a rule on one side
        alone would move them.
        """
        alone = replace(key.operator, copies=1, alone=1)  # another name of the same graph
        names = (single_of(key.operator).name, alone.name)
        found = (self.latencies.get(Case(model=name, backend=key.backend, batch=key.batch), {}) for name in names)
        return next((logs for logs in found if logs), {})

    def between(self, key: Key, fewer: int, more: int) -> LaunchLogs:
        """Return log(slope in ns) by launch between two numbers of copies, less the tail: on a straight line all are alike."""
        chains = self.chains[key]
        if fewer not in chains or more not in chains:
            return {}
        return positive_logs(self._less_tail(key, slopes_of(lines({k: chains[k] for k in (fewer, more)}))))

    def too_few(self, *keys: Key) -> str:
        """Say why one of several lines has fewer launches than an interval needs: not timed in so many, or not left."""
        return TOO_FEW if all(self._begun(key) >= FEWEST_LAUNCHES for key in keys) else NOT_MEASURED

    def _begun(self, key: Key) -> int:
        """Return in how many launches two chains of a line were timed, whether or not their rounds are used."""
        cases = [self._cases[key][copies] for copies in self.chains.get(key, ())]
        launches = Counter(samples.launch for case in cases for samples in self._launches.get(case, ()) if samples.rounds)
        return sum(1 for chains in launches.values() if chains > 1)

    def estimate(self, logs: LaunchLogs, method: str) -> Estimate | None:
        return geometric_mean(list(logs.values()), self.level, method)

    def _slopes_ns(self, key: Key) -> dict[int, float]:
        return self._less_tail(key, slopes_of(self.lines_of(key)))

    def _less_tail(self, key: Key, slopes_ns: Mapping[int, float]) -> dict[int, float]:
        """Return the slopes without what stands behind copies side by side: its mean, where a launch does not tell it."""
        if not self._has_tail(key):
            return dict(slopes_ns)
        tail = self.tail(key)
        if len(tail) < FEWEST_LAUNCHES:
            return {}
        mean = math.fsum(tail.values()) / len(tail)
        return {launch: slope - tail.get(launch, mean) for launch, slope in slopes_ns.items()}

    def _has_tail(self, key: Key) -> bool:
        return self._subtracts_tails and key.operator.stride > 1

    def _time(self, key: Key) -> Time:
        rest = intercept(self.lines_of(key), self.level)
        slopes_ns = self._slopes_ns(key)
        logs = positive_logs(slopes_ns)
        estimate = self.estimate(logs, SLOPE_METHOD)
        refused = ""
        if len(slopes_ns) < FEWEST_LAUNCHES:
            refused = self.too_few(key, *(tail_keys(key) if self._has_tail(key) else ()))
        elif estimate is None:
            refused = NOISE
        elif estimate.half_width_pct > WIDEST_PCT:
            refused = WIDE
        if refused:
            return Time(slopes_ns=slopes_ns, logs={}, estimate=None, intercept=rest, refused=refused)
        return Time(slopes_ns=slopes_ns, logs=logs, estimate=estimate, intercept=rest)


def _line_of(operator: Operator, by_copies: Mapping[int, LaunchLogs]) -> dict[int, LaunchLogs]:
    """Return the copies that make the line.

    Chains whose weights would leave the cache are no part of it where shorter ones make a line. A single copy is a point of it
    only where there are no two longer chains: the edges of its graph may be another conversion than those of a chain.
    """
    most = LINE_WEIGHT_BYTES // (4 * cost(operator).params)
    near = {copies: logs for copies, logs in by_copies.items() if copies <= most}
    points = near if len(near) > 1 else dict(by_copies)
    chains = {copies: logs for copies, logs in points.items() if copies > 1}
    return chains if len(chains) > 1 else points


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
    return tuple(dict.fromkeys(case.backend for case in run.plan.cases if case.model != NULL_MODEL))


def single_of(operator: Operator) -> Operator:
    """Return the graph of one operator and nothing else. A chain of one is that already where the shape is kept."""
    keeps = operator.stride == 1 and operator.in_channels == operator.out_channels and operator.kind != "linear"
    return replace(operator, copies=1) if keeps else replace(operator, copies=1, alone=1)


def tail_of(operator: Operator) -> Operator:
    """Return the chain whose twin side by side tells what pool and sum behind an operator's output cost."""
    channels = operator.out_channels
    return Operator(kind="depthwise", resolution=operator.out_resolution, in_channels=channels, out_channels=channels, kernel=3)


def tail_keys(key: Key) -> tuple[Key, Key]:
    """Return the lines whose difference is what pool and sum behind one copy cost: in one chain, and side by side."""
    chained = replace(key, operator=tail_of(key.operator))
    return chained, replace(chained, operator=replace(chained.operator, side_by_side=1))


def limits_of(found: Times) -> str:
    """Return what every finding of a sweep of chains has to say of its figures."""
    noisy = f" Left out because their rounds were disturbed: {', '.join(found.noisy)}." if found.noisy else ""
    return (
        f"Slopes over chains in {found.launches()} launches, batch 1, one thread, fp32, untrained weights; the chain keeps "
        f"its tensors in the caches as a network does.{noisy}"
    )
