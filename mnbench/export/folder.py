"""Artefacts that another version of torch, of an exporter or of mnbench made: found by what they are, not by their digests.

A cache folder names each artefact by all that decides its content, the exporters' versions among it. Here that content is to
be measured as it is, so every record is read and the one that was asked for is picked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from mnbench.errors import UsageError
from mnbench.export.cache import RECORD, read_intact
from mnbench.records import Artifact, ExportSpec


class _Head(msgspec.Struct):
    spec: ExportSpec
    format: str


class _Record(msgspec.Struct):
    """Of a record what tells which artefact it is: other versions of mnbench may differ in the rest."""

    artifact: _Head


def holds_artifacts(folder: Path) -> bool:
    """Say whether a folder has the form of an artefact cache: a record in a folder of its own."""
    return next(_records(folder), None) is not None


def find(folder: Path, spec: ExportSpec, kind: str) -> Artifact:
    """Return the artefact of the same network, precision, batch and seed in `kind`, whatever its opset.

    Its digests are verified. Raises UsageError when there is none, more than one, or one that was changed since it was made.
    """
    wanted = f"{spec.model} as {kind}, {spec.precision}, batch {spec.batch}, seed {spec.seed}"
    found = [path for path in _records(folder) if _is(path, spec, kind)]
    if not found:
        raise UsageError(f"{folder} has no artefact of {wanted}; export it there with the mnbench whose files you compare.")
    if len(found) > 1:
        names = ", ".join(path.parent.name for path in found)
        raise UsageError(
            f"{folder} has {len(found)} artefacts of {wanted}: {names}. Copy the one you mean to a folder of its own."
        )
    artifact = read_intact(found[0], folder)
    if artifact is None:
        raise UsageError(
            f"{found[0].parent} is damaged, or its {RECORD} is of another form: a digest in it does not match. Export it anew."
        )
    return artifact


def _records(folder: Path) -> Iterator[Path]:
    """Yield the records of finished artefacts; a folder with a dot in front is a draft."""
    yield from sorted(path for path in folder.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))


def _is(record: Path, spec: ExportSpec, kind: str) -> bool:
    try:
        head = msgspec.json.decode(record.read_bytes(), type=_Record).artifact
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return head.format == kind and replace(head.spec, opset=spec.opset) == spec
