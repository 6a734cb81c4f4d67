"""The files of a run directory, and reading them back whole. `store` says what they hold, and writes them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import msgspec

from mnbench.errors import UnreadableRunError
from mnbench.records import SCHEMA_VERSION, Caveat, Round, Run, Samples
from mnbench.system import tables

RUN_FILE = "run.json"
ROUNDS_FILE = "rounds.csv"
SAMPLES_FILE = "samples.csv.gz"
LAUNCHES_FILE = "launches.jsonl"
SAMPLE_COLUMNS = ("case_id", "launch", "round", "phase", "index", "latency_ns")
GUARDS = {
    "run_queue_wait_ns": "time waited for the CPU",
    "steal_ns": "steal",
    "foreign_cpu_ns": "foreign load",
    "other_cpus_ns": "load on other CPUs",
    "busy_threads": "busy threads",
}
"""Counters of a round by which it is called disturbed, and which some kernels do not tell."""
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
    doubled: int = 0
    """Lines and samples that repeat those of another round, its place in the run's order, or the heading."""


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
        caveats=tuple(dict.fromkeys((*run.caveats, *_caveats(read), *_unknown_counters(read)))),
    )


def _unknown_counters(read: _Read) -> Iterator[Caveat]:
    """Say which counters are unknown in some rounds: what they would have shown disturbed these rounds unseen."""
    rounds = [measured for found in read.rounds.values() for measured in found]
    lacking = {what: sum(getattr(measured, name) is None for measured in rounds) for name, what in GUARDS.items()}
    unknown = [what for what, number in lacking.items() if number]
    if unknown:
        yield Caveat(
            code="counters-unknown",
            subject=ROUNDS_FILE,
            observed=f"unknown in up to {max(lacking.values())} of {len(rounds)} rounds: {', '.join(unknown)}; "
            "a round that they spoiled is used like any other",
            advice="Measure where the kernel tells them: /proc whole (systemd: ProcSubset=all), no sandbox in between.",
        )


def _caveats(read: _Read) -> Iterator[Caveat]:
    """Say when more than the one round is missing that a kill can cut off, and when rounds were written twice."""
    if read.lost > 1:
        yield Caveat(
            code="samples-lost",
            subject=SAMPLES_FILE,
            observed=f"the samples of {read.lost} rounds named in {ROUNDS_FILE} are missing; these rounds are left out",
            advice=f"Fetch {SAMPLES_FILE} again if it is a copy; else measure again.",
        )
    if read.doubled:
        yield Caveat(
            code="rounds-doubled",
            subject=ROUNDS_FILE,
            observed=f"{read.doubled} entries repeat a round, its number or the heading, as when two processes write one run; "
            "of each round the first is kept",
            advice="Measure again: two runs at once disturb each other.",
        )


def _require_whole(directory: Path, run: Run, stored: int | None, read: _Read) -> None:
    """Raise UnreadableRunError unless the tables of a finished run hold every round it ended with.

    Runs older than `rounds` in run.json do not say how many. Each kill that such a run went on after may have left one round
    in one table only; whole lines cut off both alike are then not seen, unless nothing is left.
    """
    rounds = sum(map(len, read.rounds.values()))
    if read.cut_off:
        found = f"no whole end of {read.cut_off}"
    elif stored is not None and (rounds < stored if read.doubled else rounds != stored):
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
    """Join rounds.csv and samples.csv.gz. Of a round that was written twice, the first line counts."""
    lost = doubled = 0
    copies, samples_end = _read_samples(directory)
    unnamed, seen = {key[:3] for key in copies}, set()
    rounds: dict[tuple[str, int], list[Round]] = defaultdict(list)
    try:
        for row in tables.complete_rows(directory / ROUNDS_FILE):
            if _is_heading(row):
                doubled += 1
                continue
            key = (row["case_id"], int(row["launch"]), int(row["order"]))
            if key in seen:
                doubled += 1
                continue
            seen.add(key)
            settle = _copy_of(copies[(*key, "settle")], int(row["settle_samples"]), 0)
            measured = _copy_of(copies[(*key, row.get("regime", "steady"))], int(row["samples"]), int(row["wall_ns"]))
            if settle is None or measured is None:
                lost += 1
                continue
            rounds[key[:2]].append(_round_of(row, settle, measured))
    except _UNREADABLE as error:
        raise UnreadableRunError(f"{directory / ROUNDS_FILE} is damaged: {error}.") from error
    rounds_end = max((end for _, end in tables.complete_lines(directory / ROUNDS_FILE)), default=0)
    ends = {ROUNDS_FILE: rounds_end, SAMPLES_FILE: samples_end}
    cut_off = [name for name, end in ends.items() if (directory / name).is_file() and (directory / name).stat().st_size != end]
    doubled += sum(len(found) - 1 for found in copies.values() if len(found) > 1)
    doubled += len(seen) - len({order for _, _, order in seen})  # each place in a run's order is one round's
    return _Read(rounds=rounds, lost=lost, unnamed=len(unnamed - seen), cut_off=" and ".join(cut_off), doubled=doubled)


def _is_heading(row: dict[str, str]) -> bool:
    """Say whether a row repeats the heading: two processes that begin one table both write it."""
    return row["case_id"] == ROUND_COLUMNS[0]


def _copy_of(copies: Sequence[list[int]], length: int, wall_ns: int) -> list[int] | None:
    """Return the latencies that belong to a line: of so many as it says, those that took nearest to its time; else None."""
    if not length:
        return []
    of_length = [copy for copy in copies if len(copy) == length]
    return min(of_length, key=lambda copy: abs(sum(copy) - wall_ns), default=None)


def _round_of(row: dict[str, str], settle: list[int], measured: list[int]) -> Round:
    # A column that an earlier version did not write has a default in the record; without one, this raises.
    values: dict[str, object] = {name: row[name] if row[name] != "" else None for name in ROUND_FIELDS if name in row}
    values["disturbances"] = [name for name in row["disturbances"].split(";") if name]
    return msgspec.convert({**values, "settle_ns": settle, "latencies_ns": measured}, type=Round, strict=False)


def _read_samples(directory: Path) -> tuple[dict[tuple[str, int, int, str], list[list[int]]], int]:
    """Return the latencies by (case, launch, order of the round, phase), and the offset where the last complete round ends.

    Each key has a list for each time it was written: one, unless two processes wrote the run.
    """
    members = list(tables.complete_members(directory / SAMPLES_FILE))
    data = b"".join(member for member, _ in members)
    found: dict[tuple[str, int, int, str], list[list[int]]] = defaultdict(list)
    try:
        for row in csv.DictReader(io.StringIO(data.decode())):
            if _is_heading(row):
                continue
            copies = found[(row["case_id"], int(row["launch"]), int(row["round"]), row["phase"])]
            if row["index"] == "0" or not copies:
                copies.append([])
            copies[-1].append(int(row["latency_ns"]))
    except _UNREADABLE as error:
        raise UnreadableRunError(f"{directory / SAMPLES_FILE} is damaged: {error}.") from error
    return found, max((end for _, end in members), default=0)
