"""From when on the machine was too noisy, for a case, a whole run, and a ratio."""

import pytest

from mnbench.records import Neighbour, Verdict
from mnbench.stats import analyse, between_runs
from mnbench.stats.noise import is_noisy, noisy_cases
from mnbench.stats.selftest import noisy_cases as noisy_copies
from mnbench.studies.common import readings
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run

V2, V1, NULL = a_case(), a_case("mobilenet_v1_1.0_224"), a_case("none", backend="null")
WORKLOAD = {"workload_before_ns": 70_000, "workload_after_ns": 70_000}
GOOD, BAD = a_round([100]), a_round([100], disturbances=("foreign load",))


def first_tries(case, *disturbed, ns=100):
    """One launch with one round per flag, with a good repeat after each disturbed one."""
    first = [
        a_launch(case, n, a_round([ns], disturbances=("steal",) if bad else (), **WORKLOAD)) for n, bad in enumerate(disturbed)
    ]
    return [a_launch(case, s.launch, *s.rounds, a_round([ns], order=1, **WORKLOAD)) for s in first]


def codes(analysis):
    return {caveat.code for caveat in analysis.caveats}


def test_a_round_and_its_repeats_count_once_by_the_first_try():
    """One bad second in each of two launches of seven: 4 of 10 rounds are disturbed, and 2 of 7 first tries."""
    launches = [a_launch(V1, n, GOOD) for n in range(5)]
    assert not is_noisy([*launches, a_launch(V1, 5, BAD, BAD, BAD), a_launch(V1, 6, BAD, GOOD)])
    assert is_noisy([*launches, *(a_launch(V1, n, BAD, GOOD) for n in range(5, 8))])


def test_past_a_third_of_disturbed_rounds_nothing_is_concluded():
    bad = a_round([100], order=1, index=1, disturbances=("foreign load",))
    noisy = [a_launch(V1, n, a_round([200]), bad) for n in range(4)]
    analysis = analyse(a_run(a_plan(V2, V1), *(a_launch(V2, n, GOOD) for n in range(4)), *noisy))
    assert analysis.results[1].vs_baseline.verdict is Verdict.TOO_NOISY
    assert any(caveat.code == "too-noisy" and "mnbench doctor" in caveat.advice for caveat in analysis.caveats)


def test_a_run_is_noisy_as_a_whole_where_its_cases_together_are():
    """Half of the machine's time is disturbed; two of three cases were lucky, with a third of their eight rounds or less."""
    lucky, unlucky = [True] * 2 + [False] * 6, [True] * 6 + [False] * 2
    launches = {V2: first_tries(V2, *lucky), V1: first_tries(V1, *lucky), NULL: first_tries(NULL, *unlucky)}
    assert noisy_cases(launches) == {V2, V1, NULL}
    analysis = analyse(a_run(a_plan(V2, V1, NULL), *(s for found in launches.values() for s in found)))
    assert analysis.results[1].vs_baseline.verdict is Verdict.TOO_NOISY
    assert any("of all cases' first tries more than a third" in c.observed for c in analysis.caveats if c.subject == V1.id)
    run = a_run(a_plan(V2, V1, NULL), *(s for found in launches.values() for s in found))
    assert readings.noisy_cases(run) == {V2.id, V1.id, NULL.id}
    assert not any(readings.logs_by_case(run).values())
    quieter = {**launches, NULL: first_tries(NULL, *lucky)}
    assert noisy_cases(quieter) == set()


def test_a_run_is_noisy_as_a_whole_for_the_gate_as_well():
    lucky, unlucky = [True] * 2 + [False] * 6, [True] * 6 + [False] * 2
    plan = a_plan(V2, NULL)
    noisy = a_run(plan, *first_tries(V2, *lucky), *first_tries(NULL, *unlucky))
    quiet = a_run(plan, *first_tries(V2, *lucky), *first_tries(NULL, *lucky))
    (compared,) = between_runs.diff(quiet, quiet).cases
    assert compared.not_compared is None
    for old, new, name in ((noisy, quiet, "OLD"), (quiet, noisy, "NEW")):
        (refused,) = between_runs.diff(old, new).cases
        assert refused.not_compared == f"the machine was too noisy in {name}"


