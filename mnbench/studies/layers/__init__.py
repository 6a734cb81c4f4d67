"""V1 Table 2, with the column it lacks: share of multiply-adds, of parameters and of time by kind of layer.

The plan times the networks as they are. The facts are the runtimes' own profiles, from launches of their own. What the nodes of
a profile take is added up by kind of layer, and the sum is held against both wholes: the profiled inference and the plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

import msgspec

from mnbench import backends, sources
from mnbench.backends import profilers
from mnbench.commands import compare
from mnbench.errors import WorkerError
from mnbench.measure.messages import OpenRequest
from mnbench.measure.profiling import ProfileReply, profile
from mnbench.records import Artifact, Case, Estimate, Plan, Run
from mnbench.records.study import Conclusion, Facts, PlotFile, StudyOptions, Table
from mnbench.sources.shapes import images_of
from mnbench.stats.analysis import LaunchLogs, trusted_samples
from mnbench.stats.intervals import geometric_mean
from mnbench.stats.noise import is_noisy
from mnbench.stats.rounds import launch_logs
from mnbench.studies import Study
from mnbench.studies.common.planning import check_backends, sweep_plan
from mnbench.studies.layers import findings
from mnbench.studies.layers.records import KindRow, LayerRow, Seen, SumRow
from mnbench.studies.layers.shares import (
    KINDS,
    TIME_METHOD,
    NodeTimes,
    Part,
    Profile,
    bytes_of,
    count_shares,
    cut_pct,
    of_batch,
    parts_of,
    share_of,
    shares_less_profiling,
    sum_over_steady,
    sum_over_whole,
    sums_ns,
    time_ns,
    time_shares,
    unclaimed,
)

MODELS = ("mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224", "shufflenet_v1_g3_1.5_224", "nasnet_a_mobile_224")
QUICK_MODELS = MODELS[:2]
BUDGET_S, QUICK_BUDGET_S = 40.0, 25.0
LAUNCHES, QUICK_LAUNCHES = 8, 3
"""Profiled launches of a case."""
MOST_FAILURES = 2
NOT_JOINED = "its profile cannot be joined with the layers: the runtime calls its nodes by names that are not in the file"
BEYOND = 1.005
"""Nodes whose sum is established to be this many plain inferences hold work of the profiler's own; less would not show."""
NS_PER_US = 1000.0
KINDS_CAPTION = "Share of multiply-adds, parameters and time by kind of layer. Time: of the sum of the profile's nodes."
SUMS_CAPTION = (
    "Do the parts add up to the whole? The nodes' sum over an inference: profiled; plain, in the same process before and "
    "after; and steady, the run's own latency from other launches."
)
LAYERS_CAPTION = (
    "Every layer that multiplies, and all other nodes by type, with time and rate. Bytes: each weight and each activation once."
)
SHARES_CAPTION = "Multiply-adds, parameters and time by kind of layer, in each network and runtime."
RATES_CAPTION = "How fast each layer computes, against the multiply-adds it makes of a byte."


def plan(options: StudyOptions) -> Plan:
    """Time each network in each backend. Raises as `check_backends` does, and UsageError for a backend without profiler.

    A file of the user's is timed with its own batch and precision, where it has one.
    """
    models = sources.resolve(options.models or (QUICK_MODELS if options.quick else MODELS), options.shapes)
    cases = [
        Case(model=model.id, backend=backend, precision=precision, batch=images_of(model))
        for model in models
        for backend in options.backends
        for precision in compare.precisions_of(model, ("fp32",))
    ]
    check_backends(cases)
    for backend in options.backends:
        profilers.get(backend)
    made = sweep_plan(
        cases,
        options,
        budget_s=QUICK_BUDGET_S if options.quick else BUDGET_S,
        baseline=models[0].id,
        round_ms=150.0,
        settle_ms=80.0,  # networks need 30 to 50 inferences after they were opened
    )
    return replace(made, models=models)


def facts(run: Run, options: StudyOptions) -> Facts:
    """Profile each case of a run in fresh processes, launch by launch, so that what drifts meets all of them."""
    cases = [case for case in run.plan.cases if case.backend in profilers.PROFILERS]
    replies: dict[Case, list[ProfileReply]] = {case: [] for case in cases}
    failures: dict[Case, list[str]] = {case: [] for case in cases}
    for _ in range(QUICK_LAUNCHES if options.quick else LAUNCHES):
        for case in cases:
            if len(failures[case]) < MOST_FAILURES:
                _launch(case, run, options, replies[case], failures[case])
    profiles = [_profile_of(case, replies[case], failures[case]) for case in cases]
    return {"profiles": msgspec.to_builtins(profiles)}


