"""Blocks of a Markdown file that are made from a run, and filling them in place.

A block stands between `<!-- mnbench:NAME:begin -->` and `<!-- mnbench:NAME:end -->`, NAME one of `BLOCKS`. A block of
one certain run names it: `<!-- mnbench:NAME@RUN:begin -->`; without a name the caller picks one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mnbench.errors import MnbenchError, UnknownNameError
from mnbench.records import Analysis, Run
from mnbench.report.environments import versions_legend
from mnbench.report.findings import figure_text, intervals_text, read_findings
from mnbench.report.headline import headline
from mnbench.report.naming import latency_legend, networks, ratio_legend, series
from mnbench.report.numbers import DASH, bracketed, count, plain
from mnbench.report.rows import BASELINE, SummaryRow, by_network, comparison_rows, summary_rows

MARKER = re.compile(r"^<!-- mnbench:(?P<name>[\w-]+)(?:@(?P<run>[\w./-]+))?:(?P<edge>begin|end) -->[ \t]*$", re.MULTILINE)
PLOTS = (
    ("latency-vs-accuracy.svg", "Measured latency against published accuracy"),
    ("ratio-vs-paper.svg", "Ratios to the baseline: this CPU beside the paper"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A run to show, and its folder as the Markdown file links to it (relative, with slashes)."""

    run: Run
    analysis: Analysis
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
    cases = networks(shown.run)
    names = {case.id: series(case, cases) for case in cases}
    head = (
        "network",
        "backend",
        "top-1 %",
        "params",
        "MAdds",
        "latency ms",
        "ratio",
        "paper ms",
        "paper ratio",
        "verdict",
    )
    rows = by_network(row for row in summary_rows(shown.run, shown.analysis) if row.case_id in names)
    body = [_cells(row, names[row.case_id]) for row in rows]
    note = (
        f"{shown.run.environment.cpu_model}; run `{shown.run.id}`. "
        f"{latency_legend(shown.run)} "
        f"{_ratio_legend(shown.run)} "
        "Top-1, paper ms and paper ratio are published, not measured here."
    )
    return table(head, "llrrrrrrrl", body) + "\n\n" + escaped(note)


def backends_table(shown: Shown) -> str:
    """Return the table of each backend against the first one, per network."""
    rows = [row for row in comparison_rows(shown.analysis) if row.kind == "backend"]
    body = [
        [row.case_id, row.baseline_id, bracketed(row.ratio, row.ratio_ci_low, row.ratio_ci_high), row.verdict] for row in rows
    ]
    return table(("case", "against", "ratio", "verdict"), "llrl", body)


def environments_table(shown: Shown) -> str:
    """Return what a run says of each later environment against the first one: a sentence, and a row per case."""
    rows = [row for row in comparison_rows(shown.analysis) if row.kind == "environment"]
    body = [[row.case_id, bracketed(row.ratio, row.ratio_ci_low, row.ratio_ci_high), row.verdict] for row in rows]
    told = escaped(f"{headline(shown.run, shown.analysis)} {ratio_legend(shown.run)} Run `{shown.run.id}`.")
    return f"{told}\n\n{table(('case', 'ratio', 'verdict'), 'lrl', body)}"


def plot_links(shown: Shown) -> str:
    """Return the run's plots as images."""
    return "\n\n".join(f"![{title}]({shown.folder}/{file})" for file, title in PLOTS)


def caveat_list(shown: Shown) -> str:
    """Return the caveats with their advice."""
    caveats = shown.analysis.caveats
    lines = [f"- **{c.code}** {escaped(f'{c.subject}: {c.observed}. {c.advice}.')}" for c in caveats]
    return "\n".join(lines) or "No caveats."


def findings_section(shown: Shown) -> str:
    """Return a study's findings, each with its source, figures and limits, and its plots as images."""
    stored = read_findings(shown.directory)
    host = f"{shown.run.environment.cpu_model}; run `{shown.run.id}`, {shown.run.started_utc[:10]}."
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


BLOCKS: dict[str, Callable[[Shown], str]] = {
    "results": results_table,
    "backends": backends_table,
    "environments": environments_table,
    "plots": plot_links,
    "caveats": caveat_list,
    "findings": findings_section,
    "headline": lambda shown: escaped(headline(shown.run, shown.analysis)),
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


def _cells(row: SummaryRow, backend: str) -> list[str]:
    ratio = "1" if row.verdict == BASELINE else bracketed(row.ratio, row.ratio_ci_low, row.ratio_ci_high)
    return [
        row.model,
        backend,
        plain(row.top1_pct, 1),
        count(row.params),
        count(row.madds),
        bracketed(row.latency_median_ms, row.latency_ci_low_ms, row.latency_ci_high_ms),
        ratio,
        plain(row.paper_latency_ms),
        plain(row.paper_ratio, 2),
        row.verdict or DASH,
    ]


def table(head: tuple[str, ...], align: str, body: list[list[str]]) -> str:
    rule = ["---:" if side == "r" else "---" for side in align]
    lines = [list(head), rule, *([escaped(cell) for cell in row] for row in body)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escaped(text: str) -> str:
    """Return the text so that Markdown shows it and does not read it."""
    return re.sub(r"([\\|<>*])", r"\\\1", text.replace("\n", " "))
