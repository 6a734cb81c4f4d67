"""What every way of carrying out a plan shares: opening cases, timing rounds, storing what came out, and the clock of the run.

`measure/conduct.py` has waves (a process a case), `measure/sweep.py` has sweeps (a process that opens many cases in turn).
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mnbench.errors import WorkerError
from mnbench.measure.allocation import unfinished
from mnbench.measure.disturbance import disturbances
from mnbench.measure.gaps import MOST_TOLD, GapWatch
from mnbench.measure.launcher import Worker
from mnbench.measure.layout import layout_of
from mnbench.measure.messages import OpenReply, OpenRequest, RoundReply, RoundRequest
from mnbench.measure.workload import UsualSpeed
from mnbench.records import BEFORE_LAUNCH, Artifact, Case, Caveat, LaunchFailure, Layout, Memory, Plan, Round, Samples
from mnbench.stats.condition import LOADED, LOADED_SHARE, busy_cpus
from mnbench.stats.rounds import usable_rounds
from mnbench.system.files import text_of

MOST_REPEATS = 1
"""Extra attempts at a disturbed round."""
MOST_FAILURES = 2
PATIENCE_MS = 500.0
"""How long a round waits for a quiet CPU: about as long as it takes, because a longer wait costs more than it saves."""
LOADS_REMEMBERED = 24
FEWEST_LOADS = 6


class Sink(Protocol):
    """Where results go the moment they exist, so that nothing measured can be lost."""

    def launch(self, samples: Samples) -> None:
        """Keep a launch that has opened; it has no rounds yet."""

    def round(self, case: Case, launch: int, measured: Round) -> None: ...

    def memory(self, memory: Memory) -> None: ...

    def failure(self, failure: LaunchFailure) -> None: ...

    def caveat(self, caveat: Caveat) -> None:
        """Keep what is to be said of the whole run."""

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


class Conductor:
    """The state of one run: the clock, the cases still in play, and the count of rounds."""

    def __init__(
        self,
        plan: Plan,
        artifacts: Mapping[str, Sequence[Artifact]],
        cache: Path,
        logs: Path,
        sink: Sink,
        progress: Callable[[Progress], None],
        already: Already,
    ) -> None:
        self._plan, self._artifacts, self._cache, self._log_folder = plan, artifacts, cache, logs
        self._sink, self._progress = sink, progress
        self._began_ns = time.perf_counter_ns() - int(already.elapsed_s * 1e9)
        self._unspent_ns = 0
        """Of the time since then: what is not taken from the budget (failed launches, waiting for the next block, gaps)."""
        self._gaps, self._gaps_told = GapWatch(time.perf_counter_ns), 0
        self._order = max((r.order + 1 for samples in already.samples for r in samples.rounds), default=0)
        self._wave = already.waves
        self._block = max((samples.block for samples in already.samples), default=0)
        self._wave_s: list[float] = []
        self._without_file = {failure.case.id for failure in already.failures if failure.launch == BEFORE_LAUNCH}
        self._failures = Counter(failure.case.id for failure in already.failures)
        self._failed_launches: set[tuple[str, int]] = set()
        self._weighed = {(memory.case.id, memory.launch) for memory in already.memory}
        self._usual_speed: defaultdict[tuple[int, ...], UsualSpeed] = defaultdict(lambda: UsualSpeed(plan.speed_tolerance_pct))
        self._loads: deque[float] = deque(maxlen=LOADS_REMEMBERED)
        self._samples = {(samples.case.id, samples.launch): samples for samples in already.samples}
        for failure in already.failures:
            self._samples.pop((failure.case.id, failure.launch), None)
        self._remember_speed(already)

    def _remember_speed(self, already: Already) -> None:
        """Learn the usual speed from an interrupted run's readings, or its two halves could be of two speeds."""
        done = [(measured, samples) for samples in already.samples for measured in samples.rounds]
        for measured, samples in sorted(done, key=lambda pair: pair[0].order):
            if measured.workload_before_ns is not None and measured.workload_after_ns is not None:
                usual = self._usual_speed[self._cpus_of(samples.case, samples.launch)]
                usual.remember(measured.workload_before_ns, measured.workload_after_ns)

    def elapsed_s(self) -> float:
        """Return the time spent on measuring so far, as the budget counts it."""
        return (time.perf_counter_ns() - self._began_ns - self._unspent_ns) / 1e9

    def unfinished(self) -> list[Case]:
        """Return the cases that need another wave and have not failed for good."""
        alive = [case for case in self._plan.cases if not self._given_up(case)]
        return unfinished(replace(self._plan, cases=tuple(alive)), self._samples.values(), os.cpu_count() or 1)

    def _usable(self, case: Case, regime: str) -> int:
        """Return how many launches of a case have an undisturbed round of a regime."""
        return sum(1 for samples in self._samples.values() if samples.case == case and usable_rounds(samples, regime))

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
            layout = replace(self._layout_of(case, launch), node_order=0)  # what a file needs is a figure of this one file
            reply = self._ask_open(workers[case.id], case, launch, what, layout) if case.id in workers else None
        if reply is None:
            return
        self._weighed.add((case.id, launch))
        imported, peak = reply.imported_bytes, reply.peak_bytes
        if imported is not None and peak is not None:  # else the figure stays empty
            self._sink.memory(Memory(case=case, launch=launch, imported_bytes=imported, peak_bytes=peak))

    @contextmanager
    def _workers(self, cases: Sequence[Case], launch: int) -> Iterator[dict[str, Worker]]:
        """Start the interpreters of a group; none imports a runtime before its turn to open. End them all on the way out."""
        workers: dict[str, Worker] = {}
        try:
            for case in cases:
                began_ns = time.perf_counter_ns()
                try:
                    workers[case.id] = self._worker(case, launch, f"{case.id}-{launch}.log")
                except WorkerError as error:
                    self._fail(case, launch, str(error), "", began_ns)
            if {"first", "load"} & set(self._plan.regimes):  # which a dozen interpreters starting would disturb
                for worker in workers.values():
                    with suppress(WorkerError):  # it is reported when the worker's turn to open comes
                        worker.wait_until_started(self._plan.timeout_s)
                self._gaps.skip()
            yield workers
        finally:
            for worker in workers.values():
                worker.close()

    def _worker(self, case: Case, launch: int, log: str) -> Worker:
        """Start a worker in the environment of its case, with the layout of its launch. Raises WorkerError."""
        python, padding = self._plan.tool_environment(case).python, self._layout_of(case, launch).environment_bytes
        return Worker(case, self._log_folder / log, python, padding)

    def _open(self, worker: Worker, case: Case, launch: int) -> bool:
        layout = self._layout_of(case, launch)
        reply = self._ask_open(worker, case, launch, f"opening {case.model} in {case.backend}", layout)
        if reply is None:
            return False
        opened = _launch(case, launch, self._block, layout, reply)
        self._samples[case.id, launch] = opened
        self._sink.launch(opened)
        return True

    def _cpus_of(self, case: Case, launch: int) -> tuple[int, ...]:
        """Return the CPUs a launch is pinned to: the last ones, as many as it has threads, of those that its wave has."""
        return self._wave_cpus(launch)[-case.threads :]

    def _wave_cpus(self, launch: int) -> tuple[int, ...]:
        """Return the CPUs of a wave: all of the plan's, or one of its sets."""
        sets = self._plan.cpu_sets or (self._plan.cpus,)
        return sets[launch % len(sets)]

    def _process_of(self, case: Case) -> str:
        """Return what tells apart the workers of a launch: here, each case has its own."""
        return case.id

    def _layout_of(self, case: Case, launch: int) -> Layout:
        """Return how the memory of a launch is laid out."""
        files = len(self._artifacts[case.id])
        return layout_of(self._plan.seed, case.id, launch, process=self._process_of(case), files=max(1, files))

    def _ask_open(self, worker: Worker, case: Case, launch: int, what: str, layout: Layout) -> OpenReply | None:
        """Open a case; None when the budget is spent, or it fails, which is reported."""
        if self._over():
            return None
        self._tell(what)
        files, cpus = self._artifacts[case.id], self._cpus_of(case, launch)
        artifact = files[layout.node_order] if files else None
        cache = self._plan.tool_environment(case).artifacts or str(self._cache)
        request = OpenRequest(case=case, artifact=artifact, cache=cache, cpus=cpus, layout=layout)
        self._look_for_gaps()
        began_ns = time.perf_counter_ns()
        try:
            reply = worker.open(request, self._plan.timeout_s)
        except WorkerError as error:
            self._fail(case, launch, str(error), worker.log_tail(), began_ns)
            return None
        self._look_for_gaps(reply.ended_ns)
        return reply

    def _round(self, worker: Worker, case: Case, launch: int, target_ms: float, *, cold: bool = False) -> None:
        """Time one round. A sweep's only one of a launch is repeated once if it was disturbed; both are kept."""
        regime = "cold" if cold else "steady"
        request = RoundRequest(
            settle_ms=self._plan.settle_ms,
            target_ms=target_ms,
            quiet_ns=self._usual_speed[self._cpus_of(case, launch)].quiet_ns(),
            patience_ms=PATIENCE_MS,
            cold_samples=self._plan.cold_samples if cold else 0,
            evict_bytes=self._plan.evict_bytes,
            least=self._plan.least_inferences,
            most=self._plan.most_inferences,
            stream=not cold and not self._plan.sweep,  # a sweep's rounds are too short for it
        )
        index = len(self._samples[case.id, launch].rounds)
        for _ in range(1 + (MOST_REPEATS if self._plan.sweep else 0)):
            self._look_for_gaps()
            began_ns = time.perf_counter_ns()
            try:
                reply = worker.round(request, self._plan.timeout_s)
            except WorkerError as error:
                self._fail(case, launch, str(error), worker.log_tail(), began_ns)
                return
            self._look_for_gaps(reply.ended_ns)
            measured = self._place(reply, index, regime, case, self._cpus_of(case, launch))
            opened = self._samples[case.id, launch]
            self._samples[case.id, launch] = replace(opened, rounds=(*opened.rounds, measured))
            self._sink.round(case, launch, measured)
            self._sink.elapsed(self.elapsed_s())
            if not self._is_worth_repeating(measured) or self._over():
                break

    def _is_worth_repeating(self, measured: Round) -> bool:
        """Say whether a round was disturbed by more than a load that is usual in this run."""
        reasons = set(measured.disturbances)
        load = busy_cpus(measured) if measured.wall_ns else None
        if not self._plan.quiet_only and len(self._loads) >= FEWEST_LOADS and load is not None:
            others = max(1, (os.cpu_count() or 1) - len(self._plan.cpus))
            if abs(load - statistics.median(self._loads)) <= LOADED_SHARE * others:
                reasons.discard(LOADED)
        return bool(reasons)

    def _place(self, reply: RoundReply, index: int, regime: str, case: Case, cpus: tuple[int, ...]) -> Round:
        fields = {name: getattr(reply, name) for name in RoundReply.__slots__ if name not in ("started_ns", "ended_ns")}
        usual = self._usual_speed[cpus]
        usual.remember(reply.workload_before_ns, reply.workload_after_ns)
        measured = Round(
            index=index,
            regime=regime,
            order=self._order,
            started_ns=reply.started_ns - self._began_ns,
            disturbances=disturbances(reply, case.threads, (os.cpu_count() or 1) - len(cpus), usual),
            **fields,
        )
        self._order += 1
        load = busy_cpus(measured) if regime == "steady" and measured.wall_ns else None
        if load is not None:
            self._loads.append(load)
        return measured

    def _fail(self, case: Case, launch: int, reason: str, log_tail: str, began_ns: int) -> None:
        """Report a failure. What the launch measured is not used, and the time it took is not taken from the others."""
        self._unspent_ns += time.perf_counter_ns() - began_ns
        self._gaps.skip()
        self._sink.failure(LaunchFailure(case=case, launch=launch, reason=text_of(reason), log_tail=log_tail))
        self._failed_launches.add((case.id, launch))
        self._failures[case.id] += 1
        self._samples.pop((case.id, launch), None)

    def _look_for_gaps(self, ready_ns: int | None = None) -> None:
        """Tell of a time in which nothing could be measured, and leave it out of the budget."""
        for gap in self._gaps.look(ready_ns):
            self._unspent_ns += int(gap.lasted_s * 1e9) if gap.counted else 0
            self._gaps_told += 1
            if self._gaps_told <= MOST_TOLD:
                self._sink.caveat(gap.caveat(self._gaps_told))

    def _given_up(self, case: Case) -> bool:
        """A case is left out after two failures, after one if it never gave a figure in this sitting, and without its file."""
        if case.id in self._without_file:
            return True
        gave_figures = any(samples.case == case and samples.rounds for samples in self._samples.values())
        if any(failed == case.id for failed, _ in self._failed_launches) and not gave_figures:
            return True
        return self._failures[case.id] >= MOST_FAILURES

    def _over(self) -> bool:
        return self.elapsed_s() >= self._plan.budget_s

    def _expected_wave_s(self) -> float:
        """That of the last wave: the first ones have cold rounds, and with a target waves become shorter as cases finish."""
        return self._wave_s[-1] if self._wave_s else 0.0

    def _tell(self, what: str) -> None:
        elapsed_s, wave_s = self.elapsed_s(), self._expected_wave_s()
        waves, left_s = self._plan.launches, max(0.0, self._plan.budget_s - elapsed_s)
        if wave_s:
            waves = min(waves, self._wave + 1 + int(left_s / wave_s))
            left_s = min(left_s, (waves - self._wave) * wave_s)
        self._progress(Progress(elapsed_s=elapsed_s, left_s=left_s, wave=self._wave + 1, waves=waves, what=what))


def _launch(case: Case, launch: int, block: int, layout: Layout, reply: OpenReply) -> Samples:
    return Samples(
        case=case,
        launch=launch,
        block=block,
        layout=layout,
        effective=reply.effective,
        import_ns=reply.import_ns,
        load_ns=reply.load_ns,
        first_ns=reply.first_ns,
        max_abs_error=reply.max_abs_error,
        max_rel_error=reply.max_rel_error,
        remarks=reply.remarks,
    )
