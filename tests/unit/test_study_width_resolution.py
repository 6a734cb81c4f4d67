"""width-resolution on hand-made runs: latencies that follow known powers, known fronts and known ranks."""

from __future__ import annotations

import math

import pytest
import scipy.stats

from mnbench import catalog
from mnbench.records import Estimate
from mnbench.records.study import Holds, StudyOptions
from mnbench.studies import width_resolution as study
from mnbench.studies.width_resolution.exponents import told_ends
from mnbench.studies.width_resolution.grid import Grid, parts
from tests.conftest import a_case, a_plan, a_run
from tests.study_runs import a_study_run, figure_of, only_row

NETWORKS = (*catalog.suite("v1-grid"), *catalog.suite("v2-grid"))
MADDS = {name: round(catalog.card(name).madds[0].value) for name in NETWORKS}


def concluded(latency_ms, madds=None, **changes):
    run = a_study_run({(n, "ort"): latency_ms(*parts(n)) for n in NETWORKS}, madds or MADDS, **changes)
    found = study.conclude(run, {})
    return found, dict(
        zip(("front", "ranks", "fit", "v1 width", "v1 resolution", "v2 width", "v2 resolution"), found.findings, strict=True)
    )


def squares(family, width, resolution):
    return (16 if family == "mobilenet_v1" else 8) * width**2 * (resolution / 224) ** 2


def v1_behind(family, width, resolution):
    """V2 at the phone's times, V1 behind all of it."""
    name = f"{family}_{width}_{resolution}"
    published = [x.latency_ms for x in catalog.card(name).latency if x.source.key == study.PIXEL_SOURCE]
    return published[0] / 10 if published else 30.0


def test_latencies_that_follow_the_squares_make_the_claims_of_both_multipliers_hold():
    found, finding = concluded(squares)
    assert {finding[name].verdict for name in ("v1 width", "v1 resolution", "v2 resolution")} == {Holds.YES}
    assert figure_of(finding["v1 width"], "exponent of latency in width, ort").value == pytest.approx(2.0, abs=0.02)
    step = only_row(found.tables[1].rows, family="mobilenet_v1", along="width", at=160.0, larger=0.75)
    assert step.time_exponent.value == pytest.approx(2.0, abs=0.05)
    assert step.smaller == 0.5


def test_the_square_is_not_judged_where_multiply_adds_do_not_follow_it_either():
    _, finding = concluded(squares)
    assert finding["v2 width"].verdict is Holds.UNDECIDED
    # ln(300 / 59) / ln(1 / 0.35) = 1.55 between the ends of the paper's grid; a line through all four widths is near it
    assert "Not judged: multiply-adds themselves go with it to the power of 1.5" in finding["v2 width"].measured
    assert "our reading" in finding["v2 width"].claim
    assert "our reading" not in finding["v1 width"].claim
    even = {name: round(1e6 * squares(*parts(name))) for name in NETWORKS}
    assert concluded(squares, even)[1]["v2 width"].verdict is Holds.YES


def told_of_the_last_step(last):
    """Return what is said of four widths of which all steps follow the square but the last: its exponent in each launch."""
    line = {width: f"mobilenet_v1_{width}_224" for width in (1.0, 0.75, 0.5, 0.25)}
    plan = a_plan(*(a_case(name) for name in line.values()))
    logs = {
        ("ort", name): {
            n: 2 * math.log(max(width, 0.5)) + exponent * math.log(min(width, 0.5) / 0.5) for n, exponent in enumerate(last)
        }
        for width, name in line.items()
    }
    return told_ends(Grid(run=a_run(plan), cards={}, madds={}, logs=logs, noisy=frozenset()), {"ort": line})


def test_a_step_that_is_below_the_square_only_when_it_stands_alone_ends_nothing():
    exponents = [1.55, 1.70, 1.65, 1.60, 1.75]
    alone, of_three = (scipy.stats.t.interval(1 - 0.05 / n, 4, 1.65, scipy.stats.sem(exponents))[1] for n in (1, 3))
    assert alone < 1.75 < of_three
    assert told_of_the_last_step(exponents) == "In ort the last step may still follow the square."
    lower = [exponent - 0.05 for exponent in exponents]
    assert told_of_the_last_step(lower) == "In ort below 0.5 time falls more slowly than by the square."


def test_the_width_from_which_on_the_square_ends_is_named():
    def flat_below_a_half(family, width, resolution):
        return squares(family, max(width, 0.5), resolution)

    _, finding = concluded(flat_below_a_half)
    assert finding["v1 width"].verdict is Holds.NO  # one fit over all widths no longer gives 2
    assert "below 0.5 time falls more slowly than by the square" in finding["v1 width"].measured
    assert finding["v1 resolution"].verdict is Holds.YES


def test_the_counted_exponent_of_the_multiply_adds_is_that_of_the_printed_counts():
    found, finding = concluded(squares)
    step = only_row(found.tables[1].rows, family="mobilenet_v1", along="width", at=224.0, larger=1.0)
    assert step.madds_exponent == pytest.approx(1.987, abs=0.005)  # ln(575 / 325) / ln(1 / 0.75)
    assert 1.8 < figure_of(finding["v1 width"], "exponent of MAdds in width").value < 2.0


