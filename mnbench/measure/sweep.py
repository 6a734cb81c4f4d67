"""Sweeps: grids of hundreds of cases, where a process for each case and launch would spend all its time on starting.

A launch is one fresh process per backend and thread count. It opens the cases one after the other, times one round of each, and
ends. Cases are visited in the plan's order, so that those to be compared (the copies of an operator, the operators of one
shape, the runtimes) stand side by side and drift cancels between them. Each launch begins elsewhere in the plan and goes the
other way round than the launch before: what came before a case, and whether a neighbour came before or after it, alternates.

What differs between processes (memory layout) differs between launches, and intervals are computed over launches, as in waves.
What an earlier case left behind in a process (a fragmented heap, say) is part of that spread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mnbench.errors import WorkerError
from mnbench.measure.conductor import Conductor
from mnbench.measure.launcher import Worker
from mnbench.records import Case, Plan

Group = tuple[str, int]
"""Backend and threads: what decides a worker's environment, which is set before its runtime is imported."""
WorkerOf = Callable[[Case], "Worker | None"]
GOLDEN = 0.6180339887
"""Launch n begins at this share of the plan times n: the starts of any number of launches are spread evenly."""


class Sweeps(Conductor):
    """Passes over all cases, until the launches are made or the budget is spent."""

    def carry_out(self) -> None:
        """Make the launches that are not made yet. A launch that an interruption cut short is completed by new processes."""
        for launch in range(self._plan.launches):
            if self._over() or not self.unfinished():
                break
            self._pass(launch)
            self._wave = launch + 1
            self._sink.elapsed(self.elapsed_s())

    def _pass(self, launch: int) -> None:
        began_s = self.elapsed_s()
        due = set(self.unfinished())
        with self._group_workers(launch) as worker_of:
            for case in order_of_sweep(self._plan, launch):
                if self._over():
                    return
                if case not in due or self._is_made(case, launch) or self._given_up(case):
                    continue
                worker = worker_of(case)
                if worker is not None and self._open(worker, case, launch):
                    self._tell(f"{case.model} in {case.backend}")
                    self._round(worker, case, launch, self._plan.round_target_ms)
        self._wave_s.append(self.elapsed_s() - began_s)

    def _is_made(self, case: Case, launch: int) -> bool:
        """Say whether a launch has an undisturbed round, from before an interruption."""
        made = self._samples.get((case.id, launch))
        return made is not None and any(not measured.disturbances for measured in made.rounds)

    def _cpus_of(self, case: Case) -> tuple[int, ...]:
        """Return as many of the plan's CPUs, from the last on, as the case has threads: a sweep may vary the threads."""
        return self._plan.cpus[-case.threads :]

    @contextmanager
    def _group_workers(self, launch: int) -> Iterator[WorkerOf]:
        """Yield a function that gives a case its group's worker, started when first needed. All are ended on the way out."""
        workers: dict[Group, Worker] = {}

        def worker_of(case: Case) -> Worker | None:
            group = (case.backend, case.threads)
            if group in workers and not workers[group].alive():
                workers.pop(group).close()
            if group not in workers:
                try:
                    workers[group] = Worker(case, self._log_folder / f"sweep-{case.backend}-t{case.threads}-{launch}.log")
                except WorkerError as error:
                    self._fail(case, launch, str(error), "", time.perf_counter_ns())
                    return None
            return workers[group]

        try:
            yield worker_of
        finally:
            for worker in workers.values():
                worker.close()


def order_of_sweep(plan: Plan, launch: int) -> list[Case]:
    """Return the plan's cases in the order in which launch number `launch` visits them."""
    cases = list(plan.cases)
    start = int(launch * GOLDEN % 1 * len(cases))
    turned = cases[start:] + cases[:start]
    return turned[::-1] if launch % 2 else turned
