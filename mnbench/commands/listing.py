"""What `mnbench list` lists, as rows of text."""

from __future__ import annotations

from pathlib import Path

from mnbench import backends, catalog, store
from mnbench.environment import package_version
from mnbench.errors import UnknownNameError, UsageError
from mnbench.report import listing

Row = dict[str, str]
LISTS = ("models", "backends", "runs")


def rows_of(what: str, out: Path) -> list[Row]:
    """Return the rows of a list; runs are looked for below `out`. Raises UnknownNameError."""
    if what == "models":
        return listing.models(catalog.card(name) for name in catalog.names())
    if what == "backends":
        return [_backend_row(name) for name in backends.names()]
    if what == "runs":
        return [_run_row(store.describe(path)) for path in store.run_directories(out)]
    raise UnknownNameError("list", what, LISTS)


def _backend_row(name: str) -> Row:
    row = {"backend": name, "versions": "", "opens": "", "precisions": "", "missing": ""}
    try:
        backend = backends.get(name)
    except UsageError as error:  # another package's, and broken: the others are still worth a list
        return {**row, "missing": str(error)}
    versions = (f"{package} {package_version(package) or '–'}" for package in backend.packages)
    row |= {"versions": ", ".join(versions), "opens": backend.format, "precisions": " ".join(backend.precisions)}
    return {**row, "missing": backend.missing() or ""}


def _run_row(run: store.RunSummary) -> Row:
    return {
        "run": run.name,
        "started": run.started_utc,
        "cases": str(run.cases),
        "launches": str(run.launches),
        "state": _state(run),
    }


def _state(run: store.RunSummary) -> str:
    if run.writer and not run.problem:
        return f"running ({run.writer})"
    return run.problem or ("complete" if run.finished else "interrupted")
