"""A run's figures as JSON, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from mnbench.records import Analysis, Run
from mnbench.report.rows import comparison_rows, summary_rows


def to_json(run: Run, analysis: Analysis) -> str:
    """Return the rows of summary.csv and comparison.csv, the caveats and the failures; a missing figure is null."""
    document = {
        "schema_version": run.schema_version,
        "run_id": run.id,
        "started_utc": run.started_utc,
        "finished": run.finished,
        "measuring_s": run.measuring_s,
        "baseline": run.plan.baseline,
        "environments": [asdict(known) for known in run.plan.environments],
        "summary": [asdict(row) for row in summary_rows(run, analysis)],
        "comparisons": [asdict(row) for row in comparison_rows(analysis)],
        "caveats": [asdict(caveat) for caveat in analysis.caveats],
        "failures": [
            {"case_id": f.case.id, "launch": f.launch, "reason": f.reason, "log_tail": f.log_tail} for f in run.failures
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
