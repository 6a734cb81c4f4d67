"""threads-batch on hand-made runs: known ratios, known scaling, and what does not fit into memory."""

from __future__ import annotations

import pytest

from mnbench import environment
from mnbench.studies import threads_batch as study
from mnbench.studies._threads_batch_view import V1, V2
from mnbench.study_records import Holds, StudyOptions
from tests.study_runs import a_study_run, figure_of, only_row

PER_IMAGE_MS = {V1: 10.0, V2: 5.0}


def concluded(latency_ms):
    return study.conclude(a_study_run(latency_ms, {}), {})


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
    assert figure_of(paper, "V2 over V1, ort, 1 thread, batch 1").value == pytest.approx(0.5, rel=0.01)
    assert "No flip" in others.measured


def test_a_flip_with_the_batch_is_named_and_the_claim_holds_in_part():
    flipped = grid(lambda model, threads, batch, ms: ms * (3 if (model, batch) == (V2, 8) else 1))
    found = concluded(flipped)
    paper, others, *_ = found.findings
    assert (paper.verdict, others.verdict) == (Holds.YES, Holds.PARTLY)
    assert "faster at batch 1, slower at 8" in others.measured
    assert only_row(found.tables[0].rows, threads=2, batch=8).v2_is == "slower"


def test_equal_networks_are_not_decided():
    equal = grid(lambda model, threads, batch, ms: ms * (2 if model == V2 else 1))
    paper, others, *_ = concluded(equal).findings
    assert (paper.verdict, others.verdict) == (Holds.UNDECIDED, Holds.UNDECIDED)


def test_scaling_is_measured_against_one_thread_and_against_batch_one():
    found = concluded(grid(lambda model, threads, batch, ms: ms * (1.6 if threads == 2 else 1) * (0.5 if batch == 8 else 1)))
    row = only_row(found.tables[1].rows, network=V1, threads=2, batch=8)
    assert row.thread_speedup == pytest.approx(2 / 1.6, rel=0.01)
    assert row.batch_gain == pytest.approx(2.0, rel=0.01)
    assert row.images_per_s == pytest.approx(8 / (10.0 * 8 / 2 * 1.6 * 0.5) * 1000, rel=0.05)
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


def test_a_batch_of_64_has_time_to_settle_even_when_two_looks_are_not_enough():
    slow_ns, looks = 600_000_000, 3  # two inferences each, with noise of a few per cent
    assert study.plan(StudyOptions(quick=True)).settle.max_ms * 1e6 > 2 * looks * slow_ns
