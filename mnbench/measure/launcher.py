"""The parent's side of a launch: a child process that is started, asked, stopped between its turns, and always ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path

import msgspec

from mnbench import backends
from mnbench.environment import memory_limit_bytes, oom_kills
from mnbench.errors import WorkerError
from mnbench.measure import harness, messages
from mnbench.measure.messages import Failed, Message, OpenReply, OpenRequest, RoundReply, RoundRequest, Started
from mnbench.measure.timing import LEAST_TO_SETTLE
from mnbench.records import Case
from mnbench.system import processes

LOG_TAIL_LINES = 20
LONGEST_LAST_LINE = 400
LONGEST_LOG_BYTES = 64 << 10
CUT = b"[...]\n"
COMPUTING_SHARE = 0.2
"""Of a moment's time: a worker whose CPU time grows by more than this computes."""
MOMENT_S = 0.2
PADDING_VARIABLE = "MNBENCH_PADDING"


class Worker:
    """A resource: one child process. While it waits it is stopped (SIGSTOP), so it cannot use any CPU."""

    def __init__(self, case: Case, log: Path, python: str = "", environment_bytes: int = 0) -> None:
        """Start the interpreter `python` (empty: this one); it imports no runtime until `open`.

        `environment_bytes` of padding in its environment move its stack. Raises WorkerError when the system refuses.
        """
        self.case = case
        self._log = log
        self._started = False
        self._oom_kills = oom_kills()
        request_read, self._requests = processes.pipe()
        self._replies, reply_write = processes.pipe()
        command = harness.command("mnbench.measure.worker", request_read, reply_write, python=python)
        try:
            log.write_bytes(b"")
            with log.open("ab") as output:  # at its end, wherever that is: it is shortened meanwhile
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(request_read, reply_write),
                    env={**environment_of(case, python), PADDING_VARIABLE: "-" * environment_bytes},
                    start_new_session=True,  # Ctrl-C is the parent's to handle
                )
        except OSError as error:
            os.close(self._requests)
            os.close(self._replies)
            raise WorkerError(f"a worker with the log {log} could not be started: {processes.refusal(error)}.") from error
        finally:
            os.close(request_read)
            os.close(reply_write)

    def wait_until_started(self, timeout_s: float) -> None:
        """Wait for the interpreter to have imported all but the runtime. Raises WorkerError."""
        if not self._started:
            reply = self._read(timeout_s)
            if not isinstance(reply, Started):
                raise WorkerError(f"the worker's first word was {type(reply).__name__}, not Started.")
            self._started = True

    def open(self, request: OpenRequest, timeout_s: float) -> OpenReply:
        """Open the model and check it. Raises WorkerError."""
        reply = self._ask(request, timeout_s)
        if not isinstance(reply, OpenReply):
            raise WorkerError(f"the worker answered {type(reply).__name__} to OpenRequest.")
        return reply

    def round(self, request: RoundRequest, timeout_s: float) -> RoundReply:
        """Time one round. Raises WorkerError."""
        reply = self._ask(request, timeout_s)
        if not isinstance(reply, RoundReply):
            raise WorkerError(f"the worker answered {type(reply).__name__} to RoundRequest.")
        return reply

    @property
    def pid(self) -> int:
        """Number of the child process."""
        return self._process.pid

    def alive(self) -> bool:
        """Say whether the child can still be asked: it ends after a failure."""
        return self._process.poll() is None

    def log_tail(self) -> str:
        """Return the last lines the child wrote to standard output or error."""
        try:
            end = self._end_of_log()
        except OSError:
            return ""
        return "\n".join(end.decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def close(self) -> None:
        """End the child, whatever state it is in, and keep its log only if it says something: the end of it, if it is long."""
        self._process.kill()
        self._process.wait()
        os.close(self._requests)
        os.close(self._replies)
        self._shorten_log()
        if self._log.is_file() and not self._log.stat().st_size:
            self._log.unlink()

    def _end_of_log(self) -> bytes:
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - LONGEST_LOG_BYTES))
            return log.read(LONGEST_LOG_BYTES)

    def _shorten_log(self) -> None:
        """Keep the end of a log that is too long; what the child writes in this moment may be lost."""
        if self._log.is_file() and self._log.stat().st_size > LONGEST_LOG_BYTES + len(CUT):
            self._log.write_bytes(CUT + self._end_of_log())

    def _ask(self, request: OpenRequest | RoundRequest, timeout_s: float) -> Message:
        self._signal(signal.SIGCONT)
        self.wait_until_started(timeout_s)
        try:
            os.write(self._requests, messages.encode(request))
        except BrokenPipeError:
            raise WorkerError(self._epitaph()) from None
        reply = self._read(timeout_s, _work_of(request))
        if isinstance(reply, Failed):
            self._epitaph()  # it ends by itself, once its log has the traceback
            raise WorkerError(reply.reason)
        self._signal(signal.SIGSTOP)
        self._shorten_log()
        return reply

    def _read(self, timeout_s: float, what: str = "") -> Message:
        """Wait for one line without using the CPU. `what` says what a worker is at that computes for longer than that."""
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        chunks: list[bytes] = []
        while not (chunks and chunks[-1].endswith(b"\n")):
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not poll.poll(left_ms):
                computing = self._computes()
                self._process.kill()  # now, not with its wave: alive, it could burn the CPU the others are timed on
                raise WorkerError(_too_late(what, timeout_s) if computing else _hung(timeout_s))
            chunk = os.read(self._replies, 1 << 20)
            if not chunk:
                raise WorkerError(self._epitaph())
            chunks.append(chunk)
        try:
            return messages.decode(b"".join(chunks))
        except msgspec.DecodeError as error:
            raise WorkerError(f"the worker's answer cannot be read: {error}.") from error

    def _computes(self) -> bool:
        """Say whether the child uses the CPU at this moment; it is asked only when its time is over."""
        clock = (~self._process.pid << 3) | 2  # clock_getcpuclockid(3): of all threads of a process; needs no /proc
        try:
            before_s = time.clock_gettime(clock)
            time.sleep(MOMENT_S)
            return time.clock_gettime(clock) - before_s > COMPUTING_SHARE * MOMENT_S
        except OSError:  # it has ended
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _epitaph(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "the worker closed its pipe."
        if code == -signal.SIGKILL and (oom_kills() or 0) > (self._oom_kills or 0):
            return _out_of_memory()
        if code < 0:
            last = "" if code == -signal.SIGKILL else " ".join(self.log_tail().strip().splitlines()[-1:])
            return f"the worker was killed by {signal.Signals(-code).name}{f': {last[:LONGEST_LAST_LINE]}' if last else '.'}"
        return f"the worker ended with exit code {code}."


def _work_of(request: OpenRequest | RoundRequest) -> str:
    """Return what a request asks for at least."""
    if isinstance(request, OpenRequest):
        return "opening the model and one inference take"
    least = request.cold_samples or LEAST_TO_SETTLE + request.least
    return f"{least} inferences take"


def _too_late(what: str, timeout_s: float) -> str:
    return (
        f"{what or 'starting takes'} more than {timeout_s:g} s: the worker was still computing, and was killed. "
        "Raise --timeout, or measure a smaller network or batch."
    )


def _hung(timeout_s: float) -> str:
    return f"the worker hung: no answer within {timeout_s:g} s; it was killed."


def _out_of_memory() -> str:
    limit = memory_limit_bytes()
    reached = "memory was used up" if limit is None else f"the cgroup's memory limit of {limit / (1 << 30):.1f} GiB was reached"
    return f"the worker was killed by the kernel: {reached}. Allow more memory, or measure smaller networks or batches."


def environment_of(case: Case, python: str = "") -> dict[str, str]:
    """Return the environment of a worker: the user's own, with the thread count set before any runtime is imported."""
    settings = backends.get(case.backend).environment
    return {
        **harness.inherited(python),
        "OPENBLAS_NUM_THREADS": "1",  # numpy's, which only loads and compares arrays here
        **{name: value.format(threads=case.threads) for name, value in settings.items()},
    }
