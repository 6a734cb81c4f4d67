"""Run directories: raw results written the moment they exist, and read back whole.

    run.json         everything but the figures: schema version, environment, plan, artefacts, launches, caveats
    launches.jsonl   while the run lasts: one line a launch, so that run.json is not written anew for each of thousands
    rounds.csv       one line a round, with the kernel's counters; a round counts once its line is complete
    samples.csv.gz   one line an inference; one gzip member a round, so a round is appended without touching the others

A kill at any moment leaves at most one incomplete round at the end of the two tables; readers leave it out and a resumed run
cuts it off. run.json is replaced atomically.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import msgspec

from mnbench import files, tables
from mnbench.errors import StoreError, UnknownNameError, UsageError
from mnbench.records import SCHEMA_VERSION, Case, Caveat, LaunchFailure, Memory, Round, Run, Samples

RUN_FILE = "run.json"
ROUNDS_FILE = "rounds.csv"
SAMPLES_FILE = "samples.csv.gz"
LAUNCHES_FILE = "launches.jsonl"
LOGS_FOLDER = "logs"
NEEDED_BYTES = 32 << 20
"""Free space asked for before measuring: about ten times what the table's run takes, plots included."""

SAMPLE_COLUMNS = ("case_id", "launch", "round", "phase", "index", "latency_ns")
_UNREADABLE = (ValueError, TypeError, KeyError, csv.Error)
"""What the parsers raise on damaged bytes; msgspec's errors and those of broken characters are ValueErrors."""
_ARRAYS = ("settle_ns", "latencies_ns")
_ROUND_FIELDS = tuple(field.name for field in fields(Round) if field.name not in _ARRAYS)
ROUND_COLUMNS = ("case_id", "launch", *_ROUND_FIELDS, "settle_samples", "samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of `mnbench list runs`."""

    id: str
    started_utc: str
    cases: int
    launches: int
    finished: bool
    problem: str | None


class RunWriter:
    """Writes one run directory. Every method leaves the directory readable. Raises StoreError when the disk refuses."""

    def __init__(self, directory: Path, run: Run) -> None:
        self.directory = directory
        self._run = run
        self._launches = {(s.case.id, s.launch): replace(s, rounds=()) for s in run.samples}
        with _explained(directory):
            (directory / LOGS_FOLDER).mkdir(parents=True, exist_ok=True)
            _truncate_to_complete(directory)
            if not (directory / ROUNDS_FILE).exists():
                tables.append(directory / ROUNDS_FILE, tables.line(ROUND_COLUMNS))
                tables.append(directory / SAMPLES_FILE, gzip.compress(tables.line(SAMPLE_COLUMNS)))
        self._write_run()
        with _explained(directory):
            (directory / LAUNCHES_FILE).unlink(missing_ok=True)  # run.json has them now

    @property
    def logs(self) -> Path:
        return self.directory / LOGS_FOLDER

    def launch(self, samples: Samples) -> None:
        self._launches[(samples.case.id, samples.launch)] = samples
        with _explained(self.directory):
            tables.append(self.directory / LAUNCHES_FILE, msgspec.json.encode(samples) + b"\n")

    def round(self, case: Case, launch: int, measured: Round) -> None:
        samples = b"".join(tables.line(row) for row in _sample_rows(case, launch, measured))
        line = tables.line(_round_row(case, launch, measured))
        with _explained(self.directory):
            tables.append(self.directory / SAMPLES_FILE, gzip.compress(samples, compresslevel=6))
            tables.append(self.directory / ROUNDS_FILE, line)

    def memory(self, memory: Memory) -> None:
        self._run = replace(self._run, memory=(*self._run.memory, memory))
        self._write_run()

    def failure(self, failure: LaunchFailure) -> None:
        self._run = replace(self._run, failures=(*self._run.failures, failure))
        self._write_run()

    def elapsed(self, measuring_s: float) -> None:
        self._run = replace(self._run, measuring_s=round(measuring_s, 3))

    def finish(self, *, finished: bool) -> None:
        """Write run.json for the last time; `finished` is false for a run that was interrupted."""
        self._run = replace(self._run, finished=finished)
        self._write_run()
        with _explained(self.directory):
            (self.directory / LAUNCHES_FILE).unlink(missing_ok=True)
        if self.logs.is_dir() and not any(self.logs.iterdir()):
            self.logs.rmdir()

    def _write_run(self) -> None:
        run = replace(self._run, samples=tuple(self._launches.values()))
        with _explained(self.directory):
            files.write_atomically(self.directory / RUN_FILE, msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def create_directory(out: Path, started_utc: str) -> Path:
    """Make and return a new run directory `out/<id>`. Raises UsageError when `out` cannot be written or the disk is full."""
    stem = re.sub(r"[-:]", "", started_utc.split("+")[0].split(".")[0])
    try:
        out.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out).free
        if free < NEEDED_BYTES:
            raise UsageError(
                f"--out {out} has {free >> 20} MiB of free space; a run needs up to {NEEDED_BYTES >> 20} MiB. "
                "Nothing was measured."
            )
        for number in range(1, 1000):
            directory = out / (stem if number == 1 else f"{stem}-{number}")
            try:
                directory.mkdir()
            except FileExistsError:
                continue
            (directory / ".probe").write_bytes(b"")
            (directory / ".probe").unlink()
            return directory
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error.strerror}. Nothing was measured.") from error
    raise UsageError(f"--out {out} holds 999 runs of this second already.")


