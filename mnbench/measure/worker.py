"""The child process of a launch: pins itself, opens one session, checks it, and times rounds when asked.

`harness.command("mnbench.measure.worker", IN, OUT)` runs it, with the numbers of two inherited pipes. Standard output and
error are the launch's log. The runtime is imported only after the process is pinned and its environment is set by the parent.
It may run in an environment that has numpy and msgspec beside the runtime, and nothing else.
"""

from __future__ import annotations

import errno
import functools
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mnbench import backends
from mnbench.backends import Feed, Opener, Session
from mnbench.environment.kernel import kibibytes
from mnbench.environment.topology import online
from mnbench.errors import MnbenchError, WorkerError
from mnbench.measure import messages, timing
from mnbench.measure.counters import CounterReader
from mnbench.measure.messages import Failed, OpenReply, OpenRequest, RoundReply, RoundRequest, Started
from mnbench.measure.planted import SlowedSession
from mnbench.measure.workload import ReferenceStream, ReferenceWorkload
from mnbench.records import Artifact, Remark
from mnbench.sources.feeds import Difference, difference
from mnbench.system.processes import bound_files, die_with_parent

SPIN_S = 0.01
LONGEST_FILE_BYTES = 64 << 20
"""That a worker may write: its log is shortened between turns, and in one turn an endless writer could fill the disk."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one launch until the parent closes the pipe. Returns the exit code."""
    fd_in, fd_out = (int(text) for text in (arguments or sys.argv[1:]))
    die_with_parent()
    bound_files(LONGEST_FILE_BYTES)
    with os.fdopen(fd_in, "rb") as requests, os.fdopen(fd_out, "wb") as replies:
        try:
            _serve(requests, replies)
        except MnbenchError as error:
            replies.write(messages.encode(Failed(reason=str(error))))
            return 1
        except Exception as error:
            replies.write(messages.encode(Failed(reason=_reason(error))))
            raise  # the traceback belongs in the log
    return 0


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return f"it wrote more than {LONGEST_FILE_BYTES >> 20} MiB into {error.filename or 'its log'} in one turn."
    return f"{type(error).__name__}: {error}"


def _serve(requests: BinaryIO, replies: BinaryIO) -> None:
    _say(replies, Started())
    opened: _Opened | None = None
    stream = functools.cache(ReferenceStream)  # one for all that is opened, and none before it is asked for
    idle_since_ns = time.process_time_ns()
    while line := requests.readline():
        idle_cpu_ns = time.process_time_ns() - idle_since_ns
        asked = messages.decode(line)
        if isinstance(asked, OpenRequest):
            if opened is not None:
                opened.session.close()
                opened = None  # before the next one opens, which would otherwise find this one's memory taken
            session, reply = open_session(asked)
            opened = _Opened(
                session=session, cpus=asked.cpus, reader=CounterReader(asked.cpus), workload=ReferenceWorkload(asked.cpus)
            )
            gc.collect()
            gc.freeze()
            gc.disable()
            _say(replies, reply)
        elif isinstance(asked, RoundRequest) and opened is not None:
            check_affinity(opened.cpus)
            before_ns = stream().time_ns() if asked.stream else None
            measured = measure_round(opened.session, asked, opened.reader, opened.workload, idle_cpu_ns)
            if asked.stream:
                measured = replace(measured, stream_before_ns=before_ns, stream_after_ns=stream().time_ns())
            check_affinity(opened.cpus)  # and again: a runtime may have moved a thread meanwhile
            _say(replies, measured)
        else:
            raise WorkerError(f"{type(asked).__name__} cannot be answered {'now' if opened else 'before a model is open'}.")
        idle_since_ns = time.process_time_ns()
    if opened is not None:
        opened.session.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """The session that is open, and what its rounds are watched with."""

    session: Session
    cpus: tuple[int, ...]
    reader: CounterReader
    workload: ReferenceWorkload


