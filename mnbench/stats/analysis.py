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
    NULL_BACKEND,
    Analysis,
    Case,
    CaseResult,
    Caveat,
    Comparison,
    Estimate,
    ModelFacts,
    Plan,
    Run,
    Samples,
    Severity,
    Verdict,
)
from mnbench.stats import condition, noise, page_faults
from mnbench.stats.covariate import adjusted_mean, stream_logs
from mnbench.stats.intervals import FEWEST_LAUNCHES, PAIRED_METHOD, Mean, geometric_mean, holm, mean_of, total
from mnbench.stats.percentiles import percentile
from mnbench.stats.rounds import launch_logs, mean_ns, median_ns, unsettled_logs, usable_rounds
from mnbench.stats.waves import DRIFT_P, drift_p, series_mean

LATENCY_METHOD = "geometric mean of the launches' medians; Student t, drift of the waves by AR(1)"
NEXT_RUN_METHOD = "prediction of one further block, Student t over the means of blocks"
COLD_METHOD = "geometric mean over launches of medians, each inference after eviction, Student t on logs"
ONCE_METHOD = "geometric mean over launches, Student t on logs"
UNEVEN_PCT, UNEVEN_ALIKE_PCT = 3.0, 1.0
"""A slow-down of some inferences only is reported from here on: between two networks or runtimes, which neighbours disturb to
different degrees, and between two variants of one case."""
UNSETTLED_PCT = 5.0
"""A switch of models leaves 1 to 2 % of this in a round of 100 ms; what starts slowly leaves more."""
RARE_P = 0.01
UNEVEN, DRIFTING, UNSETTLED = "uneven-latency", "drifting-machine", "not-settled"
FEWER_THREADS = "fewer-threads"

LaunchLogs = Mapping[int, float]
"""log(latency in ns) of each usable launch of one case, by launch number."""
EMPTY: LaunchLogs = {}


def analyse(run: Run) -> Analysis:
    """Return all that the raw samples of a run say. Pure: the same run gives the same analysis."""
    plan = run.plan
    launches = _by_case(trusted_samples(run))
    logs = {case.id: launch_logs(launches.get(case.id, ())) for case in plan.cases}
    medians = {case.id: launch_logs(launches.get(case.id, ()), statistic=median_ns) for case in plan.cases}
    common = common_series(medians[case.id] for case in plan.cases if case.backend != NULL_BACKEND)
    to_baseline, to_backend = _baseline_pairs(plan), _backend_pairs(plan)
    noisy = noise.noisy_cases(launches)
    blocks = blocks_of(run)
    within = within_blocks(common, blocks)
    compared = compare_pairs([*to_baseline, *to_backend], logs, plan, stream_logs(trusted_samples(run)), blocks)
    under = condition.condition_of(run)
    compared = noise.judge(compared, noisy, launches, plan, under)
    by_case = {comparison.case.id: comparison for comparison in compared[: len(to_baseline)]}
    results = tuple(
        _result(
            case,
            launches.get(case.id, ()),
            latency(medians[case.id], common, plan.level, blocks),
            by_case.get(case.id),
            run,
            noisy=case.id in noisy,
            drifting=is_drifting(within),
        )
        for case in plan.cases
    )
    return Analysis(
        results=results,
        between_backends=tuple(compared[len(to_baseline) :]),
        condition=under,
        caveats=(
            *run.caveats,
            *_drifting(within),
            *_few_blocks(plan, blocks),
            *_caveats(run, results, launches, noisy),
            *noise.caveats(compared, noisy, launches, under),
            *uneven([*to_baseline, *to_backend], launches, noisy),
        ),
    )


def pairs_of(plan: Plan) -> list[tuple[Case, Case]]:
    """Return every (case, baseline) that is compared: networks within a backend, then backends within a network."""
    return [*_baseline_pairs(plan), *_backend_pairs(plan)]


def trusted_samples(run: Run) -> list[Samples]:
    """Return the launches that did not fail, their rounds judged by the run's condition.

    What a worker measured before it broke a promise is not to be used.
    """
    failed = {(failure.case, failure.launch) for failure in run.failures}
    kept = [samples for samples in run.samples if (samples.case, samples.launch) not in failed]
    return condition.judged(kept, condition.condition_of(run), run.plan, run.environment.logical_cpus)


