"""What conclusions of studies share: latencies from a run, and words for several verdicts and names."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from mnbench.records import Case, Estimate, Run
from mnbench.stats.analysis import LATENCY_METHOD, LaunchLogs, is_noisy, launch_logs, trusted_samples
from mnbench.stats.intervals import geometric_mean
from mnbench.study_records import Figure, Holds

NS_PER_MS = 1e6


def logs_by_case(run: Run) -> dict[str, LaunchLogs]:
    """Return log(latency in ns) by launch, by case id; empty for a case whose rounds were too disturbed to be trusted."""
    trusted = trusted_samples(run)
    by_case = {case.id: [samples for samples in trusted if samples.case == case] for case in run.plan.cases}
    return {name: {} if is_noisy(launches) else launch_logs(launches) for name, launches in by_case.items()}


def latency_ms(logs: LaunchLogs, level: float) -> Estimate | None:
    """Return the latency in milliseconds; None below three launches."""
    return geometric_mean([log - math.log(NS_PER_MS) for log in logs.values()], level, LATENCY_METHOD)


def backends_of(cases: Iterable[Case]) -> tuple[str, ...]:
    """Return the backends that time networks, in the plan's order."""
    return tuple(dict.fromkeys(case.backend for case in cases if case.backend != "null"))


def figures(labelled: Iterable[tuple[str, str, Estimate | None]]) -> tuple[Figure, ...]:
    """Return a figure for each (label, unit, estimate) that there is."""
    return tuple(
        Figure(label=label, unit=unit, estimate=estimate) for label, unit, estimate in labelled if estimate is not None
    )


def bounds(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    """Return (value, low, high), for the cells of a table."""
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)


def by_backend(verdicts: Mapping[str, Holds]) -> str:
    """Return `ort: holds; openvino: not decided`."""
    return "; ".join(f"{name}: {verdict}" for name, verdict in verdicts.items())


def listed(names: Collection[str], none: str = "none") -> str:
    """Return names as words: `a, b and c`."""
    words = list(names)
    if len(words) < 2:
        return words[0] if words else none
    return f"{', '.join(words[:-1])} and {words[-1]}"
