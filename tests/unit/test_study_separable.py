"""The study of separable convolutions on made-up runs: each operator takes a known time, and the study has to find it."""

import math
from dataclasses import replace

import pytest

from mnbench.catalog.operators import cost
from mnbench.records import Estimate, ModelFacts
from mnbench.records.study import Holds, StudyOptions
from mnbench.studies import separable
from mnbench.studies.common.operator_slopes import NOISE, NOT_MEASURED, WIDE, Key, single_of
from mnbench.studies.separable import operator_times
from mnbench.studies.separable.grid import (
    NETWORK,
    POOL,
    V1_LAYERS,
    Cell,
    Line,
    copies_of,
    grid_cells,
    memory_needed_bytes,
    other_cells,
    plan_cases,
    reason_to_skip,
)
from mnbench.studies.separable.layers import layer_rows, proof
from mnbench.studies.separable.rows import operator_rows, refused_counts
from mnbench.studies.separable.speedups import speedup_rows, table_3_rows
from mnbench.studies.separable.verdicts import median_over, widened
from tests.builders import a_spec
from tests.conftest import a_launch, a_round
from tests.separable_runs import BACKENDS, LAUNCHES, TAIL_NS, made_up, time_of


def test_every_operator_is_found_as_long_as_it_is():
    found = operator_times(made_up())
    for key in found.lines():
        expected_ns = key.batch * time_of(key.operator)
        assert found.time(key).estimate.value == pytest.approx(expected_ns * math.sqrt(1.03), rel=2e-3), key


def test_a_rate_has_the_interval_of_its_time_turned_around():
    run = made_up()
    measured = [row for row in operator_rows(operator_times(run), run) if row.slope_ms is not None]
    assert measured
    for row in measured:
        assert row.gmadds_per_s.low < row.gmadds_per_s.value < row.gmadds_per_s.high
        assert row.gmadds_per_s.low == pytest.approx(row.madds / row.slope_ms.high / 1e6)
        assert row.gbytes_per_s.high == pytest.approx(row.bytes / row.slope_ms.low / 1e6)


def test_what_stands_behind_copies_side_by_side_is_subtracted():
    found = operator_times(made_up())
    strided = Key(operator=V1_LAYERS[3][0], backend="ort")
    assert strided.operator.stride == 2
    assert found.tail(strided)[0] == pytest.approx(TAIL_NS, rel=1e-2)
    uncorrected = (time_of(strided.operator) + TAIL_NS) * math.sqrt(1.03)
    assert found.time(strided).estimate.value < 0.99 * uncorrected


def test_the_layers_add_up_to_a_network_that_is_their_sum_and_to_1_over_1_2_of_one_that_takes_longer():
    for factor in (1.0, 1.2):
        one = proof(operator_times(made_up(factor=factor)), "openvino")
        assert one.missing == ()
        assert one.total.slopes.value == pytest.approx(1 / factor, rel=1e-3)
        assert one.total.singles.value > 1.1 * one.total.slopes.value
    conclusion = separable.conclude(made_up(), {})
    assert conclusion.findings[3].verdict is Holds.YES
    assert separable.conclude(made_up(factor=1.2), {}).findings[3].verdict is Holds.NO


def test_layers_of_the_network_are_those_of_the_paper_and_count_its_multiply_adds():
    # V1 paper, Table 4: 569 million, with 28 layers: 1 standard, 13 depthwise, 13 pointwise, 1 fully connected.
    assert sum(repeats for _, repeats in V1_LAYERS) == 28
    assert sum(repeats * cost(operator).madds for operator, repeats in V1_LAYERS) == 568_740_352
    assert (POOL.resolution, POOL.out_channels) == (7, 1024)