def _launch(case: Case, run: Run, options: StudyOptions, replies: list[ProfileReply], failures: list[str]) -> None:
    """Profile one launch, once more if it was disturbed; keep it either way."""
    kind = backends.get(case.backend).format
    artifact: Artifact | None = next((a for a in run.artifacts if a.spec.model == case.model and a.format == kind), None)
    if artifact is None:
        reasons = (failure.reason for failure in run.failures if failure.case == case)
        failures.append(next(reasons, "there is no file of it for this backend"))
        return
    artifact = replace(artifact, facts=run.facts_of(case.model))
    request = OpenRequest(case=case, artifact=artifact, cache=str(options.cache), cpus=run.plan.cpus[-case.threads :])
    for _ in range(2):
        try:
            replies.append(profile(request, run.plan.timeout_s))
        except WorkerError as error:
            failures.append(str(error))
            return
        if not replies[-1].disturbances:
            return


def _profile_of(case: Case, replies: Sequence[ProfileReply], failures: Sequence[str]) -> Profile:
    """Join the launches that nothing disturbed. A type of node that one launch saw no time of has none there."""
    good = [reply for reply in replies if not reply.disturbances]
    nodes = {(node.name, node.type): node for reply in good for node in reply.nodes}
    times = [{(node.name, node.type): node.ns for node in reply.nodes} for reply in good]
    return Profile(
        model=case.model,
        backend=case.backend,
        cut_ns=good[0].cut_ns if good else 0.0,
        whole_ns=tuple(round(reply.whole_ns) for reply in good),
        plain_ns=tuple(round(reply.plain_ns) for reply in good),
        nodes=tuple(
            NodeTimes(
                name=node.name,
                type=node.type,
                nodes=node.nodes,
                multiplies=node.multiplies,
                modules=node.modules,
                ns=tuple(round(launch.get(key, 0.0)) for launch in times),
            )
            for key, node in nodes.items()
        ),
        disturbed=len(replies) - len(good),
        disturbances=tuple(dict.fromkeys(name for reply in replies for name in reply.disturbances)),
        failures=tuple(failures),
    )


def conclude(run: Run, facts: Facts) -> Conclusion:
    """Judge from whatever cases were profiled; without any, the findings say what is missing."""
    found = {(profile.model, profile.backend): _see(run, profile) for profile in _profiles(facts)}
    seen = [one for one in found.values() if isinstance(one, Seen)]
    refused = {key: why for key, why in found.items() if isinstance(why, str)}
    level = run.plan.level
    return Conclusion(
        findings=findings.findings(run, seen, refused),
        tables=(
            Table(name="kinds", caption=KINDS_CAPTION, kind=KindRow, rows=[row for one in seen for row in kind_rows(one)]),
            Table(name="sums", caption=SUMS_CAPTION, kind=SumRow, rows=[sum_row(one, level) for one in seen]),
            Table(name="layers", caption=LAYERS_CAPTION, kind=LayerRow,
                  rows=[row for one in seen for row in layer_rows(one, level)]),
        ),
        plots=(
            PlotFile(name="layer-shares", caption=SHARES_CAPTION, draw=lambda: _plots().bars(run, seen)),
            PlotFile(name="layer-rates", caption=RATES_CAPTION, draw=lambda: _plots().scatter(run, seen, level)),
        ) if seen else (),
    )  # fmt: skip


def _plots() -> ModuleType:
    from mnbench.studies.layers import plot  # loads matplotlib, which a list of the studies does not need

    return plot


def _profiles(facts: Facts) -> list[Profile]:
    return msgspec.convert(facts.get("profiles", []), type=list[Profile], strict=False)


