"""Which ceilings of this machine a new run is held against: those of its newest `roofline` study, if it is there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from mnbench import store
from mnbench.environment import host_differences
from mnbench.errors import StoreError
from mnbench.records import Caveat, Ceilings, Environment, Severity
from mnbench.stats.roofline import ceilings_of

STUDY = "roofline"
FOLDERS = ("", "reference", "reference/studies")
"""Where runs lie, below the folder of results."""


class _Plan(msgspec.Struct):
    study: str = ""
    cpus: tuple[int, ...] = ()


class _Head(msgspec.Struct):
    """The part of run.json that tells whether the rest is worth reading: runs of hundreds of cases are long."""

    started_utc: str
    environment: Environment
    plan: _Plan


def newest(host: Environment, out: Path, cpus: Collection[int] = ()) -> Ceilings | None:
    """Return the ceilings of the newest roofline study of this host found below `out`; None when there is none.

    The host is the same by the facts of `mnbench diff`, and the study's CPUs are of the same kinds as `cpus`. A run that
    cannot be read is passed over.
    """
    found = []
    for path in (path for folder in FOLDERS for path in (out / folder).glob(f"*/{store.RUN_FILE}")):
        try:
            head = msgspec.json.decode(path.read_bytes(), type=_Head)
        except (OSError, ValueError):  # msgspec's errors are ValueErrors
            continue
        alike = _kinds(head.environment, head.plan.cpus) == _kinds(host, cpus)
        if head.plan.study == STUDY and alike and not any(host_differences(head.environment, host)):
            found.append((head.started_utc, path.parent))
    for _, directory in sorted(found, reverse=True):
        try:
            ceilings = ceilings_of(store.load(directory))
        except StoreError:
            continue
        if ceilings is not None:
            return ceilings
    return None


def _kinds(host: Environment, cpus: Collection[int]) -> list[str]:
    return [kind.name for kind in host.kinds_of(cpus)]


def caveats(ceilings: Ceilings | None) -> tuple[Caveat, ...]:
    """Return the note that a run has no ceilings, if it has none."""
    if ceilings is not None:
        return ()
    return (
        Caveat(
            code="no-ceilings",
            subject="roofline_pct",
            observed="no ceilings of this machine were found beside the results, so the column is empty",
            advice="Measure them once: mnbench study roofline. Later runs with the same --out use them.",
            severity=Severity.NOTE,
        ),
    )
