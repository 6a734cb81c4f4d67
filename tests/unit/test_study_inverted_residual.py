"""The study of inverted residual blocks concludes what was planted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mnbench import studies
from mnbench.catalog.operators import Operator, check, cost
from mnbench.records.study import Holds
from mnbench.studies import inverted_residual as study
from mnbench.studies.common.matched_blocks import inverted, matched
from mnbench.studies.common.shapes import Shapes
from mnbench.studies.common.zoo_blocks import grid_blocks, network_blocks
from mnbench.studies.inverted_residual.cells import fitted_growth
from mnbench.studies.inverted_residual.counted import memory_finding
from mnbench.studies.inverted_residual.findings import conclude
from mnbench.studies.inverted_residual.rows import memory_rows
from tests.chain_runs import chain_run

QUICK = list(study.operators(quick=True))
FACTS = {"network": network_blocks("mobilenet_v2_1.0_224"),
         "grid": grid_blocks(resolution=56, channels=24, other_channels=32, expansion=6)}  # fmt: skip


def by_madds(operator: Operator, _backend: str) -> float:
    return cost(replace(operator, copies=1)).madds / 50


def by_name(conclusion, name):
    return next(table.rows for table in conclusion.tables if table.name == name)


def test_matched_blocks_are_those_worked_by_hand():
    # 2·6·96² + 9·6·96 = 115,776 weights; 576·96 twice and 9·96 is 111,456: 3.7 % fewer, at the same ratio of widths.
    depthwise = matched(inverted(14, 96), "residual-depthwise", "madds")
    assert (depthwise.in_channels, depthwise.expansion, depthwise.out_channels) == (576, 6, 576)
    # 2·6·64² + 9·6·64 = 52,608; 56²·(2·4 + 9) = 53,312: 1.3 % more, with ResNet's 4.
    standard = matched(inverted(14, 64), "residual", "madds")
    assert (standard.in_channels, standard.expansion, standard.shortcut) == (224, 4, 1)


@pytest.mark.parametrize("quick", [True, False])
def test_every_planned_block_can_be_and_matched_ones_cost_the_same_within_six_per_cent(quick):
    operators = list(study.operators(quick=quick))
    for operator in operators:
        check(replace(operator, copies=2))
        assert (operator.in_channels % 8, operator.out_channels % 8) == (0, 0)
    for block in {o for o in operators if o.kind == "inverted" and o.expansion == 6 and o.shortcut == int(o.stride == 1)}:
        for kind in ("residual", "residual-depthwise"):
            for by in ("madds", "params"):
                other = matched(block, kind, by)
                assert 1 / 1.06 <= getattr(cost(other), by) / getattr(cost(block), by) <= 1.06
                assert (other.in_channels // other.expansion) % 8 == 0


def test_blocks_that_take_as_long_as_their_madds_say_bear_the_claims_out():
    conclusion = conclude(chain_run(QUICK, by_madds, layers_per_copy=3), FACTS)
    equal, expansion, shortcut, memory, rule, formula = (finding.verdict for finding in conclusion.findings)
    assert (equal, expansion, shortcut) == (Holds.YES, Holds.YES, Holds.YES)
    assert (memory, rule, formula) == (Holds.PARTLY, Holds.PARTLY, Holds.PARTLY)
    assert "3 in openvino" in conclusion.findings[3].measured
    assert "in 0 of 4 pairs (0.54 to 1.15 times) when every tensor" in conclusion.findings[3].measured
    assert "in 4 of 4 pairs (3.36 to 6.76 times) by the paper's bound" in conclusion.findings[3].measured
    swept = [row for row in by_name(conclusion, "expansion") if row.expansion == 10]
    assert [row.latency_over_first.value for row in swept] == pytest.approx([5.0] * 4, rel=0.02)


def test_blocks_that_take_longer_than_their_madds_say_contradict_them():
    def planted(operator: Operator, backend: str) -> float:
        slower = 2.0 if operator.kind.startswith("residual") else 1.0
        slower *= 1.2 if operator.shortcut else 1.0
        slower *= operator.expansion**0.5 if operator.kind == "inverted" else 1.0
        return slower * by_madds(operator, backend)

    conclusion = conclude(chain_run(QUICK, planted), FACTS)
    assert [finding.verdict for finding in conclusion.findings[:3]] == [Holds.NO, Holds.NO, Holds.NO]
    (row, *_) = by_name(conclusion, "shortcut")
    assert row.with_over_without.value == pytest.approx(1.2, rel=0.01)
    assert row.with_over_without.low < row.with_over_without.value < row.with_over_without.high
    kept = [row for row in by_name(conclusion, "equal-cost") if row.kind == "residual" and row.stride == 1]
    assert [row.latency_over.value / row.madds_over for row in kept] == pytest.approx([2 / 6**0.5] * 4, rel=0.02)


def test_one_slow_runtime_makes_a_claim_hold_in_part():
    def planted(operator: Operator, backend: str) -> float:
        return by_madds(operator, backend) * (1.5 if backend == "ort" and operator.kind == "residual" else 1.0)

    assert conclude(chain_run(QUICK, planted), FACTS).findings[0].verdict is Holds.PARTLY


def by_launch(*ratios):
    return {launch: math.log(ratio) for launch, ratio in enumerate(ratios)}


def test_shapes_that_agree_have_a_mean_and_shapes_that_do_not_their_least_and_their_most():
    alike = Shapes(label="over", level=0.95, logs={"small": by_launch(1.0, 1.1, 1.2), "large": by_launch(1.04, 1.1, 1.16)})
    assert [figure.label for figure in alike.figures()] == ["over, small", "over, large", "over, mean of 2 shapes"]
    assert alike.mean.value == pytest.approx(1.1, rel=0.01)
    assert alike.words().endswith("(mean of 2 shapes)")
    # The mean, 1.08, is the time of neither.
    apart = Shapes(label="over", level=0.95, logs={"small": by_launch(0.98, 0.984, 0.988), "large": by_launch(1.18, 1.19, 1.2)})
    assert apart.mean is None
    assert [figure.label for figure in apart.figures()] == ["over, small", "over, large"]
    low, high = apart.words().split(" to ")
    assert low.startswith("0.984 [")
    assert high.startswith("1.19 [")


def test_a_shape_that_was_not_measured_leaves_no_mean_and_is_said():
    found = Shapes(label="over", level=0.95, logs={"small": by_launch(1.0, 1.1, 1.2), "large": {}})
    assert (found.mean, list(found.each)) == (None, ["small"])
    assert found.words().endswith("(1 of 2 shapes)")
    assert Shapes(label="over", level=0.95, logs={"small": {}}).words() == "not measured"


def test_a_figure_is_of_one_shape_and_the_sentence_does_not_repeat_the_list():
    def planted(operator: Operator, backend: str) -> float:
        slow = operator.kind == "residual-depthwise" and operator.resolution == 56
        return by_madds(operator, backend) * (1.3 if slow else 1.0)

    (equal, *_) = conclude(chain_run(QUICK, planted), FACTS).findings
    labels = [figure.label for figure in equal.figures]
    assert "ort: residual-depthwise over inverted, 56x56x24, equal multiply-adds and weights" in labels
    assert not [label for label in labels if "residual-depthwise over inverted, mean" in label]
    assert not [label for label in labels if label in equal.measured]


@pytest.mark.parametrize("quick", [True, False])
def test_a_block_that_is_equal_in_multiply_adds_and_in_weights_stands_there_once(quick):
    blocks = list(study.operators(quick=quick))
    conclusion = conclude(chain_run(blocks, by_madds), FACTS)
    rows = by_name(conclusion, "equal-cost")
    assert len({(row.inverted, row.kind, row.residual, row.stride, row.resolution, row.backend) for row in rows}) == len(rows)
    assert {row.equal for row in rows if row.stride == 1} == {"multiply-adds and weights"}
    labels = [figure.label for figure in conclusion.findings[0].figures]
    assert len(set(labels)) == len(labels)


def test_a_runtime_that_joins_the_layers_of_a_block_is_not_said_to_write_every_tensor():
    told = memory_finding(memory_rows(QUICK), {"ort": 3, "openvino": 1}).measured
    assert "3 in ort, 1 in openvino; three would mean" in told
    assert memory_finding([], {}).verdict is Holds.UNDECIDED


@pytest.mark.parametrize("launches", [0, 2])
def test_too_few_launches_leave_the_cells_empty_and_the_claims_undecided(launches):
    conclusion = conclude(chain_run(QUICK, by_madds, launches=launches), {})
    assert [finding.verdict for finding in conclusion.findings[:3]] == [Holds.UNDECIDED] * 3
    assert all(figure.estimate.method == "counted" for finding in conclusion.findings for figure in finding.figures)
    assert {row.latency_us for row in by_name(conclusion, "blocks-timed")} == {None}
    for plot in conclusion.plots:
        plot.draw()


def test_a_chain_that_was_not_measured_leaves_only_its_own_cells_empty():
    missing = replace(matched(inverted(14, 64), "residual", "madds"), copies=8).name
    conclusion = conclude(chain_run(QUICK, by_madds, measured=lambda case: case.model != missing), FACTS)
    empty = [row.inverted for row in by_name(conclusion, "equal-cost") if row.latency_over is None]
    assert empty == ["64-384-64", "64-384-64"]
    assert conclusion.findings[0].verdict is Holds.UNDECIDED
    assert conclusion.findings[2].verdict is Holds.YES


def test_growth_is_that_of_the_power_law_through_every_expansion_by_launch_that_has_them_all():
    blocks = [inverted(14, 64, expansion=t) for t in (2, 4, 8)]  # MAdds 1 : 2 : 4
    square_root = [{0: math.log(10.0), 1: 0.0}, {0: math.log(10.0 * 2**0.5)}, {0: math.log(10.0 * 4**0.5), 1: 1.0}]
    assert fitted_growth(blocks, square_root) == pytest.approx({0: math.log(2.0)})


def test_every_plot_can_be_drawn():
    for plot in conclude(chain_run(QUICK, by_madds), FACTS).plots:
        assert plot.draw().axes


def test_ten_of_the_seventeen_bottlenecks_have_a_shortcut():
    """Table 2 repeats each row n times; all but the first of a row keep channels and size: 0 + 1 + 2 + 3 + 2 + 2 + 0."""
    blocks = FACTS["network"]
    assert len(blocks) == 17
    assert sum(block["has_shortcut"] for block in blocks) == 10
    assert [block["resolution"] for block in blocks][:4] == [112, 112, 56, 56]
    assert [(b["stride"], b["in_channels"] == b["out_channels"], b["has_shortcut"]) for b in FACTS["grid"]] == [
        (1, True, True), (1, False, False), (2, True, False), (2, False, False)]  # fmt: skip


def test_the_formula_is_exact_for_blocks_of_stride_one_that_expand():
    rows = by_name(conclude(chain_run(QUICK, by_madds), FACTS), "network-blocks")
    exact = [row.madds == row.madds_formula for row in rows]
    assert exact == [row.stride == 1 and row.expansion > 1 for row in rows]


def test_the_studies_are_found_by_their_names():
    assert {"inverted-residual", "linear-bottleneck"} <= set(studies.names())
    assert studies.get("inverted-residual").name == "inverted-residual"