def common_series(logs: Iterable[LaunchLogs]) -> dict[int, float]:
    """Return, by wave, the median over cases of log(latency) less that of the case's mean: what the machine did to all."""
    by_wave: dict[int, list[float]] = {}
    for found in logs:
        middle = statistics.fmean(found.values()) if found else 0.0
        for wave, value in found.items():
            by_wave.setdefault(wave, []).append(value - middle)
    return {wave: statistics.median(by_wave[wave]) for wave in sorted(by_wave)}


def blocks_of(run: Run) -> dict[int, int]:
    """Return the block of each launch."""
    return {samples.launch: samples.block for samples in run.samples}


def within_blocks(common: LaunchLogs, blocks: Mapping[int, int]) -> dict[int, float]:
    """Return what the machine did to all cases, each wave less the mean of its block; of a single block, `common` as it is.

    What differs between blocks, which lie apart in time, is no drift of neighbours. The scatter is that of the waves within
    their blocks: k means were taken from n waves, so deviations grow by sqrt((n - 1) / (n - k)).
    """
    by_block: dict[int, list[float]] = {}
    for wave, value in common.items():
        by_block.setdefault(blocks.get(wave, 0), []).append(value)
    if len(by_block) < 2 or len(common) <= len(by_block):
        return dict(common)
    middles = {block: statistics.fmean(values) for block, values in by_block.items()}
    scale = math.sqrt((len(common) - 1) / (len(common) - len(by_block)))
    return {wave: scale * (value - middles[blocks.get(wave, 0)]) for wave, value in common.items()}


def latency(logs: LaunchLogs, common: LaunchLogs, level: float, blocks: Mapping[int, int] | None = None) -> Estimate | None:
    """Return the latency behind the launches' logs, in ns; None below three launches.

    `common` is what the machine did to all cases (`common_series`). Its waves depend on each other, and its error holds that
    (`series_mean`); what is left of the case is independent from launch to launch. `blocks` has the block of each launch: the
    latency is that of the run's own blocks, and its error that of the waves within them.
    """
    own = mean_of(value - common.get(wave, 0.0) for wave, value in logs.items())
    shared = series_mean(list(within_blocks(common, blocks or {}).values()))
    if own is None:
        return None
    error = own if shared is None else total(own, shared)
    mean = Mean(value=statistics.fmean(logs.values()), error=error.error, degrees=error.degrees)
    return mean.estimate(level, LATENCY_METHOD)


def baseline_of(case: Case, plan: Plan) -> Case | None:
    """Return the plan's case of the baseline model under otherwise the same conditions; None when it was not planned.

    Where the plan has environments, it is the same case in the first of them.
    """
    first = plan.environments[0].label if plan.environments else ""
    wanted = replace(case, environment=first) if first else replace(case, model=plan.baseline)
    return wanted if wanted in plan.cases else None


def compare_pairs(
    pairs: Sequence[tuple[Case, Case]],
    logs: Mapping[str, LaunchLogs],
    plan: Plan,
    stream: LaunchLogs = EMPTY,
    blocks: Mapping[int, int] | None = None,
) -> list[Comparison]:
    """Compare each (case, baseline) over the launches both have; verdicts are corrected for the number of pairs.

    Both kinds are: "different" over all pairs, and "equivalent" over all pairs, each by Holm's procedure. `logs` maps case
    ids; `stream` has, by launch, the log of the reference stream's time, a covariate; `blocks` the block of each launch.
    """
    by_launch = [differences_of(logs[case.id], logs[baseline.id]) for case, baseline in pairs]
    means = [adjusted_mean(found, stream) for found in by_launch]
    different = _adjusted([None if mean is None else mean.p() for mean in means])
    equivalent = _adjusted([None if mean is None else mean.p_outside(log_margin(plan)) for mean in means])
    return [
        Comparison(
            case=case,
            baseline=baseline,
            ratio=None if mean is None else mean.estimate(plan.level, PAIRED_METHOD),
            next_run=next_run(found, blocks or {}, plan.level),
            p_adjusted=p_different,
            verdict=decide(mean, p_different, p_equivalent, plan),
        )
        for (case, baseline), found, mean, p_different, p_equivalent in zip(
            pairs, by_launch, means, different, equivalent, strict=True
        )
    ]


