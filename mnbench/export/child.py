"""The child processes that export networks, so that torch and its exporter never weigh on the process that measures.

Run as `python -m mnbench.export.child OUT` with the number of an inherited pipe; standard input is a JSON list of orders. What
was made is in the cache. The pipe gets one line for each order: `made MODEL`, or `failed REASON`, which ends the process with
exit code 1; before that `waits MODEL` where another process is making what it needs.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from mnbench.environment import cpu_budget
from mnbench.errors import ExportError, MnbenchError
from mnbench.export.cache import ensure, on_wait
from mnbench.processes import die_with_parent, pipe, quiet, refusal
from mnbench.records import ExportSpec, Format

MADE, FAILED, WAITS = "made ", "failed ", "waits "
LONGEST_REASON = 1000
"""A line below PIPE_BUF (4096 bytes) is written whole, so that children may share one pipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made of one network: its formats and node orders, in one cache."""

    model: str
    wanted: tuple[tuple[ExportSpec, Format], ...]
    cache: str


def carry_out(
    shares: Sequence[Sequence[Order]], done: Callable[[str], None], waits: Callable[[str], None] = lambda _: None
) -> None:
    """Have one child process make each share of the orders, telling `done` each network's name.

    `waits` is told the name of a network that another process is making, for which a child waits.

    Raises ExportError with the first reason, after the other children ended. An exception from outside, such as
    KeyboardInterrupt, ends them at once: they have a session of their own, so Ctrl-C is the parent's to handle.
    """
    read_end, write_end = pipe()
    with os.fdopen(read_end, "rb") as answers, contextlib.ExitStack() as ending:
        try:
            threads = max(1, cpu_budget()[0] // max(1, len(shares)))
            children = [ending.enter_context(_child(share, write_end, threads)) for share in shares]
        finally:
            os.close(write_end)
        reasons = list(_listen(answers, done, waits))
        reasons += [reason for process, chatter in children if (reason := _epitaph(process, chatter))]
    if reasons:
        raise ExportError(reasons[0])


@contextlib.contextmanager
def _child(orders: Sequence[Order], answers: int, threads: int) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Start a child on its orders; yield it with the file of what it prints. It is ended on the way out.

    `threads` is its share of the CPUs: two children with torch's default of all CPUs each waited for each other in spinning
    OpenMP threads, and took 41 s for the six networks of the table instead of 24 s.
    """
    with tempfile.TemporaryFile() as chatter:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "mnbench.export.child", str(answers)],
                stdin=subprocess.PIPE,
                stdout=chatter,
                stderr=subprocess.STDOUT,
                pass_fds=(answers,),
                start_new_session=True,
                env={**quiet(os.environ), "OMP_NUM_THREADS": str(threads)},
            )
        except OSError as error:
            raise ExportError(f"a process that exports networks could not be started: {refusal(error)}.") from error
        with process:
            try:
                with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code tells
                    if process.stdin is not None:
                        process.stdin.write(msgspec.json.encode(list(orders)))
                        process.stdin.close()
                yield process, chatter
            finally:
                process.kill()


def _listen(answers: Iterable[bytes], done: Callable[[str], None], waits: Callable[[str], None]) -> Iterator[str]:
    """Tell `done` what is made and `waits` what is waited for, until every child closed the pipe; yield reasons of failure."""
    for line in answers:
        text = line.decode(errors="replace").strip()
        if text.startswith(MADE):
            done(text.removeprefix(MADE))
        elif text.startswith(WAITS):
            waits(text.removeprefix(WAITS))
        elif text.startswith(FAILED):
            yield text.removeprefix(FAILED)


def _epitaph(process: subprocess.Popen[bytes], chatter: IO[bytes]) -> str:
    """Wait for a child's end; return an empty string for a good one, else what can be said of it from outside."""
    code = process.wait()
    if code < 0:
        return f"the process that exports networks was killed by {signal.Signals(-code).name}; is there enough memory?"
    chatter.seek(0)
    last = chatter.read().decode(errors="replace").strip().splitlines()[-1:]
    return f"the process that exports networks failed: {' '.join(last)}" if code else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the orders on standard input. Returns the exit code."""
    die_with_parent()
    (answers,) = (int(text) for text in (arguments or sys.argv[1:]))
    for order in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Order]):
        on_wait.set(functools.partial(os.write, answers, f"{WAITS}{order.model}\n".encode()))
        reason = " ".join(_make(order).split())[:LONGEST_REASON]
        os.write(answers, (f"{FAILED}{reason}\n" if reason else f"{MADE}{order.model}\n").encode())
        if reason:
            return 1
    return 0


def _make(order: Order) -> str:
    """Make one order; return an empty string, or why it could not be made."""
    try:
        for spec, kind in order.wanted:
            ensure(spec, kind, Path(order.cache))
    except MnbenchError as error:
        return str(error)
    except OSError as error:
        return f"{order.model} could not be written to the cache {order.cache}: {error.strerror or error}."
    except Exception as error:  # exporters raise many types of their own; whatever it is, the user gets a sentence
        return f"{order.model} could not be exported: {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
