"""The main use case: plan, export, measure, store. Reads as a recipe; each step is one layer's work."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mnbench import backends, catalog, environment, sources, store
from mnbench.commands import ceilings, tool_environments
from mnbench.errors import UnknownNameError, UsageError
from mnbench.export import ensure_each
from mnbench.export.inputs import data_file, read_data
from mnbench.measure.conduct import conduct, memory_caveats
from mnbench.measure.conductor import Already, Progress
from mnbench.measure.gaps import GAP
from mnbench.measure.interrupts import terminated_as_interrupt
from mnbench.measure.layout import REPLICAS
from mnbench.records import (
    BEFORE_LAUNCH,
    DEFAULT_PERCENTILES,
    PERCENTILES,
    REGIMES,
    Artifact,
    Case,
    Caveat,
    DataFile,
    Environment,
    ExportSpec,
    Format,
    LaunchFailure,
    Model,
    ModelFacts,
    Plan,
    Replica,
    Run,
)
from mnbench.sources import shapes
from mnbench.system.files import require_text

OPSET = 18
"""The ONNX opset of the exported files: the newest that torch's exporter writes without conversion and both runtimes read."""
DEFAULT_SUITE = "v2-table"
DEFAULT_BASELINE = "mobilenet_v2_1.0_224"
NULL_MODEL = "none"
MOST_EVICTED_BYTES = 256 << 20
DEFAULT_BUDGET_S = 90.0
MOST_LAUNCHES = 20
MOST_LAUNCHES_TO_TARGET = 500
MOST_IMAGES = 1024
"""In a batch. More would take hours an inference, and memory that few machines have (NASNet-A: about 20 MB an image)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for, names not yet checked."""

    models: tuple[str, ...] = ()
    """Names, paths and other forms that `mnbench.sources` resolves; empty for the suite."""
    suite: str = DEFAULT_SUITE
    backends: tuple[str, ...] = backends.DEFAULT
    precisions: tuple[str, ...] = ("fp32",)
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1,)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Sizes of inputs by name, for axes that a model leaves open."""
    data: Path | None = None
    """A file with numbers for the inputs."""
    cpus: tuple[int, ...] | None = None
    launches: int | None = None
    budget_s: float = DEFAULT_BUDGET_S
    target_ci_pct: float | None = None
    seed: int = 0
    baseline: str | None = None
    timeout_s: float = 120.0
    regimes: tuple[str, ...] = ("steady", "cold")
    blocks: int = 1
    over_s: float = 0.0
    quiet_only: bool = False
    percentiles: tuple[float, ...] = DEFAULT_PERCENTILES
    environments: tuple[tuple[str, str], ...] = ()
    """(label, path) of each environment to compare, the baseline first; empty to measure this one alone."""
    out: Path = field(default_factory=lambda: Path("results"))
    cache: Path = field(default_factory=lambda: Path("models"))


class Listener(Protocol):
    """Who wants to know how far the work is."""

    def exporting(self, models: Sequence[str]) -> None: ...

    def exported(self, model: str) -> None: ...

    def waiting(self, model: str) -> None:
        """Another process is exporting this network; this one waits for it."""

    def measuring(self, progress: Progress) -> None: ...


class Interrupted(Exception):  # noqa: N818 - not an error: the user ended the run, and it is kept
    """A run ended by the user or by SIGTERM; everything measured is in `directory`."""

    def __init__(self, directory: Path, number: int) -> None:
        super().__init__(f"interrupted; what was measured is in {directory}")
        self.directory = directory
        self.signal = number


def plan(request: Request) -> Plan:
    """Return the plan of a request.

    Raises UnknownNameError, MissingPackageError or UsageError, before any work is done, for what cannot be measured here.
    """
    _check_numbers(request)
    models = models_of(request)
    for name in request.backends:
        for precision in request.precisions:
            if request.environments:
                backends.check_precision(name, precision)  # its runtime is needed there, not here
            else:
                backends.require(name, precision)
    for name in request.regimes:
        if name not in REGIMES:
            raise UnknownNameError("regime", name, REGIMES)
    for model in models:
        for batch in request.batches:
            shapes.resolved(model, batch)
    labels = [label for label, _ in request.environments] or [""]
    cases = tuple(
        Case(model=model.id, backend=backend, precision=precision, batch=batch, threads=threads, environment=label)
        for threads in dict.fromkeys(request.threads)
        for batch in dict.fromkeys(request.batches)
        for model in models
        for backend in dict.fromkeys(request.backends)
        for precision in precisions_of(model, request.precisions)
        if backend != "null"
        for label in labels
    )
    if request.environments and not cases:
        raise UsageError("--env compares runtimes; name a backend other than null.")
    null = Case(model=NULL_MODEL, backend="null", batch=request.batches[0], threads=request.threads[0])
    cpus = environment.choose_cpus(max(request.threads), request.cpus)
    return Plan(
        environments=tool_environments.open_all(request.environments, tool_environments.backends_of(cases)),
        cases=(*cases, null),
        models=tuple(model for model in models if any(case.model == model.id for case in cases)),
        data=_data(request, models),
        baseline=_baseline(request, models),
        launches=request.launches or most_launches(request),
        cpus=cpus,
        cpus_named=request.cpus is not None,
        seed=request.seed,
        budget_s=request.budget_s,
        target_ci_pct=request.target_ci_pct,
        timeout_s=request.timeout_s,
        regimes=("steady", *(name for name in REGIMES if name in request.regimes and name != "steady")),
        blocks=request.blocks,
        over_s=request.over_s,
        quiet_only=request.quiet_only,
        evict_bytes=min(MOST_EVICTED_BYTES, 2 * environment.last_level_cache_bytes()),
        percentiles=tuple(sorted(set(request.percentiles))),
    )


def models_of(request: Request) -> tuple[Model, ...]:
    """Return the models asked for, each once. Raises UsageError."""
    return sources.resolve(request.models or catalog.suite(request.suite), request.shapes)


def precisions_of(model: Model, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the precisions to measure a model in: those asked for, or that of a file which is quantised already."""
    return tuple(dict.fromkeys(asked)) if model.precision == "fp32" else (model.precision,)


