"""Which cases need another wave.

Decisions look at the width of intervals, never at significance: stopping when a difference "shows" would find differences that
are not there. Everything is computed by the functions of the analysis, so that the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable

from mnbench.records import NULL_BACKEND, Case, Estimate, Plan, Samples
from mnbench.stats.analysis import common_series, differences_of, latency, pairs_of
from mnbench.stats.condition import condition_among, judged
from mnbench.stats.covariate import adjusted_mean, stream_logs
from mnbench.stats.intervals import PAIRED_METHOD
from mnbench.stats.rounds import launch_logs, median_ns

FEWEST_LAUNCHES = 8
"""No case stops earlier, however narrow its interval: the width of an interval over few launches is itself a matter of luck,
and stopping at lucky ones makes intervals cover less than they say."""


def unfinished(plan: Plan, samples: Iterable[Samples], logical_cpus: int) -> list[Case]:
    """Return the cases that need another wave: all of them, unless `plan.target_ci_pct` is set.

    Rounds are judged by the condition of the run so far, on a machine of so many CPUs, as the analysis will judge them.

    With a target, a case is needed as long as a ratio it takes part in (or, without any ratio, its latency) rests on too few
    launches or has an interval of more than ± the target.
    """
    if plan.target_ci_pct is None:
        return list(plan.cases)
    made = list(samples)
    launches = judged(made, condition_among(made, plan, logical_cpus), plan, logical_cpus)
    by_case = {case: [s for s in launches if s.case == case] for case in plan.cases}
    logs = {case: launch_logs(found) for case, found in by_case.items()}
    stream = stream_logs(launches)
    needed: set[Case] = set()
    paired: set[Case] = set()
    for case, baseline in pairs_of(plan):
        paired |= {case, baseline}
        found = differences_of(logs[case], logs[baseline])
        mean = adjusted_mean(found, stream)
        if _too_wide(None if mean is None else mean.estimate(plan.level, PAIRED_METHOD), len(found), plan):
            needed |= {case, baseline}
    if alone := [case for case in plan.cases if case not in paired]:
        medians = {case: launch_logs(found, statistic=median_ns) for case, found in by_case.items()}
        common = common_series(logs for case, logs in medians.items() if case.backend != NULL_BACKEND)
        needed |= {c for c in alone if _too_wide(latency(medians[c], common, plan.level), len(medians[c]), plan)}
    return [case for case in plan.cases if case in needed]


def _too_wide(estimate: Estimate | None, launches: int, plan: Plan) -> bool:
    if estimate is None or launches < FEWEST_LAUNCHES or plan.target_ci_pct is None:
        return True
    return estimate.half_width_pct > plan.target_ci_pct
