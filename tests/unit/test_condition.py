"""Under which load a run was made: one that stays is its condition, one that comes and goes disturbs."""

from dataclasses import replace

import pytest

from mnbench.records import Cache, Condition, Neighbour, Verdict
from mnbench.report.naming import condition_words
from mnbench.report.view import view_of
from mnbench.stats import analyse, between_runs
from mnbench.stats.analysis import trusted_samples
from mnbench.stats.condition import CHANGED, LOADED, condition_of
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run, an_environment

V2, V1 = a_case(), a_case("mobilenet_v1_1.0_224")
WALL_NS = 100_000_000
CACHE = Cache(level=3, kind="unified", size_bytes=32 << 20, shared_cpus=(0, 1))
QUIET, LOAD = Condition(rule="quiet"), Condition(rule="steady-load", busy_cpus=1.0)


MAKE = Neighbour(name="make", busy_cpus=1.0, resident_bytes=9 << 20)


def run_beside(*loads, cpus=2, neighbours=(MAKE,), **plan):
    """A run of two cases on one of the CPUs; `loads` has, by launch, how many others were busy. Marked as when measured."""

    def measured(ns, busy):
        marked = (LOADED,) if busy > 0.25 * (cpus - 1) else ()
        readings = {"workload_before_ns": 70_000, "workload_after_ns": 70_000}
        return a_round([ns], wall_ns=WALL_NS, other_cpus_ns=round(busy * WALL_NS), disturbances=marked, **readings)

    launches = [
        a_launch(c, n, measured(ns + n, busy)) for n, busy in enumerate(loads) for c, ns in ((V2, 10**6), (V1, 2 * 10**6))
    ]
    return a_run(
        a_plan(V2, V1, **plan), *launches, environment=an_environment(logical_cpus=cpus, caches=(CACHE,)), neighbours=neighbours
    )


def kept(run):
    return sum(not r.disturbances for s in trusted_samples(run) for r in s.rounds)


def test_a_quiet_run_is_quiet_and_judged_as_it_was_measured():
    run = run_beside(*[0.0] * 5, 0.1)
    assert condition_of(run) == QUIET
    assert trusted_samples(run) == list(run.samples)


def test_a_load_that_is_the_same_in_all_rounds_is_the_condition_and_disturbs_none():
    run = run_beside(1.0, 0.9, 1.0, 1.0, 0.95, 1.0)
    assert condition_of(run) == LOAD
    assert kept(run) == 12
    analysis = analyse(run)
    assert analysis.condition == LOAD
    assert analysis.results[1].vs_baseline.verdict is Verdict.SLOWER
    assert "too-noisy" not in {caveat.code for caveat in analysis.caveats}
    assert {condition_words(row.condition) for row in view_of(run).rows} == {"beside 1.0 busy CPUs"}
    assert {condition_words(row.condition) for row in view_of(run).comparisons} == {"beside 1.0 busy CPUs"}


def test_a_load_that_comes_and_goes_is_no_condition_and_disturbs():
    run = run_beside(1.0, 0.0, 1.0, 0.0, 1.0, 0.0)
    assert condition_of(run) == QUIET
    assert kept(run) == 6
    assert analyse(run).results[1].vs_baseline.verdict is Verdict.TOO_NOISY


def test_beside_a_steady_load_the_rounds_without_it_are_the_disturbed_ones():
    """Nine of ten launches had it: the quiet one is left out, as are those with still more load."""
    run = run_beside(*[1.0] * 9, 0.0)
    assert condition_of(run) == LOAD
    assert kept(run) == 18
    assert {reason for s in trusted_samples(run) for r in s.rounds for reason in r.disturbances} == {CHANGED}


def test_a_load_in_fewer_than_four_fifths_of_the_rounds_is_no_condition():
    assert condition_of(run_beside(*[1.0] * 8, 0.0, 0.0)) == LOAD
    assert condition_of(run_beside(*[1.0] * 7, 0.0, 0.0, 0.0)) == QUIET


def test_other_reasons_stay_beside_a_steady_load():
    run = run_beside(*[1.0] * 8)
    first = run.samples[0]
    spoilt = replace(first, rounds=(replace(first.rounds[0], disturbances=(LOADED, "steal")),))
    (one, *_) = trusted_samples(replace(run, samples=(spoilt, *run.samples[1:])))
    assert one.rounds[0].disturbances == ("steal",)


def test_with_quiet_only_a_steady_load_disturbs_as_any_other():
    run = run_beside(*[1.0] * 8, quiet_only=True)
    assert condition_of(run) == QUIET
    assert kept(run) == 0


UNSEEN = "1.0 of these are of programs that cannot be seen from here"


@pytest.mark.parametrize(
    ("busy", "expected"), [(0.7, QUIET), (2.0, Condition(rule="steady-load", busy_cpus=2.0, presses=UNSEEN))]
)
def test_what_counts_as_load_is_a_share_of_the_other_cpus(busy, expected):
    assert condition_of(run_beside(*[busy] * 6, cpus=5)) == expected


def test_too_few_rounds_or_too_short_ones_tell_no_condition():
    assert condition_of(run_beside(1.0, 1.0)) == QUIET  # four rounds
    run = run_beside(*[1.0] * 8)
    short = tuple(
        replace(s, rounds=tuple(replace(r, wall_ns=10**7, other_cpus_ns=10**7) for r in s.rounds)) for s in run.samples
    )
    assert condition_of(replace(run, samples=short)) == QUIET


def test_runs_beside_different_loads_are_not_compared_and_those_beside_the_same_are():
    loaded, quiet = run_beside(*[1.0] * 8), run_beside(*[0.0] * 8)
    for old, new in ((loaded, quiet), (quiet, loaded)):
        reasons = [entry.not_compared for entry in between_runs.diff(old, new).cases]
        assert all(reason.startswith("the runs were made beside different loads (") for reason in reasons)
    assert [entry.not_compared for entry in between_runs.diff(loaded, loaded).cases] == [None, None]


BROWSER = Neighbour(name="browser", busy_cpus=0.6, resident_bytes=512 << 20)


@pytest.mark.parametrize(
    ("neighbours", "why"),
    [
        ((MAKE,), ""),
        ((MAKE, replace(BROWSER, busy_cpus=0.1)), ""),
        ((BROWSER, replace(MAKE, busy_cpus=0.4)), "browser (512 MiB) may press on the memory and caches that all CPUs share"),
        ((replace(BROWSER, resident_bytes=None),), "browser (of unknown size) may press on the memory"),
        ((replace(MAKE, busy_cpus=0.5),), "0.5 of these are of programs that cannot be seen from here"),
        (None, "which programs these are is unknown"),
    ],
)
def test_beside_a_load_that_may_press_on_the_memory_nothing_is_concluded(neighbours, why):
    run = run_beside(*[1.0] * 8, neighbours=neighbours)
    assert condition_of(run).presses.startswith(why)
    analysis = analyse(run)
    assert analysis.results[1].vs_baseline.verdict is (Verdict.TOO_NOISY if why else Verdict.SLOWER)
    assert any(why in caveat.observed for caveat in analysis.caveats if caveat.code == "unquiet-machine") is bool(why)
    assert analysis.results[1].vs_baseline.ratio is not None
