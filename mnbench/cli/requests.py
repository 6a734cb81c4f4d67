"""From the arguments of a command to the record its use case takes."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from mnbench import backends
from mnbench.commands import tool_environments
from mnbench.commands.compare import Request
from mnbench.environment import parse_cpus
from mnbench.errors import UsageError
from mnbench.records.study import StudyOptions

KEPT_BY_RESUME = ("resume", "cache", "out", "json", "quiet", "fail_if_slower")
"""What one may say beside --resume: where things are, how results are told, and how they are judged."""


def backends_of(options: argparse.Namespace) -> tuple[tuple[str, ...], str]:
    """Return the backends that were named, or else the usual ones that are installed; and what to say of those that are not.

    Raises MissingPackageError where none of the usual ones is installed.
    """
    if options.backends is not None:
        return tuple(dict.fromkeys(options.backends)), ""
    if vars(options).get("env"):  # the runtimes are needed there, not here
        return backends.DEFAULT, ""
    found, left_out = backends.usual()
    return found, f"{' '.join(left_out)} Measuring with {' and '.join(found)}." if left_out else ""


def compare_request(options: argparse.Namespace, chosen: tuple[str, ...] = backends.DEFAULT) -> Request:
    """Return what was asked of `mnbench compare`, to be measured in the backends `chosen`, names not yet checked.

    Raises UsageError for a list of CPUs that is none, and for environments that are none or go with no such option.
    """
    environments = tool_environments.parse(options.env or ())
    if environments and options.baseline is not None:
        raise UsageError(
            f"--baseline and --env exclude each other: with --env each case is compared with {environments[0][0]}."
        )
    return Request(
        models=tuple(options.models or ()),
        suite=options.suite,
        backends=chosen,
        precisions=tuple(options.precision),
        batches=tuple(options.batch),
        threads=tuple(options.threads),
        shapes=shapes_of(options.shape or ()),
        data=options.input,
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
        environments=environments,
        out=options.out,
        cache=options.cache,
    )


def shapes_of(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the sizes by the name of the input of each `NAME=1,3,640,640`. Raises UsageError for a text of another form."""
    found = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        try:
            numbers = tuple(int(size) for size in sizes.replace("x", ",").split(","))
        except ValueError:
            numbers = ()
        if not equals or not name or not numbers or min(numbers) < 1:
            raise UsageError(f"--shape {text!r} is not NAME=SIZES, for example --shape images=1,3,640,640")
        if name in found:
            raise UsageError(f"--shape names the input {name!r} twice.")
        found[name] = numbers
    return found


def study_options(options: argparse.Namespace, chosen: tuple[str, ...] = ()) -> StudyOptions:
    """Return what was asked of a study, to be measured in the backends `chosen` (none: the usual ones).

    Raises UsageError for a budget, a seed or CPUs that cannot be.
    """
    if options.budget is not None and not 1 <= options.budget <= 7 * 86_400:
        raise UsageError(f"--budget must be between 1 second and a week, not {options.budget:g} s.")
    if not 0 <= options.seed < 1 << 32:
        raise UsageError(f"--seed must be between 0 and {(1 << 32) - 1}, not {options.seed}.")
    return StudyOptions(
        backends=chosen or backends.DEFAULT,
        models=tuple(options.models or ()),
        shapes=shapes_of(options.shape or ()),
        quick=options.quick,
        budget_s=options.budget,
        cpus=parse_cpus(options.cpus) if options.cpus is not None else None,
        seed=options.seed,
        cache=options.cache,
    )


def check_limit(fail_if_slower_pct: float) -> None:
    """Raise UsageError for a limit of a gate that is no percentage of 0 or more."""
    if not (math.isfinite(fail_if_slower_pct) and fail_if_slower_pct >= 0):
        raise UsageError(f"--fail-if-slower must be a percentage of 0 or more, not {fail_if_slower_pct:g}.")


def refuse_changes(options: argparse.Namespace, defaults: argparse.Namespace) -> None:
    """Raise UsageError for an option that a resumed run would silently ignore, because its plan is made."""
    for name, value in vars(options).items():
        if name not in KEPT_BY_RESUME and value != vars(defaults)[name]:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} cannot be changed by --resume: a run goes on under its own plan.")
