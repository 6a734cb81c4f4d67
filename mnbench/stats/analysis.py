"""From raw samples to latencies, ratios and verdicts.

The repetition that counts is the launch. Inferences of one process agree far better with each other than with those of the next
process, so pooling them gives intervals that are much too narrow (Kalibera & Jones 2013; docs/methodology.md). Each launch is
reduced to one number; intervals are computed over launches. Ratios are paired: a case and its baseline in the same wave met the
same machine, so what drifts slowly cancels.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from mnbench.records import (
    Analysis,
    Artifact,
    Case,
    CaseResult,
    Caveat,
    Comparison,
    Estimate,
    Plan,
    Round,
    Run,
    Samples,
    Verdict,
)
from mnbench.stats import noise
from mnbench.stats.drift import drift_variance, stream_logs
from mnbench.stats.intervals import FEWEST_LAUNCHES, geometric_mean, holm, percentile, widened
from mnbench.stats.paired import equivalence_p, paired_p, paired_ratio

LATENCY_METHOD = "geometric mean over launches of round medians, Student t on logs"
COLD_METHOD = "geometric mean over launches of medians, each inference after eviction, Student t on logs"
ONCE_METHOD = "geometric mean over launches, Student t on logs"

LaunchLogs = Mapping[int, float]
"""log(latency in ns) of each usable launch of one case, by launch number."""
EMPTY: LaunchLogs = {}


def analyse(run: Run) -> Analysis:
    """Return all that the raw samples of a run say. Pure: the same run gives the same analysis."""
    plan = run.plan
    launches = _by_case(trusted_samples(run))
    logs = {case.id: launch_logs(launches.get(case.id, ())) for case in plan.cases}
    to_baseline, to_backend = _baseline_pairs(plan), _backend_pairs(plan)
    noisy = noise.noisy_cases(launches)
    stream = stream_logs(trusted_samples(run))
    compared = noise.judge(compare_pairs([*to_baseline, *to_backend], logs, plan, stream), noisy, launches, plan)
    by_case = {comparison.case.id: comparison for comparison in compared[: len(to_baseline)]}
    results = tuple(
        _result(case, launches.get(case.id, ()), logs[case.id], stream, by_case.get(case.id), run, noisy=case.id in noisy)
        for case in plan.cases
    )
    return Analysis(
        results=results,
        between_backends=tuple(compared[len(to_baseline) :]),
        caveats=(*run.caveats, *_caveats(run, results, launches, noisy), *noise.caveats(compared, noisy, launches)),
    )


def pairs_of(plan: Plan) -> list[tuple[Case, Case]]:
    """Return every (case, baseline) that is compared: networks within a backend, then backends within a network."""
    return [*_baseline_pairs(plan), *_backend_pairs(plan)]


def trusted_samples(run: Run) -> list[Samples]:
    """Return the launches that did not fail: what a worker measured before it broke a promise is not to be used."""
    failed = {(failure.case, failure.launch) for failure in run.failures}
    return [samples for samples in run.samples if (samples.case, samples.launch) not in failed]


def usable_rounds(samples: Samples, regime: str = "steady") -> list[Round]:
    """Return the undisturbed rounds of one regime of a launch."""
    return [r for r in samples.rounds if r.regime == regime and not r.disturbances and r.latencies_ns]


def judged_by_workload(run: Run) -> bool:
    """Say whether each round stands beside readings of the reference workload, so that one at another CPU speed is marked.

    False for a run stored before it was timed, for one that was begun then and resumed later, and for one without rounds.
    """
    rounds = [r for samples in trusted_samples(run) for r in samples.rounds]
    return bool(rounds) and all(None not in (r.workload_before_ns, r.workload_after_ns) for r in rounds)


def launch_logs(launches: Iterable[Samples], regime: str = "steady") -> dict[int, float]:
    """Return log(latency) per launch: the mean over its undisturbed rounds of the log of the round's median.

    A launch without an undisturbed round is left out.
    """
    logs: dict[int, float] = {}
    for samples in launches:
        medians = [statistics.median(r.latencies_ns) for r in usable_rounds(samples, regime)]
        if medians:
            logs[samples.launch] = statistics.fmean(math.log(max(median, 1.0)) for median in medians)
    return logs


def latency(logs: LaunchLogs, stream: LaunchLogs, level: float) -> Estimate | None:
    """Return the latency behind the launches' logs, in ns; `stream` has, by launch, the log of the reference stream's time."""
    plain = geometric_mean(list(logs.values()), level, LATENCY_METHOD)
    return widened(plain, drift_variance(logs, stream), len(logs) - 1)


def baseline_of(case: Case, plan: Plan) -> Case | None:
    """Return the plan's case of the baseline model under otherwise the same conditions; None when it was not planned.

    Where the plan has environments, it is the same case in the first of them.
    """
    first = plan.environments[0].label if plan.environments else ""
    wanted = replace(case, environment=first) if first else replace(case, model=plan.baseline)
    return wanted if wanted in plan.cases else None


def compare_pairs(
    pairs: Sequence[tuple[Case, Case]], logs: Mapping[str, LaunchLogs], plan: Plan, stream: LaunchLogs = EMPTY
) -> list[Comparison]:
    """Compare each (case, baseline) over the launches both have; verdicts are corrected for the number of pairs.

    Both kinds are: "different" over all pairs, and "equivalent" over all pairs, each by Holm's procedure. `logs` maps case
    ids; `stream` has, by launch, the log of the reference stream's time, whose drift widens what feels it.
    """
    by_launch = [differences_of(logs[case.id], logs[baseline.id]) for case, baseline in pairs]
    measured = [(list(found.values()), drift_variance(found, stream)) for found in by_launch]
    different = _adjusted([paired_p(found, len(pairs), drift) for found, drift in measured])
    equivalent = _adjusted([equivalence_p(found, log_margin(plan), len(pairs), drift) for found, drift in measured])
    comparisons = []
    for place, (case, baseline) in enumerate(pairs):
        found, drift = measured[place]
        ratio = paired_ratio(found, plan.level, drift)
        verdict = decide(ratio, different[place], equivalent[place], plan)
        comparisons.append(Comparison(case=case, baseline=baseline, ratio=ratio, p_adjusted=different[place], verdict=verdict))
    return comparisons


def differences_of(case: LaunchLogs, baseline: LaunchLogs) -> dict[int, float]:
    """Return the log ratio of two cases by launch, in their order, for the launches that both have."""
    return {launch: case[launch] - baseline[launch] for launch in sorted(case.keys() & baseline.keys())}


def log_margin(plan: Plan) -> float:
    """Return the logarithm of the largest ratio that still counts as equivalent; minus it is that of the smallest."""
    return math.log1p(plan.equivalence_pct / 100)


def decide(ratio: Estimate | None, p_different: float | None, p_equivalent: float | None, plan: Plan) -> Verdict:
    """Return what the interval allows one to say; both p values are corrected for the number of comparisons.

    Equivalent when the whole interval lies within ±`plan.equivalence_pct` and "outside" is rejected after the correction;
    faster or slower when the difference stands after it; inconclusive otherwise, and always without an interval.
    """
    if ratio is None or p_different is None or p_equivalent is None:
        return Verdict.INCONCLUSIVE
    margin = math.exp(log_margin(plan))
    if 1 / margin <= ratio.low and ratio.high <= margin and p_equivalent < 1 - plan.level:
        return Verdict.EQUIVALENT
    if p_different < 1 - plan.level:
        return Verdict.FASTER if ratio.value < 1 else Verdict.SLOWER
    return Verdict.INCONCLUSIVE


def _adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct the p values there are by Holm's procedure, each in its place."""
    adjusted = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(adjusted) for p in p_values]


