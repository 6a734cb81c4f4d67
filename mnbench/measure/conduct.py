"""Carry out a plan: waves of launches that take turns, until the launches are made or the budget is spent.

A *wave* starts one fresh process of every case. Each opens its model, checks it, and is stopped. Then the cases take turns, one
round each, in the order of a Williams square; the wave ends and the next begins with new processes. So launches are
interleaved, neighbours in time are comparable, and a case is seen in as many fresh processes as there are waves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mnbench.environment import available_memory_bytes
from mnbench.measure.conductor import Already, Conductor, Progress, Sink
from mnbench.measure.schedule import order_of_pass
from mnbench.measure.sweep import Sweeps
from mnbench.records import Artifact, Case, Plan

WORKER_BYTES = 400 << 20
"""Memory to allow for one live worker: the largest network of the table takes about 300 MiB in either runtime."""
IMAGE_BYTES = 20 << 20
"""Activations of one image of the largest network."""


def conduct(
    plan: Plan,
    artifacts: Mapping[str, Artifact | None],
    cache: Path,
    logs: Path,
    sink: Sink,
    progress: Callable[[Progress], None] = lambda _: None,
    already: Already | None = None,
) -> None:
    """Measure the plan's cases. `artifacts` maps case ids; logs of workers that said something stay in `logs`.

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
    for _ in range(plan.launches - already.waves):
        if not waves.time_for_wave() or not waves.unfinished():
            break
        waves.wave()


class _Waves(Conductor):
    """One process a case, all of a wave alive together and taking turns."""

    def wave(self) -> None:
        """Start one launch of each unfinished case, let them take turns, end them."""
        began_s = self.elapsed_s()
        order = self.unfinished()
        random.Random(f"{self._plan.seed}/start/{self._wave}").shuffle(order)  # noqa: S311 - an order, not a secret
        alive = max(1, int(available_memory_bytes() * 0.6 / (WORKER_BYTES + order[0].batch * IMAGE_BYTES)))
        for first in range(0, len(order), alive):
            self._group(order[first : first + alive], self._wave)
        self._wave += 1
        self._wave_s.append(self.elapsed_s() - began_s)
        self._sink.elapsed(self.elapsed_s())

    def _group(self, cases: Sequence[Case], launch: int) -> None:
        """Open one launch of each case, give each its rounds in turn, end them all."""
        with self._workers(cases, launch) as workers:
            opened = {case for case in cases if case.id in workers and self._open(workers[case.id], case, launch)}
            wanted = {case.id: self._rounds_worth(case) for case in opened}
            passes = max(wanted.values(), default=0)
            cold = "cold" in self._plan.regimes and launch < self._plan.cold_launches
            for index in range(passes + cold):
                # In the plan's order: the square's balance over waves holds only if a place always means the same case.
                taking_part = [c for c in self._plan.cases if c in opened and (index == passes or wanted[c.id] > index)]
                for case in order_of_pass(taking_part, launch * self._plan.rounds_per_launch + index, self._plan.seed):
                    if self._over() or (case.id, launch) in self._failed_launches:
                        continue
                    self._tell(f"{case.model} in {case.backend}")
                    self._rounds(workers[case.id], case, launch, index, "cold" if index == passes else "steady")