def next_run(logs: LaunchLogs, blocks: Mapping[int, int], level: float) -> Estimate | None:
    """Return where the ratio of one further block should lie, from the spread of the blocks of a run; None below three.

    A prediction interval: mean of the block means ± t(blocks - 1) · s · sqrt(1 + 1 / blocks), with s their standard deviation.
    It holds what differs from one time to another as well as the launches' scatter within a block.
    """
    by_block: dict[int, list[float]] = {}
    for launch, value in logs.items():
        by_block.setdefault(blocks.get(launch, 0), []).append(value)
    mean = mean_of(statistics.fmean(values) for values in by_block.values())
    if mean is None:
        return None
    wider = replace(mean, error=mean.error * math.sqrt(len(by_block) + 1))
    return wider.estimate(level, NEXT_RUN_METHOD)


def differences_of(case: LaunchLogs, baseline: LaunchLogs) -> dict[int, float]:
    """Return the log ratio of two cases by launch, in their order, for the launches that both have."""
    return {launch: case[launch] - baseline[launch] for launch in sorted(case.keys() & baseline.keys())}


def log_margin(plan: Plan) -> float:
    """Return the logarithm of the largest ratio that still counts as equivalent; minus it is that of the smallest."""
    return math.log1p(plan.equivalence_pct / 100)


def decide(mean: Mean | None, p_different: float | None, p_equivalent: float | None, plan: Plan) -> Verdict:
    """Return what a mean log ratio allows one to say; both p values are corrected for the number of comparisons.

    Equivalent when "outside ± `plan.equivalence_pct`" is rejected at α = 1 - level; else faster or slower when "no difference"
    is; inconclusive otherwise, and always without a mean.
    """
    if mean is None or p_different is None or p_equivalent is None:
        return Verdict.INCONCLUSIVE
    if p_equivalent < 1 - plan.level:
        return Verdict.EQUIVALENT
    if p_different < 1 - plan.level:
        return Verdict.FASTER if mean.value < 0 else Verdict.SLOWER
    return Verdict.INCONCLUSIVE


def uneven(
    pairs: Sequence[tuple[Case, Case]], launches: Mapping[str, Sequence[Samples]], noisy: Collection[str] = ()
) -> list[Caveat]:
    """Name the cases that are slow in some of their inferences only, which no ratio of typical latencies shows.

    The test: by how much more the mean lies above the typical latency than in the case it is compared with, launch by launch
    (paired t, Holm over the pairs, p < 1 %), and by 3 % at least, or 1 % between variants of one case.
    """
    excess = {
        case.id: differences_of(
            launch_logs(launches.get(case.id, ()), statistic=mean_ns), launch_logs(launches.get(case.id, ()))
        )
        for case in dict.fromkeys(case for pair in pairs for case in pair)
    }
    tested = [pair for pair in pairs if not {pair[0].id, pair[1].id} & set(noisy)]
    means = [mean_of(differences_of(excess[case.id], excess[baseline.id]).values()) for case, baseline in tested]
    adjusted = _adjusted([None if mean is None else mean.p() for mean in means])
    found: dict[str, Caveat] = {}
    for (case, baseline), mean, p in zip(tested, means, adjusted, strict=True):
        alike = (case.model, case.backend) == (baseline.model, baseline.backend)
        limit_pct = UNEVEN_ALIKE_PCT if alike else UNEVEN_PCT
        if mean is None or p is None or p >= RARE_P or 100 * abs(math.expm1(mean.value)) < limit_pct:
            continue
        slow, other = (case, baseline) if mean.value > 0 else (baseline, case)
        own, others = (100 * math.expm1(statistics.fmean(excess[c.id].values())) for c in (slow, other))
        found.setdefault(
            slow.id,
            Caveat(
                code=UNEVEN,
                subject=slow.id,
                observed=f"some of its inferences are slow: their mean is {own:.1f} % above its typical latency; "
                f"that of {other.id} is {others:.1f} %",
                advice="The ratio compares typical latencies and does not show this. Look at the percentiles.",
            ),
        )
    return list(found.values())


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
    latency_ns: Estimate | None,
    vs_baseline: Comparison | None,
    run: Run,
    *,
    noisy: bool,
    drifting: bool,
) -> CaseResult:
    plan = run.plan
    readings = [memory.above_runtime_bytes for memory in run.memory if memory.case == case]
    # A user meets disturbed rounds too. Those of a noisy case are mostly the disturbance's, and no verdict stands next to them;
    # on a drifting machine launches are not independent, and the interval would be too narrow.
    met = [] if noisy or drifting else [[t for r in s.rounds if r.regime == "steady" for t in r.latencies_ns] for s in launches]
    # Opening has no counters of its own: a launch whose rounds are not to be trusted is no better witness of how it began.
    once = () if noisy else launches
    return CaseResult(
        case=case,
        latency_ns=latency_ns,
        percentiles={percent: percentile(met, percent, plan.level) for percent in plan.percentiles},
        launches=sum(1 for samples in launches if usable_rounds(samples)),
        samples=sum(len(r.latencies_ns) for samples in launches for r in usable_rounds(samples)),
        vs_baseline=vs_baseline,
        cold_ns=None if noisy else _cold(launches, plan),
        first_ns=_of_launches([s.first_ns for s in once], plan) if "first" in plan.regimes else None,
        load_ns=_of_launches([s.load_ns for s in once], plan) if "load" in plan.regimes else None,
        memory_bytes=round(statistics.median(readings)) if readings else None,
        too_noisy=noisy,
    )


