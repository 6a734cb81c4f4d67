"""A run's figures as JSON, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from mnbench.report import columns, models
from mnbench.report.view import View


def to_json(view: View) -> str:
    """Return the rows of summary.csv and comparison.csv, the user's models, caveats and failures; a missing figure is null."""
    run = view.run
    document = {
        "schema_version": run.schema_version,
        "run_id": run.id,
        "started_utc": run.started_utc,
        "finished": run.finished,
        "measuring_s": run.measuring_s,
        "baseline": run.plan.baseline,
        "environments": [asdict(known) for known in run.plan.environments],
        "models": models.records(view.models),
        "summary": columns.records(columns.summary(columns.JSON), view.rows),
        "comparisons": columns.records(columns.comparison(columns.JSON), view.comparisons),
        "caveats": [asdict(caveat) for caveat in view.analysis.caveats],
        "failures": [
            {"case_id": f.case.id, "launch": f.launch, "reason": f.reason, "log_tail": f.log_tail} for f in run.failures
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
