"""The result in a terminal: a table of networks by backends, then the caveats and the failures.

On a wide console there is one table. On a narrow one, what is published or counted and what is measured are two tables;
on a still narrower one the interval is written as ± per cent. The rest is `grid`'s: names and figures are never cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from mnbench.records import BEFORE_LAUNCH, Caveat, Run
from mnbench.report import columns, models
from mnbench.report.columns import TERMINAL, Column, Interval, Row
from mnbench.report.environments import versions_legend
from mnbench.report.grid import Grid, draw, texts
from mnbench.report.naming import conditions, latency_legend, percentiles_legend, ratio_legend
from mnbench.report.numbers import bracketed, plus_minus, span
from mnbench.report.rows import BASELINE, NOT_COMPARED, REGRESSION
from mnbench.report.view import View

VERDICT_STYLES = {"faster": "green", "slower": "red", "inconclusive": "yellow", BASELINE: "dim"}
VERDICT_STYLES |= dict.fromkeys((REGRESSION, NOT_COMPARED), "bold red")
LOG_LINES = 5
"""Of the end of a failed worker's log; the page and the JSON have more."""


def render(view: View, console: Console) -> None:
    """Print the run's results on `console`, at whatever width it has."""
    console.print(Text(conditions(view.run), style="bold"))
    if view.run.plan.environments:
        console.print(Text(versions_legend(view.run), style="bold"))
    print_caveats(view.first_caveats, console)
    forms = _forms(view)
    draw(console, *forms, stacked=forms[2])  # brackets have room on lines of their own
    console.print(Text(_legend(view), style="dim"))
    _print_between_backends(view, console)
    _print_next_run(view, console)
    legend = percentiles_legend(view.run, view.analysis)
    if not _print_table(view, columns.QUANTILES, bracketed, "Percentiles", legend, console) and legend:
        console.print(Text(legend, style="dim"))
    _print_table(view, columns.REGIMES, plus_minus, "Other regimes", _cold_legend(view), console)
    _print_models(view, console)
    print_caveats(view.later_caveats, console)
    _print_failures(view.run, console)


def _forms(view: View) -> list[list[Grid]]:
    """Return the forms of the result, widest first: one table with brackets, one with ±, two with brackets, two with ±."""
    every = columns.summary(TERMINAL, rows=view.networks)
    of_network = [column for column in every if column.of_network]
    of_case = [every[0], *(column for column in every if not column.of_network)]
    networks = list({row.case.model: row for row in view.networks}.values())
    published = grid_of(of_network, networks, names=1)
    whole = [[grid_of(every, view.networks, form)] for form in (bracketed, plus_minus)]
    return whole + [[published, grid_of(of_case, view.networks, form)] for form in (bracketed, plus_minus)]


def grid_of(chosen: Sequence[Column[Row]], rows: Sequence[Row], interval: Interval = bracketed, names: int = 2) -> Grid:
    """Return some columns of rows as a table; `names` of them say what a row is about."""
    return Grid(
        head=[column.heading for column in chosen],
        align="".join(column.align for column in chosen),
        rows=texts([[column.shown(row, interval) for column in chosen] for row in rows], _style),
        names=names,
    )


def _style(cell: str) -> str:
    return VERDICT_STYLES.get(cell, "")


def _legend(view: View) -> str:
    published = columns.published_legend(columns.summary(TERMINAL, rows=view.networks))
    floor = "" if view.harness_ns is None else f" The harness itself takes {view.harness_ns:.0f} ns an inference."
    return (
        f"{latency_legend(view.run)} {ratio_legend(view.run)} "
        f"Verdicts: corrected for the number of comparisons; equivalent within ±{view.run.plan.equivalence_pct:g} %."
        f"{f' {published}' if published else ''}{floor}"
    )


def _print_between_backends(view: View, console: Console) -> None:
    rows = [row for row in view.comparisons if row.kind == "backend"]
    if rows:
        console.print()
        console.print(Text("Between backends", style="bold"))
        draw(console, [grid_of(columns.comparison(TERMINAL), rows)])


def _print_next_run(view: View, console: Console) -> None:
    """Print the ratios of a run in blocks twice: of this run, and where those of the next one should lie."""
    rows = [row for row in view.comparisons if row.next_run is not None]
    if not rows:
        return
    console.print()
    console.print(Text("Ratios of this run and of the next one (a block of the same length at another time)", style="bold"))
    for row in rows:
        console.print(Text(f"  {row.case.id} / {row.baseline.id}"))
        console.print(Text(f"    this run {bracketed(row.ratio)}, next run {span(row.next_run)}"))


def _print_table(view: View, table: str, interval: Interval, title: str, legend: str, console: Console) -> bool:
    """Print one of the further tables of the summary, as far as it is filled; return whether any of it is."""
    every = columns.summary(TERMINAL, table)
    names, figures = every[:2], columns.filled(every[2:], view.networks)
    if not figures:
        return False
    console.print()
    console.print(Text(title, style="bold"))
    several = [grid_of([*names, column], view.networks, interval) for column in figures]
    draw(console, [grid_of([*names, *figures], view.networks, interval)], several)
    if legend:
        console.print(Text(legend, style="dim"))
    return True


def _print_models(view: View, console: Console) -> None:
    """Print each model that is not the catalog's, with a line for each of its inputs."""
    if not view.models:
        return
    console.print()
    console.print(Text("Models", style="bold"))
    for row in view.models:
        console.print(Text(f"  {row.model}: {models.origin(row)}"))
        for spec in row.inputs:
            console.print(Text(f"    input {spec.name}: {models.filled(spec)}"))
        if row.uncounted:
            console.print(Text(f"    not counted: {', '.join(row.uncounted)}", style="dim"))


def _cold_legend(view: View) -> str:
    if not any(row.cold_ms for row in view.networks):
        return ""
    return f"Cold: each inference after {view.run.plan.evict_bytes >> 20} MiB of other memory was read and written."


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
