"""Runs over chains whose operators take times that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mnbench.catalog.operators import Operator, parse
from mnbench.records import Case, Run
from mnbench.studies.common.operator_slopes import chain_cases
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run

TimeNs = Callable[[Operator, str], float]


def chain_run(
    operators: Iterable[Operator],
    slope_ns: TimeNs,
    *,
    backends: Sequence[str] = ("ort", "openvino"),
    copies: Sequence[int] = (2, 8),
    launches: int = 8,
    noise: float = 0.002,
    measured: Callable[[Case], bool] = lambda case: True,
    layers_per_copy: int = 1,
) -> Run:
    """Return a run in which one copy takes `slope_ns`, everything else 5 µs, and each launch is off by a share of it."""
    generator = np.random.default_rng(0)
    cases = [*dict.fromkeys(chain_cases(operators, backends, copies)), a_case("none", "null")]
    samples = []
    for launch in range(launches):
        for case in filter(measured, cases):
            if (operator := parse(case.model)) is None:
                continue
            exact_ns = 5_000 + operator.copies * slope_ns(operator, case.backend)
            latency_ns = round(1000 * exact_ns * (1 + noise * generator.standard_normal()))  # finer than a nanosecond
            effective = {"layers": f"f32:{layers_per_copy * operator.copies}"} if case.backend == "openvino" else {}
            samples.append(a_launch(case, launch, a_round([latency_ns] * 5, order=len(samples)), effective=effective))
    return a_run(a_plan(*cases, sweep=True), *samples)