def most_launches(request: Request) -> int:
    """Return where launches end when the user names no number: 20, more with a longer budget or a target."""
    if request.target_ci_pct is not None:
        return MOST_LAUNCHES_TO_TARGET
    return max(MOST_LAUNCHES, round(MOST_LAUNCHES * request.budget_s / DEFAULT_BUDGET_S))


def run(request: Request, listener: Listener, planned: Callable[[], None] = lambda: None) -> Path:
    """Plan, export, measure and store; return the run directory. Calls `planned` once the request is known to be sound.

    Raises as `plan` and `execute` do.
    """
    the_plan = plan(request)
    planned()
    return carry_out(the_plan, request, listener)


def carry_out(the_plan: Plan, request: Request, listener: Listener) -> Path:
    """Export, measure and store what a plan says into `request.out`; return the run directory. Raises as `execute` does."""
    return execute(the_plan, request, listener, tuple(tool_environments.caveats(the_plan.environments)))


@terminated_as_interrupt()
def execute(the_plan: Plan, request: Request, listener: Listener, caveats: Sequence[Caveat] = ()) -> Path:
    """Export, measure and store what a plan says, with `caveats` of the plan itself; return the run directory.

    Raises MnbenchError of the failing step, KeyboardInterrupt when the user ends it before anything is measured, and
    Interrupted afterwards.
    """
    require_text(request.cache, "--cache")
    environment.require_pinning(the_plan.cpus)
    for name in dict.fromkeys(case.backend for case in the_plan.cases if not case.environment):
        backends.require_installed(name)  # the plan may come from another host
    the_plan = replace(the_plan, models=sources.of_cases(the_plan.cases, the_plan.models))
    caveats = (*caveats, *memory_caveats(the_plan, environment.available_memory_bytes()))
    host = _host(the_plan, environment.half_a_second)  # before the export, which would look like foreign load
    if not the_plan.cpus_named and not the_plan.study:
        the_plan = replace(the_plan, cpu_sets=environment.cpu_sets(the_plan.cpus, environment.half_a_second))
    started_utc = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    known_ceilings = None if _has_probes(the_plan) else ceilings.newest(host, request.out, the_plan.cpus)
    with store.new_directory(request.out, started_utc) as directory:
        artifacts, failures = export(the_plan, request.cache, listener)
        new_run = Run(
            id=directory.name,
            started_utc=started_utc,
            finished=False,
            measuring_s=0.0,
            environment=host,
            plan=the_plan,
            artifacts=tuple(
                {_identity(files[0]): replace(files[0], facts=None) for files in artifacts.values() if files}.values()
            ),
            facts=facts_in(artifacts),
            replicas=replicas_of(artifacts),
            failures=failures,
            caveats=(
                *caveats,
                *environment.warnings_of(environment.findings(host)),
                *environment.placement(host, the_plan.cpus),
                *(() if _has_probes(the_plan) else ceilings.caveats(known_ceilings)),
            ),
            ceilings=known_ceilings,
        )
        measure(new_run, directory, artifacts, request.cache, listener)
    return directory


