"""Runtimes behind two small protocols, found by name in one literal table.

A backend opens an artefact; a session runs it. Neither reads a clock: that is `mnbench.measure`'s alone.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from mnbench.errors import MissingPackageError, UnknownNameError, UsageError, WorkerError
from mnbench.records import Artifact
from mnbench.sources.feeds import Feed as Feed
from mnbench.system.tables import keeps_its_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "mnbench.backends"
DEFAULT = ("ort", "openvino")
"""What is measured where the user names no backend, as far as it is installed."""
AS_FILED = ("int8", "fp64")
"""Precisions that a file has by itself: a backend runs it so, whatever it can be asked for."""

BUILT_IN: Mapping[str, str] = {
    "ort": "mnbench.backends.ort:OrtBackend",
    "openvino": "mnbench.backends.openvino:OpenVinoBackend",
    "torch": "mnbench.backends.torch:TorchBackend",
    "probe": "mnbench.backends.probe:ProbeBackend",
    "null": "mnbench.backends.null:NullBackend",
}


class Session(Protocol):
    """One opened model with its input and output bound."""

    def run(self) -> None:
        """Do one inference on the bound input. Nothing else: this is the timed call."""

    def outputs(self) -> Sequence[NDArray[Any]]:
        """Return the outputs of the last `run`, in the order of the model; empty for a session that computes nothing."""

    def effective(self) -> Mapping[str, str]:
        """Return the settings read back from the runtime: at least `threads`, `streams`, `precision`, `version`."""

    def close(self) -> None:
        """Release the model. The session cannot run afterwards."""


class Opener(Protocol):
    """What `Backend.open` is."""

    def __call__(
        self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str
    ) -> Session: ...


@runtime_checkable
class Backend(Protocol):
    """A runtime that can open one format of artefact."""

    name: str
    format: str
    packages: tuple[str, ...]
    """Distributions whose versions identify this runtime."""
    precisions: tuple[str, ...]
    """Precisions that can be requested."""
    environment: Mapping[str, str]
    """Variables a worker must have before the runtime is imported; `{threads}` stands for the thread count."""

    def missing(self) -> str | None:
        """Return None, or the sentence that says how to install what is missing. Imports nothing."""

    def load_runtime(self) -> None:
        """Import the runtime, so that its cost can be told from that of opening a model."""

    def open(self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str) -> Session:
        """Open `artifact` (a path relative to `root`) with the inputs of `feed` bound.

        Raises UsageError for a precision the backend does not know.
        """


@runtime_checkable
class Loader(Protocol):
    """A backend that can say of a user's own file whether its runtime opens it: `mnbench inspect` asks."""

    reads: tuple[str, ...]
    """Formats of files that it opens; of those that sources give."""

    def load(self, path: Path, sizes: Sequence[tuple[int, ...]]) -> None:
        """Open a file, without running it. `sizes` are those of the inputs in their order, or none where they are not known.

        Raises WorkerError with the runtime's reason.
        """


def names() -> tuple[str, ...]:
    """Names of all backends: the built-in ones, then those other packages add."""
    return tuple(dict.fromkeys([*BUILT_IN, *(entry.name for entry in _entry_points())]))


def get(name: str) -> Backend:
    """Return the backend called `name` without importing its runtime.

    Raises UnknownNameError; UsageError for another package's backend that cannot be loaded, or whose name no CSV file keeps.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(importlib.import_module(module), attribute)()  # type: ignore[no-any-return]
    for entry in _entry_points():
        if entry.name == name:
            if not keeps_its_name(name):
                raise UsageError(
                    f"backend {name!r} ({entry.value}) cannot be used: its name would be read from a CSV file as a number, "
                    "a date or a missing value. Give its entry point another name."
                )
            try:
                return entry.load()()  # type: ignore[no-any-return]
            except Exception as error:  # another package's code; whatever it raises, the user gets a sentence
                raise UsageError(f"backend {name!r} ({entry.value}) cannot be loaded: {error!r}.") from error
    raise UnknownNameError("backend", name, names())


def packages_of(chosen: Iterable[str]) -> tuple[str, ...]:
    """Return the distributions whose versions identify the runtimes of these backends, each once. Raises as `get` does."""
    return tuple(dict.fromkeys(package for name in chosen for package in get(name).packages))


def require(name: str, precision: str) -> Backend:
    """Return a backend that is installed and can run `precision`. Raises UnknownNameError, MissingPackageError, UsageError."""
    require_installed(name)
    check_precision(name, precision)
    return get(name)


def require_installed(name: str) -> None:
    """Raise MissingPackageError unless a backend's runtime is installed; UnknownNameError for an unknown backend."""
    if sentence := get(name).missing():
        raise MissingPackageError(sentence)


def usual() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the default backends that are installed here, and for each of the others the sentence that says what it needs.

    Raises MissingPackageError where none is installed.
    """
    sentences = {name: get(name).missing() for name in DEFAULT}
    found = tuple(name for name, sentence in sentences.items() if sentence is None)
    left_out = tuple(sentence for sentence in sentences.values() if sentence is not None)
    if not found:
        raise MissingPackageError(" ".join(left_out))
    return found, left_out


def check_precision(name: str, precision: str) -> None:
    """Raise UsageError unless a backend, installed or not, can run `precision`; UnknownNameError for an unknown backend."""
    backend = get(name)
    if precision not in backend.precisions:
        known = ", ".join(backend.precisions)
        raise UsageError(f"backend {name!r} cannot run precision {precision!r}; it can run {known}.")


def missing_sentence(backend: str, package: str, module: str, extra: str = "") -> str | None:
    """Return None when `module` can be imported, else how to install it: by an extra of mnbench, or else by its own name.

    Looks for the module, does not import it.
    """
    if importlib.util.find_spec(module) is not None:
        return None
    what = f"'mnbench[{extra}]'" if extra else package
    return f"backend {backend!r} needs the package {package}: pip install {what}."


def check_effective(requested: Mapping[str, str], effective: Mapping[str, str]) -> None:
    """Raise WorkerError unless every requested setting was read back as requested.

    A label that does not match what ran is an error, not a footnote (docs/methodology.md: "fp32" that ran in bf16).
    """
    for key, wanted in requested.items():
        got = effective.get(key)
        if got != wanted:
            told = "does not say" if got is None else f"says {got!r}"
            raise WorkerError(f"{key} {wanted!r} was requested, but the runtime {told}; the figures would be mislabelled.")


def _entry_points() -> Iterator[EntryPoint]:
    from importlib.metadata import entry_points  # 30 ms that a worker with a built-in backend need not spend on its start

    yield from entry_points(group=ENTRY_POINT_GROUP)
