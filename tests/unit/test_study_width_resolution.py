"""width-resolution on hand-made runs: latencies that follow known powers, known fronts and known ranks."""

from __future__ import annotations

import pytest

from mnbench import catalog
from mnbench.studies import width_resolution as study
from mnbench.studies._width_resolution_grid import parts
from mnbench.study_records import Holds, StudyOptions
from tests.study_runs import a_study_run, figure_of, only_row

NETWORKS = (*catalog.suite("v1-grid"), *catalog.suite("v2-grid"))
MADDS = {name: round(catalog.card(name).madds[0].value) for name in NETWORKS}


def concluded(latency_ms, **changes):
    found = study.conclude(a_study_run({(n, "ort"): latency_ms(*parts(n)) for n in NETWORKS}, MADDS, **changes), {})
    return found, dict(
        zip(("front", "ranks", "fit", "v1 width", "v1 resolution", "v2 width", "v2 resolution"), found.findings, strict=True)
    )


def squares(family, width, resolution):
    return (16 if family == "mobilenet_v1" else 8) * width**2 * (resolution / 224) ** 2


def test_latencies_that_follow_the_squares_make_the_claims_of_both_multipliers_hold():
    found, finding = concluded(squares)
    assert {finding[name].verdict for name in ("v1 width", "v1 resolution", "v2 width", "v2 resolution")} == {Holds.YES}
    assert figure_of(finding["v1 width"], "exponent of latency in width, ort").value == pytest.approx(2.0, abs=0.02)
    step = only_row(found.tables[1].rows, family="mobilenet_v1", along="width", at=160.0, larger=0.75)
    assert step.time_exponent == pytest.approx(2.0, abs=0.05)
    assert step.smaller == 0.5


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
    def like_the_phone(family, width, resolution):
        name = f"{family}_{width}_{resolution}"
        published = [x.latency_ms for x in catalog.card(name).latency if x.source.key == study.PIXEL_SOURCE]
        return published[0] / 10 if published else 30.0

    _, finding = concluded(like_the_phone, spread=0.0005)
    assert figure_of(finding["ranks"], "Kendall's tau, ort").value == pytest.approx(1.0)
    assert figure_of(finding["fit"], "exponent, ort").value == pytest.approx(1.0, abs=0.01)
    assert (finding["ranks"].verdict, finding["fit"].verdict) == (Holds.YES, Holds.YES)
    assert (
        finding["front"].verdict is Holds.YES
    )  # every V1 takes 30 ms, more than any V2, and none is as accurate as the best V2


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
