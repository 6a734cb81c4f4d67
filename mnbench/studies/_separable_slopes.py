"""From a run to the time of each operator: the slope of its line in each launch, less what stands behind copies side by side.

A slope that noise outweighs is refused: one that is not positive in some launch, or whose interval is wider than ± 50 %.

A slope is a difference of latencies, so that what slows one round down weighs manyfold. On a shared host a tenth of all
rounds took 10 to 80 % longer, and nothing that the kernel counts shows it: work of others on the same core, probably.
Therefore a launch in which a graph's latency is over 10 % away from that of its median launch, in either direction, is left
out of that graph's figures, here and for the network alike; undisturbed launches lie within 3 % of each other. How many were
left out is counted, and said.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from mnbench.catalog.operators import Operator, cost, parse
from mnbench.records import Case, Estimate, Run, Samples
from mnbench.stats.analysis import LaunchLogs, is_noisy, launch_logs, trusted_samples
from mnbench.stats.intervals import FEWEST_LAUNCHES, geometric_mean
from mnbench.stats.slopes import SLOPE_METHOD, Line, intercept, lines
from mnbench.studies._separable_grid import LINE_WEIGHT_BYTES, NETWORK, single_of, tail_of

STRAY_PCT = 10.0
"""A launch of a graph that is further from its median launch than this met something that the others did not."""
WIDEST_PCT = 50.0
"""Half the width of the widest interval that is kept."""
SINGLE_METHOD = "graph of one operator, geometric mean over launches of round medians, Student t on logs"
NOT_MEASURED, NOISE, WIDE = "not measured", "noise outweighs the slope", "interval wider than ± 50 %"


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

    def __init__(self, run: Run) -> None:
        self._run, self.level = run, run.plan.level
        self._times: dict[Key, Time] = {}

    @cached_property
    def backends(self) -> tuple[str, ...]:
        """The runtimes of the plan, in its order."""
        return tuple(dict.fromkeys(case.backend for case in self._run.plan.cases if case.model == NETWORK))

    @cached_property
    def _all_logs(self) -> Mapping[Case, LaunchLogs]:
        launches: dict[Case, list[Samples]] = {}
        for samples in trusted_samples(self._run):
            launches.setdefault(samples.case, []).append(samples)
        return {case: {} if is_noisy(found) else launch_logs(found) for case, found in launches.items()}

    @cached_property
    def logs(self) -> Mapping[Case, LaunchLogs]:
        """log(ns) by launch of each graph, without strays; none for one that was mostly disturbed."""
        return {case: without_strays(logs) for case, logs in self._all_logs.items()}

    def left_out(self) -> tuple[int, int]:
        """Return how many launches of a graph were left out as strays, and of how many."""
        kept, everything = (sum(len(logs) for logs in found.values()) for found in (self.logs, self._all_logs))
        return everything - kept, everything

    @cached_property
    def chains(self) -> Mapping[Key, Mapping[int, LaunchLogs]]:
        """By operator: its chains' latencies by number of copies, as the plan has them."""
        found: dict[Key, dict[int, LaunchLogs]] = {}
        for case in self._run.plan.cases:
            operator = parse(case.model)
            if operator is not None and (not operator.alone or operator.kind == "linear"):
                key = Key(operator=replace(operator, copies=1, alone=0), backend=case.backend, batch=case.batch)
                found.setdefault(key, {})[operator.copies] = self.logs.get(case, {})
        return {key: _line_of(key.operator, by_copies) for key, by_copies in found.items() if len(by_copies) > 1}

    def lines(self) -> Iterable[Key]:
        """Return every line of the plan, without those that only tell what stands behind copies side by side."""
        return (key for key in self.chains if not key.operator.side_by_side)

    def network(self, backend: str) -> LaunchLogs:
        return self.logs.get(Case(model=NETWORK, backend=backend), {})

    def time(self, key: Key) -> Time:
        """Return the time of an operator."""
        if key not in self._times:
            self._times[key] = self._time(key)
        return self._times[key]

    def tail(self, key: Key) -> dict[int, float]:
        """Return by launch the ns that pool and sum behind one copy cost, for the output of `key`'s operator."""
        twin = replace(key, operator=tail_of(key.operator))
        beside = replace(twin, operator=replace(twin.operator, side_by_side=1))
        chained, branched = self._lines(twin), self._lines(beside)
        return {n: branched[n].slope_ns - chained[n].slope_ns for n in sorted(chained.keys() & branched.keys())}

    def single(self, key: Key) -> LaunchLogs:
        """Return log(ns) by launch of the operator as a graph of its own; empty where it was not timed.

        No launch is left out: this is one latency and no difference, and what people measure has strays in it.
        """
        alone = replace(key.operator, copies=1, alone=1)  # another name of the same graph
        names = (single_of(key.operator).name, alone.name)
        found = (self._all_logs.get(Case(model=name, backend=key.backend, batch=key.batch), {}) for name in names)
        return next((logs for logs in found if logs), {})

    def between(self, key: Key, fewer: int, more: int) -> LaunchLogs:
        """Return log(slope in ns) by launch between two numbers of copies, less the tail: on a straight line all are alike."""
        chains = self.chains[key]
        if fewer not in chains or more not in chains:
            return {}
        return _positive(self._less_tail(key, _slopes(lines({k: chains[k] for k in (fewer, more)}))))

    def estimate(self, logs: LaunchLogs, method: str) -> Estimate | None:
        return geometric_mean(list(logs.values()), self.level, method)

    def _lines(self, key: Key) -> dict[int, Line]:
        return lines(self.chains.get(key, {}), partly=True)

    def _less_tail(self, key: Key, slopes: Mapping[int, float]) -> dict[int, float]:
        """Return the slopes without what stands behind copies side by side: its mean, where a launch does not tell it."""
        if key.operator.stride == 1:
            return dict(slopes)
        tail = self.tail(key)
        if len(tail) < FEWEST_LAUNCHES:
            return {}
        mean = math.fsum(tail.values()) / len(tail)
        return {launch: slope - tail.get(launch, mean) for launch, slope in slopes.items()}

    def _time(self, key: Key) -> Time:
        fitted = self._lines(key)
        rest = intercept(fitted, self.level)
        slopes = self._less_tail(key, _slopes(fitted))
        logs = _positive(slopes)
        estimate = self.estimate(logs, SLOPE_METHOD)
        refused = ""
        if len(slopes) < FEWEST_LAUNCHES:
            refused = NOT_MEASURED
        elif estimate is None:
            refused = NOISE
        elif estimate.half_width_pct > WIDEST_PCT:
            refused = WIDE
        if refused:
            return Time(slopes_ns=slopes, logs={}, estimate=None, intercept=rest, refused=refused)
        return Time(slopes_ns=slopes, logs=logs, estimate=estimate, intercept=rest)


