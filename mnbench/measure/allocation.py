"""Where the time goes next: which cases need another wave, and how many rounds a launch of each is worth.

Decisions look at the width of intervals, never at significance: stopping when a difference "shows" would find differences that
are not there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from mnbench.records import Case, Estimate, Plan
from mnbench.stats.analysis import EMPTY, LaunchLogs, differences_of, latency, pairs_of
from mnbench.stats.drift import drift_variance
from mnbench.stats.paired import paired_ratio

RoundLogs = Mapping[int, Sequence[float]]
"""By launch: log of the median latency of each usable round."""

FEWEST_LAUNCHES = 5
"""No case stops earlier, however narrow its interval: the width of an interval over three launches is itself a matter of luck,
and stopping at lucky ones makes intervals cover less than they say."""
FEWEST_WITH_DRIFT = 12
"""The same where the memory's drift is part of the width: the slope behind it takes more launches to be known."""
MOST_ROUNDS = 8


def unfinished(plan: Plan, rounds: Mapping[str, RoundLogs], stream: LaunchLogs = EMPTY) -> list[Case]:
    """Return the cases that need another wave: all of them, unless `plan.target_ci_pct` is set.

    With a target, a case is needed as long as a ratio it takes part in (or, without any ratio, its latency) rests on too few
    launches or has an interval of more than ± the target. `rounds` maps case ids; `stream` has the log time of the
    reference stream by launch, whose drift widens intervals.
    """
    if plan.target_ci_pct is None:
        return list(plan.cases)
    logs = {case.id: launch_means(rounds.get(case.id, {})) for case in plan.cases}
    fewest = FEWEST_WITH_DRIFT if stream else FEWEST_LAUNCHES
    needed: set[Case] = set()
    paired: set[Case] = set()
    for case, baseline in pairs_of(plan):
        paired |= {case, baseline}
        found = differences_of(logs[case.id], logs[baseline.id])
        ratio = paired_ratio(list(found.values()), plan.level, drift_variance(found, stream))
        if _too_wide(ratio, len(found), fewest, plan):
            needed |= {case, baseline}
    alone = [case for case in plan.cases if case not in paired]
    for case in alone:
        if _too_wide(latency(logs[case.id], stream, plan.level), len(logs[case.id]), fewest, plan):
            needed.add(case)
    return [case for case in plan.cases if case in needed]


def rounds_worth(rounds: RoundLogs, start_s: float, round_s: float, default: int) -> int:
    """Return how many rounds a launch of one case is worth: sqrt(start / round · round variance / launch variance).

    That minimises the variance of the mean for a given time (Kalibera & Jones 2013, section 6): many rounds where rounds differ
    and starting is dear, one where launches differ. `default` until five launches of two rounds or more say something.
    """
    repeated = [list(logs) for logs in rounds.values() if len(logs) > 1]
    if len(repeated) < FEWEST_LAUNCHES or round_s <= 0:
        return default
    round_variance = statistics.fmean(statistics.variance(logs) for logs in repeated)
    size = statistics.fmean(len(logs) for logs in repeated)
    launch_variance = statistics.variance([statistics.fmean(logs) for logs in repeated]) - round_variance / size
    if launch_variance <= 0:
        return MOST_ROUNDS
    best = math.sqrt(start_s / round_s * round_variance / launch_variance)
    return min(MOST_ROUNDS, max(1, round(best)))


def launch_means(rounds: RoundLogs) -> dict[int, float]:
    """Return the mean of each launch's round logs; launches without a usable round are left out."""
    return {launch: statistics.fmean(logs) for launch, logs in rounds.items() if logs}


def _too_wide(estimate: Estimate | None, launches: int, fewest: int, plan: Plan) -> bool:
    if estimate is None or launches < fewest or plan.target_ci_pct is None:
        return True
    return estimate.half_width_pct > plan.target_ci_pct
