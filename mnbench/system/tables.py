"""Tables that only grow: a kill leaves at most one incomplete entry at their end, and readers see what is complete."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mnbench.errors import UnreadableRunError

_WORDS = frozenset("null na n/a nan none true false t f yes no y n on off inf infinity epoch".split())  # noqa: SIM905 - read as words
"""What pandas, polars or DuckDB read by their defaults as a missing value, a truth value, a number or a date."""


def keeps_its_name(name: str) -> bool:
    """Say whether CSV readers, by their defaults, read `name` as this text: not as missing, a number or a date.

    So a version (`1.10`, which becomes 1.1; `2026.4.1`, which becomes a day) needs a letter in front.
    """
    return name[:1].isalpha() and name.casefold() not in _WORDS


def line(values: Iterable[object]) -> bytes:
    """Return one line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file. Raises OSError."""
    with path.open("ab") as file:
        file.write(data)


def complete_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield each line of a CSV file up to its last line end, with the offset where it ends."""
    offset = 0
    for whole in (path.read_bytes() if path.is_file() else b"").splitlines(keepends=True):
        offset += len(whole)
        if whole.endswith(b"\n"):
            yield whole, offset


def columns(path: Path) -> list[str]:
    """Return the names in the first line of a CSV file; none if it does not exist or has no whole line."""
    first = next(complete_lines(path), None)
    return [] if first is None else next(csv.reader([first[0].decode()]))


def complete_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file up to its last line end; nothing if the file does not exist.

    Raises ValueError or csv.Error for a damaged one.
    """
    data = path.read_bytes() if path.is_file() else b""
    return list(csv.DictReader(io.StringIO(data[: data.rfind(b"\n") + 1].decode())))


def complete_members(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield each complete gzip member of a file, decompressed, with the offset where it ends.

    Raises UnreadableRunError for a member that is not cut off but damaged.
    """
    data = memoryview(path.read_bytes() if path.is_file() else b"")
    offset = 0
    while offset < len(data):
        inflater = zlib.decompressobj(wbits=31)
        try:
            member = inflater.decompress(data[offset:])
        except zlib.error as error:
            raise UnreadableRunError(f"{path} is damaged at byte {offset}: {error}.") from error
        if not inflater.eof:
            return
        offset = len(data) - len(inflater.unused_data)
        yield member, offset
