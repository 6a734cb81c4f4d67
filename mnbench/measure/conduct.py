"""Carry out a plan: waves of launches that take turns, until the launches are made or the budget is spent.

A *wave* starts one fresh process of every case. Each opens its model, checks it, and is stopped. Then the cases take turns in
three passes, one short round each, every pass in another random order; the wave ends and the next begins with new processes. So
launches are interleaved, neighbours in time are comparable, and a case is seen in as many fresh processes as there are waves. A
*block* is a part of the waves; the blocks of a run are spread over time.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path

from mnbench.environment import available_memory_bytes
from mnbench.measure.conductor import Already, Conductor, Progress, Sink
from mnbench.measure.sweep import Sweeps
from mnbench.records import Artifact, Case, Caveat, Plan
from mnbench.stats.analysis import pairs_of
from mnbench.system.processes import spare_files

WORKER_BYTES = 400 << 20
"""Memory to allow for one live worker: the largest network of the table takes about 300 MiB in either runtime."""
IMAGE_BYTES = 20 << 20
"""Activations of one image of the largest network."""
FILES_OF_A_WORKER = 2
"""That the parent holds open for a live worker: a pipe's end each way."""
RESERVE_S = 0.5
"""Of the budget: a wave that takes a little longer than the last one keeps its last rounds."""
CHANCES = 3
"""Times the launches that the harness and the cold latency ask for: so many waves may try, disturbed rounds included."""
SHORTEST, LONGEST = 0.75, 2.0
"""Times its planned length that a round may have, so that whole waves use up the budget."""


def conduct(
    plan: Plan,
    artifacts: Mapping[str, Sequence[Artifact]],
    cache: Path,
    logs: Path,
    sink: Sink,
    progress: Callable[[Progress], None] = lambda _: None,
    already: Already | None = None,
) -> None:
    """Measure the plan's cases. `artifacts` has the files of each case by its id, which launches use in turn; logs of workers
    that said something stay in `logs`.

    A case whose worker fails is reported to the sink and left out after its second failure, or its first if it never gave a
    figure; the others go on. Raises nothing for a failing worker, WorkerError when none can be started; KeyboardInterrupt
    passes through after the workers ended.
    """
    already = already or Already()
    if plan.sweep:
        Sweeps(plan, artifacts, cache, logs, sink, progress, already).carry_out()
        return
    waves = _Waves(plan, artifacts, cache, logs, sink, progress, already)
    if "memory" in plan.regimes and not already.samples:
        waves.memory_pass()
    waves.carry_out()


def memory_caveats(plan: Plan, available_bytes: int | None) -> tuple[Caveat, ...]:
    """Return what is to be said before measuring where the available memory may not hold one worker.

    It is no reason to refuse: cached files in use may give way, and small networks need less. Unknown memory is said by the
    host's record.
    """
    needed = max((_bytes_of(case) for case in plan.cases), default=0)
    if available_bytes is None or available_bytes >= needed:
        return ()
    short = Caveat(
        code="memory-short",
        subject="memory",
        observed=f"{available_bytes >> 20} MiB were available at the start; a single worker may need {needed >> 20} MiB",
        advice="One case is measured at a time, and the kernel may swap or kill it. Free memory, raise the container's limit, "
        "or measure smaller networks or batches.",
    )
    return (short,)


def _bytes_of(case: Case) -> int:
    return WORKER_BYTES + case.batch * IMAGE_BYTES


