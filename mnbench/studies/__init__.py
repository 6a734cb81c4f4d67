"""Studies: the papers' claims beside what this CPU does.

    Study.plan ──▶ compare.execute (export, measure, store) ──▶ Study.facts (what is computed, not timed) ──▶ Study.conclude
                                                                        │
                             findings.json, CSV files, plots, study.html ◀─ publish: from the run directory alone

One package a study: it holds a `STUDY`, and is found by its name. What several share lies in `common`. What its plan measured
and its facts are all that `conclude` gets, so a study can be concluded again on a machine without torch or a runtime. What is
to be said of every study alike, that its plan was a quick one, is said here (`concluded`).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from mnbench import backends, report, sources, store
from mnbench.commands import compare
from mnbench.errors import MissingPackageError, UnknownNameError, UnreadableRunError, UsageError
from mnbench.records import Caveat, Plan, Run, Severity
from mnbench.records.study import Conclusion, Facts, StoredFindings, StudyOptions
from mnbench.studies.common.planning import less_than_full, timed_cases
from mnbench.system.files import write_atomically

SHARED = "common"
"""The one package here that is no study."""
FACTS_FILE = "facts.json"
FINDINGS_FILE = "findings.json"
SKIPPED = "cell-skipped"
"""The code of a caveat that names a cell which a plan left out, and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study. To add one: a package in this folder with a `STUDY`."""

    name: str
    question: str
    """One line for `mnbench study --list`."""
    plan: Callable[[StudyOptions], Plan]
    """What to time. Raises UsageError for options that cannot be met; notes cells it leaves out in `options.skipped`."""
    budget_s: float
    """Seconds of measuring that the full plan has."""
    conclude: Callable[[Run, Facts], Conclusion]
    """Findings, tables and plots. Pure; must do with whatever part of the plan was measured."""
    facts: Callable[[Run, StudyOptions], Facts] | None = None
    """Computes what is not timed, after the timing, so that it disturbs nothing. May load torch."""
    takes_models: bool = False
    """Whether `plan` times the networks of `options.models`, if there are any."""


def names() -> tuple[str, ...]:
    """Return the names of all studies: their packages' names, with hyphens."""
    return tuple(found.name.replace("_", "-") for found in pkgutil.iter_modules(__path__) if found.name != SHARED)


def get(name: str) -> Study:
    """Return a study. Raises UnknownNameError."""
    if name not in names():
        raise UnknownNameError("study", name, names())
    study: Study = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").STUDY
    return study


def planned(study: Study, options: StudyOptions) -> Plan:
    """Return a study's plan, which knows whether it is a quick one. Raises as `Study.plan` does."""
    plan = replace(study.plan(options), study=study.name)
    if not options.quick:
        return plan
    full = study.plan(replace(options, quick=False, skipped=[]))
    return replace(plan, full_cases=timed_cases(full))


def concluded(study: Study, measured: Run, facts: Facts) -> Conclusion:
    """Return what a study concludes, each finding's limits with what the plan lacks of the full one."""
    conclusion = study.conclude(measured, facts)
    less = less_than_full(measured.plan, study.budget_s)
    if not less:
        return conclusion
    findings = tuple(replace(found, limits=f"{less} {found.limits}".rstrip()) for found in conclusion.findings)
    return replace(conclusion, findings=findings)


def check(chosen: Sequence[str], options: StudyOptions) -> None:
    """Raise UsageError, before anything is measured, for what cannot be met.

    UnknownNameError for a study or backend that does not exist, UsageError for options that one would ignore,
    MissingPackageError where the catalog's networks and operators are to be timed and cannot be built.
    """
    for backend in options.backends:
        backends.get(backend)
    ignoring = [name for name in chosen if not get(name).takes_models]
    if options.models and ignoring:
        takers = " and ".join(name for name in names() if get(name).takes_models)
        raise UsageError(f"--models is for {takers}; {', '.join(ignoring)} would ignore it. Leave it out, or name only those.")
    if not options.models and sources.get("catalog").missing():
        raise MissingPackageError(
            "studies time networks and operators of the catalog, which need the package torch: pip install 'mnbench[all]'."
        )
    if options.shapes and not options.models:
        raise UsageError("--shape gives sizes that a model of yours leaves open: name it with --models.")