def _by_case(samples: Iterable[Samples]) -> dict[str, list[Samples]]:
    grouped: dict[str, list[Samples]] = {}
    for launch in samples:
        grouped.setdefault(launch.case.id, []).append(launch)
    return grouped


def _baseline_pairs(plan: Plan) -> list[tuple[Case, Case]]:
    return [(case, base) for case in plan.cases if (base := baseline_of(case, plan)) and base != case]


def _backend_pairs(plan: Plan) -> list[tuple[Case, Case]]:
    """Pair each case with the same network in the first backend named that runs it under the same conditions.

    There are none where environments are compared: fewer comparisons find smaller differences.
    """
    if plan.environments:
        return []
    first: dict[Case, Case] = {}
    for case in plan.cases:
        first.setdefault(replace(case, backend=""), case)
    return [(case, base) for case in plan.cases if (base := first[replace(case, backend="")]) != case]


def _result(
    case: Case,
    launches: Sequence[Samples],
    logs: LaunchLogs,
    stream: LaunchLogs,
    vs_baseline: Comparison | None,
    run: Run,
    *,
    noisy: bool,
) -> CaseResult:
    plan = run.plan
    pooled = [float(latency) for samples in launches for r in usable_rounds(samples) for latency in r.latencies_ns]
    readings = [memory.above_runtime_bytes for memory in run.memory if memory.case == case]
    # Samples enough for a percentile may all be of one process: what an interval needs, it needs too.
    ranked = [] if noisy or len(logs) < FEWEST_LAUNCHES else pooled
    # Opening has no counters of its own: a launch whose rounds are not to be trusted is no better witness of how it began.
    once = () if noisy else launches
    return CaseResult(
        case=case,
        latency_ns=latency(logs, stream, plan.level),
        p90_ns=percentile(ranked, 90.0),
        p99_ns=percentile(ranked, 99.0),
        launches=len(logs),
        samples=len(pooled),
        vs_baseline=vs_baseline,
        cold_ns=None if noisy else _cold(launches, plan),
        first_ns=_of_launches([s.first_ns for s in once], plan) if "first" in plan.regimes else None,
        load_ns=_of_launches([s.load_ns for s in once], plan) if "load" in plan.regimes else None,
        memory_bytes=round(statistics.median(readings)) if readings else None,
    )