def _cold(launches: Sequence[Samples], plan: Plan) -> Estimate | None:
    """Estimate the cold latency, unless its own rounds were too disturbed."""
    if noise.is_noisy(launches, "cold"):
        return None
    return geometric_mean(list(launch_logs(launches, "cold", median_ns).values()), plan.level, COLD_METHOD)


def _of_launches(times_ns: Sequence[int], plan: Plan) -> Estimate | None:
    """Estimate what happens once in a launch."""
    return geometric_mean([math.log(max(1, time_ns)) for time_ns in times_ns], plan.level, ONCE_METHOD)


def _caveats(
    run: Run, results: Sequence[CaseResult], launches: Mapping[str, Sequence[Samples]], noisy: Collection[str]
) -> Iterable[Caveat]:
    yield from _denormal(run.facts)
    yield from _remarks(run)
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
        yield from _fewer_threads(result.case, launches.get(case_id, ()))
        if result.case.backend != NULL_BACKEND:
            yield from page_faults.caveats(result.case, launches.get(case_id, ()))
        yield from _disturbed(case_id, launches.get(case_id, ()), too_noisy=case_id in noisy)
        if case_id not in noisy:
            yield from _unsettled(case_id, launches.get(case_id, ()))


ADVICE: Mapping[str, tuple[str, Severity]] = {
    "time-depends-on-data": (
        "Give typical data with --input. Random data may take much more or much less time.",
        Severity.WARNING,
    ),
    "random-by-design": ("The latencies are valid. Nothing says whether the outputs are right.", Severity.NOTE),
    "differs-from-itself": (
        "Its outputs are not checked. Dropout may still be active: export the model in evaluation mode.",
        Severity.WARNING,
    ),
    "empty-answers": ("Give real data with --input, so that the outputs can be checked.", Severity.WARNING),
    "not-compared": (
        "Nothing was checked. Compare its outputs with those of the framework that the model comes from.",
        Severity.WARNING,
    ),
    "outputs-differ": (
        "It is unknown which one is right. Compare both with the framework that the model comes from.",
        Severity.WARNING,
    ),
    "half-precision-file": ("Measure the same model in float32, too. The difference is what float16 gains.", Severity.NOTE),
    "declared-shape": ("The file declares a wrong shape. The latencies are valid.", Severity.NOTE),
    "output-size-unknown": ("Nothing needs to be done: a program that uses the model waits for this, too.", Severity.NOTE),
    "computed-otherwise": ("Read its latency as that of the precision in which it was computed.", Severity.WARNING),
    "counting": ("Keep this in mind when you read params and MAdds.", Severity.NOTE),
}
"""What to do about each kind of remark, and how much it matters."""
UNKNOWN_ADVICE = ("The package that opened the model reports this; see its documentation.", Severity.NOTE)
"""For the remarks of another package."""


