"""What a study says: records that its conclusion, its files and its pages share. Standard library only.

plan ──measured──▶ Run ──Study.conclude──▶ Conclusion (findings, tables, plots) ──▶ run directory ──▶ page, docs/findings.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnbench.records import Citation, Estimate

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from matplotlib.figure import Figure as Plot


class Holds(StrEnum):
    """What became of a claim on this CPU."""

    YES = "holds"
    PARTLY = "holds in part"
    NO = "does not hold here"
    UNDECIDED = "not decided"
    """The figures, or their intervals, do not let one say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a finding: never without its interval.

    A count has an interval of no width and the method `counted`.
    """

    label: str
    unit: str
    """`ms`, `x` (a ratio), `%`, `GMAdds/s`, `bytes` …; empty for a plain number."""
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim beside what this CPU does."""

    claim: str
    """What the source says, as one sentence."""
    source: Citation
    measured: str
    """What was found here, as one sentence; its numbers are those of `figures`."""
    figures: tuple[Figure, ...]
    verdict: Holds
    limits: str
    """What the finding does not say: which cases, which runtimes, what could not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of one kind of record: a CSV file, and a table of the page."""

    name: str
    """Name of the CSV file, without its ending."""
    caption: str
    kind: type[DataclassInstance]
    rows: Sequence[DataclassInstance]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotFile:
    """A plot that can be understood without the text around it."""

    name: str
    """Name of the PNG and SVG files, without their endings."""
    caption: str
    draw: Callable[[], Plot]
    """Draws it when it is wanted: drawing loads matplotlib."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """All that a study derives from its run directory."""

    findings: tuple[Finding, ...]
    tables: tuple[Table, ...] = ()
    plots: tuple[PlotFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFindings:
    """What findings.json holds: enough for every page, on a machine that cannot run the study."""

    study: str
    question: str
    findings: tuple[Finding, ...]
    plots: tuple[tuple[str, str], ...]
    """(file name without ending, caption) of each plot beside it."""
    tables: tuple[tuple[str, str], ...]
    """(file name without ending, caption) of each CSV file beside it."""


Facts = dict[str, Any]
"""What a study computed instead of timing: plain JSON, stored in facts.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """What the user asked of a study."""

    backends: tuple[str, ...] = ("ort", "openvino")
    quick: bool = False
    budget_s: float | None = None
    """Seconds of measuring; None for the study's own."""
    models: tuple[str, ...] = ()
    """Networks, for the studies that take any; empty for the study's own."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Sizes of inputs by name, that a model of the user's leaves open."""
    cpus: tuple[int, ...] | None = None
    seed: int = 0
    cache: Path = Path("models")
    """Where exported files are."""
    skipped: list[str] = field(default_factory=list)
    """Filled by a plan: each cell it leaves out, with the reason."""


def counted(value: float) -> Estimate:
    """Return a count as an estimate that is exact."""
    return Estimate(value=value, low=value, high=value, level=1.0, method="counted")
