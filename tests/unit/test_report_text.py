"""The terminal table, JSON, the page and the Markdown blocks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from mnbench.errors import MnbenchError, UnknownNameError
from mnbench.records import PERCENTILES, Analysis, Caveat, Estimate, Run, Verdict
from mnbench.report.html import page
from mnbench.report.json_text import to_json
from mnbench.report.markdown import Shown, fill, stale
from mnbench.report.numbers import bracketed, count, lopsided, plus_minus
from mnbench.report.terminal import render
from mnbench.report.view import view_of
from tests.builders import (
    estimate,
    make_run,
    paper_table,
    v2_grid,
    with_caveat,
    with_failure,
    without_interval,
)
from tests.noisy_runs import with_noise

V1 = "mobilenet_v1_1.0_224-ort-fp32-b1-t1"
BLOCK = "# T\n\n<!-- mnbench:results:begin -->\nold\n<!-- mnbench:results:end -->\n\nend\n"


def shown(run: Run, analysis: Analysis, width: int) -> str:
    console = Console(file=StringIO(), width=width)
    render(view_of(run, analysis), console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def figure(value: float | None, low: float | None, high: float | None) -> Estimate | float | None:
    if value is None or low is None or high is None:
        return value
    return Estimate(value=value, low=low, high=high, level=0.95, method="")


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (6.2143, 6.139, 6.289, "6.21 [6.14, 6.29]"),
        (123.4, 100.2, 144.9, "120 [100, 140]"),
        (0.00042, 0.000415, 0.000425, "0.000420 [0.000415, 0.000425]"),
        (1.5, None, None, "1.5"),
        (1.2345, 1.2345, 1.2345000000000002, "1.23 [1.23, 1.23]"),
        (None, None, None, "–"),
    ],
)
def test_a_number_has_no_more_digits_than_its_interval_supports(
    value: float | None, low: float | None, high: float | None, expected: str
) -> None:
    assert bracketed(figure(value, low, high)) == expected


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (6.284, 6.108, 8.71, "6.3 [6.1, 8.7]"),  # by its whole width: 6 [6, 9]
        (6.284, 6.283, 8.71, "6.3 [6.3, 8.7]"),
        (6.284, 6.284, 8.71, "6 [6, 9]"),
        (6.2143, 6.139, 6.289, "6.21 [6.14, 6.29]"),
        (7.0, 7.0, 7.0, "7.00 [7.00, 7.00]"),
        (None, None, None, "–"),
    ],
)
def test_a_lopsided_interval_has_a_digit_more_where_its_shorter_side_supports_it(
    value: float | None, low: float | None, high: float | None, expected: str
) -> None:
    assert lopsided(figure(value, low, high)) == expected


def test_the_short_form_of_an_interval_and_of_a_count() -> None:
    assert plus_minus(figure(6.2143, 6.139, 6.289)) == "6.21 ±1.2 %"
    assert (plus_minus(1.0), plus_minus(None)) == ("1", "–")
    assert (count(3_504_872), count(300_774_272), count(None)) == ("3.50M", "301M", "–")


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("made", [make_run(), make_run(*v2_grid())], ids=["6x2", "22x2"])
def test_the_terminal_shows_every_figure_in_full(made: tuple[Run, Analysis], width: int) -> None:
    text = shown(*made, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for row in view_of(*made).rows:
        if row.case.backend != "null":
            assert bracketed(row.latency_ms) in text or plus_minus(row.latency_ms) in text


def with_percentiles(made: tuple[Run, Analysis], *percents: float) -> tuple[Run, Analysis]:
    """The run with every percentile asked for, and those of `percents` known in the first case, 9 % above the latency."""
    run, analysis = made
    first = analysis.results[0]
    assert first.latency_ns is not None
    known = {percent: estimate(1.09 * first.latency_ns.value, 3.0) for percent in percents}
    results = [replace(result, percentiles=dict.fromkeys(PERCENTILES)) for result in analysis.results]
    results[0] = replace(first, percentiles={**results[0].percentiles, **known})
    return replace(run, plan=replace(run.plan, percentiles=PERCENTILES)), replace(analysis, results=tuple(results))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_percentiles_are_a_table_of_their_own_that_shows_every_figure_in_full(width: int) -> None:
    text = shown(*with_percentiles(make_run(), *PERCENTILES), width).partition("Percentiles\n")[2]
    assert max(len(line) for line in text.splitlines()) <= width
    assert re.findall(r"p[\d.]+ ms", text) == ["p50 ms", "p90 ms", "p95 ms", "p99 ms", "p99.9 ms"]
    assert len(re.findall(r"9\.6 \[9\.3, 9\.9\]", text)) == len(PERCENTILES)


def test_percentiles_that_no_case_has_have_no_column_and_are_named() -> None:
    text = shown(*with_percentiles(make_run(), 50.0, 95.0, 99.0), 100).partition("Percentiles\n")[2]
    assert re.findall(r"p[\d.]+ ms", text) == ["p50 ms", "p95 ms", "p99 ms"]
    words = " ".join(text.split())
    assert "disturbed ones included" in words
    assert "says nothing of waiting in a queue" in words
    assert "No case has p90 and p99.9" in words


def test_without_a_percentile_there_is_no_table_of_them() -> None:
    made = with_percentiles(make_run())
    assert "Percentiles" not in shown(*made, 100)
    assert "Percentiles" not in page(view_of(*made))


@pytest.mark.parametrize(
    ("code", "why"), [(None, "leave its interval open"), ("drifting-machine", "the machine's speed drifted.")]
)
def test_percentiles_that_were_asked_for_and_are_not_there_have_a_reason(code, why) -> None:
    run, analysis = with_percentiles(make_run())
    caveat = Caveat(code=code or "other", subject="the run", observed="it did", advice="do")
    analysis = replace(analysis, caveats=(caveat,))
    for text in (shown(run, analysis, 200), page(view_of(run, analysis)).replace("&#39;", "'")):
        assert "No case has p50 and p90 and p95 and p99 and p99.9: " in text
        assert why in text
    run = replace(run, plan=replace(run.plan, percentiles=()))
    assert "No case has" not in shown(run, analysis, 200) + page(view_of(run, analysis))


def test_the_page_has_the_percentiles_with_their_intervals() -> None:
    made = with_percentiles(make_run(), 99.9)
    text = page(view_of(*made))
    row = view_of(*made).rows[0]
    assert '<th class="n">p99.9 ms</th>' in text
    assert "p90 ms" not in text
    assert lopsided(row.percentiles_ms[99.9]) in text
    assert "disturbed ones included" in text


def test_the_terminal_shows_caveats_with_advice_and_failures_with_reason() -> None:
    run, analysis = with_failure(*make_run(), V1, reason="killed [bold]by signal 9")
    text = shown(run, with_caveat(analysis, V1), 100)
    assert "interval-wide" in text
    assert "raise --budget" in text
    assert "killed [bold]by signal 9" in text


def test_json_has_numbers_and_nulls() -> None:
    run, analysis = with_failure(*make_run(), V1)
    document = json.loads(to_json(view_of(run, with_caveat(analysis, V1))))
    row = next(row for row in document["summary"] if row["case_id"] == V1)
    assert row["latency_ms"] is None
    assert (row["latency_p90_ms"], row["latency_p99_9_high_ms"]) == (None, None)
    assert document["summary"][1]["latency_p90_low_ms"] < document["summary"][1]["latency_p90_high_ms"]
    assert row["params"] == 4230017
    assert document["failures"][0]["reason"] == "killed by signal 9"
    assert document["caveats"][0]["advice"]
    assert len(document["comparisons"]) == 16


def renamed(name: str) -> tuple[Run, Analysis]:
    cards, latency_ms = paper_table()
    cards[0] = replace(cards[0], name=name)
    return make_run(cards, {**latency_ms, name: 9.0})


def test_the_page_escapes_what_a_run_brings() -> None:
    run, analysis = renamed("<script>alert(1)</script>")
    run, analysis = with_failure(run, analysis, run.plan.cases[0].id, reason="<img src=x>")
    text = page(view_of(run, analysis))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<img" not in text


def test_the_page_loads_nothing_and_its_ids_are_unique() -> None:
    text = page(view_of(*make_run()))
    assert not re.search(r"https?:", re.sub(r'<a href="[^"]*"', "", text))
    assert not re.search(r"<(script|link|iframe|img|object)|@import|url\((?!#)|\ssrc=", text)
    assert set(re.findall(r'xlink:href="(.)', text)) == {"#"}
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)


def test_a_link_of_another_scheme_is_not_made_a_link() -> None:
    run, analysis = make_run()
    accuracy = run.models[0].accuracy[0]
    bad = replace(accuracy, source=replace(accuracy.source, url="javascript:alert(1)"))
    first = replace(run.plan.models[0], card=replace(run.models[0], accuracy=(bad,)))
    run = replace(run, plan=replace(run.plan, models=(first, *run.plan.models[1:])))
    assert "javascript:" not in page(view_of(run, analysis))


def test_the_page_shows_failures_caveats_plan_and_disagreeing_sources() -> None:
    run, analysis = with_failure(*make_run(), V1)
    text = page(view_of(run, with_caveat(analysis, V1)))
    for part in ("out of memory", "raise --budget", "seed 20", "TF-slim checkpoints", "other source", "73.8 ms"):
        assert part in text


def test_fastest_is_said_only_when_the_runner_up_was_compared_and_found_slower() -> None:
    run, analysis = make_run()
    assert "the fastest case is mobilenet_v2_1.0_224 (openvino)" in view_of(run, analysis).headline
    doubtful = tuple(
        replace(r, vs_baseline=replace(r.vs_baseline, verdict=Verdict.INCONCLUSIVE)) if r.vs_baseline else r
        for r in analysis.results
    )
    unsure = replace(analysis, results=doubtful)
    assert "fastest" not in view_of(run, unsure).headline
    assert "fastest" not in page(view_of(run, unsure))
    assert "shufflenet_v1_1.5_g3_224 (openvino)" in view_of(run, unsure).headline


RIVAL = "nasnet_a_mobile_224-openvino-fp32-b1-t1"


def with_latency(analysis: Analysis, case_id: str, value_ms: float, width_pct: float) -> Analysis:
    latency = estimate(value_ms * 1e6, width_pct)
    results = tuple(replace(r, latency_ns=latency, vs_baseline=None) if r.case.id == case_id else r for r in analysis.results)
    return replace(analysis, results=results)


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (lambda run, analysis: (run, with_noise(analysis, RIVAL)), "nasnet_a_mobile_224 (openvino) (machine too noisy)"),
        (lambda run, analysis: with_failure(run, analysis, RIVAL), "nasnet_a_mobile_224 (openvino) (not measured)"),
        (lambda run, analysis: without_interval(run, analysis, RIVAL), "nasnet_a_mobile_224 (openvino) (too few launches)"),
        (
            lambda run, analysis: (run, with_latency(analysis, RIVAL, 16.0, 80.0)),
            "(openvino) (not found slower, 20 [0, 30] ms)",
        ),
    ],
)
def test_no_case_is_called_the_fastest_while_another_could_be_and_that_one_is_named(change: object, doubt: str) -> None:
    assert callable(change)
    text = view_of(*change(*make_run())).headline
    assert "fastest" not in text
    assert "the shortest latencies: mobilenet_v2_1.0_224 (openvino)" in text
    assert f"Could be faster still: {doubt if doubt.startswith('nasnet') else f'nasnet_a_mobile_224 {doubt}'}" in text


def test_a_wide_interval_that_ends_above_the_first_ones_leaves_it_the_fastest() -> None:
    run, analysis = make_run()
    assert "the fastest case is" in view_of(run, with_latency(analysis, RIVAL, 16.0, 30.0)).headline


def test_a_first_case_that_was_too_noisy_is_not_listed_but_named() -> None:
    run, analysis = make_run()
    text = view_of(run, with_noise(analysis, "mobilenet_v2_1.0_224-openvino-fp32-b1-t1")).headline
    assert "fastest" not in text
    assert "Could be faster still: mobilenet_v2_1.0_224 (openvino) (machine too noisy)." in text


def test_every_view_says_what_a_latency_is() -> None:
    run, analysis = make_run()
    blocks = fill(BLOCK, lambda _run_id: Shown(view=view_of(run, analysis), folder="r"))
    for text in (" ".join(shown(run, analysis, 140).split()), page(view_of(run, analysis)), blocks):
        assert "Latency: geometric mean of the launches" in text
        assert "medians, with its 95 % interval. A ratio compares typical latencies (lower quartiles)" in text


def test_filling_a_block_twice_changes_nothing_and_keeps_the_rest() -> None:
    pick = lambda _run_id: Shown(view=view_of(run, analysis), folder="results/reference/x")  # noqa: E731
    run, analysis = make_run()
    once = fill(BLOCK, pick)
    assert once.startswith("# T\n\n<!-- mnbench:results:begin -->\n\n| network |")
    assert once.endswith("<!-- mnbench:results:end -->\n\nend\n")
    assert fill(once, pick) == once
    assert (stale(BLOCK, pick), stale(once, pick)) == (["results"], [])
    assert stale(once.replace("slower", "faster"), pick) == ["results"]


def test_a_marker_may_name_its_run_and_every_block_can_be_made() -> None:
    run, analysis = renamed("a|b")
    asked: list[str | None] = []

    def pick(run_id: str | None) -> Shown:
        asked.append(run_id)
        return Shown(view=view_of(run, analysis), folder="r")

    names = ("results@one.x", "backends", "plots", "caveats", "headline")
    text = "\n".join(f"<!-- mnbench:{n}:begin -->\n<!-- mnbench:{n.split('@')[0]}:end -->" for n in names)
    filled = fill(text, pick)
    assert asked == ["one.x", None, None, None, None]
    assert "](r/latency-vs-accuracy.svg)" in filled
    assert r"a\|b" in filled


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<!-- mnbench:results:begin -->", MnbenchError),
        ("<!-- mnbench:results:end -->\n<!-- mnbench:results:begin -->", MnbenchError),
        ("<!-- mnbench:result:begin -->\n<!-- mnbench:result:end -->", UnknownNameError),
    ],
)
def test_a_marker_that_cannot_be_filled_is_an_error(text: str, error: type[Exception]) -> None:
    run, analysis = make_run()
    with pytest.raises(error):
        fill(text, lambda _run_id: Shown(view=view_of(run, analysis), folder="r"))


def test_importing_the_package_loads_no_format() -> None:
    heavy = {"pandas", "matplotlib", "jinja2", "rich"}
    code = f"import sys, mnbench.report; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
