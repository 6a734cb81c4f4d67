"""Many artefacts at once: what the cache has is verified, the rest is made in child processes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mnbench.environment import cpu_budget
from mnbench.errors import ExportError, UsageError
from mnbench.export.cache import lookup
from mnbench.export.child import Order, carry_out
from mnbench.export.ways import WORDS, way
from mnbench.records import Artifact, ExportSpec
from mnbench.sources import get

Wanted = tuple[ExportSpec, str]
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What was made, and why the rest could not be."""

    made: Mapping[Wanted, Artifact]
    failed: Mapping[Wanted, str]


def ensure_all(
    wanted: Iterable[Wanted],
    cache: Path,
    done: Callable[[str], None] = lambda _: None,
    waits: Callable[[str], None] = lambda _: None,
) -> Mapping[Wanted, Artifact]:
    """Return every artefact wanted, by (spec, format). As `ensure_each`; raises ExportError with the first reason."""
    exports = ensure_each(wanted, cache, done, waits)
    if exports.failed:
        raise ExportError(next(iter(exports.failed.values())))
    return exports.made


def ensure_each(
    wanted: Iterable[Wanted],
    cache: Path,
    done: Callable[[str], None] = lambda _: None,
    waits: Callable[[str], None] = lambda _: None,
    timeout_s: float = TIMEOUT_S,
) -> Exports:
    """Return the artefacts wanted and, of models that are the user's, why some could not be made.

    `done` is told the name of each model that had to be made, `waits` that of each that another process is making. A user's
    model that takes longer than `timeout_s` is given up.

    Raises ExportError with the first reason for a network of the catalog; UsageError when the cache cannot be written.
    """
    pairs = list(dict.fromkeys(wanted))
    failed = {pair: reason for pair in pairs if (reason := no_way(*pair))}
    possible = [pair for pair in pairs if pair not in failed]
    found = {pair: artifact for pair in possible if (artifact := lookup(*pair, cache)) is not None}
    missing: dict[ExportSpec, list[Wanted]] = {}
    for spec, kind in possible:
        if (spec, kind) not in found:  # all node orders of a network go to one child: the others are made from the first
            missing.setdefault(replace(spec, node_order=0), []).append((spec, kind))
    if missing:
        _check_writable(cache)
        reasons = _make(missing, cache, done, waits, timeout_s)
        for pair in possible:
            if pair not in found and (artifact := lookup(*pair, cache)) is not None:
                found[pair] = artifact
            elif pair not in found:
                unread = f"{pair[0].model} as {pair[1]} was written to {cache} but cannot be read back intact."
                failed[pair] = reasons.get((pair[0].model, str(pair[1]))) or reasons.get((pair[0].model, "")) or unread
    for (spec, _), reason in failed.items():
        if is_ours(spec):
            raise ExportError(reason)
    return Exports(made=found, failed=failed)


def is_ours(spec: ExportSpec) -> bool:
    """Say whether a model is a network of the catalog, whose failure is this project's."""
    return spec.source.scheme == "catalog"


def no_way(spec: ExportSpec, kind: str) -> str:
    """Say why no converter leads from a model's source to a format; empty where one does."""
    given = get(spec.source.scheme).gives
    if way(given, kind):
        return ""
    return f"{spec.model} is given as {WORDS.get(given, given)}, which cannot be converted to {WORDS.get(kind, kind)}."


def _make(
    missing: Mapping[ExportSpec, list[Wanted]],
    cache: Path,
    done: Callable[[str], None],
    waits: Callable[[str], None],
    timeout_s: float,
) -> dict[tuple[str, str], str]:
    """Have children make what is missing; return reasons by (model, format), or (model, "") where a child died.

    Networks of the catalog share a few children, each of which imports torch once. A model of the user's has one of its own: it
    may crash or hang its process.
    """

    def order(spec: ExportSpec, group: list[Wanted]) -> Order:
        return Order(model=spec.model, wanted=tuple(group), cache=str(cache), timeout_s=0.0 if is_ours(spec) else timeout_s)

    ours = [order(spec, group) for spec, group in missing.items() if is_ours(spec)]
    theirs = [order(spec, group) for spec, group in missing.items() if not is_ours(spec)]
    at_once = cpu_budget()[0]
    reasons: dict[tuple[str, str], str] = {}
    if ours:
        children = min(len(ours), at_once)
        reasons |= carry_out([ours[first::children] for first in range(children)], done, waits)
    for first in range(0, len(theirs), at_once):
        reasons |= carry_out([[each] for each in theirs[first : first + at_once]], done, waits)
    return reasons


def _check_writable(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        raise UsageError(f"the cache {cache} cannot be written: {error.strerror}; name another with --cache.") from error
