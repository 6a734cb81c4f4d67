"""The content-addressed cache: a folder per (spec, format, exporters' versions), written whole or not at all.

    models/<digest>/artifact.json    the Artifact record, with a SHA-256 of every file and of itself
    models/<digest>/...              the files
    models/<digest>.lock             held while the folder is made, so that two runs share the work

A folder appears by one rename. On reuse every digest is verified; a folder that fails is made again.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
from filelock import FileLock, Timeout

from mnbench.environment import package_version
from mnbench.errors import ExportError
from mnbench.records import Artifact, ExportSpec, Format, LayerCost

LAYOUT = 1
"""Raised when the content of a folder changes its meaning; part of every digest."""
RECORD = "artifact.json"
PROBE_BYTES = 1 << 20
on_wait: ContextVar[Callable[[], object]] = ContextVar("on_wait", default=lambda: None)
"""Called when another process is making an artefact, before this one waits for it."""
MAX_REL_ERROR = 1e-3
"""Largest difference from torch, relative to the largest output, that an exported file may have."""

EXPORTERS: Mapping[Format, str] = {
    Format.TORCH_STATE: "mnbench.export.torch_state:export",
    Format.ONNX: "mnbench.export.onnx:export",
    Format.OPENVINO_IR: "mnbench.export.openvino_ir:export",
    Format.PROBE: "mnbench.export.probe:export",
}
PACKAGES: Mapping[Format, tuple[str, ...]] = {
    Format.TORCH_STATE: ("torch", "pytorchcv"),
    Format.ONNX: ("torch", "pytorchcv", "onnx", "onnxscript"),
    Format.OPENVINO_IR: ("torch", "pytorchcv", "onnx", "onnxscript", "openvino"),
    Format.PROBE: (),
}
"""Distributions whose versions decide a format's content; this project's own part enters by its source text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an exporter yields: the record without the fields that only the cache can fill."""

    main: str
    """Name of the main file in the folder."""
    exporter: str
    max_abs_error: float
    max_rel_error: float
    params: int
    madds: int
    denormal_weights: int
    denormal_activations: int
    uncounted: tuple[str, ...]
    explained_rel_error: Mapping[str, float]
    feed_path: str
    """Relative to the cache."""
    layers: tuple[LayerCost, ...] = ()


def made_from(source: Artifact, *, main: str, exporter: str, errors: tuple[float, float]) -> Made:
    """Return what an exporter yields that started from another artefact: what was counted there holds here too.

    `errors` are (absolute, relative), as `file_errors` gives them.
    """
    return Made(
        main=main,
        exporter=exporter,
        max_abs_error=errors[0],
        max_rel_error=errors[1],
        params=source.params,
        madds=source.madds,
        denormal_weights=source.denormal_weights,
        denormal_activations=source.denormal_activations,
        uncounted=source.uncounted,
        explained_rel_error=source.explained_rel_error,
        feed_path=source.feed_path,
        layers=source.layers,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What artifact.json holds: the record, and a digest of it: a wrong count would show in no file's digest."""

    artifact: Artifact
    sha256: str


Exporter = Callable[[ExportSpec, Path, Path], Made]
"""(spec, folder to write into, cache) → what was made."""


def digest_of(spec: ExportSpec, kind: Format) -> str:
    """Return the name of the folder: a digest of all that decides its content."""
    key = msgspec.json.encode([LAYOUT, kind, spec, _versions(kind), _own_source()], order="deterministic")
    return f"{spec.model}-{kind}-{hashlib.sha256(key).hexdigest()[:16]}"


def lookup(spec: ExportSpec, kind: Format, cache: Path) -> Artifact | None:
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


def ensure(spec: ExportSpec, kind: Format, cache: Path) -> Artifact:
    """Return the artefact, making it in this process if need be.

    Raises ExportError when the outputs differ from torch's by more than 1e-3 relative, or the exporter fails.
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
            if not made.max_rel_error <= MAX_REL_ERROR:
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


def file_errors(name: str, output: object, reference: object) -> tuple[float, float]:
    """Return (max |y - r|, that over max |r|) of two arrays of the same shape. Raises ExportError for other shapes."""
    import numpy as np

    y, r = np.asarray(output), np.asarray(reference)
    if y.shape != r.shape:
        raise ExportError(f"{name} gives outputs of shape {y.shape}; torch gives {r.shape}.")
    scale = float(np.abs(r).max())
    if scale == 0.0:
        raise ExportError(f"torch's outputs are all zero, so {name} cannot be judged against them.")
    max_abs = float(np.abs(y - r).max())
    return max_abs, max_abs / scale


@functools.cache
def _versions(kind: Format) -> Mapping[str, str | None]:
    """Return the versions that decide a format's content. Kept: reading them takes 5 ms each, and a study asks 2,000 times."""
    return {name: package_version(name) for name in PACKAGES[kind]}


@functools.cache
def _own_source() -> str:
    """Digest the text of the networks, the cards and the exporters: change one and the cache is rebuilt."""
    package = Path(__file__).parents[1]
    files = sorted(path for part in ("zoo", "catalog", "export") for path in (package / part).glob("*.*"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _export(spec: ExportSpec, kind: Format, draft: Path, cache: Path) -> Made:
    """Run the exporter. Raises OSError for a full disk: torch's and OpenVINO's own errors do not say that it was full."""
    try:
        return _exporter(kind)(spec, draft, cache)
    except Exception:
        (draft / "probe").write_bytes(bytes(PROBE_BYTES))
        raise


def _exporter(kind: Format) -> Exporter:
    module, _, attribute = EXPORTERS[kind].partition(":")
    return cast(Exporter, getattr(importlib.import_module(module), attribute))


def _record(spec: ExportSpec, kind: Format, made: Made, draft: Path, folder: Path) -> Artifact:
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    sha256 = {f"{folder.name}/{path.relative_to(draft)}": _sha256(path) for path in files}
    feed = made.feed_path or f"{folder.name}/feed.npz"
    if feed not in sha256:
        sha256[feed] = _sha256(folder.parent / feed)
    return Artifact(
        spec=spec,
        format=kind,
        path=f"{folder.name}/{made.main}",
        sha256=sha256,
        size_bytes=sum(path.stat().st_size for path in files),
        exporter=made.exporter,
        max_abs_error=made.max_abs_error,
        max_rel_error=made.max_rel_error,
        explained_rel_error=made.explained_rel_error,
        feed_path=feed,
        params=made.params,
        madds=made.madds,
        denormal_weights=made.denormal_weights,
        denormal_activations=made.denormal_activations,
        uncounted=made.uncounted,
        layers=made.layers,
    )


def _seal(artifact: Artifact) -> Sealed:
    return Sealed(artifact=artifact, sha256=hashlib.sha256(msgspec.json.encode(artifact, order="deterministic")).hexdigest())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
