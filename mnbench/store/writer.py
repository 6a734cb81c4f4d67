"""Run directories: raw results written the moment they exist, and read back whole.

    run.json         everything but the figures: schema version, environment, plan, artefacts, launches, caveats
    launches.jsonl   while the run lasts: one line a launch, so that run.json is not written anew for each of thousands
    rounds.csv       one line a round, with the kernel's counters; a round counts once its line is complete
    samples.csv.gz   one line an inference; one gzip member a round, so a round is appended without touching the others

A kill at any moment leaves at most one incomplete round at the end of the two tables; readers leave it out and a resumed run
cuts it off. run.json is replaced atomically, and says of a finished run how many rounds it ended with (`rounds`). Reading is
in `reader`. One process writes a run (`lock`).
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from mnbench.errors import StoreError, UnknownNameError, UsageError
from mnbench.records import Case, Caveat, LaunchFailure, Memory, Neighbour, Round, Run, Samples
from mnbench.store.lock import writer_of, writing
from mnbench.store.reader import (
    LAUNCHES_FILE,
    ROUND_COLUMNS,
    ROUND_FIELDS,
    ROUNDS_FILE,
    RUN_FILE,
    SAMPLE_COLUMNS,
    SAMPLES_FILE,
    load,
)
from mnbench.system import files, tables

LOGS_FOLDER = "logs"
NEEDED_BYTES = 32 << 20
"""Free space asked for before measuring: about ten times what the table's run takes, plots included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of `mnbench list runs`."""

    name: str
    """Of its folder: what commands take. A copy that was renamed keeps the id of its run."""
    started_utc: str
    cases: int
    launches: int
    finished: bool
    writer: str | None
    """The process that is writing it, such as `process 123`."""
    problem: str | None


class RunWriter:
    """Writes one run directory. Every method leaves the directory readable. Raises StoreError when the disk refuses."""

    def __init__(self, directory: Path, run: Run) -> None:
        self.directory = directory
        self._run = run
        self._rounds = sum(len(s.rounds) for s in run.samples)
        self._launches = {(s.case.id, s.launch): replace(s, rounds=()) for s in run.samples}
        with _explained(directory, run):
            (directory / LOGS_FOLDER).mkdir(parents=True, exist_ok=True)
            _truncate_to_complete(directory)
            if not tables.columns(directory / ROUNDS_FILE):
                tables.append(directory / ROUNDS_FILE, tables.line(ROUND_COLUMNS))
                tables.append(directory / SAMPLES_FILE, gzip.compress(tables.line(SAMPLE_COLUMNS)))
            self._columns = tables.columns(directory / ROUNDS_FILE)  # of a run begun by an older version: those it had
        self._write_run()
        with _explained(directory, run):
            (directory / LAUNCHES_FILE).unlink(missing_ok=True)  # run.json has them now

    @property
    def logs(self) -> Path:
        return self.directory / LOGS_FOLDER

    def launch(self, samples: Samples) -> None:
        self._launches[(samples.case.id, samples.launch)] = samples
        with _explained(self.directory, self._run):
            tables.append(self.directory / LAUNCHES_FILE, msgspec.json.encode(samples) + b"\n")

    def round(self, case: Case, launch: int, measured: Round) -> None:
        samples = b"".join(tables.line(row) for row in _sample_rows(case, launch, measured))
        row = _round_row(case, launch, measured)
        line = tables.line(row.get(name) for name in self._columns)
        with _explained(self.directory, self._run):
            tables.append(self.directory / SAMPLES_FILE, gzip.compress(samples, compresslevel=6))
            tables.append(self.directory / ROUNDS_FILE, line)
        self._rounds += 1

    def memory(self, memory: Memory) -> None:
        self._run = replace(self._run, memory=(*self._run.memory, memory))
        self._write_run()

    def failure(self, failure: LaunchFailure) -> None:
        self._run = replace(self._run, failures=(*self._run.failures, failure))
        self._write_run()

    def caveat(self, caveat: Caveat) -> None:
        """Keep what is to be said of the whole run."""
        self._run = replace(self._run, caveats=(*self._run.caveats, caveat))
        self._write_run()

    def neighbours(self, neighbours: tuple[Neighbour, ...] | None) -> None:
        """Keep which programs ran beside the run; written with the next file."""
        self._run = replace(self._run, neighbours=neighbours)

    def elapsed(self, measuring_s: float) -> None:
        self._run = replace(self._run, measuring_s=round(measuring_s, 3))

    def finish(self, *, finished: bool) -> None:
        """Write run.json for the last time; `finished` is false for a run that was interrupted."""
        self._run = replace(self._run, finished=finished)
        self._write_run(rounds=self._rounds if finished else None)
        with _explained(self.directory, self._run):
            (self.directory / LAUNCHES_FILE).unlink(missing_ok=True)
        if self.logs.is_dir() and not any(self.logs.iterdir()):
            self.logs.rmdir()

    def _write_run(self, rounds: int | None = None) -> None:
        run = replace(self._run, samples=tuple(self._launches.values()))
        document = msgspec.to_builtins(run)
        if rounds is not None:
            document["rounds"] = rounds  # by which a reader tells that the tables are whole
        with _explained(self.directory, run):
            files.write_atomically(self.directory / RUN_FILE, text_of(document))


