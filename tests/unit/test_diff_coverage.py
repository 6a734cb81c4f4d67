"""How often `diff` is wrong, and how often right, over many simulated pairs of runs with known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnbench import store
from mnbench.records import Verdict
from mnbench.stats.between_runs import diff
from tests.made_up_runs import CASE_SD, cases_of, levels, run_of_logs, simulated_logs

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
RUNS = 100
CASES = cases_of(12, backends=2)


def verdicts(found):
    return {entry.case: entry.verdict for entry in found.cases}


def findings(found):
    return {shift.backend: shift.finding for shift in found.common}


def pairs_of_runs(waves, correlation, change=None, seed=0, cases=CASES, runs=RUNS):
    """Yield old and new: the two halves of one run, `change` (per case, in logarithms) added to the second."""
    generator = np.random.default_rng((seed, waves, round(10 * correlation)))
    found = simulated_logs(2 * waves, len(cases), correlation, generator, runs) + levels(len(cases))
    streams, workloads = generator.normal(0, 0.01, found.shape[:2]), generator.normal(0, 0.005, found.shape[:2])
    for logs, stream, workload in zip(found, streams, workloads, strict=True):
        logs[waves:] += 0.0 if change is None else change
        yield tuple(
            run_of_logs(cases, logs[half], stream=stream[half], workload=workload[half])
            for half in (slice(None, waves), slice(waves, None))
        )


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("waves", [5, 10])
def test_two_halves_of_one_run_seldom_have_a_slower_case(waves, correlation):
    found = [diff(*pair) for pair in pairs_of_runs(waves, correlation)]
    assert sum(Verdict.SLOWER in verdicts(each).values() for each in found) <= 0.05 * RUNS
    assert sum(Verdict.FASTER in verdicts(each).values() for each in found) <= 0.05 * RUNS


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_two_halves_of_one_run_seldom_have_a_backend_that_is_slower_as_a_whole(correlation):
    found = [diff(*pair) for pair in pairs_of_runs(10, correlation, runs=40)]
    assert sum(bool(each.slower_backends) for each in found) <= 0.05 * 40


def memory_moved(waves, seed):
    """Yield runs between which the memory became slower by 15 %, felt by each case with a slope of its own about 0.8."""
    generator = np.random.default_rng(seed)
    for _ in range(RUNS):
        slopes = generator.normal(0.8, 0.25, len(CASES))
        sides = []
        for middle in (0.0, np.log(1.15)):
            speed = middle + generator.normal(0, 0.02, waves)
            logs = levels(len(CASES)) + speed[:, None] * slopes + generator.normal(0, CASE_SD, (waves, len(CASES)))
            sides.append(run_of_logs(CASES, logs, stream=speed + generator.normal(0, 0.01, waves)))
        yield tuple(sides)


def test_memory_of_another_speed_that_cases_feel_differently_seldom_makes_one_slower():
    found = [diff(*pair) for pair in memory_moved(10, seed=1)]
    assert sum(Verdict.SLOWER in verdicts(each).values() for each in found) <= 0.05 * RUNS
    for each in found:  # nor are they called slower together: it is the memory's doing
        assert set(findings(each).values()) <= {Verdict.TOO_NOISY, Verdict.INCONCLUSIVE}
    assert sum(Verdict.TOO_NOISY in findings(each).values() for each in found) > 0.5 * RUNS


@pytest.mark.parametrize(("waves", "found_at_least"), [(10, 0.3), (20, 0.7)])
def test_one_case_that_became_slower_by_five_per_cent_is_found_and_no_other(waves, found_at_least):
    """How often: in 44 and 85 of 100 runs of ten and twenty waves, with the scatter of the reference host's launches."""
    planted = np.zeros(len(CASES))
    planted[4] = np.log(1.05)
    found = [diff(*pair) for pair in pairs_of_runs(waves, 0.5, planted, seed=2, runs=40)]
    hits = [verdicts(each)[CASES[4]] is Verdict.SLOWER for each in found]
    others = [{case for case, verdict in verdicts(each).items() if verdict is Verdict.SLOWER} - {CASES[4]} for each in found]
    assert np.mean(hits) >= found_at_least
    assert sum(map(bool, others)) <= 0.05 * 40
    ratios = [entry.ratio.value for each in found for entry in each.cases if entry.case == CASES[4]]
    assert np.mean(ratios) == pytest.approx(1.05, rel=0.004)


def shifted(*backends):
    return np.array([np.log(1.08) if case.backend in backends else 0.0 for case in CASES])


def quiet_pairs(change, seed, waves=12):
    """Yield runs whose waves agree to within half a per cent."""
    generator = np.random.default_rng(seed)
    for _ in range(20):
        logs = (
            levels(len(CASES)) + generator.normal(0, 0.005, (2, waves, 1)) + generator.normal(0, 0.01, (2, waves, len(CASES)))
        )
        yield tuple(run_of_logs(CASES, side) for side in (logs[0], logs[1] + change))


def test_what_all_cases_of_both_backends_did_together_is_the_backends_and_no_cases_doing():
    found = [diff(*pair) for pair in quiet_pairs(shifted("ort", "openvino"), seed=3)]
    together = {"ort": Verdict.SLOWER, "openvino": Verdict.SLOWER}
    assert np.mean([findings(each) == together for each in found]) >= 0.95
    assert sum(Verdict.SLOWER in verdicts(each).values() for each in found) <= 0.05 * len(found)


