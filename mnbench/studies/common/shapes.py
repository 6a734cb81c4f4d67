"""One comparison over several shapes: a mean stands only where the shapes agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mnbench.records import Estimate
from mnbench.records.study import Figure
from mnbench.report.numbers import bracketed
from mnbench.stats.analysis import LaunchLogs
from mnbench.studies.common.slopes import mean_logs, ratio_of

RANGES = (
    "A mean over shapes stands only where it lies within the interval of each; else the least and the most, which are chosen "
    "after the fact."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """One comparison in one runtime, over several shapes."""

    label: str
    """What is compared, and where."""
    logs: Mapping[str, LaunchLogs]
    """log ratio by launch, by the shape's name."""
    level: float

    @property
    def each(self) -> dict[str, Estimate]:
        """The ratio of each shape that has one."""
        found = {name: ratio_of(logs, self.level) for name, logs in self.logs.items()}
        return {name: estimate for name, estimate in found.items() if estimate is not None}

    @property
    def mean(self) -> Estimate | None:
        """The mean over shapes; None where they disagree, where one was not measured, or below two.

        Shapes agree when the mean lies within the interval of each. The mean's own interval is over launches of the same
        shapes: where these differ it may hold none of them, and says nothing of the next one.
        """
        each = self.each
        mean = ratio_of(mean_logs(list(self.logs.values())), self.level)
        if mean is None or len(each) < 2:
            return None
        return mean if all(one.low <= mean.value <= one.high for one in each.values()) else None

    def figures(self) -> list[Figure]:
        """Return a figure for each shape, and their mean where there is one."""
        found = [Figure(label=f"{self.label}, {name}", unit="x", estimate=one) for name, one in self.each.items()]
        if (mean := self.mean) is not None:
            found.append(Figure(label=f"{self.label}, mean of {len(found)} shapes", unit="x", estimate=mean))
        return found

    def words(self) -> str:
        """Return the mean where there is one, else the least and the most: `0.91 [0.90, 0.92] to 1.20 [1.16, 1.23]`."""
        each = sorted(self.each.values(), key=lambda one: one.value)
        if not each:
            return "not measured"
        if (mean := self.mean) is not None:
            return f"{bracketed(mean)} (mean of {len(each)} shapes)"
        missing = "" if len(each) == len(self.logs) else f" ({len(each)} of {len(self.logs)} shapes)"
        return (bracketed(each[0]) if len(each) == 1 else f"{bracketed(each[0])} to {bracketed(each[-1])}") + missing