def resolve(run: str, out: Path) -> Path:
    """Return the directory of a run given by path or by name below `out`. Raises UnknownNameError or StoreError."""
    for candidate in (Path(run), out / run, out / "reference" / run):
        if candidate.is_dir():
            return candidate
    if os.sep in run:
        raise UsageError(f"there is no run directory {run}.")
    raise UnknownNameError("run", run, [path.name for path in run_directories(out)])


def run_directories(out: Path) -> list[Path]:
    """Return the run directories below `out` and `out/reference`, oldest name first."""
    folders = [out, out / "reference"]
    return sorted((path.parent for folder in folders for path in folder.glob(f"*/{RUN_FILE}")), key=lambda path: path.name)


def describe(directory: Path) -> RunSummary:
    """Return what `list runs` shows of one run; a run that cannot be read is described by its problem."""
    try:
        run = load(directory)
    except StoreError as error:
        return RunSummary(id=directory.name, started_utc="", cases=0, launches=0, finished=False, problem=str(error))
    return RunSummary(
        id=run.id,
        started_utc=run.started_utc,
        cases=len(run.plan.cases),
        launches=len(run.samples),
        finished=run.finished,
        problem=None,
    )


def load(directory: Path) -> Run:
    """Read a run directory. Raises StoreError for one that is missing, damaged, or of another schema version."""
    try:
        data = (directory / RUN_FILE).read_bytes()
    except OSError as error:
        raise StoreError(f"{directory} is not a run directory: {RUN_FILE}: {error.strerror}.") from error
    run = _decode(data, directory)
    rounds, lost = _read_rounds(directory)
    launches = {(s.case.id, s.launch): s for s in (*run.samples, *_read_launches(directory))}
    return replace(
        run,
        samples=tuple(replace(s, rounds=tuple(rounds.get(key, ()))) for key, s in launches.items()),
        caveats=tuple(dict.fromkeys((*run.caveats, *_caveats(lost)))),
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


def _decode(data: bytes, directory: Path) -> Run:
    class Version(msgspec.Struct):
        schema_version: int

    path = directory / RUN_FILE
    try:
        version = msgspec.json.decode(data, type=Version).schema_version
    except _UNREADABLE as error:
        raise StoreError(f"{path} cannot be read: {error}.") from error
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version}; this mnbench reads version {SCHEMA_VERSION}. "
            f"Use the mnbench that wrote it, or measure again."
        )
    try:
        return msgspec.json.decode(data, type=Run)
    except _UNREADABLE as error:
        raise StoreError(f"{path} cannot be read: {error}.") from error