def test_a_backend_that_became_slower_as_a_whole_is_a_finding_of_its_own_and_not_of_the_other():
    found = [diff(*pair) for pair in quiet_pairs(shifted("openvino"), seed=4)]
    one = {"ort": Verdict.INCONCLUSIVE, "openvino": Verdict.SLOWER}
    assert np.mean([findings(each) == one for each in found]) >= 0.95
    assert sum(Verdict.SLOWER in verdicts(each).values() for each in found) <= 0.05 * len(found)
    for each in found:  # nor does it show in the ratios of cases that are like the others of their backend
        assert all(entry.ratio.value == pytest.approx(1.0, abs=0.03) for entry in each.cases)
    for each in found:
        (shift,) = each.slower_backends
        assert shift.backend == "openvino"
        assert shift.unexplained.value == pytest.approx(1.08, rel=0.01)


def test_a_backend_that_became_slower_as_a_whole_makes_no_case_of_the_other_faster():
    found = [diff(*pair) for pair in quiet_pairs(shifted("openvino"), seed=4)]
    wrong = [any(v is Verdict.FASTER for case, v in verdicts(each).items() if case.backend == "ort") for each in found]
    assert np.mean(wrong) <= 0.05


def test_of_two_cases_of_which_one_became_slower_the_other_is_not_called_faster():
    two, change = CASES[:2], np.array([np.log(1.08), 0.0])
    generator = np.random.default_rng(5)
    named, faster = [], []
    for _ in range(RUNS):
        logs = levels(2) + generator.normal(0, 0.005, (2, 12, 1)) + generator.normal(0, 0.01, (2, 12, 2))
        found = verdicts(diff(run_of_logs(two, logs[0]), run_of_logs(two, logs[1] + change)))
        named.append(found[two[0]] is Verdict.SLOWER)
        faster.append(found[two[1]] is Verdict.FASTER)
    assert np.mean(named) >= 0.95
    assert np.mean(faster) <= 0.05


def test_a_single_case_is_held_against_the_workload_and_its_dependent_waves_do_not_mislead():
    wrong = {}
    for correlation in (0.0, 0.5, 0.9):
        found = [diff(*pair) for pair in pairs_of_runs(10, correlation, seed=6, cases=CASES[:1])]
        wrong[correlation] = sum(Verdict.SLOWER in verdicts(each).values() for each in found)
    assert all(count <= 0.05 * RUNS for count in wrong.values())


def test_a_slow_cpu_makes_a_single_case_no_slower_for_the_workload_is_as_slow():
    generator = np.random.default_rng(7)
    logs = levels(1) + generator.normal(0, 0.005, (2, 10, 1))
    slow = np.full(10, np.log(1.3))
    old, new = run_of_logs(CASES[:1], logs[0]), run_of_logs(CASES[:1], logs[1] + np.log(1.3), workload=slow)
    (entry,) = diff(old, new).cases
    assert entry.verdict is not Verdict.SLOWER
    assert entry.ratio.value == pytest.approx(1.0, abs=0.01)


def test_a_single_case_beside_memory_of_another_speed_is_not_judged():
    generator = np.random.default_rng(8)
    logs = levels(1) + generator.normal(0, 0.005, (2, 6, 1))
    still, moved = np.zeros(6), np.full(6, np.log(1.15))
    old, new = (run_of_logs(CASES[:1], side, stream=stream) for side, stream in zip(logs, (still, moved), strict=True))
    (entry,) = diff(old, new).cases
    assert entry.verdict is None
    assert entry.not_compared == "the memory's speed differs by 15.0 %, and there are no other cases to hold it against"


def test_launches_that_some_cases_lost_do_not_move_what_the_others_are_held_against():
    """A network of 20 ms lost two launches: without it the mean of those of 1 ms is not another one."""
    generator = np.random.default_rng(9)
    logs = levels(4) + generator.normal(0, 0.003, (2, 8, 4))
    logs[1, :2, 3] = np.nan
    found = diff(run_of_logs(CASES[:4], logs[0]), run_of_logs(CASES[:4], logs[1]))
    for entry in found.cases[:3]:
        assert entry.ratio.value == pytest.approx(1.0, abs=0.01)
        assert entry.ratio.half_width_pct < 1.0
        assert entry.verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize("parity", [None, 0])
def test_two_halves_of_the_reference_run_have_no_slower_case_or_backend(parity):
    """The first half of its waves against the second, and the even against the odd ones; both ways round."""
    (directory,) = (path for path in REFERENCE.iterdir() if (path / "run.json").is_file())
    run = store.load(directory)
    waves = sorted({samples.launch for samples in run.samples})
    part = set(waves[: len(waves) // 2] if parity is None else waves[::2])
    halves = [replace(run, samples=tuple(s for s in run.samples if (s.launch in part) == first)) for first in (True, False)]
    for old, new in (halves, halves[::-1]):
        found = diff(old, new, (), 3.0)
        assert Verdict.SLOWER not in verdicts(found).values()
        assert not found.regressions
        assert not found.slower_backends
        assert any(entry.verdict is not None for entry in found.cases)
