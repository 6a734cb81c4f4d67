"""What `mnbench diff` shows: a table of cases, what is beyond doubt and what is not, and what else differs between the runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.text import Text

from mnbench.records import Estimate, Verdict
from mnbench.report import columns, markdown
from mnbench.report.columns import Column
from mnbench.report.grid import draw, standard_console
from mnbench.report.limit import not_ruled_out, slower_by
from mnbench.report.numbers import bracketed, plus_minus
from mnbench.report.rows import DiffRow, diff_rows
from mnbench.report.terminal import grid_of
from mnbench.stats.between_runs import CaseDiff, CommonShift, RunDiff
from mnbench.stats.limit import may_exceed


def render(found: RunDiff, console: Console | None = None) -> None:
    """Print the table, the conclusions, the changes and the caveats on `console` (default: standard output)."""
    console = console or standard_console()
    console.print(Text(_title(found), style="bold"))
    table, rows = columns.diff(columns.TERMINAL), diff_rows(found)
    forms = [grid_of(table, rows, interval) for interval in (bracketed, plus_minus)]
    forms.append(grid_of(_narrow(table), rows, plus_minus))
    draw(console, *([form] for form in forms))
    for line in conclusions(found):
        console.print(Text(line))
    for heading, lines in (("Differs between the runs", _changes(found)), ("Caveats", _caveats(found))):
        if lines:
            console.print(Text(f"\n{heading}", style="bold"))
            for line in lines:
                console.print(Text(f"  {line}"))


def _narrow(table: Sequence[Column[DiffRow]]) -> list[Column[DiffRow]]:
    """Return the columns with the new latency below the old one: the form for 80 columns."""
    old, new = (next(column for column in table if column.name == name) for name in ("old_ms", "new_ms"))

    def both(row: DiffRow) -> str:
        return f"{old.shown(row, plus_minus)}\n{new.shown(row, plus_minus)}"

    merged = replace(old, heading=f"{old.heading}\n{new.heading}", value=both, text=str)
    return [merged if column is old else column for column in table if column is not new]


def to_markdown(found: RunDiff) -> str:
    """Return the same as GitHub-flavoured Markdown."""
    parts = [
        f"**{markdown.escaped(_title(found))}**",
        markdown.table_of(columns.diff(columns.MARKDOWN), diff_rows(found)),
        _list(conclusions(found)),
    ]
    for heading, lines in (("Differs between the runs", _changes(found)), ("Caveats", _caveats(found))):
        if lines:
            parts += [f"**{heading}**", _list(lines)]
    return "\n\n".join(parts)


def to_json(found: RunDiff) -> str:
    """Return the whole record: a case as the columns of the diff, a missing figure is null."""
    cases = columns.records(columns.diff(columns.JSON), diff_rows(found))
    document: dict[str, Any] = {**asdict(found), "cases": cases}
    document["only_in_new"] = [case.id for case in found.only_in_new]
    document["conclusions"] = conclusions(found)
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def conclusions(found: RunDiff) -> list[str]:
    """Return in sentences what is beyond doubt, what is likely, and what could not be told."""
    limit = found.fail_if_slower_pct
    lines = []
    if limit is not None:
        names = "; ".join(f"{entry.case.id} by {slower_by(entry.ratio, limit)}" for entry in found.regressions)
        count = f"{len(found.regressions)} of {len(found.cases)} cases"
        lines.append(
            f"Regressions (significantly slower, estimated above {limit:g} %): {f'{count}: {names}' if names else 'none'}."
        )
    lines += [_common(shift) for shift in found.common]
    open_cases = [entry for entry in found.cases if _is_open(entry, limit)]
    if open_cases:
        lines.append(not_ruled_out((entry.case, entry.ratio) for entry in open_cases))
    if found.not_compared:
        lines.append(not_compared(found))
    if found.only_in_new:
        lines.append(f"Only in NEW, and not judged: {', '.join(case.id for case in found.only_in_new)}.")
    level = f"{found.level * 100:g} %"
    lines.append(
        f"new / old: each case relative to the others of its backend, at one speed of the memory; {level} intervals. "
        "A case is called slower or faster only if it is so relative to the reference workload as well. Verdicts: Holm's "
        f"correction over the cases compared; equivalent within ±{found.equivalence_pct:g} %. As a gate, "
        "`mnbench compare --env` is more sensitive."
    )
    return lines


def _common(shift: CommonShift) -> str:
    """Return what all cases of a backend did together, and what that may be put down to."""
    memory = "" if shift.memory_pct is None else f", a pass through memory {shift.memory_pct:+.1f} %"
    facts = f"{_cases_of(shift)}: {_change(shift.latency)}; the reference workload {shift.workload_pct:+.1f} %{memory}."
    if shift.finding is Verdict.TOO_NOISY:
        return f"{facts} The memory's speed changed too much to tell whether {shift.backend} or the machine did this."
    if shift.finding is Verdict.INCONCLUSIVE:
        return f"{facts} The machine may have done this."
    how = f"{_change(shift.unexplained)} that the CPU's speed does not explain"
    return f"{facts} {shift.backend} became {shift.finding} as a whole: {how}."


def _cases_of(shift: CommonShift) -> str:
    return f"All {shift.cases} cases of {shift.backend} together" if shift.cases > 1 else f"The one case of {shift.backend}"


def _change(ratio: Estimate) -> str:
    value, low, high = (100 * (bound - 1) for bound in (ratio.value, ratio.low, ratio.high))
    return f"{value:+.1f} % [{low:+.1f}, {high:+.1f}]"


def not_compared(found: RunDiff) -> str:
    """Return the sentence that names every case of OLD without a verdict, and why."""
    reasons = "; ".join(f"{entry.case.id}: {entry.not_compared}" for entry in found.not_compared)
    return f"{len(found.not_compared)} of {len(found.cases)} cases of OLD cannot be compared: {reasons}."


def _is_open(entry: CaseDiff, limit_pct: float | None) -> bool:
    """Tell whether a slow-down above the limit is neither reported nor excluded; without a limit, any inconclusive case."""
    if entry.ratio is None or entry.regression:
        return False
    if limit_pct is None:
        return entry.verdict is Verdict.INCONCLUSIVE
    return may_exceed(entry.ratio, limit_pct)


def _title(found: RunDiff) -> str:
    return f"{found.new_id} against {found.old_id} on {found.cpu_model}"


def _changes(found: RunDiff) -> list[str]:
    return [f"{change.subject}: {change.old} → {change.new}" for change in found.changes]


def _caveats(found: RunDiff) -> list[str]:
    return [f"{caveat.code}: {caveat.subject}: {caveat.observed}. {caveat.advice}" for caveat in found.caveats]


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {markdown.escaped(line)}" for line in lines)
