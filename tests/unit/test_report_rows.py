"""The rows behind every view, and the CSV files made of them."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mnbench import report
from mnbench.errors import StoreError, UnknownNameError
from mnbench.records import PERCENTILES
from mnbench.report.view import view_of
from tests.builders import make_run, paper_table, with_caveat, with_failure, without_interval

HEADER = (
    "run_id,case_id,model,backend,precision,threads,batch,environment,resolution,top1_pct,top1_source,params,madds,"
    "latency_ms,latency_low_ms,latency_high_ms,latency_per_image_ms,latency_per_image_low_ms,latency_per_image_high_ms,"
    "ratio,ratio_low,ratio_high,paper_latency_ms,paper_ratio,"
    "roofline_pct,roofline_low_pct,roofline_high_pct,verdict,"
    "latency_p50_ms,latency_p50_low_ms,latency_p50_high_ms,latency_p90_ms,latency_p90_low_ms,latency_p90_high_ms,"
    "latency_p95_ms,latency_p95_low_ms,latency_p95_high_ms,latency_p99_ms,latency_p99_low_ms,latency_p99_high_ms,"
    "latency_p99_9_ms,latency_p99_9_low_ms,latency_p99_9_high_ms,cold_ms,cold_low_ms,cold_high_ms,"
    "first_ms,first_low_ms,first_high_ms,load_ms,load_low_ms,load_high_ms,peak_memory_mib,launches,samples,condition,"
    "effective_threads,effective_precision,max_abs_error,caveats"
)
V1 = "mobilenet_v1_1.0_224-ort-fp32-b1-t1"
SHUFFLE = "shufflenet_v1_1.5_g3_224-ort-fp32-b1-t1"
BASE = "mobilenet_v2_1.0_224-ort-fp32-b1-t1"
NULL = "none-null-fp32-b1-t1"


def read(path: Path) -> dict[str, dict[str, str]]:
    return {row["case_id"]: row for row in csv.DictReader(io.StringIO(path.read_text()))}


def test_summary_csv_has_the_promised_columns_in_order_and_a_row_per_case(tmp_path: Path) -> None:
    run, analysis = make_run()
    report.write_all(view_of(run, analysis), tmp_path, ["summary"])
    header = (tmp_path / "summary.csv").read_text().splitlines()[0]
    assert header == HEADER
    assert list(read(tmp_path / "summary.csv")) == [case.id for case in run.plan.cases if case.id != NULL]


def test_a_figure_that_does_not_exist_is_an_empty_cell_and_counts_stay_whole(tmp_path: Path) -> None:
    report.write_all(view_of(*make_run()), tmp_path, ["summary"])
    rows = read(tmp_path / "summary.csv")
    assert rows[BASE]["ratio_low"] == rows[BASE]["cold_ms"] == rows[BASE]["environment"] == ""
    assert rows[SHUFFLE]["paper_latency_ms"] == rows[SHUFFLE]["paper_ratio"] == rows[SHUFFLE]["latency_p99_ms"] == ""
    assert rows[V1]["params"] == "4230017"
    assert "nan" not in (tmp_path / "summary.csv").read_text().lower()


def test_every_column_of_a_percentile_is_read_as_a_float_and_is_empty_where_there_is_none(tmp_path: Path) -> None:
    run, analysis = make_run()
    report.write_all(view_of(run, analysis), tmp_path, ["summary"])
    table = pd.read_csv(tmp_path / "summary.csv")
    names = [name for name in table.columns if re.match(r"latency_p\d", name)]
    assert len(names) == 3 * len(PERCENTILES)
    assert {str(table[name].dtype) for name in names} == {"float64"}
    p90 = analysis.results[0].percentiles[90.0]
    assert p90 is not None
    cells = table.loc[0, ["latency_p90_low_ms", "latency_p90_ms", "latency_p90_high_ms"]]
    assert list(cells) == pytest.approx([p90.low / 1e6, p90.value / 1e6, p90.high / 1e6], abs=1e-6)
    assert all(table[name].isna().all() for name in names if "p90" not in name)


def test_paper_ratios_come_from_the_published_milliseconds() -> None:
    ratios = {row.case.model: row.paper_ratio for row in view_of(*make_run()).rows}
    expected = {
        "mobilenet_v1_1.0_224": 1.51,
        "nasnet_a_mobile_224": 2.44,
        "mobilenet_v2_1.4_224": 1.91,
        "mobilenet_v2_1.0_224": 1.0,
    }
    assert {model: round(ratios[model] or 0, 2) for model in expected} == expected


def test_a_paper_ratio_never_divides_figures_of_two_sources() -> None:
    cards, latency_ms = paper_table()
    release_only = [replace(card, latency=card.latency[1:]) if "v2_1.0" in card.name else card for card in cards]
    ratios = {row.case.model: row.paper_ratio for row in view_of(*make_run(release_only, latency_ms)).rows}
    assert ratios["mobilenet_v1_1.0_224"] is None


def test_the_row_of_the_baseline_is_one_without_an_interval() -> None:
    row = next(row for row in view_of(*make_run()).rows if row.case.id == BASE)
    assert (row.ratio, row.shown_ratio, row.verdict) == (None, 1.0, "baseline")


def test_without_an_interval_no_latency_and_no_ratio_is_invented() -> None:
    row = next(row for row in view_of(*without_interval(*make_run(), V1)).rows if row.case.id == V1)
    assert (row.latency_ms, row.ratio) == (None, None)
    assert row.launches == 1


def test_a_failed_case_keeps_its_row_with_a_caveat_and_no_verdict() -> None:
    row = next(row for row in view_of(*with_failure(*make_run(), V1)).rows if row.case.id == V1)
    assert (row.caveats, row.verdict, row.launches, row.effective) == (("case-failed",), None, 0, {})


def test_caveats_are_joined_codes_without_repetition() -> None:
    run, analysis = make_run()
    analysis = with_caveat(with_caveat(analysis, V1), V1)
    analysis = replace(analysis, caveats=(*analysis.caveats, replace(analysis.caveats[0], code="steal", subject="ort")))
    row = next(row for row in view_of(run, analysis).rows if row.case.id == V1)
    assert row.caveats == ("interval-wide", "steal")


def test_effective_settings_that_differ_between_launches_are_both_shown() -> None:
    run, analysis = make_run()
    last = next(s for s in reversed(run.samples) if s.case.id == V1)
    changed = replace(last, effective={**last.effective, "threads": "2"})
    run = replace(run, samples=tuple(changed if s is last else s for s in run.samples))
    assert next(row.effective["threads"] for row in view_of(run, analysis).rows if row.case.id == V1) == "1;2"


def test_comparison_csv_holds_both_kinds_of_comparison(tmp_path: Path) -> None:
    run, analysis = make_run()
    kinds = [row.kind for row in view_of(run, analysis).comparisons]
    assert (kinds.count("baseline"), kinds.count("backend")) == (10, 6)
    report.write_all(view_of(run, analysis), tmp_path, ["comparison"])
    header = (tmp_path / "comparison.csv").read_text().splitlines()[0]
    assert header == (
        "case_id,baseline_id,kind,environment,latency_ms,latency_low_ms,latency_high_ms,"
        "baseline_latency_ms,baseline_latency_low_ms,baseline_latency_high_ms,ratio,ratio_low,ratio_high,"
        "ratio_next_run,ratio_next_run_low,ratio_next_run_high,level,method,p_adjusted,verdict,condition"
    )


def test_an_unknown_format_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'summary'"):
        report.write_all(view_of(*make_run()), tmp_path, ["sumary"])


def test_a_file_that_cannot_be_written_is_a_store_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "summary.csv").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        report.write_all(view_of(*make_run()), tmp_path, ["summary"])
    assert [path.name for path in tmp_path.iterdir()] == ["summary.csv"]
