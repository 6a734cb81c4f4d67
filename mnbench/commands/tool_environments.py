"""The environments of `mnbench compare --env LABEL=PATH`: what the user named, looked at before anything is measured."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from mnbench import export
from mnbench.backends import AS_FILED
from mnbench.errors import UsageError
from mnbench.measure import inspection
from mnbench.records import Artifact, Case, Caveat, ExportSpec, Plan, Severity, ToolEnvironment
from mnbench.system import files
from mnbench.system.tables import keeps_its_name

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
INTERPRETER = Path("bin", "python")
EXAMPLE = "--env OLD=venv-old --env NEW=."


def parse(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return (label, path) of each `LABEL=PATH`, in order.

    Raises UsageError for a text of another form, a label twice or one that CSV readers do not keep, or a single environment.
    """
    pairs = []
    for text in texts:
        label, equals, path = text.partition("=")
        if not equals:
            raise UsageError(f"--env {text!r} is not LABEL=PATH; give two: {EXAMPLE}")
        if not LABEL.fullmatch(label):
            raise UsageError(f"--env label {label!r} is part of file names: use letters, digits, '_', '.' and '-'.")
        if not keeps_its_name(label):
            raise UsageError(
                f"--env label {label!r} would be read from a CSV file as a number, a date or a missing value; begin it with a "
                f"letter and use no such word, e.g. v{label}."
            )
        pairs.append((label, path))
    labels = [label for label, _ in pairs]
    for label in labels:
        if labels.count(label) > 1:
            raise UsageError(f"--env has the label {label!r} twice; each environment needs a label of its own.")
    if len(pairs) == 1:
        raise UsageError(f"--env {texts[0]} has nothing to be compared with; give two: {EXAMPLE}")
    return tuple(pairs)


def open_all(named: Sequence[tuple[str, str]], backends: Sequence[tuple[str, str]]) -> tuple[ToolEnvironment, ...]:
    """Return the environments at these paths, each able to run every (backend, precision).

    Raises UsageError for a path that is neither a virtual environment nor a folder of artefacts, an interpreter that does not
    start, and one that lacks a package.
    """
    return tuple(_looked_at(_located(label, path), backends) for label, path in named)


def check_unchanged(plan: Plan) -> None:
    """Raise UsageError unless every environment of a stored plan is still there with the same versions."""
    for stored in plan.environments:
        if stored.artifacts and not Path(stored.artifacts).is_dir():
            raise UsageError(
                f"environment {stored.label}: the folder {stored.artifacts} is gone; put it back, or measure again."
            )
        now = _looked_at(stored, backends_of(plan.cases))
        changed = sorted(
            name for name in stored.packages.keys() | now.packages.keys() if stored.packages.get(name) != now.packages.get(name)
        )
        if changed:
            told = ", ".join(f"{name} was {_version(stored, name)} and is {_version(now, name)}" for name in changed)
            raise UsageError(f"environment {stored.label} has changed: {told}; measure again.")


def backends_of(cases: Sequence[Case]) -> list[tuple[str, str]]:
    """Return each (backend, precision) of the cases that belong to an environment."""
    asked = ((case.backend, "fp32" if case.precision in AS_FILED else case.precision) for case in cases if case.environment)
    return list(dict.fromkeys(asked))


def artifact_of(environment: ToolEnvironment, spec: ExportSpec, kind: str) -> Artifact:
    """Return the artefact that an environment with a folder of its own has. Raises UsageError as `export.find` does."""
    try:
        return export.find(Path(environment.artifacts), spec, kind)
    except UsageError as error:
        raise UsageError(f"environment {environment.label}: {error}") from error


def caveats(environments: Sequence[ToolEnvironment]) -> Iterator[Caveat]:
    """Yield a note for each environment that has the versions and the files of the first one."""
    for other in environments[1:]:
        first = environments[0]
        if (other.packages, other.artifacts) == (first.packages, first.artifacts):
            yield Caveat(
                code="same-versions",
                subject=other.label,
                observed=f"{first.label} and {other.label} have the same versions: {versions(other)}",
                advice="A difference comes from how the packages were built, or there is none to find.",
                severity=Severity.NOTE,
            )


def versions(environment: ToolEnvironment) -> str:
    """Return what an environment has, for a sentence."""
    return ", ".join(f"{name} {version}" for name, version in environment.packages.items())


def _located(label: str, path: str) -> ToolEnvironment:
    """Tell a virtual environment from a folder of artefacts; the paths are made absolute, but symbolic links are kept.

    An interpreter finds the packages of its virtual environment by the path that it was started with.
    """
    if path in ("", "."):
        return ToolEnvironment(label=label)
    files.require_text(os.path.abspath(path), f"environment {label}:")  # noqa: PTH100
    folder = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links
    if not folder.exists():
        raise UsageError(f"environment {label}: {path} does not exist; name a virtual environment or a folder of artefacts.")
    if (folder / INTERPRETER).exists() or (folder / INTERPRETER).is_symlink():
        return ToolEnvironment(label=label, python=str(folder / INTERPRETER))
    if folder.is_dir() and export.holds_artifacts(folder):
        return ToolEnvironment(label=label, artifacts=str(folder))
    if folder.is_file() and folder.parent.name == "bin":
        raise UsageError(f"environment {label}: {path} is a file; name the folder of the environment: {folder.parents[1]}.")
    raise UsageError(
        f"environment {label}: {path} is neither a virtual environment (it has no {INTERPRETER}) nor a folder of artefacts "
        "that mnbench exported; for this environment, name '.'."
    )


def _looked_at(environment: ToolEnvironment, backends: Sequence[tuple[str, str]]) -> ToolEnvironment:
    """Return the environment with its versions. Raises UsageError when a worker could not do its work there."""
    label, python = environment.label, environment.python
    try:
        found = inspection.look(python, backends)
    except UsageError as error:
        raise UsageError(f"environment {label}: {error}") from error
    if found.missing:
        names = " ".join(found.missing)
        raise UsageError(
            f"environment {label} lacks {', '.join(found.missing)}: {shlex.quote(python or 'python')} -m pip install {names}"
        )
    if found.refusals:
        raise UsageError(f"environment {label}: {found.refusals[0]}")
    return ToolEnvironment(
        label=label, python=python, artifacts=environment.artifacts, packages={"python": found.python, **found.packages}
    )


def _version(environment: ToolEnvironment, name: str) -> str:
    return environment.packages.get(name, "not installed")