@terminated_as_interrupt()
def resume(directory: Path, cache: Path, listener: Listener, study: str = "") -> Path:
    """Go on with an interrupted run of `study` (empty: of none) under its own plan; return its directory.

    Raises UnreadableRunError for a run that cannot be read, UsageError for one of something else (another study, a
    self-test), one that is complete, one that another process is writing, or one that was measured elsewhere.
    """
    with store.writing(directory):
        _resume(directory, cache, listener, study)
    return directory


def _resume(directory: Path, cache: Path, listener: Listener, study: str) -> None:
    require_text(cache, "--cache")
    old = store.load(directory)
    if old.plan.study != study:  # its findings would be those of before
        raise UsageError(f"{directory} is a run of the study {old.plan.study}; {old.plan.going_on(directory)}")
    if old.finished:
        raise UsageError(f"{directory} is complete; there is nothing to go on with.")
    if any(case.variant for case in old.plan.cases):
        raise UsageError(f"{directory} is a part of a self-test, which cannot be judged; {old.plan.going_on(directory)}")
    host = _host(old.plan)
    changed = (*environment.host_differences(old.environment, host), *environment.setting_differences(old.environment, host))
    if changed:
        names = ", ".join(f"{name} differs" for name, _, _ in changed)
        raise UsageError(f"{directory} was measured elsewhere ({names}); figures of two hosts are never mixed.")
    tool_environments.check_unchanged(old.plan)
    artifacts, failures = export(old.plan, cache, listener)
    if any(failure.case not in {known.case for known in old.failures} for failure in failures):
        raise UsageError(f"{directory} cannot go on: {failures[0].reason}")
    for cpus in (old.plan.cpus, *old.plan.cpu_sets):
        environment.choose_cpus(len(cpus), cpus)
        environment.require_pinning(cpus)
    known = {*map(_identity, old.artifacts), *map(_identity, old.replicas)}
    if any(_identity(file) not in known for files in artifacts.values() for file in files):
        raise UsageError(f"{directory} was measured with other artefacts than this mnbench makes; measure again.")
    measure(old, directory, artifacts, cache, listener)


def export(
    the_plan: Plan, cache: Path, listener: Listener
) -> tuple[dict[str, tuple[Artifact, ...]], tuple[LaunchFailure, ...]]:
    """Return the files of each case by its id, that of node order 0 first, exporting what the cache lacks; and what failed.

    One set of files serves all environments; one with a folder of its own has its artefacts there, in one file each. A case
    that runs no file has none. A model of the user's that cannot be brought to a backend fails there and nowhere else.
    Raises ExportError for a network of the catalog, UsageError.
    """
    formats = {name: backends.get(name).format for name in {case.backend for case in the_plan.cases}}
    wanted = {
        case: (spec_of(case, the_plan), formats[case.backend])
        for case in the_plan.cases
        if formats[case.backend] != Format.NONE
    }
    given = {
        case: (tool_environments.artifact_of(the_plan.tool_environment(case), *pair),)
        for case, pair in wanted.items()
        if the_plan.tool_environment(case).artifacts
    }
    files = {
        (spec, kind): [(replace(spec, node_order=order), kind) for order in range(files_of(spec, kind, the_plan))]
        for case, (spec, kind) in wanted.items()
        if case not in given
    }
    listener.exporting(sorted({spec.model for spec, _ in files}))
    every = (pair for pairs in files.values() for pair in pairs)
    exports = ensure_each(every, cache, listener.exported, listener.waiting, the_plan.timeout_s)
    own: dict[Case, tuple[Artifact, ...]] = {}
    failures = []
    for case, pair in wanted.items():
        if case in given:
            continue
        reason = next((exports.failed[one] for one in files[pair] if one in exports.failed), None)
        if reason is None:
            own[case] = tuple(exports.made[one] for one in files[pair])
        else:
            failures.append(LaunchFailure(case=case, launch=BEFORE_LAUNCH, reason=reason))
    return {case.id: given.get(case) or own.get(case, ()) for case in the_plan.cases}, tuple(failures)