def test_latencies_in_proportion_to_the_phones_carry_over_in_rank_and_size():
    _, finding = concluded(v1_behind, spread=0.0005)
    assert figure_of(finding["ranks"], "Kendall's tau, ort").value == pytest.approx(1.0)
    assert figure_of(finding["fit"], "exponent, ort").value == pytest.approx(1.0, abs=0.01)
    assert (finding["ranks"].verdict, finding["fit"].verdict) == (Holds.YES, Holds.YES)
    assert finding["fit"].source.key == "mnbench"  # the table of the release says nothing of other machines
    assert (
        finding["front"].verdict is Holds.YES
    )  # every V1 takes 30 ms, more than any V2, and none is as accurate as the best V2


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.9, 1.0, Holds.YES),
        (0.85, 1.0, Holds.UNDECIDED),
        (0.1, 0.8, Holds.PARTLY),
        (-0.2, 0.8, Holds.UNDECIDED),
        (-0.2, 0.95, Holds.UNDECIDED),
        (-0.6, 0.0, Holds.NO),
    ],
)
def test_a_rank_correlation_is_judged_by_the_whole_of_its_interval(low, high, verdict):
    assert study.judged_tau(Estimate(value=(low + high) / 2, low=low, high=high, level=0.95, method="")) is verdict


def test_a_claim_about_all_networks_is_not_held_up_by_those_that_are_left():
    assert concluded(v1_behind, spread=0.0005)[1]["front"].verdict is Holds.YES
    refused = [("mobilenet_v1_0.25_128", "ort"), ("mobilenet_v2_0.5_160", "ort")]
    found, finding = concluded(v1_behind, spread=0.0005, noisy=refused)
    assert [finding[name].verdict for name in ("front", "ranks", "fit")] == [Holds.UNDECIDED] * 3
    assert "In ort measured: 36 of 38; refused as too noisy: V1 0.25 128 and V2 0.5 160." in finding["front"].measured
    for name in ("ranks", "fit"):
        assert "In ort measured: 21 of 22; refused as too noisy: V2 0.5 160." in finding[name].measured
    tau = figure_of(finding["ranks"], "Kendall's tau, ort")
    assert (tau.value, tau.low) == pytest.approx((1.0, (210 - 21) / 231))  # 21 pairs of 231 are open
    assert only_row(found.tables[0].rows, network="mobilenet_v2_0.5_160").place == ""


def test_a_network_is_not_on_the_front_because_its_rival_was_refused():
    def beaten(family, width, resolution):
        return 3.0 if (family, width, resolution) == ("mobilenet_v2", 0.35, 224) else v1_behind(family, width, resolution)

    rivals = [n for n in NETWORKS if n.startswith("mobilenet_v2") and n not in ("mobilenet_v2_0.35_224",)]
    found, _ = concluded(beaten, spread=0.0005)
    assert only_row(found.tables[0].rows, network="mobilenet_v2_0.35_224").place == "off the front"
    found, finding = concluded(beaten, spread=0.0005, noisy=[(name, "ort") for name in rivals])
    assert only_row(found.tables[0].rows, network="mobilenet_v2_0.35_224").place == "undecided"
    assert "and 13 more" in finding["front"].measured


def test_a_v1_that_nothing_beats_is_on_the_front():
    def one_fast(family, width, resolution):
        return 0.01 if (family, width, resolution) == ("mobilenet_v1", 0.25, 128) else squares(family, width, resolution)

    found, finding = concluded(one_fast)
    assert only_row(found.tables[0].rows, network="mobilenet_v1_0.25_128").place == "on the front"
    assert "V1 0.25 128" in finding["front"].measured
    assert finding["front"].verdict is Holds.PARTLY


def test_two_launches_decide_nothing_and_leave_the_cells_empty():
    found, finding = concluded(squares, launches=2)
    assert {one.verdict for one in finding.values()} == {Holds.UNDECIDED}
    assert {row.latency_ms for row in found.tables[0].rows} == {None}
    for plot in found.plots:
        plot.draw()


def test_a_grid_of_which_one_network_was_measured_is_concluded():
    found, finding = concluded(lambda *size: squares(*size) if size == ("mobilenet_v2", 1.0, 224) else None)
    assert {one.verdict for one in finding.values()} == {Holds.UNDECIDED}
    assert "Kendall" in finding["ranks"].measured
    for plot in found.plots:
        plot.draw()


def test_the_full_plan_has_all_points_and_the_quick_one_all_widths():
    full, quick = study.plan(StudyOptions()), study.plan(StudyOptions(quick=True))
    assert len(full.cases) == 2 * (16 + 22) + 1
    widths = {parts(case.model)[:2] for case in quick.cases if case.backend != "null"}
    assert widths == {parts(name)[:2] for name in NETWORKS}