def _read_launches(directory: Path) -> list[Samples]:
    """Return the launches of a run that lasts or was killed; of its last line only what is complete."""
    path = directory / LAUNCHES_FILE
    data = path.read_bytes() if path.is_file() else b""
    try:
        return [msgspec.json.decode(line, type=Samples) for line in data[: data.rfind(b"\n") + 1].splitlines()]
    except _UNREADABLE as error:
        raise StoreError(f"{path} is damaged: {error}.") from error


def _read_rounds(directory: Path) -> tuple[dict[tuple[str, int], list[Round]], int]:
    """Join rounds.csv and samples.csv.gz; return the rounds, and how many were left out for want of all their samples."""
    lost = 0
    latencies = _read_samples(directory)
    rounds: dict[tuple[str, int], list[Round]] = defaultdict(list)
    try:
        for row in tables.complete_rows(directory / ROUNDS_FILE):
            key = (row["case_id"], int(row["launch"]), int(row["order"]))
            settle, measured = latencies[(*key, "settle")], latencies[(*key, row.get("regime", "steady"))]
            if len(settle) != int(row["settle_samples"]) or len(measured) != int(row["samples"]):
                lost += 1
                continue
            rounds[key[:2]].append(_round_of(row, settle, measured))
    except _UNREADABLE as error:
        raise StoreError(f"{directory / ROUNDS_FILE} is damaged: {error}.") from error
    return rounds, lost


def _round_of(row: dict[str, str], settle: list[int], measured: list[int]) -> Round:
    # A column that an earlier version did not write has a default in the record; without one, this raises.
    values: dict[str, object] = {name: row[name] if row[name] != "" else None for name in _ROUND_FIELDS if name in row}
    values["disturbances"] = [name for name in row["disturbances"].split(";") if name]
    return msgspec.convert({**values, "settle_ns": settle, "latencies_ns": measured}, type=Round, strict=False)


def _read_samples(directory: Path) -> dict[tuple[str, int, int, str], list[int]]:
    data = b"".join(member for member, _ in tables.complete_members(directory / SAMPLES_FILE))
    found: dict[tuple[str, int, int, str], list[int]] = defaultdict(list)
    try:
        for row in csv.DictReader(io.StringIO(data.decode())):
            found[(row["case_id"], int(row["launch"]), int(row["round"]), row["phase"])].append(int(row["latency_ns"]))
    except _UNREADABLE as error:
        raise StoreError(f"{directory / SAMPLES_FILE} is damaged: {error}.") from error
    return found


def _sample_rows(case: Case, launch: int, measured: Round) -> Iterator[tuple[object, ...]]:
    for phase, latencies in (("settle", measured.settle_ns), (measured.regime, measured.latencies_ns)):
        for index, latency_ns in enumerate(latencies):
            yield case.id, launch, measured.order, phase, index, latency_ns


def _round_row(case: Case, launch: int, measured: Round) -> list[object]:
    values: list[object] = [getattr(measured, name) for name in _ROUND_FIELDS]
    values[_ROUND_FIELDS.index("disturbances")] = ";".join(measured.disturbances)
    values[_ROUND_FIELDS.index("settled")] = str(measured.settled).lower()
    return [case.id, launch, *values, len(measured.settle_ns), len(measured.latencies_ns)]


def _truncate_to_complete(directory: Path) -> None:
    """Cut off what a killed run left incomplete, so that appending cannot corrupt the tables."""
    samples, rounds = directory / SAMPLES_FILE, directory / ROUNDS_FILE
    if samples.is_file():
        os.truncate(samples, max((end for _, end in tables.complete_members(samples)), default=0))
    if rounds.is_file():
        os.truncate(rounds, rounds.read_bytes().rfind(b"\n") + 1)


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a sentence."""
    try:
        yield
    except OSError as error:
        kept = (directory / RUN_FILE).exists()
        advice = f"The rounds written so far are kept; make room and go on with mnbench compare --resume {directory}."
        raise StoreError(
            f"{directory} cannot be written: {error.strerror}. {advice if kept else 'Nothing was measured.'}"
        ) from error
