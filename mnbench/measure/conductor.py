"""What every way of carrying out a plan shares: opening cases, timing rounds, storing what came out, and the clock of the run.

`measure/conduct.py` has waves (a process a case), `measure/sweep.py` has sweeps (a process that opens many cases in turn).
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mnbench.errors import WorkerError
from mnbench.measure.allocation import rounds_worth, unfinished
from mnbench.measure.disturbance import disturbances
from mnbench.measure.launcher import Worker
from mnbench.measure.messages import OpenReply, OpenRequest, RoundReply, RoundRequest
from mnbench.measure.workload import UsualSpeed
from mnbench.records import Artifact, Case, LaunchFailure, Memory, Plan, Round, Samples
from mnbench.stats.drift import readings_of

MOST_REPEATS = 2
"""Extra attempts at a disturbed round."""
MOST_FAILURES = 2


class Sink(Protocol):
    """Where results go the moment they exist, so that nothing measured can be lost."""

    def launch(self, samples: Samples) -> None:
        """Keep a launch that has opened; it has no rounds yet."""

    def round(self, case: Case, launch: int, measured: Round) -> None: ...

    def memory(self, memory: Memory) -> None: ...

    def failure(self, failure: LaunchFailure) -> None: ...

    def elapsed(self, measuring_s: float) -> None:
        """Keep the time spent on measuring so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the run stands; for a progress bar."""

    elapsed_s: float
    left_s: float
    wave: int
    waves: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Already:
    """What an interrupted run has behind it."""

    waves: int = 0
    elapsed_s: float = 0.0
    samples: tuple[Samples, ...] = ()
    failures: tuple[LaunchFailure, ...] = ()
    memory: tuple[Memory, ...] = ()


@dataclass(slots=True)
class _Spent:
    """What launches and rounds of one case took."""

    start_s: list[float] = field(default_factory=list)
    round_s: list[float] = field(default_factory=list)


class Conductor:
    """The state of one run: the clock, the cases still in play, and the count of rounds."""

    def __init__(
        self,
        plan: Plan,
        artifacts: Mapping[str, Artifact | None],
        cache: Path,
        logs: Path,
        sink: Sink,
        progress: Callable[[Progress], None],
        already: Already,
    ) -> None:
        self._plan, self._artifacts, self._cache, self._logs = plan, artifacts, cache, logs
        self._sink, self._progress = sink, progress
        self._start_ns = time.perf_counter_ns() - int(already.elapsed_s * 1e9)
        self._order = max((r.order + 1 for samples in already.samples for r in samples.rounds), default=0)
        self._wave = already.waves
        self._wave_s: list[float] = []
        self._spent = {case.id: _Spent() for case in plan.cases}
        self._failures = Counter(failure.case.id for failure in already.failures)
        self._failed_launches: set[tuple[str, int]] = set()
        self._weighed = {(memory.case.id, memory.launch) for memory in already.memory}
        self._usual_speed: defaultdict[tuple[int, ...], UsualSpeed] = defaultdict(UsualSpeed)
        self._round_logs: dict[str, dict[int, list[float]]] = {case.id: {} for case in plan.cases}
        self._stream_logs: dict[str, dict[int, list[float]]] = {case.id: {} for case in plan.cases}
        noted = [measured for samples in already.samples for measured in samples.rounds if measured.regime == "steady"]
        # A sweep's rounds are too short for it; a run begun by an older version has no columns for it.
        self._streams = not plan.sweep and all(map(readings_of, noted))
        for samples in already.samples:
            for measured in samples.rounds:
                self._note(samples.case, samples.launch, measured)
        self._remember_speed(already)

    def _remember_speed(self, already: Already) -> None:
        """Learn the usual speed from an interrupted run's readings, or its two halves could be of two speeds."""
        done = [(measured, samples.case) for samples in already.samples for measured in samples.rounds]
        for measured, case in sorted(done, key=lambda pair: pair[0].order):
            if measured.workload_before_ns is not None and measured.workload_after_ns is not None:
                self._usual_speed[self._cpus_of(case)].remember(measured.workload_before_ns, measured.workload_after_ns)

    def elapsed_s(self) -> float:
        return (time.perf_counter_ns() - self._start_ns) / 1e9

    def time_for_wave(self) -> bool:
        """Say whether another wave ends within the budget."""
        return self.elapsed_s() + self._expected_wave_s() <= self._plan.budget_s

    def unfinished(self) -> list[Case]:
        """Return the cases that need another wave and have not failed for good."""
        alive = [case for case in self._plan.cases if not self._given_up(case)]
        return unfinished(replace(self._plan, cases=tuple(alive)), self._round_logs, self._stream())

    def _stream(self) -> dict[int, float]:
        """Return the log time of the reference stream by launch, as the analysis will see it."""
        readings: defaultdict[int, list[float]] = defaultdict(list)
        for by_launch in self._stream_logs.values():
            for launch, found in by_launch.items():
                readings[launch] += found
        return {launch: statistics.median(found) for launch, found in readings.items() if found}

    def memory_pass(self) -> None:
        """Open each case, alone and untimed, for what it holds in memory; as many times as the plan says, all cases in turn."""
        for launch in range(self._plan.memory_launches):
            for case in self._plan.cases:
                if (case.id, launch) not in self._weighed and self._failures[case.id] < MOST_FAILURES:
                    self._weigh(case, launch)
            self._sink.elapsed(self.elapsed_s())

    def _weigh(self, case: Case, launch: int) -> None:
        with self._workers([case], launch) as workers:
            what = f"memory of {case.model} in {case.backend}"
            reply = self._ask_open(workers[case.id], case, launch, what) if case.id in workers else None
        if reply is not None:
            self._weighed.add((case.id, launch))
            imported, peak = reply.imported_bytes, reply.peak_bytes
            self._sink.memory(Memory(case=case, launch=launch, imported_bytes=imported, peak_bytes=peak))

    @contextmanager
    def _workers(self, cases: Sequence[Case], launch: int) -> Iterator[dict[str, Worker]]:
        """Start the interpreters of a group; none imports a runtime before its turn to open. End them all on the way out."""
        workers: dict[str, Worker] = {}
        try:
            for case in cases:
                began_ns = time.perf_counter_ns()
                try:
                    workers[case.id] = self._worker(case, f"{case.id}-{launch}.log")
                except WorkerError as error:
                    self._fail(case, launch, str(error), "", began_ns)
            if {"first", "load"} & set(self._plan.regimes):  # which a dozen interpreters starting would disturb
                for worker in workers.values():
                    with suppress(WorkerError):  # it is reported when the worker's turn to open comes
                        worker.wait_until_started(self._plan.timeout_s)
            yield workers
        finally:
            for worker in workers.values():
                worker.close()

    def _worker(self, case: Case, log: str) -> Worker:
        """Start a worker in the environment of its case. Raises WorkerError."""
        return Worker(case, self._logs / log, self._plan.tool_environment(case).python)

    def _open(self, worker: Worker, case: Case, launch: int) -> bool:
        began_s = self.elapsed_s()
        reply = self._ask_open(worker, case, launch, f"opening {case.model} in {case.backend}")
        if reply is None:
            return False
        self._spent[case.id].start_s.append(self.elapsed_s() - began_s)
        self._sink.launch(_launch(case, launch, reply))
        return True

    def _cpus_of(self, case: Case) -> tuple[int, ...]:
        """Return the CPUs a case is pinned to: all of the plan's, which in a wave all cases share."""
        return self._plan.cpus

    def _ask_open(self, worker: Worker, case: Case, launch: int, what: str) -> OpenReply | None:
        """Open a case; None when the budget is spent, or it fails, which is reported."""
        if self._over():
            return None
        self._tell(what)
        artifact, cpus = self._artifacts[case.id], self._cpus_of(case)
        cache = self._plan.tool_environment(case).artifacts or str(self._cache)
        request = OpenRequest(case=case, artifact=artifact, cache=cache, cpus=cpus)
        began_ns = time.perf_counter_ns()
        try:
            return worker.open(request, self._plan.timeout_s)
        except WorkerError as error:
            self._fail(case, launch, str(error), worker.log_tail(), began_ns)
            return None

    def _rounds(self, worker: Worker, case: Case, launch: int, index: int, regime: str) -> None:
        """Time one round; repeat it while it was disturbed, at most twice. All are kept."""
        request = RoundRequest(
            settle=self._plan.settle,
            target_ms=self._plan.round_target_ms,
            cold_samples=self._plan.cold_samples if regime == "cold" else 0,
            evict_bytes=self._plan.evict_bytes,
            least=self._plan.least_inferences,
            most=self._plan.most_inferences,
            stream=regime == "steady" and self._streams,
        )
        for _ in range(1 + MOST_REPEATS):
            began_s, began_ns = self.elapsed_s(), time.perf_counter_ns()
            try:
                reply = worker.round(request, self._plan.timeout_s)
            except WorkerError as error:
                self._fail(case, launch, str(error), worker.log_tail(), began_ns)
                return
            measured = self._place(reply, index, regime, case)
            self._note(case, launch, measured)
            if regime == "steady":
                self._spent[case.id].round_s.append(self.elapsed_s() - began_s)
            self._sink.round(case, launch, measured)
            self._sink.elapsed(self.elapsed_s())
            if not measured.disturbances or self._over():
                break

    def _note(self, case: Case, launch: int, measured: Round) -> None:
        """Remember a round for deciding where the time goes next."""
        if measured.regime == "steady" and not measured.disturbances:
            logs = self._round_logs.setdefault(case.id, {}).setdefault(launch, [])
            logs.append(math.log(max(1.0, statistics.median(measured.latencies_ns))))
            self._stream_logs.setdefault(case.id, {}).setdefault(launch, []).extend(readings_of(measured))

    def _rounds_worth(self, case: Case) -> int:
        """Return the rounds for a launch of a case: the plan's number, or with a target what its variances make best."""
        default, spent = self._plan.rounds_per_launch, self._spent[case.id]
        if self._plan.target_ci_pct is None or not spent.round_s:
            return default
        start_s, round_s = statistics.median(spent.start_s), statistics.median(spent.round_s)
        return rounds_worth(self._round_logs[case.id], start_s, round_s, default)

    def _place(self, reply: RoundReply, index: int, regime: str, case: Case) -> Round:
        fields = {name: getattr(reply, name) for name in RoundReply.__slots__ if name != "started_ns"}
        cpus = self._cpus_of(case)
        usual = self._usual_speed[cpus]
        usual.remember(reply.workload_before_ns, reply.workload_after_ns)
        measured = Round(
            index=index,
            regime=regime,
            order=self._order,
            started_ns=reply.started_ns - self._start_ns,
            disturbances=disturbances(reply, case.threads, (os.cpu_count() or 1) - len(cpus), usual),
            **fields,
        )
        self._order += 1
        return measured

    def _fail(self, case: Case, launch: int, reason: str, log_tail: str, began_ns: int) -> None:
        """Report a failure. What the launch measured is not used, and the time it took is not taken from the others."""
        self._start_ns += time.perf_counter_ns() - began_ns
        self._sink.failure(LaunchFailure(case=case, launch=launch, reason=reason, log_tail=log_tail))
        self._failed_launches.add((case.id, launch))
        self._failures[case.id] += 1
        self._round_logs[case.id].pop(launch, None)
        self._stream_logs[case.id].pop(launch, None)

    def _given_up(self, case: Case) -> bool:
        """A case is left out after two failures, or after one if it never gave a figure in this sitting."""
        if any(failed == case.id for failed, _ in self._failed_launches) and not self._round_logs[case.id]:
            return True
        return self._failures[case.id] >= MOST_FAILURES

    def _over(self) -> bool:
        return self.elapsed_s() >= self._plan.budget_s

    def _expected_wave_s(self) -> float:
        """The longer of the last two waves: with a target, waves become shorter as cases finish."""
        return max(self._wave_s[-2:], default=0.0)

    def _tell(self, what: str) -> None:
        elapsed_s, wave_s = self.elapsed_s(), self._expected_wave_s()
        waves, left_s = self._plan.launches, max(0.0, self._plan.budget_s - elapsed_s)
        if wave_s:
            waves = min(waves, self._wave + 1 + int(left_s / wave_s))
            left_s = min(left_s, (waves - self._wave) * wave_s)
        self._progress(Progress(elapsed_s=elapsed_s, left_s=left_s, wave=self._wave + 1, waves=waves, what=what))


def _launch(case: Case, launch: int, reply: OpenReply) -> Samples:
    return Samples(
        case=case,
        launch=launch,
        effective=reply.effective,
        import_ns=reply.import_ns,
        load_ns=reply.load_ns,
        first_ns=reply.first_ns,
        max_abs_error=reply.max_abs_error,
        max_rel_error=reply.max_rel_error,
    )