def without_strays(logs: LaunchLogs) -> LaunchLogs:
    """Return the launches no more than `STRAY_PCT` slower or faster than the median one: the same rule on both sides."""
    if not logs:
        return {}
    middle, most = statistics.median(logs.values()), math.log1p(STRAY_PCT / 100)
    return {launch: value for launch, value in logs.items() if abs(value - middle) <= most}


def plus(*parts: LaunchLogs) -> LaunchLogs:
    """Return log of the sum by launch that has all parts; empty without them."""
    if not all(parts):
        return {}
    common = set.intersection(*(set(part) for part in parts))
    return {launch: math.log(sum(math.exp(part[launch]) for part in parts)) for launch in sorted(common)}


def scaled(factor: float, logs: LaunchLogs) -> LaunchLogs:
    """Return the logs of `factor` times what `logs` are of."""
    return {launch: value + math.log(factor) for launch, value in logs.items()}


def over(numerator: LaunchLogs, denominator: LaunchLogs) -> dict[int, float]:
    """Return the logs of a ratio, by launch that has both."""
    return {launch: numerator[launch] - denominator[launch] for launch in sorted(numerator.keys() & denominator.keys())}


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


def _slopes(fitted: Mapping[int, Line]) -> dict[int, float]:
    return {launch: line.slope_ns for launch, line in fitted.items()}


def _positive(slopes: Mapping[int, float]) -> LaunchLogs:
    """Return log(slope) by launch; empty when one is not positive: noise then outweighs the operator."""
    if any(slope <= 0 for slope in slopes.values()):
        return {}
    return {launch: math.log(slope) for launch, slope in slopes.items()}