def run(name: str, options: StudyOptions, request: compare.Request, listener: compare.Listener) -> Path:
    """Measure, compute, store and conclude; return the run directory. Raises as `compare.execute` does."""
    plan = planned(get(name), options)
    directory = compare.execute(plan, replace(request, budget_s=plan.budget_s), listener, caveats=_caveats(options))
    finish(directory, options)
    return directory


def resume(directory: Path, options: StudyOptions, cache: Path, listener: compare.Listener) -> Path:
    """Go on with an interrupted study under its own plan; note in `options.skipped` what that plan left out.

    Raises as `compare.resume` does, UsageError for no study.
    """
    old = store.load(directory)
    if not old.plan.study:
        raise UsageError(f"{directory} is a run of no study; {old.plan.going_on(directory)}")
    study = study_of(old)
    if not old.finished or study.facts is None or (directory / FACTS_FILE).exists():
        compare.resume(directory, cache, listener, study.name)
    # Else all is timed, and the end came while the facts were computed.
    options.skipped.extend(caveat.observed for caveat in old.caveats if caveat.code == SKIPPED)
    finish(directory, options)
    return directory


def finish(directory: Path, options: StudyOptions) -> None:
    """Compute a measured study's facts, and publish it. Raises UsageError when another process is doing so."""
    measured = store.load(directory)
    study = study_of(measured)
    if study.facts is not None and not (directory / FACTS_FILE).exists():
        with store.writing(directory):
            facts = msgspec.json.encode(study.facts(measured, options))
            write_atomically(directory / FACTS_FILE, msgspec.json.format(facts, indent=1) + b"\n")
    publish(directory)


def study_of(measured: Run) -> Study:
    """Return the study a run belongs to. Raises UnknownNameError for a run of no study."""
    return get(measured.plan.study)


def publish(directory: Path) -> StoredFindings:
    """Derive every file of a study again from its run directory.

    Raises UnreadableRunError, StoreError when a file cannot be written.
    """
    from mnbench.report import canvas
    from mnbench.report.files import write_atomically as write
    from mnbench.report.table_csv import records_csv
    from mnbench.report.view import view_of

    measured = store.load(directory)
    study = study_of(measured)
    conclusion = concluded(study, measured, _facts(directory))
    for table in conclusion.tables:
        write(directory / f"{table.name}.csv", records_csv(table.kind, table.rows))
    for plot in conclusion.plots:
        canvas.Plot(name=plot.name, figure=plot.draw()).save(directory)
    stored = StoredFindings(
        study=study.name,
        question=study.question,
        findings=conclusion.findings,
        plots=tuple((plot.name, plot.caption) for plot in conclusion.plots),
        tables=tuple((table.name, table.caption) for table in conclusion.tables),
    )
    write(directory / FINDINGS_FILE, msgspec.json.format(msgspec.json.encode(stored), indent=1) + b"\n")
    report.write_all(view_of(measured), directory, formats=("summary", "study"))
    return stored


def _facts(directory: Path) -> Facts:
    path = directory / FACTS_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Facts) if path.exists() else {}
    except (OSError, msgspec.DecodeError) as error:
        raise UnreadableRunError(f"{path} cannot be read: {error}.") from error


def _caveats(options: StudyOptions) -> list[Caveat]:
    return [
        Caveat(code=SKIPPED, subject="plan", observed=reason, severity=Severity.NOTE,
               advice="The other cells are measured; measure this one on a machine that has what it needs.")
        for reason in options.skipped
    ]  # fmt: skip
