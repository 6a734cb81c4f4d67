"""A backend that does nothing: what it is timed at is the harness's own floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mnbench.backends import Feed
from mnbench.records import Artifact, Format
from mnbench.system.version import VERSION


class NullSession:
    """A session whose inference is an empty call."""

    def __init__(self, *, threads: int, precision: str) -> None:
        self._effective = {
            "threads": str(threads),
            "streams": "1",
            "precision": precision,
            "version": VERSION,
        }

    def run(self) -> None:
        pass

    def outputs(self) -> Sequence[NDArray[Any]]:
        return ()

    def effective(self) -> Mapping[str, str]:
        return self._effective

    def close(self) -> None:
        pass


class NullBackend:
    name = "null"
    format = Format.NONE
    packages: tuple[str, ...] = ("mnbench",)
    precisions: tuple[str, ...] = ("fp32", "bf16")
    environment: Mapping[str, str] = {}

    def missing(self) -> str | None:
        return None

    def load_runtime(self) -> None:
        pass

    def open(self, artifact: Artifact | None, root: Path, feed: Feed | None, *, threads: int, precision: str) -> NullSession:
        return NullSession(threads=threads, precision=precision)
