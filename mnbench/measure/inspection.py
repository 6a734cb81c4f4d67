"""What an interpreter has of what a worker needs: asked of a process of it, before anything is measured.

`look` is the parent's side. The child's side is `BOOTSTRAP`, which every Python can read, then `main`. It imports no runtime.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from mnbench.errors import MnbenchError, UsageError
from mnbench.measure import harness

NEEDED = ("numpy", "msgspec")
"""All that a worker imports beside the standard library and the runtime."""
OLDEST_PYTHON = (3, 11)
TIMEOUT_S = 60.0
BOOTSTRAP = (
    """\
import json, sys
if sys.path[:1] == [""]:
    del sys.path[0]
missing = []
if sys.version_info >= (3, 11):
    from importlib.util import find_spec
    missing = [name for name in json.loads(sys.argv[4]) if find_spec(name) is None]
if missing or sys.version_info < (3, 11):
    print(json.dumps({"python": "%d.%d.%d" % sys.version_info[:3], "missing": missing}))
    sys.exit(0)
"""
    + harness.BOOTSTRAP
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an interpreter has. Only `python` and `missing` are filled where a worker could not even start."""

    python: str
    """Its version."""
    missing: tuple[str, ...] = ()
    """Of `NEEDED`, and of the distributions that the backends name: what is not installed."""
    packages: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    """Why a backend cannot be used there, for a reason other than a missing package."""


def look(python: str, backends: Sequence[tuple[str, str]]) -> Found:
    """Return what `python` (empty: this interpreter) has for each (backend, precision).

    Raises UsageError for an interpreter that does not start or does not answer: the sentence begins with its path.
    """
    head = [python or sys.executable, "-c", BOOTSTRAP]
    arguments = [str(harness.PACKAGE), "mnbench.measure.inspection", json.dumps(backends), json.dumps(NEEDED)]
    environment = harness.inherited(python)
    shown = python or sys.executable
    try:
        done = subprocess.run(  # noqa: S603 - the user's own interpreter, and our own code
            [*head, *arguments], capture_output=True, env=environment, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise UsageError(f"{shown} does not start: {error.strerror}.") from error
    except subprocess.TimeoutExpired:
        raise UsageError(f"{shown} did not answer within {TIMEOUT_S:g} s.") from None
    lines = done.stdout.splitlines()
    try:
        found = msgspec.json.decode(lines[-1] if lines else b"", type=Found)
    except msgspec.DecodeError:
        last = " ".join(done.stderr.decode(errors="replace").strip().splitlines()[-1:])
        raise UsageError(f"{shown} does not run mnbench (exit code {done.returncode}){f': {last}' if last else '.'}") from None
    version = tuple(int(part) for part in found.python.split(".")[:2])
    if version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise UsageError(f"{shown} is Python {found.python}; a worker needs Python {oldest} or newer.")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what this interpreter has as one line of JSON. Returns the exit code."""
    from mnbench import backends
    from mnbench.environment import package_version

    asked: list[tuple[str, str]] = msgspec.json.decode((arguments or sys.argv[1:])[0], type=list[tuple[str, str]])
    packages = {name: package_version(name) or "unknown" for name in NEEDED}
    missing: list[str] = []
    refusals: list[str] = []
    for name, precision in asked:
        try:
            backend = backends.get(name)
            if backend.missing():
                missing += backend.packages
                continue
            backends.require(name, precision)
        except MnbenchError as error:
            refusals.append(str(error))
            continue
        packages.update({package: version for package in backend.packages if (version := package_version(package))})
    found = Found(
        python=platform.python_version(),
        missing=tuple(dict.fromkeys(missing)),
        packages=packages,
        refusals=tuple(dict.fromkeys(refusals)),
    )
    print(msgspec.json.encode(found).decode())  # noqa: T201 - the answer to the parent
    return 0
