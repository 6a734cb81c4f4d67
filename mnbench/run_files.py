"""The files of a run directory, and reading them back whole. `store` says what they hold, and writes them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import msgspec

from mnbench import tables
from mnbench.errors import UnreadableRunError
from mnbench.records import SCHEMA_VERSION, Caveat, Round, Run, Samples

RUN_FILE = "run.json"
ROUNDS_FILE = "rounds.csv"
SAMPLES_FILE = "samples.csv.gz"
LAUNCHES_FILE = "launches.jsonl"
SAMPLE_COLUMNS = ("case_id", "launch", "round", "phase", "index", "latency_ns")
_ARRAYS = ("settle_ns", "latencies_ns")
ROUND_FIELDS = tuple(field.name for field in fields(Round) if field.name not in _ARRAYS)
ROUND_COLUMNS = ("case_id", "launch", *ROUND_FIELDS, "settle_samples", "samples")
_UNREADABLE = (ValueError, TypeError, KeyError, csv.Error)
"""What the parsers raise on damaged bytes; msgspec's errors and those of broken characters are ValueErrors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What the two tables hold together."""

    rounds: Mapping[tuple[str, int], list[Round]]
    """By (case, launch)."""
    lost: int
    """Rounds left out for want of all their samples."""
    unnamed: int
    """Rounds that have samples and no line of their own."""
    cut_off: str
    """The tables that end in the midst of a round; empty when none does."""


def load(directory: Path) -> Run:
    """Read a run directory. Raises UnreadableRunError for one that is missing, damaged, or of another schema version.

    A run under way or interrupted may lack the end of its tables; a finished one that does is damaged.
    """
    try:
        data = (directory / RUN_FILE).read_bytes()
    except OSError as error:
        raise UnreadableRunError(f"{directory} is not a run directory: {RUN_FILE}: {error.strerror}.") from error
    run, stored_rounds = _decode(data, directory)
    read = _read_rounds(directory)
    if run.finished:
        _require_whole(directory, run, stored_rounds, read)
    launches = {(s.case.id, s.launch): s for s in (*run.samples, *_read_launches(directory))}
    return replace(
        run,
        samples=tuple(replace(s, rounds=tuple(read.rounds.get(key, ()))) for key, s in launches.items()),
        caveats=tuple(dict.fromkeys((*run.caveats, *_caveats(read.lost)))),
    )


def _caveats(lost: int) -> Iterator[Caveat]:
    """Say when more than the one round is missing that a kill can cut off."""
    if lost > 1:
        yield Caveat(
            code="samples-lost",
            subject=SAMPLES_FILE,
            observed=f"the samples of {lost} rounds named in {ROUNDS_FILE} are missing; these rounds are left out",
            advice=f"Fetch {SAMPLES_FILE} again if it is a copy; else measure again.",
        )


def _require_whole(directory: Path, run: Run, stored: int | None, read: _Read) -> None:
    """Raise UnreadableRunError unless the tables of a finished run hold every round it ended with.

    Runs older than `rounds` in run.json do not say how many. Each kill that such a run went on after may have left one round
    in one table only; whole lines cut off both alike are then not seen, unless nothing is left.
    """
    rounds = sum(map(len, read.rounds.values()))
    if read.cut_off:
        found = f"no whole end of {read.cut_off}"
    elif stored is not None and rounds != stored:
        found = f"{rounds} whole rounds of {stored}"
    elif stored is None and max(read.lost, read.unnamed) > 1:
        found = f"{read.lost} rounds without all their samples, and samples of {read.unnamed} rounds without a line"
    elif stored is None and run.samples and not rounds:
        found = f"no round of {len(run.samples)} launches"
    else:
        return
    raise UnreadableRunError(
        f"{directory} is incomplete: {RUN_FILE} says that the run was finished, "
        f"but {ROUNDS_FILE} and {SAMPLES_FILE} hold {found}. "
        "Nothing was written; fetch the directory again if it is a copy, else measure again."
    )


