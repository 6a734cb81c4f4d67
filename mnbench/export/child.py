"""The child processes that export networks, so that torch and its exporter never weigh on the process that measures.

Run as `python -c COMMAND OUT` with the number of an inherited pipe; standard input is a JSON list of orders. What
was made is in the cache. The pipe gets one line for each order that was made, `made MODEL`, one for each format that could not
be, `failed MODEL FORMAT REASON`, and `waits MODEL` where another process is making what it needs.
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
from mnbench.records import ExportSpec
from mnbench.system.processes import die_with_parent, pipe, quiet, refusal

COMMAND = "import sys; from mnbench.export.child import main; sys.exit(main())"
"""Not `-m`: Python would warn that the package has imported this module already, as the last line of a process that dies."""
MADE, FAILED, WAITS = "made ", "failed ", "waits "
LONGEST_REASON = 1000
"""A line below PIPE_BUF (4096 bytes) is written whole, so that children may share one pipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made of one network: its formats and node orders, in one cache."""

    model: str
    wanted: tuple[tuple[ExportSpec, str], ...]
    cache: str
    timeout_s: float = 0.0
    """The process ends itself when the order takes longer; 0 for no limit."""


def carry_out(
    shares: Sequence[Sequence[Order]], done: Callable[[str], None], waits: Callable[[str], None] = lambda _: None
) -> dict[tuple[str, str], str]:
    """Have one child process make each share of the orders, telling `done` each model's name.

    `waits` is told the name of a model that another process is making, for which a child waits. Returns why some were not made,
    by (model, format), or (model, "") for the orders of a child that died.

    Raises ExportError when no process can be started. An exception from outside, such as KeyboardInterrupt, ends the children
    at once: they have a session of their own, so Ctrl-C is the parent's to handle.
    """
    read_end, write_end = pipe()
    with os.fdopen(read_end, "rb") as answers, contextlib.ExitStack() as ending:
        try:
            threads = max(1, cpu_budget()[0] // max(1, len(shares)))
            children = [ending.enter_context(_child(share, write_end, threads)) for share in shares]
        finally:
            os.close(write_end)
        reasons = dict(_listen(answers, done, waits))
        for share, (process, chatter) in zip(shares, children, strict=True):
            if reason := _epitaph(process, chatter, share):
                for order in share:
                    reasons.setdefault((order.model, ""), reason)
    return reasons


@contextlib.contextmanager
def _child(orders: Sequence[Order], answers: int, threads: int) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Start a child on its orders; yield it with the file of what it prints. It is ended on the way out.

    `threads` is its share of the CPUs: two children with torch's default of all CPUs each waited for each other in spinning
    OpenMP threads, and took 41 s for the six networks of the table instead of 24 s.
    """
    with tempfile.TemporaryFile() as chatter:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-c", COMMAND, str(answers)],
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


def _listen(
    answers: Iterable[bytes], done: Callable[[str], None], waits: Callable[[str], None]
) -> Iterator[tuple[tuple[str, str], str]]:
    """Tell `done` what is made and `waits` what is waited for, until every child closed the pipe; yield what failed."""
    for line in answers:
        text = line.decode(errors="replace").strip()
        if text.startswith(MADE):
            done(text.removeprefix(MADE))
        elif text.startswith(WAITS):
            waits(text.removeprefix(WAITS))
        elif text.startswith(FAILED):
            model, kind, reason = text.removeprefix(FAILED).split(" ", 2)
            yield (model, kind), reason


def _epitaph(process: subprocess.Popen[bytes], chatter: IO[bytes], share: Sequence[Order]) -> str:
    """Wait for a child's end; return an empty string for a good one, else what can be said of it from outside."""
    code = process.wait()
    if not code:
        return ""
    if code == -signal.SIGALRM:
        limit = max(order.timeout_s for order in share)
        return f"one inference takes more than {limit:g} s: opening the model and running it took longer (--timeout)."
    chatter.seek(0)
    last = " ".join(chatter.read().decode(errors="replace").strip().splitlines()[-1:])[:LONGEST_REASON]
    if code == -signal.SIGKILL:
        return "the process that exports networks was killed by SIGKILL; is there enough memory?"
    if code < 0:
        return f"the model ends the process that opens it with {signal.Signals(-code).name}{f': {last}' if last else '.'}"
    return f"the model ends the process that opens it with exit code {code}{f': {last}' if last else '.'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the orders on standard input. Returns the exit code."""
    die_with_parent()
    (answers,) = (int(text) for text in (arguments or sys.argv[1:]))
    for order in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Order]):
        on_wait.set(functools.partial(os.write, answers, f"{WAITS}{order.model}\n".encode()))
        if order.timeout_s:
            signal.setitimer(signal.ITIMER_REAL, order.timeout_s)  # its signal ends the process, whatever a runtime is doing
        failed = False
        for spec, kind in order.wanted:
            if reason := " ".join(_make(order, spec, kind).split()):
                failed = True
                os.write(answers, f"{FAILED}{order.model} {kind} {reason}".encode()[:LONGEST_REASON] + b"\n")
        if not failed:
            os.write(answers, f"{MADE}{order.model}\n".encode())
        signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _make(order: Order, spec: ExportSpec, kind: str) -> str:
    """Make one artefact; return an empty string, or why it could not be made."""
    try:
        ensure(spec, kind, Path(order.cache))
    except MnbenchError as error:
        return str(error)
    except OSError as error:
        return f"{order.model} could not be written to the cache {order.cache}: {error.strerror or error}."
    except MemoryError:
        return f"{order.model} needs more memory than there is."
    except Exception as error:  # exporters raise many types of their own; whatever it is, the user gets a sentence
        return f"{order.model} could not be exported: {type(error).__name__}: {error}"
    return ""