def test_a_network_whose_pairs_are_as_slow_as_their_parts_reaches_that_share_of_the_formula():
    rows = speedup_rows(operator_times(made_up()))
    row = next(r for r in rows if r.backend == "ort" and (r.resolution, r.in_channels, r.out_channels) == (14, 512, 512))
    # By hand: standard 9·512 per element at 60, pair 9 at 6 plus 512 at 60.
    expected = (9 * 512 / 60) / (9 / 6 + 512 / 60)
    assert row.formula_speedup == pytest.approx(1 / (1 / 512 + 1 / 9))
    assert row.speedup.value == pytest.approx(expected, rel=1e-2)
    assert row.share_pct.value == pytest.approx(100 * expected / row.formula_speedup, rel=1e-2)
    assert row.depthwise_madds_pct == pytest.approx(100 * 9 / 521)
    assert not any(row.out_channels == 32 for row in rows)  # a quick study has no line over N
    rows = speedup_rows(operator_times(made_up(quick=False)))
    swept = next(r for r in rows if r.backend == "ort" and (r.in_channels, r.out_channels) == (128, 32))
    assert swept.speedup.value == pytest.approx((9 * 32 / 60) / (9 / 6 + 32 / 60), rel=1e-2)


def test_table_3_is_gone_through_row_by_row():
    rows = [row for row in table_3_rows(operator_times(made_up())) if row.backend == "ort"]
    assert [round(row.counted_madds_m, 1) for row in rows] == [462.4, 52.3, 29.6, 15.1]
    assert [round(row.madds_ratio, 1) for row in rows] == [1.0, 8.8, 15.6, 30.6]
    assert [row.speedup is not None for row in rows] == [True] * 4


def test_a_slope_that_noise_outweighs_is_refused_counted_and_said():
    operator = V1_LAYERS[13][0]  # nothing else rests on it
    line = [replace(operator, copies=copies).name for copies in copies_of(operator, 1)]
    longest = line[-1]

    def shrink(case, launch, ns):  # chains whose edges are nearly all of them, so that 8 % turn the slope around
        if case.model not in line or case.backend != "ort":
            return ns
        return (ns + 100e6) * (0.92 if case.model == longest and launch == 1 else 1.0)

    run = made_up(change=shrink)
    found = operator_times(run)
    assert found.time(Key(operator=operator, backend="ort")).refused == NOISE
    assert found.time(Key(operator=operator, backend="openvino")).refused == ""
    rows = operator_rows(found, run)
    assert refused_counts(rows) == {NOISE: 1}
    assert [row.slope_ms for row in rows if row.refused] == [None]
    conclusion = separable.conclude(run, {})
    assert "1 noise outweighs the slope" in conclusion.findings[0].limits


def test_a_slope_whose_interval_is_too_wide_is_refused_but_still_a_small_part_of_the_sum():
    operator = replace(V1_LAYERS[1][0])
    line = [replace(operator, copies=copies).name for copies in copies_of(operator, 1)]
    spread = {line[0]: (1.0, 1.09, 1.0, 1.09), line[1]: (1.09, 1.0, 1.09, 1.0)}

    def edge_heavy(case, launch, ns):  # edges so heavy that a spread of 9 % outweighs the slope
        return (ns + 20e6) * spread[case.model][launch] if case.model in spread else ns

    found = operator_times(made_up(change=edge_heavy))
    measured = found.time(Key(operator=operator, backend="ort"))
    assert measured.refused in (WIDE, NOISE)
    assert measured.estimate is None
    assert len(measured.slopes_ns) == LAUNCHES
    assert proof(found, "ort").total.slopes.value == pytest.approx(1.0, abs=0.1)


def test_a_launch_beside_a_neighbour_on_the_core_is_left_out_of_that_graph_and_said():
    operator = V1_LAYERS[1][0]
    longest = replace(operator, copies=max(copies_of(operator, 1))).name

    def spoilt(case, launch):
        return case.model in (longest, NETWORK) and case.backend == "ort" and launch == 2

    run = made_up(change=lambda case, launch, ns: ns * (1.6 if spoilt(case, launch) else 1.0), disturbed=spoilt)
    found = operator_times(run)
    assert found.disturbed()[0] == 2
    assert sorted(found.time(Key(operator=operator, backend="ort")).logs) == [0, 1, 3]
    assert found.time(Key(operator=operator, backend="ort")).estimate.value == pytest.approx(time_of(operator), rel=0.04)
    one = proof(found, "ort")
    assert one.total.slopes.value == pytest.approx(1.0, rel=1e-2)
    assert "2 of" in separable.conclude(run, {}).findings[0].limits