class _Waves(Conductor):
    """One process a case, all of a wave alive together and taking turns."""

    def carry_out(self) -> None:
        """Make the waves of each block that is not made yet, from its time on until its part of the budget is spent."""
        first_block = self._block
        began_s = time.monotonic()
        for block in range(first_block, self._plan.blocks):
            self._block = block
            if block > first_block:
                self._wait(began_s + (block - first_block) * self._plan.over_s / max(1, self._plan.blocks - 1))
            until_s = self._plan.budget_s * (block + 1) / self._plan.blocks
            most = self._plan.launches * (block + 1) // self._plan.blocks
            while self._wave < most and (not self._wave or self._fits(until_s)) and (due := self._due()):
                self._make_wave(due, self._round_ms(len(due), until_s))

    @cached_property
    def _pivots(self) -> frozenset[Case]:
        """The cases that three ratios or more rest on: they get two turns in each pass, as their noise is in all of these."""
        ratios = Counter(baseline for _, baseline in pairs_of(self._plan))
        return frozenset(case for case, number in ratios.items() if number >= 3)

    def _due(self) -> list[Case]:
        """Return the cases of the next wave: the harness itself is timed until it has its launches, or has had its chances."""
        due = self.unfinished()
        harness = [case for case in due if not self._artifacts[case.id]]
        rests = {case for case in harness if not self._needs(case, "steady", self._plan.harness_launches)}
        return due if len(harness) == len(due) else [case for case in due if case not in rests]

    def _needs(self, case: Case, regime: str, launches: int) -> bool:
        """Say whether a case lacks some of the few launches that a regime asks for; a disturbed one is made up for."""
        return self._wave < CHANCES * launches and self._usable(case, regime) < launches

    def _fits(self, until_s: float) -> bool:
        """Say whether another wave ends within this part of the budget, if need be with shorter rounds."""
        cases = len(self._due())
        return until_s - self.elapsed_s() >= self._expected_wave_s() + self._stretch_s(SHORTEST * self._planned_ms, cases)

    def _round_ms(self, cases: int, until_s: float) -> float:
        """Return how long the rounds of the next wave are, so that whole waves use up the budget: as many as fit."""
        wave_s, left_s = self._expected_wave_s(), until_s - self.elapsed_s() - RESERVE_S
        if not wave_s or self._plan.target_ci_pct is not None:
            return self._planned_ms
        waves = max(1, int(left_s / (wave_s + self._stretch_s(SHORTEST * self._planned_ms, cases))))
        spare_ms = (left_s / waves - wave_s) * 1000 / (cases * self._plan.rounds_per_launch)
        return min(LONGEST * self._planned_ms, max(SHORTEST * self._planned_ms, self._planned_ms + spare_ms))

    @property
    def _planned_ms(self) -> float:
        return self._plan.round_target_ms

    def _stretch_s(self, round_ms: float, cases: int) -> float:
        """Return by how much a wave is longer than one of planned rounds."""
        return (round_ms - self._plan.round_target_ms) / 1000 * cases * self._plan.rounds_per_launch

    def _wait(self, until_s: float) -> None:
        """Sleep until a moment of the monotonic clock; the budget does not count it."""
        began_ns = time.perf_counter_ns()
        while (left_s := until_s - time.monotonic()) > 0:
            self._tell(f"waiting for block {self._block + 1} of {self._plan.blocks}, {left_s / 60:.0f} min")
            time.sleep(min(left_s, 10.0))
        self._unspent_ns += time.perf_counter_ns() - began_ns
        self._gaps.skip()

    def _make_wave(self, cases: Sequence[Case], round_ms: float) -> None:
        """Start one launch of each case, let them take turns, end them."""
        began_s = self.elapsed_s()
        order = list(cases)
        random.Random(f"{self._plan.seed}/start/{self._wave}").shuffle(order)  # noqa: S311 - an order, not a secret
        memory_bytes = available_memory_bytes()  # unknown: the wave stays whole, for its cases are compared with each other
        in_memory = len(order) if memory_bytes is None else int(memory_bytes * 0.6 / max(map(_bytes_of, order)))
        alive = max(1, min(in_memory, spare_files() // FILES_OF_A_WORKER))
        for first in range(0, len(order), alive):
            self._group(order[first : first + alive], self._wave, round_ms)
        self._wave += 1
        self._wave_s.append(self.elapsed_s() - began_s - self._stretch_s(round_ms, len(order)))  # of one with planned rounds
        self._sink.elapsed(self.elapsed_s())

    def _group(self, cases: Sequence[Case], launch: int, round_ms: float) -> None:
        """Open one launch of each case, give each its round in turn, end them all."""
        with self._workers(cases, launch) as workers, ExitStack() as stack:
            opened = [case for case in cases if case.id in workers and self._open(workers[case.id], case, launch)]
            stack.enter_context(_away_from(self._wave_cpus(launch)))
            steady = self._plan.rounds_per_launch
            cold = [case for case in opened if self._needs(case, "cold", self._plan.cold_launches)]
            for index in range(steady + ("cold" in self._plan.regimes)):
                turns = [*opened, *(case for case in opened if case in self._pivots)] if index < steady else cold
                random.Random(f"{self._plan.seed}/{launch}/{index}").shuffle(turns)  # noqa: S311
                for case in turns:
                    if self._over() or (case.id, launch) in self._failed_launches:
                        continue
                    self._tell(f"{case.model} in {case.backend}")
                    self._round(workers[case.id], case, launch, round_ms, cold=index == steady)


@contextmanager
def _away_from(cpus: Sequence[int]) -> Iterator[None]:
    """Keep this process off the measured CPUs: beside a busy CPU the kernel would have it wake up there."""
    before = os.sched_getaffinity(0)
    with suppress(PermissionError):  # a sandbox may not let it
        os.sched_setaffinity(0, before - set(cpus) or before)
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setaffinity(0, before)