def _remarks(run: Run) -> Iterable[Caveat]:
    """Yield what was found when models were looked at, exported and opened; each once."""
    found: dict[tuple[str, str, str], None] = {}
    for artifact in run.artifacts:
        found.update(dict.fromkeys((r.code, artifact.spec.model, r.observed) for r in artifact.remarks))
    known = {(code, subject) for code, subject, _ in found}  # what was seen when it ran says more than the file alone
    for model in run.plan.models:
        remarks = ((remark.code, model.id, remark.observed) for remark in model.remarks)
        found.update(dict.fromkeys(each for each in remarks if each[:2] not in known))
    for samples in run.samples:  # the first launch speaks for all
        for remark in samples.remarks:
            if not any(code == remark.code and subject == samples.case.id for code, subject, _ in found):
                found[remark.code, samples.case.id, remark.observed] = None
    for code, subject, observed in found:
        advice, severity = ADVICE.get(code, UNKNOWN_ADVICE)
        yield Caveat(code=code, subject=subject, observed=observed, advice=advice, severity=severity)


def _fewer_threads(case: Case, launches: Sequence[Samples]) -> Iterable[Caveat]:
    """Say when no round had as many threads at work as were asked for: the latency is that of fewer."""
    counted = [r.busy_threads for samples in launches for r in samples.rounds if r.wall_ns and r.busy_threads is not None]
    most = max(counted, default=case.threads)
    if case.backend != NULL_BACKEND and most < case.threads:
        yield Caveat(
            code=FEWER_THREADS,
            subject=case.id,
            observed=f"{case.threads} threads were asked for, and no more than {most} ran in any round",
            advice=f"The figures are those of {most}. Look for a limit: OMP_THREAD_LIMIT, or a cgroup's.",
        )


def _few_blocks(plan: Plan, blocks: Mapping[int, int]) -> Iterable[Caveat]:
    made = len(set(blocks.values()))
    if plan.blocks > 1 and made < FEWEST_LAUNCHES:
        yield Caveat(
            code="few-blocks",
            subject="the run",
            observed=f"waves were made in {made} of the {plan.blocks} blocks, and a prediction needs {FEWEST_LAUNCHES}",
            advice="No interval is given for the next run. Raise --budget, which all blocks share.",
        )


def is_drifting(common: LaunchLogs) -> bool:
    """Say whether neighbouring waves are significantly alike."""
    p = drift_p(list(common.values()))
    return p is not None and p < DRIFT_P


def _drifting(common: LaunchLogs) -> Iterable[Caveat]:
    if is_drifting(common):
        spread = 100 * statistics.stdev(common.values())
        yield Caveat(
            code=DRIFTING,
            subject="the run",
            observed=f"the machine's speed drifted: all cases together, by {spread:.1f} % (sd of the waves), neighbours alike",
            advice="Ratios of this run are paired and hold. Its milliseconds are those of this time; do not compare them with "
            "another run's. No percentiles are given.",
        )


def _unsettled(case_id: str, launches: Sequence[Samples]) -> Iterable[Caveat]:
    """Say when inferences still became faster in the timed part."""
    mean = mean_of(unsettled_logs(launches))
    if mean is not None and mean.value > math.log1p(UNSETTLED_PCT / 100) and mean.p() < RARE_P:
        yield Caveat(
            code=UNSETTLED,
            subject=case_id,
            observed=f"the first half of its rounds is {100 * math.expm1(mean.value):.1f} % slower than the second",
            advice="It needs longer to become steady than a round lasts. Raise --budget, or measure fewer cases at once.",
        )


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
            advice=noise.advice(reasons)
            + (" No conclusions are drawn for this case; only its steady latency is shown." if too_noisy else ""),
        )
        if noise.is_noisy(launches, "cold") and not too_noisy:
            cold = [r for r in rounds if r.regime == "cold"]
            yield Caveat(
                code="cold-too-noisy",
                subject=case_id,
                observed=f"{sum(1 for r in cold if r.disturbances)} of {len(cold)} cold rounds were disturbed",
                advice="No cold latency is given: run `mnbench doctor`, then measure again.",
            )


def _denormal(facts: Iterable[ModelFacts]) -> Iterable[Caveat]:
    for found in facts:
        if found.denormal_weights or found.denormal_activations:
            yield Caveat(
                code="denormals",
                subject=found.model,
                observed=f"{found.denormal_weights:,} of {found.params:,} weights are denormal, and "
                f"{found.denormal_activations:,} activations",
                advice="Runtimes treat denormals differently and may be many times slower; use weights without them.",
            )
