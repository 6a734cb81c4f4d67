"""Profile a case: one fresh child process that opens its artefact with the runtime's profiling on, warms up and runs.

`harness.command("mnbench.measure.profiling", OUT)` runs it, with the number of an inherited pipe. Standard input is a
ProfileRequest, the pipe gets one ProfileReply. The child is pinned and checked as a worker is; its rounds are watched as a
worker's are.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from mnbench.backends import profilers
from mnbench.backends.profilers import Node, ProfiledSession
from mnbench.errors import MnbenchError, WorkerError
from mnbench.measure import harness
from mnbench.measure.counters import CounterReader
from mnbench.measure.disturbance import disturbances
from mnbench.measure.launcher import environment_of
from mnbench.measure.messages import OpenRequest, RoundReply, RoundRequest
from mnbench.measure.worker import check_affinity, measure_round, open_session
from mnbench.measure.workload import ReferenceWorkload, UsualSpeed
from mnbench.system.processes import die_with_parent

WARM_UP = RoundRequest(settle_ms=100.0, target_ms=1.0)
"""With the first inference, what the profile forgets."""
KEPT = RoundRequest(settle_ms=0.0, target_ms=350.0, least=12, most=60)
"""What is kept, whole: its settling part too, which is warm already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileReply:
    """What one launch's profile says; `failure` alone when it says nothing."""

    nodes: tuple[Node, ...] = ()
    whole_ns: float = 0.0
    """Mean time of an inference of the same launch, profiling and the call from Python included."""
    plain_ns: float = 0.0
    """Mean time of an inference without profiling, in the same process just before and just after."""
    inferences: int = 0
    cut_ns: float = 0.0
    effective: Mapping[str, str] = field(default_factory=dict)
    disturbances: tuple[str, ...] = ()
    failure: str = ""


def profile(request: OpenRequest, timeout_s: float) -> ProfileReply:
    """Have a fresh process profile one launch of a case; wait for it without using the CPU.

    Raises WorkerError with the child's reason, for one that ends without a word, or takes longer than `timeout_s`.
    """
    with _child(request) as (process, answers, chatter):
        told = _read(answers, timeout_s)
        if not told:
            process.kill()
            chatter.seek(0)
            last = chatter.read().decode(errors="replace").strip().splitlines()[-1:]
            raise WorkerError(f"the process that profiles gave no answer within {timeout_s:g} s. {' '.join(last)}".strip())
    reply = msgspec.json.decode(told, type=ProfileReply)
    if reply.failure:
        raise WorkerError(reply.failure)
    return reply


@contextlib.contextmanager
def _child(request: OpenRequest) -> Iterator[tuple[subprocess.Popen[bytes], int, tempfile._TemporaryFileWrapper[bytes]]]:
    """Start a child on its request; yield it with the pipe it answers on and the file of what it prints; end it."""
    answers, answer_to = os.pipe()
    try:
        with tempfile.NamedTemporaryFile() as chatter:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own module
                    harness.command("mnbench.measure.profiling", answer_to),
                    stdin=subprocess.PIPE,
                    stdout=chatter,
                    stderr=subprocess.STDOUT,
                    pass_fds=(answer_to,),
                    env=environment_of(request.case),
                    start_new_session=True,  # Ctrl-C is the parent's to handle
                )
            finally:
                os.close(answer_to)
            with process:
                try:
                    with contextlib.suppress(BrokenPipeError):  # it died at once; its silence tells
                        if process.stdin is not None:
                            process.stdin.write(msgspec.json.encode(request))
                            process.stdin.close()
                    yield process, answers, chatter
                finally:
                    process.send_signal(signal.SIGKILL)
    finally:
        os.close(answers)


def _read(pipe: int, timeout_s: float) -> bytes:
    """Return all that is written to a pipe until it is closed; nothing after `timeout_s`."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    chunks: list[bytes] = []
    while (left_ms := (deadline - time.monotonic()) * 1000) > 0 and poll.poll(left_ms):
        chunk = os.read(pipe, 1 << 20)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return b""


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile the request on standard input. Returns the exit code."""
    die_with_parent()
    (answer_to,) = (int(text) for text in (arguments or sys.argv[1:]))
    with os.fdopen(answer_to, "wb") as answers:
        try:
            reply = _profiled(msgspec.json.decode(sys.stdin.buffer.read(), type=OpenRequest))
        except MnbenchError as error:
            reply = ProfileReply(failure=str(error))
        except Exception as error:  # a runtime's own types; whatever it is, the user gets a sentence
            reply = ProfileReply(failure=f"{type(error).__name__}: {error}")
        answers.write(msgspec.json.encode(reply))
    return 1 if reply.failure else 0


def _profiled(request: OpenRequest) -> ProfileReply:
    """Time the case as it is, profile it, and time it again. Raises WorkerError as `open_session` and `check_affinity` do.

    The plain inferences before and after stand for those at the profile's time: what drifts evenly cancels.
    """
    reader, workload = CounterReader(request.cpus), ReferenceWorkload(request.cpus)
    plain, _ = open_session(request)
    gc.collect()
    gc.freeze()
    gc.disable()
    measure_round(plain, WARM_UP, reader, workload, 0)
    rounds = [measure_round(plain, KEPT, reader, workload, 0)]
    opened, told = open_session(request, profilers.get(request.case.backend))
    session = cast(ProfiledSession, opened)
    measure_round(session, WARM_UP, reader, workload, 0)
    session.begin()
    rounds.append(measure_round(session, KEPT, reader, workload, 0))
    nodes = session.nodes()
    measure_round(plain, WARM_UP, reader, workload, 0)
    rounds.append(measure_round(plain, KEPT, reader, workload, 0))
    check_affinity(request.cpus)
    before_ns, profiled_ns, after_ns = (statistics.fmean((*kept.settle_ns, *kept.latencies_ns)) for kept in rounds)
    return ProfileReply(
        nodes=tuple(nodes),
        whole_ns=profiled_ns,
        plain_ns=(before_ns + after_ns) / 2,
        inferences=len(rounds[1].settle_ns) + len(rounds[1].latencies_ns),
        cut_ns=session.cut_ns,
        effective=told.effective,
        disturbances=_disturbances(rounds, request),
    )


def _disturbances(rounds: Sequence[RoundReply], request: OpenRequest) -> tuple[str, ...]:
    """Name all that spoiled one of the rounds."""
    threads, other_cpus, usual = request.case.threads, (os.cpu_count() or 1) - len(request.cpus), UsualSpeed()
    for kept in rounds:
        usual.remember(kept.workload_before_ns, kept.workload_after_ns)
    return tuple(dict.fromkeys(name for kept in rounds for name in disturbances(kept, threads, other_cpus, usual)))
