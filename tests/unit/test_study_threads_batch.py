"""threads-batch on hand-made runs: known ratios, known scaling, and what does not fit into memory."""

from __future__ import annotations

import math

import pytest
import scipy.stats

from mnbench import environment
from mnbench.records.study import Holds, StudyOptions
from mnbench.studies import threads_batch as study
from mnbench.studies.threads_batch.view import V1, V2
from tests.conftest import a_launch, a_plan, a_round, a_run
from tests.study_runs import a_key_case, a_study_run, figure_of, only_row

PER_IMAGE_MS = {V1: 10.0, V2: 5.0}


def concluded(latency_ms, **changes):
    return study.conclude(a_study_run(latency_ms, {}, **changes), {})


def grid(change=lambda model, threads, batch, ms: ms, batches=(1, 8), threads=(1, 2)):
    """Return latencies in proportion to the batch and inversely to the threads, but for what `change` makes of them."""
    return {
        (model, "ort", count, batch): change(model, count, batch, per_image * batch / count)
        for count in threads
        for batch in batches
        for model, per_image in PER_IMAGE_MS.items()
    }


def test_a_network_that_is_faster_throughout_makes_the_claim_hold_everywhere():
    paper, others, batches, threads = concluded(grid()).findings
    assert [found.verdict for found in (paper, others, batches, threads)] == [Holds.YES] * 4
    assert [found.source.key for found in (batches, threads)] == ["mnbench"] * 2  # Table 4 says neither
    assert figure_of(paper, "V2 over V1, ort, 1 thread, batch 1").value == pytest.approx(0.5, rel=0.01)
    assert "No flip" in others.measured


def test_a_flip_with_the_batch_is_named_and_the_claim_holds_in_part():
    flipped = grid(lambda model, threads, batch, ms: ms * (3 if (model, batch) == (V2, 8) else 1))
    found = concluded(flipped)
    paper, others, *_ = found.findings
    assert (paper.verdict, others.verdict) == (Holds.YES, Holds.PARTLY)
    assert "faster at batch 1, slower at 8" in others.measured
    assert only_row(found.tables[0].rows, threads=2, batch=8).v2_is == "slower"


def test_a_flip_with_the_threads_is_named_too():
    flipped = grid(lambda model, threads, batch, ms: ms * (3 if (model, threads) == (V2, 2) else 1))
    assert "ort, batch 1: faster with 1 thread, slower with 2" in concluded(flipped).findings[1].measured
    assert "at batch" not in concluded(flipped).findings[1].measured  # with as many threads, every batch says the same


def test_a_case_too_noisy_to_judge_is_named_and_is_no_part_of_what_is_counted():
    found = concluded(grid(), noisy=[(V2, "ort", 2, 8)]).findings
    paper, others, batches, threads = found
    assert paper.verdict is Holds.YES
    assert [finding.verdict for finding in found[1:]] == [Holds.UNDECIDED] * 3
    refused = "refused as too noisy: MobileNetV2 (ort, 2 threads, batch 8)."
    assert "faster in 2 of 2, of 3 planned." in others.measured
    assert f"Measured: 5 of 6; {refused}" in others.measured
    assert f"0 of 3 cases with an interval (of 4) and fall by as much in 0. Measured: 7 of 8; {refused}" in batches.measured
    assert refused in threads.measured
    assert "Measured" not in paper.measured


ABOVE_TEN_PER_CENT = [0.10, 0.15, 0.20, 0.15, 0.15]
"""Logarithms by launch whose 95 % interval lies above log 1.1, the one that two of them hold together at 95 % does not."""


def test_the_planted_launches_are_what_they_are_said_to_be():
    error = scipy.stats.sem(ABOVE_TEN_PER_CENT)
    alone, of_two = (scipy.stats.t.interval(level, 4, 0.15, error)[0] for level in (0.95, 0.975))
    assert of_two < math.log(1.1) < alone


def a_run_of_two(case, reference, log_gains, planned):
    """Return a run in which an image of `case` took exp(-gain) of one of `reference`, launch by launch."""
    samples = [
        a_launch(one, launch, a_round([round(1e9 * one.batch * math.exp(-gain if one is case else 0))]))
        for launch, gain in enumerate(log_gains)
        for one in (case, reference)
    ]
    return a_run(a_plan(case, reference, *planned, sweep=True, regimes=("steady",)), *samples)


