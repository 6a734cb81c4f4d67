"""Fakes for the interfaces, builders for the records, and the rule that a plain `pytest` runs no benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnbench.records import Case, Environment, Plan, Round, Run, Samples

BENCHMARKS = Path(__file__).parent / "benchmarks"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Benchmarks take the machine for themselves, so they run only when asked for."""
    if BENCHMARKS in (collection_path, *collection_path.parents) and not config.getoption("benchmark_only"):
        return True
    return None


class FakeClock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class FakeSession:
    """A session whose inferences take the given times, the last one for ever after."""

    def __init__(self, clock: FakeClock, latencies_ns: Sequence[int]) -> None:
        self._clock, self._latencies_ns = clock, latencies_ns
        self.runs = 0

    def run(self) -> None:
        self._clock.now_ns += self._latencies_ns[min(self.runs, len(self._latencies_ns) - 1)]
        self.runs += 1

    def outputs(self) -> Sequence[Any]:
        return (np.zeros((1, 10), np.float32),)

    def effective(self) -> Mapping[str, str]:
        return {"threads": "1", "streams": "1", "precision": "fp32", "version": "0"}

    def close(self) -> None:
        pass


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def fake_session(clock: FakeClock) -> Callable[[Sequence[int]], FakeSession]:
    return lambda latencies_ns: FakeSession(clock, latencies_ns)


def a_case(model: str = "mobilenet_v2_1.0_224", backend: str = "ort", **changes: Any) -> Case:
    return Case(model=model, backend=backend, **changes)


def a_plan(*cases: Case, **changes: Any) -> Plan:
    fields: dict[str, Any] = {"cases": cases, "baseline": cases[0].model, "launches": 10, "cpus": (0,)}
    return Plan(**{**fields, **changes})


def a_round(latencies_ns: Sequence[int], order: int = 0, **changes: Any) -> Round:
    fields: dict[str, Any] = {
        "index": 0, "order": order, "started_ns": 0, "settle_ns": (1,), "latencies_ns": tuple(latencies_ns),
        "wall_ns": sum(latencies_ns), "cpu_ns": sum(latencies_ns), "idle_cpu_ns": 0,
        "voluntary_switches": 0, "involuntary_switches": 0, "run_queue_wait_ns": 0, "steal_ns": 0, "foreign_cpu_ns": 0,
        "pressure_us": None, "throttled_ns": None,
    }  # fmt: skip
    return Round(**{**fields, **changes})


def a_launch(case: Case, launch: int, *rounds: Round, **changes: Any) -> Samples:
    fields: dict[str, Any] = {
        "case": case, "launch": launch, "effective": {"threads": "1", "precision": "fp32", "version": "0"},
        "import_ns": 1, "load_ns": 2, "first_ns": 3, "max_abs_error": 1e-6, "max_rel_error": 1e-6, "rounds": rounds,
    }  # fmt: skip
    return Samples(**{**fields, **changes})


def an_environment(**changes: Any) -> Environment:
    fields: dict[str, Any] = {
        "cpu_model": "Test CPU 1", "isa": ("avx2",), "logical_cpus": 2, "physical_cores": 2, "affinity": (0, 1),
        "cpu_budget": 2, "cpu_budget_reason": "physical cores", "memory_bytes": 1 << 34, "virtualisation": None,
        "governor": None, "kernel": "6", "python": "3.11", "packages": {"numpy": "2"}, "variables": {},
    }  # fmt: skip
    return Environment(**{**fields, **changes})


def a_run(plan: Plan, *samples: Samples, **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "id": "r1", "started_utc": "2026-01-01T00:00:00+00:00", "finished": True, "measuring_s": 1.0,
        "environment": an_environment(), "plan": plan, "artifacts": (), "samples": samples,
    }  # fmt: skip
    fields |= changes
    counted = {file.facts.model: file.facts for file in fields["artifacts"] if file.facts}
    return Run(**{"facts": tuple(counted.values()), **fields})