def test_a_layer_that_a_launch_lacks_counts_with_the_mean_of_its_other_launches():
    operator = V1_LAYERS[2][0]
    lengths = [replace(operator, copies=number).name for number in copies_of(operator, 1)]

    def spoilt(case, launch):
        return case.model in lengths and case.backend == "ort" and launch == 0

    found = operator_times(made_up(disturbed=spoilt))
    assert 0 not in found.time(Key(operator=operator, backend="ort")).slopes_ns
    assert proof(found, "ort").total.slopes.value == pytest.approx(1.0, rel=1e-2)


@pytest.mark.parametrize("kept", [0, 1, 7, 40])
def test_whatever_part_was_measured_is_concluded_from(kept):
    cases = plan_cases(BACKENDS, quick=True, memory_bytes=1 << 40, skipped=[])
    first = set(cases[:kept])
    conclusion = separable.conclude(made_up(keep=lambda case: case in first), {})
    assert [finding.verdict for finding in conclusion.findings] == [Holds.UNDECIDED] * 5
    rows = next(table.rows for table in conclusion.tables if table.name == "operators")
    assert any(row.refused == NOT_MEASURED and row.slope_ms is None for row in rows)
    assert all(plot.draw() is not None for plot in conclusion.plots)


def test_a_line_that_is_straight_is_told_as_straight():
    found = operator_times(made_up(quick=False))
    rows = [row for row in layer_rows(found) if row.backend == "ort" and row.straightness is not None]
    assert len(rows) > 15
    assert all(row.straightness.value == pytest.approx(1.0, abs=0.02) for row in rows)


def test_cells_that_need_more_memory_than_there_is_are_left_out_and_named_with_how_much():
    skipped = []
    everything = plan_cases(("ort",), quick=False, memory_bytes=1 << 40, skipped=[])
    some = plan_cases(("ort",), quick=False, memory_bytes=64 << 20, skipped=skipped)
    assert 0 < len(some) < len(everything)
    big = Line(operator=Cell(kernel=3, resolution=7, in_channels=1024, out_channels=1024).standard, copies=(1, 2))
    assert memory_needed_bytes(big) == 2 * 4 * (9 * 1024 * 1024 + 2 * 1024 * 49)
    assert "standard_k3_r7_i1024_o1024_s1_x2 is left out: it needs 73 MiB of memory, and 64 can be used." in skipped
    assert reason_to_skip(big, 1 << 30) == ""


def test_the_grid_is_what_the_study_promises():
    squares = {(cell.resolution, cell.in_channels) for cell in grid_cells()}
    assert {resolution for resolution, _ in squares} == {112, 56, 28, 14, 7}
    assert {channels for _, channels in squares} == {16, 32, 64, 128, 256, 512, 1024}
    others = other_cells()
    assert {cell.kernel for cell in others} == {3, 5}
    assert {cell.stride for cell in others} == {1, 2}
    assert {cell.batch for cell in others} == {1, 8}
    planned = plan_cases(BACKENDS, quick=False, memory_bytes=1 << 40, skipped=[])
    assert 1_100 <= len(planned) <= 1_400
    assert len(planned) == len(set(planned))


def test_chains_are_kept_short_where_their_weights_would_leave_the_cache():
    for operator, _ in V1_LAYERS:  # 10 MiB, or as few copies as make a line
        copies = max(copies_of(operator, 1))
        assert copies <= 2 or 4 * cost(operator).params * copies <= 10 << 20, operator
    fully_connected = V1_LAYERS[-1][0]
    alone = single_of(fully_connected)
    found = operator_times(made_up())
    assert sorted(found.chains[Key(operator=fully_connected, backend="ort")]) == [1, 2]
    assert alone.alone == 1
    assert found.time(Key(operator=fully_connected, backend="ort")).refused == ""