def _see(run: Run, profile: Profile) -> Seen | str:
    """Return a case with its layers and times, or why it has none."""
    known = run.facts_of(profile.model)
    layers = known.layers if known is not None else ()
    case = next((c for c in run.plan.cases if (c.model, c.backend) == (profile.model, profile.backend)), None)
    if profile.refused or not profile.nodes:
        return profile.refused or "its profile has no nodes"
    if case is None:
        return "it is not in the plan"
    if not layers:
        return "its layers were not counted"
    layers = tuple(of_batch(layer, case.batch) for layer in layers)
    launches = [samples for samples in trusted_samples(run) if samples.case == case]
    noisy = is_noisy(launches) or is_noisy(trusted_samples(run))
    parts = parts_of(profile, layers)
    if not any(part.layers for part in parts):
        return NOT_JOINED
    steady: LaunchLogs = {} if noisy else launch_logs(launches)
    over_plain = sum_over_whole(parts, profile.plain_ns, run.plan.level)
    beyond = over_plain is not None and over_plain.low > BEYOND
    return Seen(
        profile=profile,
        layers=layers,
        parts=tuple(parts),
        counts=count_shares(layers),
        times=time_shares(parts, run.plan.level),
        steady=steady,
        unclaimed=tuple(unclaimed(parts, layers)),
        sum_over_whole=sum_over_whole(parts, profile.whole_ns, run.plan.level),
        sum_over_plain=over_plain,
        excess_pct=100 * (1 - 1 / over_plain.value) if over_plain is not None and beyond else None,
        less_profiling=shares_less_profiling(parts, profile.plain_ns) if beyond else {},
        sum_over_steady=sum_over_steady(parts, steady, run.plan.level),
        cut_pct=cut_pct(profile, parts),
    )


def kind_rows(seen: Seen) -> list[KindRow]:
    """Return the kinds of layers that occur, in the table's order."""
    rows = []
    for kind in KINDS:
        time, counts = seen.times.get(kind), seen.counts.get(kind)
        if time is None and counts is None:
            continue
        rows.append(
            KindRow(
                model=seen.profile.model,
                backend=seen.profile.backend,
                kind=kind,
                nodes=sum(part.node.nodes for part in seen.parts if part.kind == kind),
                madds_pct=counts[0] if counts else 0.0,
                params_pct=counts[1] if counts else 0.0,
                time_pct=time,
                time_less_profiling_pct=seen.less_profiling.get(kind),
            )
        )
    return rows


def layer_rows(seen: Seen, level: float) -> list[LayerRow]:
    """Return a row for each node that is a layer, or several fused ones, and for each type of other nodes."""
    sums = sums_ns(seen.parts)
    return [_layer_row(seen.profile, part, time_ns(part, level), share_of(part, sums, level)) for part in seen.parts]


def _layer_row(profile: Profile, part: Part, time: Estimate | None, share: Estimate | None) -> LayerRow:
    madds = sum(layer.madds for layer in part.layers)
    size = sum(bytes_of(layer) for layer in part.layers)
    return LayerRow(
        model=profile.model,
        backend=profile.backend,
        module=" + ".join(layer.name for layer in part.layers),
        kind=part.kind,
        node=part.node.name,
        type=part.node.type,
        nodes=part.node.nodes,
        mapped=("by name" if part.certain else "by order") if part.layers else "",
        madds=madds if part.layers else None,
        params=sum(layer.params for layer in part.layers) if part.layers else None,
        bytes=size if part.layers else None,
        madds_per_byte=madds / size if size else None,
        time_us=time and time.per(NS_PER_US),
        gmadds_per_s=time.under(madds) if time and part.layers else None,
        share_pct=share,
    )


def sum_row(seen: Seen, level: float) -> SumRow:
    """Return the check that the parts add up to the whole, for one case."""
    profile = seen.profile
    steady = geometric_mean(list(seen.steady.values()), level, TIME_METHOD)
    return SumRow(
        model=profile.model,
        backend=profile.backend,
        launches=len(profile.whole_ns),
        launches_disturbed=profile.disturbed,
        layers=len(seen.layers),
        layers_mapped=len(seen.layers) - len(seen.unclaimed),
        nodes=sum(part.node.nodes for part in seen.parts),
        sum_us=sum(sums_ns(seen.parts)) / len(profile.whole_ns) / NS_PER_US,
        profiled_us=sum(profile.whole_ns) / len(profile.whole_ns) / NS_PER_US,
        plain_us=sum(profile.plain_ns) / len(profile.plain_ns) / NS_PER_US if profile.plain_ns else None,
        steady_us=steady.value / NS_PER_US if steady else None,
        sum_over_profiled=seen.sum_over_whole,
        sum_over_plain=seen.sum_over_plain,
        sum_over_steady=seen.sum_over_steady,
        cut_pct=seen.cut_pct,
    )


STUDY = Study(
    name="layers",
    question="Depthwise layers are 3 % of MobileNetV1's multiply-adds: what part of its time are they, and in which runtime?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
    facts=facts,
    takes_models=True,
)