def _decode(data: bytes, directory: Path) -> tuple[Run, int | None]:
    """Return the run, and how many rounds it ended with, where run.json says so."""

    class Head(msgspec.Struct):
        schema_version: int
        rounds: int | None = None

    path = directory / RUN_FILE
    try:
        head = msgspec.json.decode(data, type=Head)
    except _UNREADABLE as error:
        raise UnreadableRunError(f"{path} cannot be read: {error}.") from error
    if head.schema_version != SCHEMA_VERSION:
        raise UnreadableRunError(
            f"{path} has schema version {head.schema_version}; this mnbench reads version {SCHEMA_VERSION}. "
            f"Use the mnbench that wrote it, or measure again."
        )
    try:
        return msgspec.json.decode(data, type=Run), head.rounds
    except _UNREADABLE as error:
        raise UnreadableRunError(f"{path} cannot be read: {error}.") from error


def _read_launches(directory: Path) -> list[Samples]:
    """Return the launches of a run that lasts or was killed; of its last line only what is complete."""
    path = directory / LAUNCHES_FILE
    data = path.read_bytes() if path.is_file() else b""
    try:
        return [msgspec.json.decode(line, type=Samples) for line in data[: data.rfind(b"\n") + 1].splitlines()]
    except _UNREADABLE as error:
        raise UnreadableRunError(f"{path} is damaged: {error}.") from error


def _read_rounds(directory: Path) -> _Read:
    """Join rounds.csv and samples.csv.gz."""
    lost = 0
    latencies, samples_end = _read_samples(directory)
    unnamed = {key[:3] for key in latencies}
    rounds: dict[tuple[str, int], list[Round]] = defaultdict(list)
    try:
        for row in tables.complete_rows(directory / ROUNDS_FILE):
            key = (row["case_id"], int(row["launch"]), int(row["order"]))
            unnamed.discard(key)
            settle, measured = latencies[(*key, "settle")], latencies[(*key, row.get("regime", "steady"))]
            if len(settle) != int(row["settle_samples"]) or len(measured) != int(row["samples"]):
                lost += 1
                continue
            rounds[key[:2]].append(_round_of(row, settle, measured))
    except _UNREADABLE as error:
        raise UnreadableRunError(f"{directory / ROUNDS_FILE} is damaged: {error}.") from error
    rounds_end = max((end for _, end in tables.complete_lines(directory / ROUNDS_FILE)), default=0)
    ends = {ROUNDS_FILE: rounds_end, SAMPLES_FILE: samples_end}
    cut_off = [name for name, end in ends.items() if (directory / name).is_file() and (directory / name).stat().st_size != end]
    return _Read(rounds=rounds, lost=lost, unnamed=len(unnamed), cut_off=" and ".join(cut_off))


def _round_of(row: dict[str, str], settle: list[int], measured: list[int]) -> Round:
    # A column that an earlier version did not write has a default in the record; without one, this raises.
    values: dict[str, object] = {name: row[name] if row[name] != "" else None for name in ROUND_FIELDS if name in row}
    values["disturbances"] = [name for name in row["disturbances"].split(";") if name]
    return msgspec.convert({**values, "settle_ns": settle, "latencies_ns": measured}, type=Round, strict=False)


def _read_samples(directory: Path) -> tuple[dict[tuple[str, int, int, str], list[int]], int]:
    """Return the latencies by (case, launch, order of the round, phase), and the offset where the last complete round ends."""
    members = list(tables.complete_members(directory / SAMPLES_FILE))
    data = b"".join(member for member, _ in members)
    found: dict[tuple[str, int, int, str], list[int]] = defaultdict(list)
    try:
        for row in csv.DictReader(io.StringIO(data.decode())):
            found[(row["case_id"], int(row["launch"]), int(row["round"]), row["phase"])].append(int(row["latency_ns"]))
    except _UNREADABLE as error:
        raise UnreadableRunError(f"{directory / SAMPLES_FILE} is damaged: {error}.") from error
    return found, max((end for _, end in members), default=0)
