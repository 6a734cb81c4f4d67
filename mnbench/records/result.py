"""What is concluded: estimates, comparisons, caveats, ceilings. Derived from a run, never stored as truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mnbench.records.plan import Case


class Verdict(StrEnum):
    """What a comparison lets one say. `ratio` below 1 is faster than the baseline."""

    FASTER = "faster"
    SLOWER = "slower"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    TOO_NOISY = "machine too noisy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number and its interval. There is no Estimate without one: where the data do not carry an interval, use None."""

    value: float
    low: float
    high: float
    level: float
    method: str

    @property
    def half_width_pct(self) -> float:
        """Half the width of the interval in per cent of the value."""
        return 50.0 * (self.high - self.low) / self.value

    def per(self, amount: float) -> Estimate:
        """Return the estimate divided by a known positive amount: 1e6 gives milliseconds of nanoseconds."""
        return replace(self, value=self.value / amount, low=self.low / amount, high=self.high / amount)

    def under(self, amount: float) -> Estimate:
        """Return a known positive amount divided by the (positive) estimate: a rate of a time, or 1 over a ratio."""
        return replace(self, value=amount / self.value, low=amount / self.high, high=amount / self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One case against another. `ratio` is case over baseline: 1.5 means the case takes 1.5 times as long."""

    case: Case
    baseline: Case
    ratio: Estimate | None
    """Of this run: what another run at the same time would show."""
    next_run: Estimate | None = None
    """Where the ratio of one further block of the run should lie at another time; only for a run in three blocks or more."""
    p_adjusted: float | None
    verdict: Verdict


class Severity(StrEnum):
    """How much a caveat matters: a note is good to know, a warning may spoil figures."""

    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveat:
    """A warning as data: terminal, CSV and HTML all show it."""

    code: str
    subject: str
    observed: str
    advice: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The most multiply-adds per second that any probe reached in one precision on so many cores."""

    precision: str
    threads: int
    kernel: str
    """The probe that reached it."""
    madds_per_s: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """The most bytes per second that any probe moved in one level of the memory hierarchy on so many cores."""

    level: int
    """1, 2, 3 …, of a cache; 0 for memory."""
    threads: int
    holds_bytes: int | None
    """Size of the level, all caches that the threads use together; None for memory."""
    kernel: str
    bytes_per_s: Estimate
    """Bytes read and bytes written, together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What a machine can do at most, as measured by `mnbench study roofline`."""

    run_id: str
    """The run whose samples say so."""
    peaks: tuple[Peak, ...]
    bandwidths: tuple[Bandwidth, ...]
    """Innermost level first, memory last; for each number of threads all levels or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What the raw samples of one case say. Derived by `mnbench.stats.analyse`, never stored as truth."""

    case: Case
    latency_ns: Estimate | None
    """Steady latency; None with fewer than three usable launches."""
    percentiles: Mapping[float, Estimate | None]
    """By per cent, those the plan asks for, in ns: of all steady rounds, disturbed ones included (`stats.percentiles`)."""
    launches: int
    """Usable launches."""
    samples: int
    """Usable samples."""
    vs_baseline: Comparison | None
    """None for the baseline itself, and where the baseline was not measured."""
    cold_ns: Estimate | None = None
    first_ns: Estimate | None = None
    load_ns: Estimate | None = None
    """From the file on disk to a session that can run; the runtime is imported already."""
    memory_bytes: int | None = None
    """Peak resident size above that of the imported runtime; the median, where it was read in several processes."""
    too_noisy: bool = False
    """So many of its rounds were disturbed that nothing is concluded from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Under which load on the CPUs beside the measured ones a run was made."""

    rule: str
    """`quiet`: rounds with load on other CPUs are left out. `steady-load`: the load was the same in all rounds, and those with
    another load are left out."""
    busy_cpus: float = 0.0
    presses: str = ""
    """Why the load may press on the memory, so that no ratio is concluded from; empty where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything the reports show that is not in the raw files."""

    results: tuple[CaseResult, ...]
    """In the order of the plan's cases."""
    between_backends: tuple[Comparison, ...]
    """Per network: each backend against the first one named in the plan."""
    condition: Condition = Condition(rule="quiet")
    caveats: tuple[Caveat, ...]
    """The run's own caveats and those the analysis adds."""
