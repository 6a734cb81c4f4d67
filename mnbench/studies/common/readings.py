"""What conclusions of studies share: latencies from a run, and words for several verdicts and names."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mnbench.records import Case, Citation, Estimate, Run, Samples
from mnbench.records.study import Figure, Holds
from mnbench.stats import noise
from mnbench.stats.analysis import LaunchLogs, trusted_samples
from mnbench.stats.intervals import FEWEST_LAUNCHES, geometric_mean
from mnbench.stats.rounds import TYPICAL_METHOD, launch_logs

NS_PER_MS = 1e6
MOST_NAMES = 8
"""How many names a sentence holds."""


def logs_by_case(run: Run) -> dict[str, LaunchLogs]:
    """Return log(latency in ns) by launch, by case id; empty for a case whose rounds were too disturbed to be trusted.

    A finding over several cases must say which of them are empty, and why: `coverage`.
    """
    launches = _launches(run)
    noisy = noise.noisy_cases(launches)
    return {name: {} if name in noisy else launch_logs(found) for name, found in launches.items()}


def noisy_cases(run: Run) -> frozenset[str]:
    """Return the ids of the cases whose rounds were too disturbed to be trusted."""
    return frozenset(noise.noisy_cases(_launches(run)))


def _launches(run: Run) -> dict[str, list[Samples]]:
    found: dict[str, list[Samples]] = {case.id: [] for case in run.plan.cases}
    for samples in trusted_samples(run):
        if samples.case.id in found:
            found[samples.case.id].append(samples)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a finding was to rest on, and what of it there is. Names are those the finding uses."""

    planned: int
    noisy: tuple[str, ...]
    """Refused: too many of their rounds were disturbed."""
    short: tuple[str, ...]
    """Not measured in three launches."""

    @property
    def complete(self) -> bool:
        return not self.noisy and not self.short

    def __str__(self) -> str:
        """Return `measured: 20 of 22; refused as too noisy: a and b`."""
        parts = [f"measured: {self.planned - len(self.noisy) - len(self.short)} of {self.planned}"]
        if self.noisy:
            parts.append(f"refused as too noisy: {shortened(self.noisy)}")
        if self.short:
            parts.append(f"in fewer than {FEWEST_LAUNCHES} usable launches: {shortened(self.short)}")
        return "; ".join(parts)

    @property
    def sentence(self) -> str:
        """The same as a sentence behind another one; empty when everything was measured."""
        return "" if self.complete else f" M{str(self)[1:]}."


def coverage(names: Mapping[str, str], logs: Mapping[str, LaunchLogs], noisy: Collection[str]) -> Coverage:
    """Return what there is of the cases that `names` (id: name) holds. `logs` and `noisy` know them by the same ids."""
    short = [name for case, name in names.items() if case not in noisy and len(logs.get(case, {})) < FEWEST_LAUNCHES]
    return Coverage(planned=len(names), noisy=tuple(names[case] for case in names if case in noisy), short=tuple(short))


def own(title: str, locator: str = "the study's own question") -> Citation:
    """Return the citation of a claim that no source makes: this project's reading of one."""
    return Citation(key="mnbench", title=title, year=2026, url="", locator=locator)


def latency_ms(logs: LaunchLogs, level: float) -> Estimate | None:
    """Return the latency in milliseconds; None below three launches."""
    return geometric_mean([log - math.log(NS_PER_MS) for log in logs.values()], level, TYPICAL_METHOD)


def backends_of(cases: Iterable[Case]) -> tuple[str, ...]:
    """Return the backends that time networks, in the plan's order."""
    return tuple(dict.fromkeys(case.backend for case in cases if case.backend != "null"))


def figures(labelled: Iterable[tuple[str, str, Estimate | None]]) -> tuple[Figure, ...]:
    """Return a figure for each (label, unit, estimate) that there is."""
    return tuple(
        Figure(label=label, unit=unit, estimate=estimate) for label, unit, estimate in labelled if estimate is not None
    )


def by_backend(verdicts: Mapping[str, Holds]) -> str:
    """Return `ort: holds; openvino: not decided`."""
    return "; ".join(f"{name}: {verdict}" for name, verdict in verdicts.items())


def listed(names: Collection[str], none: str = "none") -> str:
    """Return names as words: `a, b and c`."""
    words = list(names)
    if len(words) < 2:
        return words[0] if words else none
    return f"{', '.join(words[:-1])} and {words[-1]}"


def shortened(names: Collection[str], where: str = "") -> str:
    """Return names as words, the first eight of many, and `where` the others are to be found."""
    more = len(names) - MOST_NAMES
    return listed(names) if more <= 0 else f"{', '.join([*names][:MOST_NAMES])} and {more} more{where}"