def open_session(request: OpenRequest, opener: Opener | None = None) -> tuple[Session, OpenReply]:
    """Pin this process, open the artefact (with `opener`, else as its backend does) and check what was opened.

    Raises WorkerError when outputs of a network of the catalog differ from torch's, or a setting read back is not the one
    requested.
    """
    case = request.case
    pin(request.cpus)
    artifact = request.artifact
    as_filed = artifact is not None and not artifact.strict and case.precision in backends.AS_FILED
    backend = backends.require(case.backend, "fp32" if as_filed else case.precision)
    feed = Feed.load(Path(request.cache) / artifact.feed_path, artifact, request.layout) if artifact else None
    before_import_ns = time.perf_counter_ns()
    backend.load_runtime()
    imported_bytes = resident_bytes("VmRSS")
    before_open_ns = time.perf_counter_ns()
    opens: Opener = opener or backend.open
    session: Session = opens(request.artifact, Path(request.cache), feed, threads=case.threads, precision=case.precision)
    opened_ns = time.perf_counter_ns()
    if case.planted_pct:
        session = SlowedSession(session, case.planted_pct)
    session.run()
    ran_ns = time.perf_counter_ns()
    peak_bytes = resident_bytes("VmHWM")
    pin(request.cpus)  # a runtime may have narrowed the mask while it opened the model
    check_affinity(request.cpus)
    effective = {**session.effective(), "affinity": ",".join(map(str, sorted(os.sched_getaffinity(0))))}
    requested = {"threads": str(case.threads), "streams": "1", "precision": case.precision}
    remarks: list[Remark] = []
    if as_filed:
        del requested["precision"]  # the file decides
        if (computed := effective["precision"]) and case.precision not in computed and case.backend != "ort":
            what = f"the file is in {case.precision}; this runtime computes in {computed}"
            remarks.append(Remark(code="computed-otherwise", observed=what))
    backends.check_effective(requested, effective)
    told = Difference()
    if artifact is not None and artifact.strict and artifact.reference:
        require_limit(artifact, case.precision)
    if feed is not None and artifact is not None and feed.outputs and (outputs := session.outputs()):
        told = difference(outputs, feed.outputs, feed.output_specs)
        remarks += judge(told, artifact, case.precision)
    compared = feed is not None and bool(feed.outputs)
    return session, OpenReply(
        effective=effective,
        import_ns=before_open_ns - before_import_ns,
        load_ns=opened_ns - before_open_ns,
        first_ns=ran_ns - opened_ns,
        imported_bytes=imported_bytes,
        peak_bytes=peak_bytes,
        max_abs_error=told.max_abs if compared and np.isfinite(told.max_abs) else None,
        max_rel_error=told.max_rel if compared and np.isfinite(told.max_rel) else None,
        remarks=tuple(remarks),
        ended_ns=time.perf_counter_ns(),
    )


def require_limit(artifact: Artifact, precision: str) -> float:
    """Return how far outputs in a precision may be from torch's. Raises WorkerError where the artefact does not say."""
    if precision not in artifact.explained_rel_error:
        known = ", ".join(artifact.explained_rel_error)
        raise WorkerError(
            f"outputs in {precision} cannot be judged: how far they may be from torch's is known for {known} only."
        )
    return artifact.explained_rel_error[precision]


def judge(told: Difference, artifact: Artifact, precision: str) -> Iterator[Remark]:
    """Yield what is to be said of outputs that differ from the reference's by more than a precision explains.

    Raises WorkerError instead for a network of the catalog, whose reference is right.
    """
    limit = artifact.explained_rel_error.get(precision)
    if artifact.strict:
        limit = require_limit(artifact, precision)
        if told.told:
            raise WorkerError(f"{told.told}.")
        if not told.max_rel <= limit:
            raise WorkerError(
                f"the outputs are {told.max_rel:.2g} (relative) away from torch's; "
                f"this precision explains no more than {limit:.2g}."
            )
        return
    names = {remark.code for remark in artifact.remarks}
    if names & {"differs-from-itself", "empty-answers"}:
        return
    if told.told:
        yield Remark(code="outputs-differ", observed=f"{told.told} (this runtime and {artifact.reference})")
    elif told.max_rel > (limit or 0.0):
        explained = "" if limit is None else f"; this precision explains {limit:.2g}"
        yield Remark(
            code="outputs-differ",
            observed=f"its outputs differ from those of {artifact.reference} by {told.max_rel:.2g} of the largest{explained}",
        )