def files_of(spec: ExportSpec, kind: str, the_plan: Plan) -> int:
    """Return in how many files, each with its own node order and its own place in memory, an artefact of a plan exists.

    One in sweeps, whose hundreds of graphs would fill the disk, and where nothing but memory is measured. One of torch's: it
    copies a state dict into memory of its own, and the order of its nodes is that of the code. One of a user's model, which is
    measured as it is.
    """
    folders = any(known.artifacts for known in the_plan.environments)  # which have one file: compare like with like
    one = (
        folders
        or spec.source.scheme != "catalog"
        or the_plan.sweep
        or the_plan.regimes == ("memory",)
        or kind not in (Format.ONNX, Format.OPENVINO_IR)
    )
    return 1 if one else REPLICAS


def replicas_of(artifacts: Mapping[str, Sequence[Artifact]]) -> tuple[Replica, ...]:
    """Return the records of all files but those of node order 0."""
    found = {
        file.path: Replica(
            of=files[0].path,
            node_order=file.spec.node_order,
            path=file.path,
            sha256=file.sha256,
            max_abs_error=file.max_abs_error,
            max_rel_error=file.max_rel_error,
        )
        for files in artifacts.values()
        for file in files[1:]
    }
    return tuple(found.values())


def facts_in(artifacts: Mapping[str, Sequence[Artifact]]) -> tuple[ModelFacts, ...]:
    """Return what was counted of each model, once."""
    known = (files[0].facts for files in artifacts.values() if files)
    return tuple({facts.model: facts for facts in known if facts is not None}.values())


def spec_of(case: Case, the_plan: Plan) -> ExportSpec:
    """Return what to export for a case. Weights stay fp32: a lower precision is the runtime's to apply, and is read back."""
    model = the_plan.model(case)
    return ExportSpec(
        model=model.id,
        precision="fp32",
        batch=case.batch,
        opset=OPSET,
        seed=the_plan.seed,
        source=model.source,
        shapes=tuple(shapes.resolved(model, case.batch).items()),
        data=the_plan.data,
    )


def measure(
    the_run: Run, directory: Path, artifacts: Mapping[str, Sequence[Artifact]], cache: Path, listener: Listener
) -> None:
    """Measure what is left of a run's plan, storing as it goes. Raises Interrupted after everything was stored."""
    writer = store.RunWriter(directory, the_run)
    began = environment.snapshot()
    try:
        conduct(the_run.plan, artifacts, cache, writer.logs, writer, listener.measuring, already(the_run))
    except KeyboardInterrupt as interrupt:
        _keep_what_changed(the_run, writer, began)
        writer.finish(finished=False)
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        raise Interrupted(directory, number) from None
    _keep_what_changed(the_run, writer, began)
    writer.finish(finished=True)


def _keep_what_changed(the_run: Run, writer: store.RunWriter, began: environment.Snapshot | None) -> None:
    """Keep which programs ran meanwhile; and say that the clock is read from something else than at the start, if it is."""
    writer.neighbours(environment.neighbours_since(began))
    was, now = the_run.environment.clock_source, environment.clock_source()
    if was is not None and was != now:
        writer.caveat(
            Caveat(
                code="clock-source-changed",
                subject="clock",
                observed=f"the clock source was {was!r} when the run began and is {now or 'unknown'!r} now; "
                "reading it takes another time, which is part of every latency",
                advice="Measure again; the kernel's log says why (dmesg: clocksource). Ratios of long inferences suffer least.",
            )
        )


def already(the_run: Run) -> Already:
    """Return what a run has behind it; zeros for a new one."""
    # A killed run could not write its time any more, but its rounds tell it.
    rounds = [r for samples in the_run.samples for r in samples.rounds]
    ended_s = [(r.started_ns + r.wall_ns) / 1e9 for r in rounds]
    gaps = any(caveat.code == GAP for caveat in the_run.caveats)
    if the_run.plan.blocks > 1 or the_run.failures or gaps:  # that time holds waits, failures and gaps: no part of the budget
        ended_s = [sum(r.wall_ns + sum(r.settle_ns) for r in rounds) / 1e9]
    return Already(
        waves=max((samples.launch + 1 for samples in the_run.samples), default=0),
        elapsed_s=max((the_run.measuring_s, *ended_s)),
        samples=the_run.samples,
        failures=the_run.failures,
        memory=the_run.memory,
    )


