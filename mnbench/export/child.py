"""The child process that exports networks, so that torch and its exporter never weigh on the process that measures.

Run as `python -m mnbench.export.child`; standard input is a JSON list of orders. What was made is in the cache. Standard output
has one line for each order: `made MODEL`, or `failed REASON`, which ends the process with exit code 1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mnbench.errors import ExportError, MnbenchError
from mnbench.export.cache import ensure
from mnbench.records import ExportSpec, Format

MADE, FAILED = "made ", "failed "


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made of one network: its formats, in one cache."""

    spec: ExportSpec
    formats: tuple[Format, ...]
    cache: str


def carry_out(orders: Sequence[Order], done: Callable[[str], None]) -> None:
    """Have a child process make the orders, telling `done` each network's name. Raises ExportError with the child's reason."""
    command = [sys.executable, "-P", "-m", "mnbench.export.child"]
    reason = ""
    with (
        tempfile.TemporaryFile() as chatter,
        subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=chatter
        ) as process,
    ):
        _feed(process, msgspec.json.encode(list(orders)))
        for line in process.stdout or ():
            text = line.decode(errors="replace").strip()
            if text.startswith(MADE):
                done(text.removeprefix(MADE))
            elif text.startswith(FAILED):
                reason = text.removeprefix(FAILED)
        code = process.wait()
        chatter.seek(0)
        last = chatter.read().decode(errors="replace").strip().splitlines()[-1:]
    if code < 0:
        reason = f"the process that exports networks was killed by {signal.Signals(-code).name}; is there enough memory?"
    if code != 0:
        raise ExportError(reason or f"the process that exports networks failed: {' '.join(last)}")


def _feed(process: subprocess.Popen[bytes], orders: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code tells
        if process.stdin is not None:
            process.stdin.write(orders)
            process.stdin.close()


def main() -> int:
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Order])
    answers = os.fdopen(os.dup(1), "w")  # a channel of its own: exporters print on standard output
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for order in orders:
        reason = _make(order)
        answers.write(f"{FAILED}{' '.join(reason.split())}\n" if reason else f"{MADE}{order.spec.model}\n")
        answers.flush()
        if reason:
            return 1
    return 0


def _make(order: Order) -> str:
    """Make one order; return an empty string, or why it could not be made."""
    try:
        for kind in order.formats:
            ensure(order.spec, kind, Path(order.cache))
    except MnbenchError as error:
        return str(error)
    except OSError as error:
        return f"{order.spec.model} could not be written to the cache {order.cache}: {error.strerror or error}."
    except Exception as error:  # exporters raise many types of their own; whatever it is, the user gets a sentence
        return f"{order.spec.model} could not be exported: {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
