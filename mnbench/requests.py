"""From the arguments of a command to the record its use case takes."""

from __future__ import annotations

import argparse

from mnbench.compare import Request
from mnbench.environment import parse_cpus
from mnbench.errors import UsageError
from mnbench.study_records import StudyOptions

KEPT_BY_RESUME = ("resume", "cache", "out", "json", "quiet")
"""What one may say beside --resume: where things are, and how results are told."""


def compare_request(options: argparse.Namespace) -> Request:
    """Return what was asked of `mnbench compare`, names not yet checked. Raises UsageError for a list of CPUs that is none."""
    return Request(
        models=tuple(options.models or ()),
        suite=options.suite,
        backends=tuple(options.backends),
        precisions=tuple(options.precision),
        batch=options.batch,
        threads=options.threads,
        cpus=parse_cpus(options.cpus) if options.cpus is not None else None,
        launches=options.launches,
        budget_s=options.budget,
        target_ci_pct=options.target_ci,
        seed=options.seed,
        baseline=options.baseline,
        timeout_s=options.timeout,
        regimes=tuple(options.regimes),
        blocks=options.blocks,
        over_s=options.over,
        quiet_only=options.quiet_only,
        percentiles=tuple(options.percentiles),
        out=options.out,
        cache=options.cache,
    )


def study_options(options: argparse.Namespace) -> StudyOptions:
    """Return what was asked of a study. Raises UsageError for a budget, a seed or CPUs that cannot be."""
    if options.budget is not None and not 1 <= options.budget <= 7 * 86_400:
        raise UsageError(f"--budget must be between 1 second and a week, not {options.budget:g} s.")
    if not 0 <= options.seed < 1 << 32:
        raise UsageError(f"--seed must be between 0 and {(1 << 32) - 1}, not {options.seed}.")
    return StudyOptions(
        backends=tuple(dict.fromkeys(options.backends)),
        models=tuple(options.models or ()),
        quick=options.quick,
        budget_s=options.budget,
        cpus=parse_cpus(options.cpus) if options.cpus is not None else None,
        seed=options.seed,
        cache=options.cache,
    )


def refuse_changes(options: argparse.Namespace, defaults: argparse.Namespace) -> None:
    """Raise UsageError for an option that a resumed run would silently ignore, because its plan is made."""
    for name, value in vars(options).items():
        if name not in KEPT_BY_RESUME and value != vars(defaults)[name]:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} cannot be changed by --resume: a run goes on under its own plan.")
