"""How often the method is wrong, and how small a difference it finds, on copies of one artefact: pure arithmetic on a run.

Launches of a run are cut into groups of successive waves; each group is one trial of the method, as a user's run of that many
launches would be. "Found" means p < 0.05 in the right direction. The pairs of one family of copies share launches, so trials
are not quite independent, and the intervals of the rates are somewhat too narrow. The naive method is judged on the same
samples: one process each, all samples, a rank test.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnbench.records import Case, Run, Samples
from mnbench.stats import noise
from mnbench.stats.analysis import LaunchLogs, differences_of, trusted_samples
from mnbench.stats.covariate import adjusted_mean, stream_logs
from mnbench.stats.distributions import normal_below, normal_quantile
from mnbench.stats.rounds import launch_logs, usable_rounds

ALPHA = 0.05
FOUND_SHARE = 0.9
FEWEST_TRIALS = 10
"""Four of four found says little: below this many trials no slow-down counts as found."""
GROUP_SIZES = (3, 5, 8, 12, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of trials, with Wilson's interval."""

    hits: int
    trials: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.hits / self.trials if self.trials else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """One method at one number of launches."""

    method: str
    launches: int
    seconds: float
    """What a comparison of two cases takes with so many launches."""
    false_positives: Rate
    found: dict[str, Rate]
    """By planted slow-down in per cent."""

    @property
    def smallest_found_pct(self) -> float | None:
        """The smallest planted slow-down from which on all were found in at least 90 % of trials; None if none was."""
        best = None
        for pct in sorted((float(text) for text in self.found), reverse=True):
            rate = self.found[f"{pct:g}"]
            if rate.trials < FEWEST_TRIALS or rate.share < FOUND_SHARE:
                break
            best = pct
        return best


def evaluate(run: Run) -> list[Power]:
    """Judge the method at each group size the run has launches for, then the naive one.

    Cases are compared within a network and backend; what is planted is in the variant of the case. Too noisy ones (see
    `noisy_cases`) take no part. A run that is too short gives an empty list.
    """
    planted = {case.id: case.planted_pct for case in run.plan.cases}
    noisy, trusted = noisy_cases(run), trusted_samples(run)
    groups = _families(case for case in run.plan.cases if case not in noisy)
    logs = {case.id: launch_logs([s for s in trusted if s.case == case]) for case in run.plan.cases}
    waves = sorted({samples.launch for samples in trusted})
    # The time went to all of them, whichever take part.
    pair_s = 2 * run.measuring_s / max(1, len(waves)) / max(1, sum(1 for case in run.plan.cases if case.variant))
    found = [
        _judge("paired", size, size * pair_s, _paired(groups, logs, stream_logs(trusted), waves, size), planted)
        for size in GROUP_SIZES
        if groups and len(waves) >= size
    ]
    samples = {(s.case.id, s.launch): s for s in trusted}
    if found:
        found.append(_judge("naive", 1, pair_s, _naive(groups, samples, waves), planted))
    return found


def noisy_cases(run: Run) -> list[Case]:
    """Return the copies and slowed variants that the machine was too noisy for: a run concludes nothing from such."""
    trusted = trusted_samples(run)
    noisy = noise.noisy_cases({case: [s for s in trusted if s.case == case] for case in run.plan.cases})
    return [case for case in run.plan.cases if case.variant and case in noisy]


Trial = tuple[Case, Case, float | None, float]
"""case, reference copy, p of "no difference", and log ratio."""


def _judge(method: str, launches: int, seconds: float, trials: Iterable[Trial], planted: dict[str, float]) -> Power:
    wrong: list[bool] = []
    found: dict[str, list[bool]] = {f"{pct:g}": [] for pct in planted.values() if pct}
    for case, _, p, log_ratio in trials:
        if p is None:
            continue
        pct = planted[case.id]
        if pct == 0:
            wrong.append(p < ALPHA)
        else:
            found[f"{pct:g}"].append(p < ALPHA and log_ratio > 0)
    return Power(
        method=method,
        launches=launches,
        seconds=seconds,
        false_positives=wilson(sum(wrong), len(wrong)),
        found={pct: wilson(sum(hits), len(hits)) for pct, hits in sorted(found.items(), key=lambda item: float(item[0]))},
    )


def _paired(
    families: Sequence[Sequence[Case]], logs: dict[str, dict[int, float]], stream: LaunchLogs, waves: Sequence[int], size: int
) -> Iterable[Trial]:
    for first in range(0, len(waves) - size + 1, size):
        group = waves[first : first + size]
        for case, copy in itertools.chain.from_iterable(_pairs(family) for family in families):
            common = differences_of(logs[case.id], logs[copy.id])
            found = {wave: common[wave] for wave in group if wave in common}
            if len(found) == size and (mean := adjusted_mean(found, stream)) is not None:
                yield case, copy, mean.p(), mean.value


def _naive(
    families: Sequence[Sequence[Case]], samples: dict[tuple[str, int], Samples], waves: Sequence[int]
) -> Iterable[Trial]:
    for wave in waves:
        for case, copy in itertools.chain.from_iterable(_pairs(family) for family in families):
            ours, theirs = (_pooled(samples.get((c.id, wave))) for c in (case, copy))
            if len(ours) and len(theirs):
                yield case, copy, rank_test_p(ours, theirs), float(np.log(np.median(ours) / np.median(theirs)))


def _families(cases: Iterable[Case]) -> list[list[Case]]:
    """Group the variants of each network and backend; cases without a variant take no part."""
    families: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        if case.variant:
            families.setdefault((case.model, case.backend), []).append(case)
    return list(families.values())


def _pairs(family: Sequence[Case]) -> Iterable[tuple[Case, Case]]:
    """Pair every two copies once, and every slowed variant with every copy."""
    copies = [case for case in family if not case.variant.startswith("slow")]
    yield from itertools.combinations(copies, 2)
    yield from ((case, copy) for case in family if case not in copies for copy in copies)


def _pooled(samples: Samples | None) -> NDArray[np.float64]:
    rounds = [] if samples is None else [r.latencies_ns for r in usable_rounds(samples)]
    return np.array([latency for latencies in rounds for latency in latencies], dtype=float)


def rank_test_p(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the two-sided p of the Mann-Whitney U test, by the normal approximation without correction for ties."""
    ranks = np.empty(a.size + b.size)
    pooled = np.concatenate([a, b])
    _, inverse, counts = np.unique(pooled, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    u = ranks[: a.size].sum() - a.size * (a.size + 1) / 2
    z = (u - a.size * b.size / 2) / math.sqrt(a.size * b.size * (a.size + b.size + 1) / 12)
    return 2 * normal_below(-abs(float(z)))


def wilson(hits: int, trials: int, level: float = 0.95) -> Rate:
    """Return a share with Wilson's score interval (E. B. Wilson 1927); the whole of 0 to 1 without a trial."""
    if trials == 0:
        return Rate(hits=0, trials=0, low=0.0, high=1.0)
    z = normal_quantile(0.5 + level / 2)
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return Rate(hits=hits, trials=trials, low=max(0.0, middle - reach), high=min(1.0, middle + reach))
