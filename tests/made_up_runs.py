"""Whole runs of known truth: the logarithm of each launch's latency in, a run of records out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnbench.records import Case, Run
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run
from tests.simulator import autoregression

Array = NDArray[np.float64]
WAVE_SD, CASE_SD = 0.026, 0.023
"""Of a wave of all cases together, and of a launch of a case beside it: on the reference host."""


def cases_of(number: int, backends: int = 1) -> list[Case]:
    """Return `number` cases, spread evenly over the backends."""
    names = ("ort", "openvino", "torch")[:backends]
    return [a_case(f"network {n}", backend=name) for name in names for n in range(number // backends)]


def levels(number: int) -> Array:
    """Return logarithms of latencies in ns between 1 and 20 ms, one per case."""
    return np.log(1e6) + np.linspace(0.0, 3.0, number)


def run_of_logs(
    cases: list[Case],
    logs: Array,
    *,
    stream: Array | None = None,
    workload: Array | None = None,
    first: int = 0,
    **changes: object,
) -> Run:
    """Return a run of `logs` (waves x cases), one round of one inference a launch; not finite: the round was disturbed.

    `stream` and `workload` have the logarithm of each wave's reading. Waves are numbered from `first`.
    """
    samples = []
    for wave, row in enumerate(logs):
        beside: dict[str, object] = {"stream_before_ns": round(1e6 * np.exp(stream[wave]))} if stream is not None else {}
        reading = 70_000 if workload is None else round(70_000 * np.exp(workload[wave]))
        beside |= {"workload_before_ns": reading, "workload_after_ns": reading}
        for case, log in zip(cases, row, strict=True):
            lost = not np.isfinite(log)
            measured = a_round([10**6 if lost else round(np.exp(log))], **beside, disturbances=("steal",) if lost else ())
            samples.append(a_launch(case, first + wave, measured))
    return a_run(a_plan(*cases), *samples, **changes)


def simulated_logs(waves: int, number: int, correlation: float, generator: np.random.Generator, trials: int = 1) -> Array:
    """Return logarithms about 0, (trials, waves, cases): a series of waves that all cases share, and each launch's own."""
    shared = WAVE_SD * autoregression(correlation, (trials, waves), generator)
    return np.asarray(shared[..., None] + generator.normal(0, CASE_SD, (trials, waves, number)))
