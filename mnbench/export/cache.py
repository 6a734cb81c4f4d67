"""The content-addressed cache: a folder per (spec, format, exporters' versions), written whole or not at all.

    models/<digest>/artifact.json    the Artifact record, with a SHA-256 of every file and of itself
    models/<digest>/...              the files
    models/<digest>.lock             held while the folder is made, so that two runs share the work

A folder appears by one rename. On reuse every digest is verified; a folder that fails is made again.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from mnbench import catalog, sources
from mnbench.environment import package_version
from mnbench.errors import ExportError
from mnbench.export.ways import Edge, exporter_of, way
from mnbench.records import Artifact, ExportSpec, ModelFacts, Remark, TensorSpec

LAYOUT = 2
"""Raised when the content of a folder changes its meaning; part of every digest."""
RECORD = "artifact.json"
PROBE_BYTES = 1 << 20
on_wait: ContextVar[Callable[[], object]] = ContextVar("on_wait", default=lambda: None)
"""Called when another process is making an artefact, before this one waits for it."""
MAX_REL_ERROR = 1e-3
"""Largest difference from torch, relative to the largest output, that an exported file may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an exporter yields: the record without the fields that only the cache can fill."""

    main: str
    """Name of the main file in the folder; an absolute path for a file of the user's, which stays where it is."""
    exporter: str
    max_abs_error: float
    max_rel_error: float
    explained_rel_error: Mapping[str, float]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    feed_path: str = ""
    """Relative to the cache; empty for `feed.npz` in the folder itself."""
    facts: ModelFacts | None = None
    reference: str = "torch"
    strict: bool = True
    remarks: tuple[Remark, ...] = ()
    files: tuple[Path, ...] = ()
    """Of the user's, which the artefact consists of beside what is in the folder."""


def made_from(source: Artifact, *, main: str, exporter: str, errors: tuple[float, float]) -> Made:
    """Return what an exporter yields that started from another artefact: what was counted there holds here too.

    `errors` are (absolute, relative), as `Answers.errors` gives them.
    """
    kept = {
        field.name: getattr(source, field.name)
        for field in fields(Made)
        if field.name not in ("main", "exporter", "max_abs_error", "max_rel_error", "files")
    }
    return Made(main=main, exporter=exporter, max_abs_error=errors[0], max_rel_error=errors[1], **kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What artifact.json holds: the record, and a digest of it: a wrong count would show in no file's digest."""

    artifact: Artifact
    sha256: str


def way_of(spec: ExportSpec, kind: str) -> tuple[Edge, ...]:
    """Return the way from a model's source to a format. Raises ExportError where there is none."""
    given = sources.get(spec.source.scheme).gives
    steps = way(given, kind)
    if not steps:
        raise ExportError(f"{spec.model} is given as {given}, from which no converter leads to {kind}.")
    return steps


def digest_of(spec: ExportSpec, kind: str) -> str:
    """Return the name of the folder: a digest of all that decides its content.

    A file is known by its content, wherever it lies; a network of the catalog by how it is built, not by what was published
    about it.
    """
    steps = way_of(spec, kind)
    source = sources.get(spec.source.scheme)
    packages = tuple(dict.fromkeys([*source.packages, *(package for edge in steps for package in edge.packages)]))
    built: object = spec.source.scheme
    if spec.source.scheme == "catalog":
        card = catalog.card(spec.source.locator)
        built = [card.build, card.arguments, card.input_chw, _text_of("zoo"), _versions(card.packages)]
    key = msgspec.json.encode([LAYOUT, kind, spec, built, _versions(packages), _text_of("export")], order="deterministic")
    return f"{spec.model}-{kind}-{hashlib.sha256(key).hexdigest()[:16]}"


def lookup(spec: ExportSpec, kind: str, cache: Path) -> Artifact | None:
    """Return the artefact if it is in the cache and every one of its files is intact; else None."""
    return read_intact(cache / digest_of(spec, kind) / RECORD, cache)


def read_intact(record: Path, cache: Path) -> Artifact | None:
    """Return the artefact of a record if the record and every file it names below `cache` are intact; else None."""
    try:
        sealed = msgspec.json.decode(record.read_bytes(), type=Sealed)
        intact = sealed.sha256 == _seal(sealed.artifact).sha256 and all(
            _sha256(cache / name) == digest for name, digest in sealed.artifact.sha256.items()
        )
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return sealed.artifact if intact else None


def ensure(spec: ExportSpec, kind: str, cache: Path) -> Artifact:
    """Return the artefact, making it in this process if need be.

    Raises ExportError when the outputs of a network of the catalog differ from torch's by more than 1e-3 relative, or the
    exporter fails.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / digest_of(spec, kind)
    with _alone(folder):
        if (found := lookup(spec, kind, cache)) is not None:
            return found
        for stale in cache.glob(f".{folder.name}.*"):  # of a process that was killed: we hold the lock
            shutil.rmtree(stale, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(dir=cache, prefix=f".{folder.name}."))
        try:
            made = _export(spec, kind, draft, cache)
            if made.strict and not made.max_rel_error <= MAX_REL_ERROR:
                raise ExportError(
                    f"{spec.model} as {kind} is {made.max_rel_error:.2g} (relative) away from torch; "
                    f"the limit is {MAX_REL_ERROR:g}. It was not kept."
                )
            artifact = _record(spec, kind, made, draft, folder)
            (draft / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(_seal(artifact)), indent=1))
            if folder.exists():
                shutil.rmtree(folder)
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return artifact


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; say so before waiting for it."""
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait.get()()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@functools.cache
def _versions(packages: tuple[str, ...]) -> Mapping[str, str | None]:
    """Return the versions that decide a format's content. Kept: reading them takes 5 ms each, and a study asks 2,000 times."""
    return {name: package_version(name) for name in packages}


@functools.cache
def _text_of(part: str) -> str:
    """Digest the text of one of this project's packages: change what builds or exports, and the cache is rebuilt."""
    files = sorted((Path(__file__).parents[1] / part).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _export(spec: ExportSpec, kind: str, draft: Path, cache: Path) -> Made:
    """Run the exporter. Raises OSError for a full disk: torch's and OpenVINO's own errors do not say that it was full."""
    try:
        return exporter_of(way_of(spec, kind)[-1])(spec, draft, cache)
    except Exception:
        (draft / "probe").write_bytes(bytes(PROBE_BYTES))
        raise


def _record(spec: ExportSpec, kind: str, made: Made, draft: Path, folder: Path) -> Artifact:
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    sha256 = {f"{folder.name}/{path.relative_to(draft)}": _sha256(path) for path in files}
    feed = made.feed_path or f"{folder.name}/feed.npz"
    if feed not in sha256:
        sha256[feed] = _sha256(folder.parent / feed)
    own = {str(path): _sha256(path) for path in made.files}
    kept = {field.name: getattr(made, field.name) for field in fields(Made) if field.name not in ("main", "feed_path", "files")}
    return Artifact(
        spec=spec,
        format=kind,
        path=made.main if made.files else f"{folder.name}/{made.main}",
        sha256={**sha256, **own},
        size_bytes=sum(path.stat().st_size for path in (*made.files, *files)),
        feed_path=feed,
        **kept,
    )


def _seal(artifact: Artifact) -> Sealed:
    return Sealed(artifact=artifact, sha256=hashlib.sha256(msgspec.json.encode(artifact, order="deterministic")).hexdigest())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
