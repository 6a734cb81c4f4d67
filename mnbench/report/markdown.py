"""Blocks of a Markdown file that are made from a run, and filling them in place.

A block stands between `<!-- mnbench:NAME:begin -->` and `<!-- mnbench:NAME:end -->`, NAME one of `BLOCKS`. A block of
one certain run names it: `<!-- mnbench:NAME@RUN:begin -->`; without a name the caller picks one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnbench.errors import MnbenchError, UnknownNameError
from mnbench.records import Run
from mnbench.report import columns
from mnbench.report.columns import Column, Row
from mnbench.report.environments import versions_legend
from mnbench.report.findings import figure_text, intervals_text, read_findings
from mnbench.report.naming import latency_legend, ratio_legend
from mnbench.report.view import View

MARKER = re.compile(r"^<!-- mnbench:(?P<name>[\w-]+)(?:@(?P<run>[\w./-]+))?:(?P<edge>begin|end) -->[ \t]*$", re.MULTILINE)
PLOTS = {
    "latency-vs-accuracy": "Measured latency against published accuracy",
    "latency": "Measured latency",
    "ratio-vs-paper": "Ratios to the baseline: this CPU beside the paper",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A run to show, and its folder as the Markdown file links to it (relative, with slashes)."""

    view: View
    folder: str
    directory: Path = Path()
    """Where the run's other files are."""


Pick = Callable[[str | None], Shown]
"""Gives the run of a name, or for None the run that blocks without a name show."""


def fill(text: str, pick: Pick) -> str:
    """Return `text` with every block filled. Filling a filled text changes nothing.

    Raises UnknownNameError for a block that is not in `BLOCKS`, MnbenchError for a marker without its partner.
    """
    pieces, end = [], 0
    for begin, finish in _pairs(text):
        name, run_id = begin["name"], begin["run"]
        if name not in BLOCKS:
            raise UnknownNameError("block", name, BLOCKS)
        pieces += [text[end : begin.end()], "\n\n", BLOCKS[name](pick(run_id)), "\n\n"]
        end = finish.start()
    return "".join([*pieces, text[end:]])


def stale(text: str, pick: Pick) -> list[str]:
    """Return the names of the blocks that `fill` would change, in order. Raises as `fill` does."""
    fresh = fill(text, pick)
    pairs = zip(_pairs(text), _pairs(fresh), strict=True)
    return [was[0]["name"] for was, now in pairs if text[was[0].end() : was[1].start()] != fresh[now[0].end() : now[1].start()]]


def results_table(shown: Shown) -> str:
    """Return the table of networks by backends."""
    run, chosen = shown.view.run, columns.summary(columns.MARKDOWN, rows=shown.view.networks)
    note = (
        f"{run.environment.cpu_model}; run `{run.id}`. "
        f"{latency_legend(run)} "
        f"{_ratio_legend(run)} "
        f"{columns.published_legend(chosen)}"
    ).rstrip()
    return f"{table_of(chosen, shown.view.networks)}\n\n{escaped(note)}"


def backends_table(shown: Shown) -> str:
    """Return the table of each backend against the first one, per network."""
    rows = [row for row in shown.view.comparisons if row.kind == "backend"]
    return table_of(columns.comparison(columns.MARKDOWN), rows)


def environments_table(shown: Shown) -> str:
    """Return what a run says of each later environment against the first one: a sentence, and a row per case."""
    rows = [row for row in shown.view.comparisons if row.kind == "environment"]
    told = escaped(f"{shown.view.headline} {ratio_legend(shown.view.run)} Run `{shown.view.run.id}`.")
    chosen = [column for column in columns.comparison(columns.MARKDOWN) if column.name != "baseline_id"]  # said above
    return f"{told}\n\n{table_of(chosen, rows)}"


def plot_links(shown: Shown) -> str:
    """Return the run's plots as images."""
    return "\n\n".join(f"![{PLOTS[name]}]({shown.folder}/{name}.svg)" for name in shown.view.plot_names)


def caveat_list(shown: Shown) -> str:
    """Return the caveats with their advice."""
    caveats = shown.view.analysis.caveats
    lines = [f"- **{c.code}** {escaped(f'{c.subject}: {c.observed}. {c.advice}.')}" for c in caveats]
    return "\n".join(lines) or "No caveats."


def findings_section(shown: Shown) -> str:
    """Return a study's findings, each with its source, figures and limits, and its plots as images."""
    stored = read_findings(shown.directory)
    host = f"{shown.view.run.environment.cpu_model}; run `{shown.view.run.id}`, {shown.view.run.started_utc[:10]}."
    parts = [f"*{escaped(stored.question)}* {escaped(host)}"]
    for found in stored.findings:
        figures = "\n".join(f"    - {escaped(figure.label)}: {escaped(figure_text(figure))}" for figure in found.figures)
        parts.append(
            f"- **{found.verdict}.** {escaped(found.claim)} ({escaped(found.source.short)})\n"
            f"  Here: {escaped(found.measured)}\n{figures}\n  Limits: {escaped(found.limits)}"
        )
    if over := intervals_text(stored):
        parts.append(escaped(over))
    parts += [f"![{escaped(caption)}]({shown.folder}/{name}.svg)" for name, caption in stored.plots]
    if stored.tables:
        parts.append("Tables: " + ", ".join(f"[{name}.csv]({shown.folder}/{name}.csv)" for name, _ in stored.tables) + ".")
    return "\n\n".join(parts)


def columns_table(chosen: Sequence[Column[Any]]) -> str:
    """Return the fields that some columns have in CSV and JSON, with unit and meaning."""
    return table_of(columns.OF_COLUMNS, chosen)


BLOCKS: dict[str, Callable[[Shown], str]] = {
    "results": results_table,
    "backends": backends_table,
    "environments": environments_table,
    "plots": plot_links,
    "caveats": caveat_list,
    "findings": findings_section,
    "columns-summary": lambda _shown: columns_table(columns.summary(columns.CSV)),
    "columns-comparison": lambda _shown: columns_table(columns.comparison(columns.CSV)),
    "columns-diff": lambda _shown: columns_table(columns.diff(columns.JSON)),
    "headline": lambda shown: escaped(shown.view.headline),
}


def _ratio_legend(run: Run) -> str:
    if run.plan.environments:
        return f"{versions_legend(run)} {ratio_legend(run)}"
    return ratio_legend(run).replace(run.plan.baseline, f"`{run.plan.baseline}`")


def _pairs(text: str) -> list[tuple[re.Match[str], re.Match[str]]]:
    markers = list(MARKER.finditer(text))
    pairs = list(zip(markers[::2], markers[1::2], strict=False))
    for begin, end in pairs:
        if (begin["edge"], end["edge"], begin["name"]) != ("begin", "end", end["name"]):
            raise MnbenchError(f"the marker {begin[0]!r} is followed by {end[0]!r}; each block needs its begin, then its end.")
    if len(markers) % 2:
        raise MnbenchError(f"the marker {markers[-1][0]!r} has no partner; each block needs its begin, then its end.")
    return pairs


def table_of(chosen: Sequence[Column[Row]], rows: Iterable[Row]) -> str:
    """Return some columns of rows as a table."""
    rule = ["---:" if column.align == "r" else "---" for column in chosen]
    body = ([escaped(column.shown(row)) for column in chosen] for row in rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in ([column.heading for column in chosen], rule, *body))


def escaped(text: str) -> str:
    """Return the text so that Markdown shows it and does not read it."""
    return re.sub(r"([\\|<>*])", r"\\\1", text.replace("\n", " "))
