"""The result in a terminal: a table of networks by backends, then the caveats and the failures.

On a wide console there is one table. On a narrow one, what is published or counted and what is measured are two tables;
on a still narrower one the interval is written as ± per cent. The rest is `grid`'s: names and figures are never cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.text import Text

from mnbench.records import BEFORE_LAUNCH, Analysis, Caveat, Run
from mnbench.report.environments import versions_legend
from mnbench.report.grid import Grid, draw, texts
from mnbench.report.naming import (
    caveats_by_place,
    conditions,
    latency_legend,
    networks,
    percentiles_legend,
    ratio_legend,
    series,
)
from mnbench.report.numbers import DASH, bracketed, count, lopsided, plain, plus_minus
from mnbench.report.rows import (
    BASELINE,
    SummaryRow,
    by_network,
    comparison_rows,
    filled_percentiles,
    finite,
    is_null,
    percentile_ms,
    summary_rows,
)

VERDICT_STYLES = {"faster": "green", "slower": "red", "inconclusive": "yellow", BASELINE: "dim"}
LOG_LINES = 5
"""Of the end of a failed worker's log; the page and the JSON have more."""
Interval = Callable[[float | None, float | None, float | None], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading, and the cell under it for a row."""

    heading: str
    cell: Callable[[SummaryRow], str]
    align: Literal["left", "right"] = "right"


def render(run: Run, analysis: Analysis, console: Console) -> None:
    """Print the run's results on `console`, at whatever width it has."""
    cases = networks(run)
    names = {case.id: series(case, cases) for case in cases}
    rows = by_network(row for row in summary_rows(run, analysis) if row.case_id in names)
    console.print(Text(conditions(run), style="bold"))
    if run.plan.environments:
        console.print(Text(versions_legend(run), style="bold"))
    first, later = caveats_by_place(analysis.caveats)
    print_caveats(first, console)
    forms = _forms(rows, names)
    draw(console, *forms, stacked=forms[2])  # brackets have room on lines of their own
    console.print(Text(_legend(run, analysis), style="dim"))
    _print_between_backends(run, analysis, console)
    _print_next_run(analysis, console)
    _print_percentiles(rows, names, run, analysis, console)
    _print_regimes(rows, names, run, console)
    print_caveats(later, console)
    _print_failures(run, console)


def _forms(rows: Sequence[SummaryRow], names: dict[str, str]) -> list[list[Grid]]:
    """Return the forms of the result, widest first: one table with brackets, one with ±, two with brackets, two with ±."""
    network = Column(heading="network", cell=lambda row: row.model, align="left")
    facts = [
        Column(heading="top-1 %", cell=lambda row: plain(row.top1_pct, 1)),
        Column(heading="params", cell=lambda row: count(row.params)),
        Column(heading="MAdds", cell=lambda row: count(row.madds)),
    ]
    paper = [
        Column(heading="paper ms", cell=lambda row: plain(row.paper_latency_ms)),
        Column(heading="paper ratio", cell=lambda row: plain(row.paper_ratio, 2)),
    ]
    forms = []
    for interval in (bracketed, plus_minus):
        backend, latency, ratio, verdict = _measured(names, interval)
        forms.append([_grid(rows, [network, backend, *facts, latency, ratio, *paper, verdict])])
    models = list({row.model: row for row in rows}.values())
    published = _grid(models, [network, *facts, *paper], names=1)
    return forms + [[published, _grid(rows, [network, *_measured(names, form)])] for form in (bracketed, plus_minus)]


def _measured(names: dict[str, str], interval: Interval) -> list[Column]:
    return [
        Column(heading="backend", cell=lambda row: names[row.case_id], align="left"),
        Column(
            heading="latency ms",
            cell=lambda row: interval(row.latency_median_ms, row.latency_ci_low_ms, row.latency_ci_high_ms),
        ),
        Column(heading="ratio", cell=lambda row: _ratio(row, interval)),
        Column(heading="verdict", cell=lambda row: row.verdict or DASH, align="left"),
    ]


def _ratio(row: SummaryRow, interval: Interval) -> str:
    return "1" if row.verdict == BASELINE else interval(row.ratio, row.ratio_ci_low, row.ratio_ci_high)


def _grid(rows: Sequence[SummaryRow], columns: Sequence[Column], names: int = 2) -> Grid:
    return Grid(
        head=[column.heading for column in columns],
        align="".join(column.align[0] for column in columns),
        rows=texts([[column.cell(row) for column in columns] for row in rows], _style),
        names=names,
    )


def _style(cell: str) -> str:
    return VERDICT_STYLES.get(cell, "")


def _legend(run: Run, analysis: Analysis) -> str:
    floors = [result.latency_ns for result in analysis.results if is_null(result.case)]
    floor = "".join(f" The harness itself takes {value.value:.0f} ns an inference." for value in floors if value)
    return (
        f"{latency_legend(run)} {ratio_legend(run)} "
        f"Verdicts: corrected for the number of comparisons; equivalent within ±{run.plan.equivalence_pct:g} %. "
        f"Top-1, paper ms and paper ratio are published, not measured here.{floor}"
    )


def _print_between_backends(run: Run, analysis: Analysis, console: Console) -> None:
    if not analysis.between_backends:
        return
    cases = networks(run)
    rows = []
    for comparison in analysis.between_backends:
        ratio = finite(comparison.ratio)
        shown = bracketed(ratio.value, ratio.low, ratio.high) if ratio else DASH
        pair = f"{series(comparison.case, cases)} / {series(comparison.baseline, cases)}"
        rows.append([comparison.case.model, pair, shown, str(comparison.verdict)])
    console.print()
    console.print(Text("Between backends", style="bold"))
    head = ("network", "backends", "ratio", "verdict")
    draw(console, [Grid(head=head, align="llrl", rows=texts(rows, _style), names=2)])


def _print_next_run(analysis: Analysis, console: Console) -> None:
    """Print the ratios of a run in blocks twice: of this run, and where those of the next one should lie."""
    rows = [row for row in comparison_rows(analysis) if row.ratio_next_run_low is not None]
    if not rows:
        return
    console.print()
    console.print(Text("Ratios of this run and of the next one (a block of the same length at another time)", style="bold"))
    for row in rows:
        this_run = bracketed(row.ratio, row.ratio_ci_low, row.ratio_ci_high)
        next_run = f"{plain(row.ratio_next_run_low, 3)} to {plain(row.ratio_next_run_high, 3)}"
        console.print(Text(f"  {row.case_id} / {row.baseline_id}"))
        console.print(Text(f"    this run {this_run}, next run {next_run}"))


def _print_percentiles(
    rows: Sequence[SummaryRow], names: dict[str, str], run: Run, analysis: Analysis, console: Console
) -> None:
    """Print the percentiles that any case has, in a table of their own, and why others that were asked for are not there."""
    filled = filled_percentiles(rows)
    legend = Text(percentiles_legend(run, analysis, filled), style="dim")
    if not filled:
        if legend:
            console.print(legend)
        return
    network = Column(heading="network", cell=lambda row: row.model, align="left")
    backend = Column(heading="backend", cell=lambda row: names[row.case_id], align="left")
    columns = [_percentile(percent) for percent in filled]
    console.print()
    console.print(Text("Percentiles", style="bold"))
    one, several = _grid(rows, [network, backend, *columns]), [_grid(rows, [network, backend, column]) for column in columns]
    draw(console, [one], several)
    console.print(legend)


def _percentile(percent: float) -> Column:
    return Column(heading=f"p{percent:g} ms", cell=lambda row: lopsided(*percentile_ms(row, percent)))


def _print_regimes(rows: Sequence[SummaryRow], names: dict[str, str], run: Run, console: Console) -> None:
    """Print the figures that are no steady latencies, as far as there are any, in a table of their own."""
    columns = [
        Column(heading="cold ms", cell=lambda row: plus_minus(row.cold_median_ms, row.cold_ci_low_ms, row.cold_ci_high_ms)),
        Column(heading="first ms", cell=lambda row: plus_minus(row.first_median_ms, row.first_ci_low_ms, row.first_ci_high_ms)),
        Column(heading="load ms", cell=lambda row: plus_minus(row.load_median_ms, row.load_ci_low_ms, row.load_ci_high_ms)),
        Column(heading="memory MiB", cell=lambda row: plain(row.peak_memory_mib, 0)),
    ]
    filled = [column for column in columns if any(column.cell(row) != DASH for row in rows)]
    if not filled:
        return
    network = Column(heading="network", cell=lambda row: row.model, align="left")
    backend = Column(heading="backend", cell=lambda row: names[row.case_id], align="left")
    console.print()
    console.print(Text("Other regimes", style="bold"))
    one, several = _grid(rows, [network, backend, *filled]), [_grid(rows, [network, backend, column]) for column in filled]
    draw(console, [one], several)
    if filled[0] is columns[0]:
        size = f"{run.plan.evict_bytes >> 20} MiB"
        console.print(Text(f"Cold: each inference after {size} of other memory was read and written.", style="dim"))


def print_caveats(caveats: Sequence[Caveat], console: Console) -> None:
    """Print each caveat with its advice; nothing where there is none."""
    if not caveats:
        return
    console.print()
    console.print(Text("Caveats", style="bold"))
    for caveat in caveats:
        console.print(Text.assemble("  ", (caveat.code, "yellow"), f"  {caveat.subject}: {caveat.observed}"))
        console.print(Text(f"    {caveat.advice}", style="dim"))


def _print_failures(run: Run, console: Console) -> None:
    if not run.failures:
        return
    console.print()
    console.print(Text("Failures", style="bold"))
    for failure in run.failures:
        attempt = "before any launch" if failure.launch == BEFORE_LAUNCH else f"launch {failure.launch + 1}"
        console.print(Text.assemble("  ", (failure.case.id, "red"), f", {attempt}: {failure.reason}"))
        for line in failure.log_tail.splitlines()[-LOG_LINES:]:
            console.print(Text(f"    {line}", style="dim"))