def test_the_gate_refuses_a_wide_ratio_of_an_unquiet_run():
    def launches(*, disturbed, spread, ns):
        return [
            a_launch(V2, n, *first_tries(V2, n < disturbed, ns=round(ns * (1 + spread * (-1) ** n)))[0].rounds)
            for n in range(12)
        ]

    old = a_run(a_plan(V2), *launches(disturbed=0, spread=0.03, ns=100_000))
    for disturbed, refused in ((1, False), (3, True)):
        new = a_run(a_plan(V2), *launches(disturbed=disturbed, spread=0.03, ns=112_000))
        found = between_runs.diff(old, new, fail_if_slower_pct=5)
        assert bool(found.not_compared) == refused
        assert bool(found.regressions) != refused
        assert not any(caveat.code == "unquiet-machine" for caveat in found.caveats)
        if refused:
            assert "a sixth of the rounds in NEW" in found.not_compared[0].not_compared


@pytest.mark.parametrize(
    ("disturbed", "spread", "verdict"),
    [
        (2, 0.05, Verdict.SLOWER),  # an eighth of the tries: a wide interval is a wide interval
        (4, 0.05, Verdict.TOO_NOISY),
        (4, 0.005, Verdict.SLOWER),
    ],
)
def test_in_an_unquiet_run_a_wide_ratio_is_refused(disturbed, spread, verdict):
    """Its interval may well hold the truth, and its value be off by more than a user would think."""
    flags = [n < disturbed for n in range(16)]
    v2 = first_tries(V2, *flags[::2])
    v1 = [launch for n in range(8) for launch in first_tries(V1, flags[2 * n + 1], ns=round(200 * (1 + spread * (-1) ** n)))]
    v1 = [a_launch(V1, n, *launch.rounds) for n, launch in enumerate(v1)]
    analysis = analyse(a_run(a_plan(V2, V1), *v2, *v1))
    comparison = analysis.results[1].vs_baseline
    assert comparison.ratio is not None
    assert comparison.verdict is verdict
    assert (V1.id in {c.subject for c in analysis.caveats if c.code == "unquiet-machine"}) == (verdict is Verdict.TOO_NOISY)
    assert "too-noisy" not in codes(analysis)


def test_a_self_test_judges_no_copy_of_a_noisy_run():
    copies = [a_case(variant=f"copy{n}") for n in range(2)]
    lucky, unlucky = [True] * 2 + [False] * 6, [True] * 6 + [False] * 2
    found = [*first_tries(copies[0], *lucky), *first_tries(copies[1], *lucky), *first_tries(NULL, *unlucky)]
    assert noisy_copies(a_run(a_plan(*copies, NULL), *found)) == copies


def test_beside_a_steady_load_only_a_ratio_that_is_known_well_is_given():
    """All rounds beside one busy CPU: that is the run's condition, and it takes the place of a quiet machine."""

    def run_of(spread_ns):
        def launch(case, n, ns):
            return a_launch(
                case, n, a_round([ns] * 5, wall_ns=10**9, other_cpus_ns=10**9, disturbances=("load on other CPUs",))
            )

        pairs = [
            launch(case, n, ns + spread_ns * (n % 3) * (case == V1)) for n in range(9) for case, ns in ((V2, 1000), (V1, 1500))
        ]
        return analyse(a_run(a_plan(V2, V1), *pairs, neighbours=(Neighbour(name="make", busy_cpus=1.0, resident_bytes=0),)))

    well, badly = run_of(5), run_of(150)
    assert (well.condition.rule, well.condition.busy_cpus) == ("steady-load", 1.0)
    assert well.results[1].vs_baseline.verdict is Verdict.SLOWER
    assert badly.results[1].vs_baseline.verdict is Verdict.TOO_NOISY
    (caveat,) = (c for c in badly.caveats if c.code == "unquiet-machine")
    assert "beside 1.0 busy CPUs" in caveat.observed
    assert "unquiet-machine" not in codes(well)