def measure_round(
    session: Session, request: RoundRequest, reader: CounterReader, workload: ReferenceWorkload, idle_cpu_ns: int
) -> RoundReply:
    """Wait for a quiet CPU, let the transient pass, then time back-to-back inferences; or time cold ones.

    The reference workload is timed on both sides of the measured part, outside what the counters see.
    """
    waited_ns = workload.wait_until(request.quiet_ns, int(request.patience_ms * 1e6))
    started_ns = time.perf_counter_ns()
    if request.cold_samples:
        evict = evictor(request.evict_bytes, os.sched_getaffinity(0))
        settle_ns: list[int] = []
        workload_before_ns = workload.time_ns()
        before = reader.read()
        latencies_ns = timing.time_cold(session.run, evict, request.cold_samples)
    else:
        settle_ns = timing.time_for(session.run, int(request.settle_ms * 1e6), least=timing.LEAST_TO_SETTLE)
        let_pool_sleep(workload)
        workload_before_ns = workload.time_ns()
        before = reader.read()
        latencies_ns = timing.time_for(session.run, int(request.target_ms * 1e6), most=request.most, least=request.least)
    seen = reader.read().since(before)
    let_pool_sleep(workload)
    return RoundReply(
        started_ns=started_ns,
        settle_ns=tuple(settle_ns),
        latencies_ns=tuple(latencies_ns),
        waited_ns=waited_ns,
        wall_ns=seen.wall_ns,
        cpu_ns=seen.cpu_ns,
        idle_cpu_ns=idle_cpu_ns,
        voluntary_switches=seen.voluntary_switches,
        involuntary_switches=seen.involuntary_switches,
        page_faults=seen.page_faults,
        run_queue_wait_ns=seen.run_queue_wait_ns,
        steal_ns=seen.steal_ns,
        foreign_cpu_ns=seen.foreign_cpu_ns,
        other_cpus_ns=seen.other_busy_ns,
        busy_threads=seen.busy_threads(),
        busiest_ns=seen.busiest_ns,
        pressure_us=seen.pressure_us,
        throttled_ns=seen.throttled_ns,
        workload_before_ns=workload_before_ns,
        workload_after_ns=workload.time_ns(),
        ended_ns=time.perf_counter_ns(),
    )


def let_pool_sleep(workload: ReferenceWorkload) -> None:
    """Wait until the threads of a runtime's pool sleep, which would spin beside the reference workload on the measured CPUs.

    They spin for some milliseconds after an inference, as they do for a user (OpenMP's and onnxruntime's defaults).
    """
    if workload.several:
        time.sleep(SPIN_S)


def evictor(size_bytes: int, cpus: Collection[int]) -> Callable[[], None]:
    """Return a function that reads and writes `size_bytes` of memory on each CPU in turn, so that little else stays cached."""
    block = np.ones(max(1, size_bytes // 8), np.float64)

    def evict() -> None:
        for cpu in cpus:
            with suppress(PermissionError):  # a sandbox lets nobody move: then on the CPU that it is on
                os.sched_setaffinity(0, {cpu})
            np.add(block, 1.0, out=block)
        with suppress(PermissionError):
            os.sched_setaffinity(0, cpus)

    return evict


def resident_bytes(field: str, root: Path = Path("/")) -> int | None:
    """Return a size of this process from /proc/self/status: VmRSS now, VmHWM at its peak. None where it is not told."""
    return kibibytes(root / "proc/self/status", field)


def pin(cpus: Iterable[int]) -> None:
    """Pin every thread of this process to `cpus`, as far as the system lets it: `check_affinity` says whether that was enough.

    Some sandboxes let a thread move itself alone. Threads that start later take over what their maker has.
    Raises WorkerError where none of the CPUs is on.
    """
    for number in _threads():
        try:
            os.sched_setaffinity(0 if number == threading.get_native_id() else number, cpus)
        except (ProcessLookupError, PermissionError):  # it ended meanwhile, or may not be moved
            continue
        except OSError as error:
            raise WorkerError(f"CPUs {sorted(cpus)} cannot be used: {error.strerror}; they may be offline.") from error


def _threads() -> list[int]:
    """Return the numbers of this process's threads; where there is no /proc, that of this thread alone.

    The others then have the CPUs of the one that started them, unless a runtime moved them, and no counter tells of them.
    """
    try:
        return [int(task.name) for task in Path("/proc/self/task").iterdir()]
    except OSError:
        return [threading.get_native_id()]


def check_affinity(cpus: Iterable[int]) -> None:
    """Raise WorkerError unless every thread of this process, as far as they are known, may run on exactly `cpus`."""
    wanted = set(cpus)
    for number in _threads():
        try:
            got = os.sched_getaffinity(number)
        except ProcessLookupError:  # it ended meanwhile
            continue
        if got != wanted:
            off = sorted(wanted - set(online(Path("/")) or wanted))
            why = f" CPU {off[0]} was taken offline." if off else ""
            raise WorkerError(f"a thread may run on CPUs {sorted(got)}, not on {sorted(wanted)} as requested.{why}")


def _say(replies: BinaryIO, message: messages.Message) -> None:
    replies.write(messages.encode(message))
    replies.flush()