def test_a_gain_that_is_beyond_ten_per_cent_only_when_it_stands_alone_decides_nothing():
    planned = [a_key_case(V1, "ort", threads=2, batch=batch) for batch in (1, 8)]  # so that two gains are judged
    run = a_run_of_two(a_key_case(V1, "ort", batch=8), a_key_case(V1, "ort"), ABOVE_TEN_PER_CENT, planned)
    batches = study.conclude(run, {}).findings[2]
    assert figure_of(batches, "images/s over batch 1: MobileNetV1, ort, 1 thread, batch 8").low > 1.1
    assert "grow by more than 10 % in 0 of 1 cases with an interval (of 2)" in batches.measured


def test_a_speedup_that_is_within_ten_per_cent_of_two_only_when_it_stands_alone_decides_nothing():
    planned = [a_key_case(V2, "ort", threads=threads) for threads in (1, 2)]
    speedups = [gain - math.log(1.1) + math.log(2 / 1.1) for gain in ABOVE_TEN_PER_CENT]
    run = a_run_of_two(a_key_case(V1, "ort", threads=2), a_key_case(V1, "ort"), speedups, planned)
    threads = study.conclude(run, {}).findings[3]
    assert figure_of(threads, "speed over one thread: MobileNetV1, ort, 2 threads, batch 1").low > 2 / 1.1
    assert "0 of 1 cases with an interval (of 2) reach 2 times the speed" in threads.measured


def test_equal_networks_are_not_decided():
    equal = grid(lambda model, threads, batch, ms: ms * (2 if model == V2 else 1))
    paper, others, *_ = concluded(equal).findings
    assert (paper.verdict, others.verdict) == (Holds.UNDECIDED, Holds.UNDECIDED)


def test_scaling_is_measured_against_one_thread_and_against_batch_one():
    found = concluded(grid(lambda model, threads, batch, ms: ms * (1.6 if threads == 2 else 1) * (0.5 if batch == 8 else 1)))
    row = only_row(found.tables[1].rows, network=V1, threads=2, batch=8)
    assert row.thread_speedup.value == pytest.approx(2 / 1.6, rel=0.01)
    assert row.batch_gain.value == pytest.approx(2.0, rel=0.01)
    assert row.images_per_s.value == pytest.approx(8 / (10.0 * 8 / 2 * 1.6 * 0.5) * 1000, rel=0.05)
    assert row.images_per_s.low == pytest.approx(8000 / row.latency_ms.high)
    assert row.images_per_s.high == pytest.approx(8000 / row.latency_ms.low)
    _, _, batches, threads = found.findings
    assert (batches.verdict, threads.verdict) == (Holds.NO, Holds.PARTLY)


def test_what_was_not_measured_is_an_empty_cell_and_no_verdict():
    found = concluded(grid(lambda model, threads, batch, ms: None if batch == 8 else ms))
    assert found.findings[0].verdict is Holds.YES
    assert [finding.verdict for finding in found.findings[1:]] == [Holds.UNDECIDED] * 3
    assert only_row(found.tables[1].rows, network=V2, threads=1, batch=8).images_per_s is None
    for plot in found.plots:
        plot.draw()


def test_a_run_in_which_nothing_was_measured_is_concluded():
    found = concluded(grid(lambda *_: None))
    assert {finding.verdict for finding in found.findings} == {Holds.UNDECIDED}
    for plot in found.plots:
        plot.draw()


@pytest.mark.parametrize(("cores", "threads"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_threads_are_powers_of_two_and_all_cores(cores, threads):
    assert study.thread_counts(cores) == threads


def test_batches_that_do_not_fit_into_memory_are_skipped_and_named(monkeypatch):
    options = StudyOptions(backends=("ort",))
    cores = environment.cpu_budget()[0]
    usable = study.needed_bytes(16, workers=len(study.thread_counts(cores)))
    monkeypatch.setattr(study, "usable_memory_bytes", lambda: usable)
    plan = study.plan(options)
    assert max(case.batch for case in plan.cases) == 16
    assert [reason.split(" of")[0] for reason in options.skipped] == ["batch 32", "batch 64"]
    assert "MiB" in options.skipped[0]