def _identity(artifact: Artifact | Replica) -> tuple[object, ...]:
    """Return what tells an artefact from others: two folders may have different files by one name."""
    return artifact.path, tuple(sorted(artifact.sha256.items()))


def _host(the_plan: Plan, pause: Callable[[], None] | None = None) -> Environment:
    """Return the record of this host, with the versions of every runtime that a plan uses: other packages' backends as well."""
    runtimes = backends.packages_of(dict.fromkeys(case.backend for case in the_plan.cases))
    return environment.capture(dict.fromkeys((*environment.PACKAGES, *runtimes)), pause=pause)


def _has_probes(the_plan: Plan) -> bool:
    """Say whether a run measures the machine's ceilings itself."""
    return any(case.backend == "probe" for case in the_plan.cases)


def _check_numbers(request: Request) -> None:
    if min(request.threads) < 1:
        raise UsageError(f"--threads must be 1 or more, not {min(request.threads)}.")
    for batch in request.batches:
        if not 1 <= batch <= MOST_IMAGES:
            raise UsageError(f"--batch must be between 1 and {MOST_IMAGES}, not {batch}.")
    if not 0 <= request.seed < 1 << 32:
        raise UsageError(f"--seed must be between 0 and {(1 << 32) - 1}, not {request.seed}.")
    if request.launches is not None and request.launches < 3:
        raise UsageError(f"--launches must be 3 or more, not {request.launches}: an interval is computed over launches.")
    if not 1 <= request.budget_s <= 7 * 86_400:
        raise UsageError(f"--budget must be between 1 second and a week, not {request.budget_s:g} s.")
    if request.target_ci_pct is not None and not 0.01 <= request.target_ci_pct <= 100:
        raise UsageError(f"--target-ci must be between 0.01 and 100 per cent, not {request.target_ci_pct:g}.")
    if not 1 <= request.blocks <= 1000:
        raise UsageError(f"--blocks must be between 1 and 1000, not {request.blocks}.")
    if bool(request.over_s) != (request.blocks > 1):
        raise UsageError(
            "--blocks and --over belong together: so many blocks, spread over so much time, such as --blocks 4 --over 30m."
        )
    if not 0 <= request.over_s <= 30 * 86_400:
        raise UsageError(f"--over must be between 0 and 30 days, not {request.over_s:g} s.")
    if request.blocks > 1 and request.target_ci_pct is not None:
        raise UsageError("--target-ci ends a run when it is precise enough, --blocks when its time is over: give one of them.")
    if unknown := [f"{percent:g}" for percent in request.percentiles if percent not in PERCENTILES]:
        known = ", ".join(f"{percent:g}" for percent in PERCENTILES)
        raise UsageError(f"--percentiles can name {known}, not {', '.join(unknown)}.")
    if not 1 <= request.timeout_s <= 86_400:
        raise UsageError(f"--timeout must be between 1 second and a day, not {request.timeout_s:g} s.")


def _data(request: Request, models: Sequence[Model]) -> DataFile | None:
    """Return the user's data. Raises UsageError for data that no model can take; one of several that cannot fails alone."""
    if request.data is None:
        return None
    data = data_file(request.data)
    reasons = []
    for model in models:
        if not model.inputs or not all(map(shapes.sizes_known, model.inputs)):
            return data  # its inputs are known when it is opened
        for batch in request.batches:
            sizes = shapes.resolved(model, batch)
            try:
                read_data(request.data, [replace(spec, dims=sizes[spec.name]) for spec in model.inputs])
            except UsageError as error:
                reasons.append(error)
            else:
                return data
    raise reasons[0]


def _baseline(request: Request, models: Sequence[Model]) -> str:
    """Return the baseline's id: the one asked for (which must be measured), the default if it is measured, else the first."""
    ids = [model.id for model in models]
    if request.baseline is None:
        return DEFAULT_BASELINE if DEFAULT_BASELINE in ids else ids[0]
    for model in models:
        if request.baseline in (model.id, model.title) or sources.same(model, request.baseline):
            return model.id
    if sources.is_name(request.baseline):
        catalog.card(request.baseline)  # a name that is nobody's gets the nearest one
    raise UsageError(f"the baseline {request.baseline!r} is not among the models to measure: {', '.join(ids)}.")
