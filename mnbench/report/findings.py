"""A study's findings as text, read from findings.json: for the terminal, the page and the Markdown files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from mnbench.errors import StoreError
from mnbench.records.study import Figure, Holds, StoredFindings
from mnbench.report.numbers import bracketed, fixed, significant

FILE = "findings.json"
COUNTED = "counted"
MOST_LABELS = 4
STYLES = {Holds.YES: "bold green", Holds.PARTLY: "bold yellow", Holds.NO: "bold red", Holds.UNDECIDED: "bold"}


def read_findings(directory: Path) -> StoredFindings:
    """Return what a study stored. Raises StoreError for a directory without it, or a damaged one."""
    path = directory / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=StoredFindings)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}. Make it with: mnbench report {shlex.quote(str(directory))}"
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged: {error}. Make it again with: mnbench report {shlex.quote(str(directory))}"
        ) from error


def figure_text(figure: Figure) -> str:
    """Return `6.21 [6.14, 6.29] ms`; a count without brackets, because it is exact."""
    estimate = figure.estimate
    if estimate.method == COUNTED:
        value = estimate.value
        shown = f"{value:,.0f}" if value == round(value) else fixed(value, max(0, significant(value, 3)))
        return f"{shown} {figure.unit}".rstrip()
    return f"{bracketed(estimate)} {figure.unit}".rstrip()


def intervals_text(stored: StoredFindings) -> str:
    """Say what the intervals of the figures are over: launches, or else which figures have another kind."""
    estimates = [figure for found in stored.findings for figure in found.figures if figure.estimate.method != COUNTED]
    if not estimates:
        return "No figure has an interval." if any(found.figures for found in stored.findings) else ""
    others: dict[str, list[str]] = {}
    for figure in estimates:
        if "launch" not in figure.estimate.method:
            others.setdefault(figure.estimate.method, []).append(figure.label)
    levels = " and ".join(f"{100 * level:g} %" for level in sorted({figure.estimate.level for figure in estimates}))
    over = " over launches" if sum(map(len, others.values())) < len(estimates) else ""
    parts = [f"Intervals are {levels}{over}."]
    parts += [f"Not over launches: {_shortened(labels)} ({method})." for method, labels in others.items()]
    return " ".join(parts)


def _shortened(labels: Sequence[str]) -> str:
    """Return labels, the first few of many."""
    more = len(labels) - MOST_LABELS
    return "; ".join(labels) if more <= 0 else f"{'; '.join(labels[:MOST_LABELS])} and {more} more"


def render(stored: StoredFindings, console: Console) -> None:
    """Print the findings."""
    console.print(Text(f"{stored.study}: {stored.question}", style="bold"))
    for found in stored.findings:
        console.print()
        console.print(Text.assemble((f"{found.verdict}", STYLES[found.verdict]), f": {found.claim} ({found.source.short})"))
        console.print(Padding(Text(f"Here: {found.measured}"), (0, 0, 0, 2), expand=False))
        for figure in found.figures:
            console.print(Padding(Text(f"{figure.label}: {figure_text(figure)}"), (0, 0, 0, 4), expand=False))
        console.print(Padding(Text(f"Limits: {found.limits}", style="dim"), (0, 0, 0, 2), expand=False))
    if over := intervals_text(stored):
        console.print()
        console.print(Text(over, style="dim"))