def text_of(document: Mapping[str, object]) -> bytes:
    """Return run.json: indented, but one line for each record of a list. A study has thousands of launches."""
    parts = []
    for name, value in document.items():
        if name == "plan" and isinstance(value, Mapping):
            text = text_of(value).rstrip(b"\n")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            text = b"[\n" + b",\n".join(b" " + msgspec.json.encode(each) for each in value) + b"\n]"
        else:
            text = msgspec.json.format(msgspec.json.encode(value), indent=1)
        parts.append(msgspec.json.encode(name) + b": " + text)
    return b"{\n" + b",\n".join(parts) + b"\n}\n"


@contextmanager
def new_directory(out: Path, started_utc: str) -> Iterator[Path]:
    """Yield a new run directory `out/<id>` that this process alone writes; remove it again if no run came to be in it.

    Raises UsageError when `out` cannot be written or the disk is full.
    """
    directory = create_directory(out, started_utc)
    try:
        with writing(directory):
            yield directory
    except BaseException:
        if not (directory / RUN_FILE).exists():
            shutil.rmtree(directory, ignore_errors=True)
        raise


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
    """Return the directory of a run given by path or by name below `out`. Raises UnknownNameError or UsageError."""
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
        problem = files.text_of(str(error))
        return RunSummary(
            name=files.text_of(directory.name),
            started_utc="",
            cases=0,
            launches=0,
            finished=False,
            writer=None,
            problem=problem,
        )
    return RunSummary(
        name=files.text_of(directory.name),
        started_utc=run.started_utc,
        cases=len(run.plan.cases),
        launches=len(run.samples),
        finished=run.finished,
        writer=writer_of(directory),
        problem=None,
    )


def _sample_rows(case: Case, launch: int, measured: Round) -> Iterator[tuple[object, ...]]:
    for phase, latencies in (("settle", measured.settle_ns), (measured.regime, measured.latencies_ns)):
        for index, latency_ns in enumerate(latencies):
            yield case.id, launch, measured.order, phase, index, latency_ns


def _round_row(case: Case, launch: int, measured: Round) -> dict[str, object]:
    return {
        **{name: getattr(measured, name) for name in ROUND_FIELDS},
        "case_id": case.id,
        "launch": launch,
        "disturbances": ";".join(measured.disturbances),
        "settle_samples": len(measured.settle_ns),
        "samples": len(measured.latencies_ns),
    }


def _truncate_to_complete(directory: Path) -> None:
    """Cut off what a killed run left incomplete at the end of its tables, so that appending cannot corrupt them.

    A round that only one of them has goes too: its launch and order may be given again, and then it would be two at once.
    """
    samples, rounds = directory / SAMPLES_FILE, directory / ROUNDS_FILE
    lines = list(tables.complete_lines(rounds))
    order = lines[0][0].decode().rstrip().split(",").index("order") if lines else 0
    by_table = {
        samples: [(_round_key(member, 2), end) for member, end in tables.complete_members(samples)],
        rounds: [(_round_key(line, order), end) for line, end in lines],
    }
    in_both = set.intersection(*({key for key, _ in entries} for entries in by_table.values()))
    for path, entries in by_table.items():
        if path.is_file():
            os.truncate(path, max((end for key, end in entries if key in in_both), default=0))


def _round_key(text: bytes, order: int) -> tuple[str, ...]:
    """Return (case, launch, order of the round) of the first line of `text`; the headers of both tables give the same."""
    columns = text.partition(b"\n")[0].decode().split(",")
    return ("header",) if columns[0] == "case_id" else (*columns[:2], columns[order])


@contextmanager
def _explained(directory: Path, run: Run) -> Iterator[None]:
    """Turn the system's refusal to write into a sentence."""
    try:
        yield
    except OSError as error:
        kept = (directory / RUN_FILE).exists()
        advice = f"The rounds written so far are kept; make room and {run.plan.going_on(directory)}"
        raise StoreError(
            f"{directory} cannot be written: {error.strerror}. {advice if kept else 'Nothing was measured.'}"
        ) from error
