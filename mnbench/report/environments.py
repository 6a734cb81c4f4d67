"""What a run says of the environments that it compares: their versions, and the sentences of the gate."""

from __future__ import annotations

from collections.abc import Sequence

from mnbench.records import Run, Verdict
from mnbench.report.limit import not_ruled_out, slower_by
from mnbench.report.naming import conditions
from mnbench.report.numbers import bracketed
from mnbench.report.rows import ComparisonRow
from mnbench.stats.gate import Gate


def versions_legend(run: Run) -> str:
    """Return the versions that the runtimes stated, by environment: `OLD: ort 1.24.4; NEW: ort 1.32.0.`; empty without any."""
    parts = []
    for known in run.plan.environments:
        stated = [s for s in run.samples if s.case.environment == known.label and "version" in s.effective]
        found = dict.fromkeys(f"{s.case.backend} {s.effective['version']}" for s in stated)
        where = f" (artefacts of {known.artifacts})" if known.artifacts else ""
        parts.append(f"{known.label}: {', '.join(found) or 'not measured'}{where}")
    return f"{'; '.join(parts)}." if parts else ""


def headline(run: Run, compared: Sequence[ComparisonRow]) -> str:
    """Return a few sentences about what each later environment changed, worst first."""
    first = run.plan.environments[0].label
    told = []
    for verdict in (Verdict.SLOWER, Verdict.FASTER):
        found = sorted((c for c in compared if c.verdict is verdict), key=lambda c: -abs(_pct(c)))
        if found:
            worst = found[0]
            most = f"most of all {worst.name}: {_shown(worst)}"
            told.append(f"{len(found)} of {len(compared)} cases {verdict} than in {first}, {most}")
    same = sum(1 for c in compared if c.verdict is Verdict.EQUIVALENT)
    if same:
        told.append(f"{same} of {len(compared)} equivalent")
    without = len(compared) - sum(1 for c in compared if c.verdict in (Verdict.SLOWER, Verdict.FASTER, Verdict.EQUIVALENT))
    if without or not compared:
        told.append(f"{without} of {len(compared)} without a conclusion")
    return f"On {conditions(run)}: {'; '.join(told)}. {versions_legend(run)}"


def gate_sentences(gate: Gate) -> list[str]:
    """Return what the gate found: what is slower, what is not ruled out, then what could not be compared."""
    limit = gate.fail_if_slower_pct
    names = "; ".join(f"{c.case.id} by {slower_by(c.ratio, limit)}" for c in gate.regressions)
    count = f"{len(gate.regressions)} of {gate.compared} cases: {names}" if names else "none"
    sentences = [f"Regressions (significantly slower, estimated above {limit:g} %): {count}."]
    if gate.not_ruled_out:
        sentences.append(not_ruled_out((c.case, c.ratio) for c in gate.not_ruled_out))
    if gate.not_compared:
        reasons = "; ".join(f"{case.id}: {reason}" for case, reason in gate.not_compared)
        sentences.append(f"{len(gate.not_compared)} of {gate.compared} cases cannot be compared: {reasons}.")
    return sentences


def _pct(row: ComparisonRow) -> float:
    return 100 * (row.ratio.value - 1) if row.ratio else 0.0


def _shown(row: ComparisonRow) -> str:
    return bracketed(row.ratio) if row.ratio else "no ratio"
