"""What every view of a run starts from: analysis, rows, headline, plots, each computed once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mnbench import stats
from mnbench.records import Analysis, Caveat, Run
from mnbench.report.headline import headline
from mnbench.report.models import ModelRow, model_rows
from mnbench.report.naming import caveats_by_place, is_null
from mnbench.report.rows import CaseRow, ComparisonRow, by_network, case_rows, comparison_rows

if TYPE_CHECKING:
    from mnbench.report.canvas import Plot


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A run, and what its samples say. Made by `view_of`."""

    run: Run
    known: Analysis | None = None

    @cached_property
    def analysis(self) -> Analysis:
        """What the run's samples say."""
        return self.known or stats.analyse(self.run)

    @cached_property
    def rows(self) -> tuple[CaseRow, ...]:
        """One for each case of the plan, in its order; the harness's own case included."""
        return case_rows(self.run, self.analysis)

    @cached_property
    def comparisons(self) -> tuple[ComparisonRow, ...]:
        """Those with the baseline, then those between backends."""
        return comparison_rows(self.run, self.analysis)

    @cached_property
    def networks(self) -> list[CaseRow]:
        """The rows of the cases that time a network, grouped by network: the order of tables for people."""
        return by_network(row for row in self.rows if not is_null(row.case))

    @cached_property
    def headline(self) -> str:
        """A few sentences about the shortest latencies, and on models whose outputs are not the reference's."""
        return headline(self.run, self.rows, self.comparisons, self.analysis.caveats)

    @cached_property
    def models(self) -> tuple[ModelRow, ...]:
        """The models that are not the catalog's."""
        return model_rows(self.run)

    @property
    def first_caveats(self) -> list[Caveat]:
        """The caveats that stand before the tables."""
        return caveats_by_place(self.analysis.caveats)[0]

    @property
    def later_caveats(self) -> list[Caveat]:
        """The caveats that stand after the tables."""
        return caveats_by_place(self.analysis.caveats)[1]

    @property
    def harness_ns(self) -> float | None:
        """What the harness itself takes for an inference; None where that was not measured."""
        times = (result.latency_ns for result in self.analysis.results if is_null(result.case))
        return next((time.value for time in times if time), None)

    @property
    def plot_names(self) -> tuple[str, ...]:
        """The plots that the run has: latency against accuracy, or alone where no network has one; ratios beside a paper's.

        A paper compares networks, so where environments are compared there is no plot beside it.
        """
        first = "latency-vs-accuracy" if any(row.accuracy for row in self.networks) else "latency"
        papers = not self.run.plan.environments and any(row.paper for row in self.networks)
        return (first, *(("ratio-vs-paper",) if papers else ()))

    @cached_property
    def plots(self) -> Mapping[str, Plot]:
        """The plots by their names, each drawn once. Loads matplotlib."""
        from mnbench.report import accuracy_plot, latency_plot, paper_plot
        from mnbench.report.canvas import Plot

        draw = {plot.NAME: plot.figure for plot in (accuracy_plot, latency_plot, paper_plot)}
        return {name: Plot(name=name, figure=draw[name](self)) for name in self.plot_names}


def view_of(run: Run, analysis: Analysis | None = None) -> View:
    """Return the view of a run. `analysis` is that of `stats.analyse`, where it is known already."""
    return View(run=run, known=analysis)
