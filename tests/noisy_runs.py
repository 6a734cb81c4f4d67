"""Analyses in which the machine was too noisy for a case."""

from __future__ import annotations

from dataclasses import replace

from mnbench.records import Analysis, Caveat, Verdict


def with_noise(analysis: Analysis, case_id: str) -> Analysis:
    """Return the analysis in which too many rounds of one case were disturbed."""
    caveat = Caveat(code="too-noisy", subject=case_id, observed="9 of 12 rounds were disturbed", advice="Measure again.")
    results = tuple(
        replace(
            r,
            too_noisy=r.too_noisy or r.case.id == case_id,
            vs_baseline=replace(r.vs_baseline, verdict=Verdict.TOO_NOISY)
            if r.vs_baseline and case_id in (r.case.id, r.vs_baseline.baseline.id)
            else r.vs_baseline,
        )
        for r in analysis.results
    )
    between = tuple(
        replace(c, verdict=Verdict.TOO_NOISY) if case_id in (c.case.id, c.baseline.id) else c for c in analysis.between_backends
    )
    return replace(analysis, results=results, between_backends=between, caveats=(*analysis.caveats, caveat))
