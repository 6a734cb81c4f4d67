"""Errors that a user can act on: each says what was given, what is possible and what to do.

Only `mnbench.cli` prints them and turns them into exit codes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MnbenchError(Exception):
    """Something failed although the request was sound (exit code 1)."""


class UsageError(MnbenchError):
    """The request itself cannot be met (exit code 2)."""


class UnknownNameError(UsageError):
    """A name that no registry knows; suggests the nearest one."""

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        shown = ", ".join(names[:12]) + (f" … ({len(names)} in all)" if len(names) > 12 else "")
        super().__init__(f"unknown {kind} {given!r}{hint} Known: {shown or 'none'}.")


class MissingPackageError(UsageError):
    """A backend whose runtime is not installed."""


class ModelFileError(UsageError):
    """A model file that was given and cannot be opened, is not whole, or asks for data that may not be read."""


class StoreError(MnbenchError):
    """A run directory that cannot be read or written."""


class UnreadableRunError(StoreError, UsageError):
    """A run directory that was given and is empty, damaged, incomplete or of another schema version."""


class ExportError(MnbenchError):
    """An artefact that could not be made, or whose outputs are not torch's."""


class WorkerError(MnbenchError):
    """A worker process that crashed, hung, was killed, or refused its settings."""