def test_a_chain_that_leaves_the_cache_is_no_part_of_a_line_that_shorter_ones_make():
    heavy = V1_LAYERS[-2][0]  # 4 MB a copy
    longest = replace(heavy, copies=4).name
    run = made_up()
    case = replace(run.plan.cases[0], model=longest)
    launches = [a_launch(case, launch, a_round([int(10 * 4 * time_of(heavy))] * 3)) for launch in range(LAUNCHES)]
    run = replace(run, plan=replace(run.plan, cases=(*run.plan.cases, case)), samples=(*run.samples, *launches))
    found = operator_times(run)
    assert sorted(found.chains[Key(operator=heavy, backend=case.backend)]) == [1, 2]
    assert found.time(Key(operator=heavy, backend=case.backend)).estimate.value == pytest.approx(time_of(heavy), rel=0.04)


def test_the_plan_can_be_made_for_one_backend():
    options = StudyOptions(backends=("ort",), quick=True)
    plan = separable.plan(options)
    assert {case.backend for case in plan.cases} == {"ort", "null"}
    assert options.skipped == []


def an_estimate(low, high):
    return Estimate(value=(low + high) / 2, low=low, high=high, level=0.95, method="t")


def test_the_median_over_cells_is_taken_in_each_launch_and_a_launch_without_half_of_them_does_not_count():
    cells = [{launch: math.log(value * (1 + launch / 100)) for launch in range(3)} for value in (0.2, 0.5, 0.9)]
    median = median_over(cells, 0.95)
    assert median.value == pytest.approx(0.5 * (1.0 * 1.01 * 1.02) ** (1 / 3))
    assert median.low < 0.5 * 1.01 < median.high
    del cells[1][2]
    filled = median_over(cells, 0.95)
    assert filled.value == pytest.approx(0.5 * (1.0 * 1.01 * math.sqrt(1.0 * 1.01)) ** (1 / 3))
    del cells[0][2]
    assert median_over(cells, 0.95) is None
    assert median_over([], 0.95) is None


def test_an_interval_is_as_much_wider_as_its_data_are_fewer():
    half_measured = widened(Estimate(value=1.0, low=1 / 1.1, high=1.1, level=0.95, method="t"), 0.5)
    assert (half_measured.low, half_measured.high) == (pytest.approx(1 / 1.21), pytest.approx(1.21))
    assert widened(an_estimate(1, 2), 1.0) == an_estimate(1, 2)
    assert widened(None, 0.5) is None


def test_an_operators_floor_is_that_of_one_copy_of_its_chain():
    """By hand: 16 x 16 weights on 14 x 14 pixels are 50,176 MAdds; at 50 GMAdds/s each copy takes 1003.52 ns at least."""
    from mnbench.catalog.operators import parse
    from mnbench.records import Artifact, Bandwidth, Ceilings, Estimate, Format, LayerCost, Peak
    from mnbench.studies.separable.rows import floors_ns
    from tests.conftest import a_case, a_plan, a_run

    def exactly(value):
        return Estimate(value=value, low=value, high=value, level=0.95, method="t")

    name = "pointwise_k1_r14_i16_o16_s1_x4"
    layer = LayerCost(
        name="0", kind="pointwise", params=256, madds=50_176, input_elements=3136, output_elements=3136, output_shape=()
    )
    artifact = Artifact(
        spec=a_spec(name), format=Format.ONNX, path="p", sha256={},
        size_bytes=1, exporter="e", max_abs_error=0.0, max_rel_error=0.0, explained_rel_error={}, feed_path="f",
        facts=ModelFacts(model=name, params=1024, madds=200_704, layers=(layer,) * 4),
    )  # fmt: skip
    ceilings = Ceilings(
        run_id="r",
        peaks=(Peak(precision="fp32", threads=1, kernel="k", madds_per_s=exactly(50e9)),),
        bandwidths=(Bandwidth(level=0, threads=1, holds_bytes=None, kernel="k", bytes_per_s=exactly(100e9)),),
    )
    run = a_run(a_plan(a_case(name)), artifacts=(artifact,), ceilings=ceilings)
    assert floors_ns(run) == {(replace(parse(name), copies=1), 1): pytest.approx(1003.52)}
    assert floors_ns(a_run(a_plan(a_case(name)), artifacts=(artifact,))) == {}