def _cold(launches: Sequence[Samples], plan: Plan) -> Estimate | None:
    """Estimate the cold latency, unless its own rounds were too disturbed."""
    if noise.is_noisy(launches, "cold"):
        return None
    return geometric_mean(list(launch_logs(launches, "cold").values()), plan.level, COLD_METHOD)


def _of_launches(times_ns: Sequence[int], plan: Plan) -> Estimate | None:
    """Estimate what happens once in a launch."""
    return geometric_mean([math.log(max(1, time_ns)) for time_ns in times_ns], plan.level, ONCE_METHOD)


def _caveats(
    run: Run, results: Sequence[CaseResult], launches: Mapping[str, Sequence[Samples]], noisy: Collection[str]
) -> Iterable[Caveat]:
    yield from _denormal(run.artifacts)
    for result in results:
        case_id = result.case.id
        if failed := [failure for failure in run.failures if failure.case == result.case]:
            yield Caveat(
                code="launch-failed",
                subject=case_id,
                observed=f"{len(failed)} of its launches failed: {failed[-1].reason}",
                advice="See the log's tail in the report; the figures, if any, are from the other launches.",
            )
        if "steady" in run.plan.regimes and result.launches < FEWEST_LAUNCHES:
            yield Caveat(
                code="few-launches",
                subject=case_id,
                observed=f"not enough launches: {result.launches} usable, and an interval needs {FEWEST_LAUNCHES}",
                advice="Raise --budget, or measure fewer cases at once.",
            )
        yield from _disturbed(case_id, launches.get(case_id, ()), too_noisy=case_id in noisy)


def _disturbed(case_id: str, launches: Sequence[Samples], *, too_noisy: bool) -> Iterable[Caveat]:
    rounds = [r for samples in launches for r in samples.rounds]
    reasons = Counter(reason for r in rounds for reason in r.disturbances)
    if reasons or too_noisy:
        disturbed = sum(1 for r in rounds if r.disturbances)
        seen = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        others = "; of all cases' first tries more than a third were" if too_noisy and not noise.is_noisy(launches) else ""
        yield Caveat(
            code=noise.TOO_NOISY if too_noisy else "disturbed-rounds",
            subject=case_id,
            observed=f"{disturbed} of {len(rounds)} rounds were disturbed and left out{seen and f': {seen}'}{others}",
            advice="Stop other programs on this machine; the rounds are kept in rounds.csv."
            + (
                " Nothing is concluded from this case, and only its steady latency is shown: run `mnbench doctor`, then measure"
                " again."
                if too_noisy
                else ""
            ),
        )
        if noise.is_noisy(launches, "cold") and not too_noisy:
            cold = [r for r in rounds if r.regime == "cold"]
            yield Caveat(
                code="cold-too-noisy",
                subject=case_id,
                observed=f"{sum(1 for r in cold if r.disturbances)} of {len(cold)} cold rounds were disturbed",
                advice="No cold latency is given: run `mnbench doctor`, then measure again.",
            )


def _denormal(artifacts: Iterable[Artifact]) -> Iterable[Caveat]:
    counts = {a.spec.model: (a.denormal_weights, a.denormal_activations) for a in artifacts}
    for model, (weights, activations) in counts.items():
        if weights or activations:
            yield Caveat(
                code="denormals",
                subject=model,
                observed=f"{weights} weights and {activations} activations are denormal",
                advice="Runtimes treat denormals differently and may be many times slower; use weights without them.",
            )
