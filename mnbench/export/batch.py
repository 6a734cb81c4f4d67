"""Many artefacts at once: what the cache has is verified, the rest is made in child processes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from mnbench.environment import cpu_budget
from mnbench.errors import ExportError, UsageError
from mnbench.export.cache import lookup
from mnbench.export.child import Order, carry_out
from mnbench.records import Artifact, ExportSpec, Format

Wanted = tuple[ExportSpec, Format]


def ensure_all(
    wanted: Iterable[Wanted],
    cache: Path,
    done: Callable[[str], None] = lambda _: None,
    waits: Callable[[str], None] = lambda _: None,
) -> dict[Wanted, Artifact]:
    """Return every artefact wanted, by (spec, format); `done` is told the name of each network that had to be made.

    `waits` is told the name of each that another process is making, before this one waits for it.

    Raises ExportError with the first reason; UsageError when the cache cannot be written.
    """
    pairs = list(dict.fromkeys(wanted))
    found = {pair: artifact for pair in pairs if (artifact := lookup(*pair, cache)) is not None}
    missing: dict[ExportSpec, list[Wanted]] = {}
    for spec, kind in pairs:
        if (spec, kind) not in found:  # all node orders of a network go to one child: the others are made from the first
            missing.setdefault(replace(spec, node_order=0), []).append((spec, kind))
    if missing:
        _check_writable(cache)
        orders = [Order(model=spec.model, wanted=tuple(group), cache=str(cache)) for spec, group in missing.items()]
        children = min(len(orders), cpu_budget()[0])  # each imports torch once for all of its own
        carry_out([orders[first::children] for first in range(children)], done, waits)
    for pair in pairs:
        if pair not in found:
            found[pair] = _made(pair, cache)
    return found


def _made(pair: Wanted, cache: Path) -> Artifact:
    artifact = lookup(*pair, cache)
    if artifact is None:
        raise ExportError(f"{pair[0].model} as {pair[1]} was written to {cache} but cannot be read back intact.")
    return artifact


def _check_writable(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        raise UsageError(f"the cache {cache} cannot be written: {error.strerror}; name another with --cache.") from error
