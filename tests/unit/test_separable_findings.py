"""What the study of separable convolutions says of made-up runs with a known truth: figures, criteria, what is left out."""

import math
from dataclasses import replace
from functools import cache

import pytest

from mnbench.catalog.operators import parse
from mnbench.records import Estimate
from mnbench.records.study import Holds
from mnbench.studies import separable
from mnbench.studies.common.operator_slopes import TOO_FEW, Key, single_of, tail_keys
from mnbench.studies.common.slopes import ratio_of
from mnbench.studies.separable import operator_times
from mnbench.studies.separable.grid import POOL, V1_LAYERS, Cell, copies_of
from mnbench.studies.separable.layers import POOL_NAME, layer_rows, proof
from mnbench.studies.separable.speedups import speedup_rows
from mnbench.studies.separable.verdicts import judge_gains, judge_shares, judge_steps, judge_within
from tests.separable_runs import made_up

FORMULA, STEPS, GAINS, PROOF, SINGLES = range(5)


@cache
def findings(quick=True):
    return separable.conclude(made_up(quick=quick), {}).findings


def values(finding):
    return {figure.label: figure.estimate.value for figure in finding.figures}


def found(finding, *words):
    """The value of the one figure whose label has all the words."""
    values_of = [value for label, value in values(finding).items() if all(word in label for word in words)]
    assert len(values_of) == 1, (words, list(values(finding)))
    return values_of[0]


# --- the layers added up, by kind


def test_the_sum_of_layers_is_given_by_kind():
    """By hand, in million MAdds: pointwise 539.5 at 60 a ns, depthwise 17.4 at 6, standard 10.8 and linear 1.0 at 60."""
    madds = {"pointwise": 539_492_352, "depthwise": 17_385_984, "standard": 10_838_016, "linear": 1_024_000}
    times_ns = {kind: number / (6 if kind == "depthwise" else 60) for kind, number in madds.items()}
    network = sum(times_ns.values()) + 5_000
    proved = findings()[PROOF]
    for kind, each in times_ns.items():
        assert found(proved, "ort", kind, "slopes") == pytest.approx(100 * each / network, rel=5e-3)
        assert kind in proved.measured
    by_kind = proof(operator_times(made_up()), "ort").by_kind
    assert sum(one.slopes.value for one in by_kind.values()) == pytest.approx(1.0, abs=2e-3)
    assert by_kind["depthwise"].singles.value > by_kind["depthwise"].slopes.value


def test_depthwise_layers_that_a_chain_shortens_show_in_their_kind_while_the_total_still_holds():
    def cached(case, _, ns):
        operator = parse(case.model)
        shortened = operator is not None and operator.kind == "depthwise" and case.backend == "ort" and operator.copies > 1
        return ns * (0.85 if shortened else 1.0)

    proved = separable.conclude(made_up(change=cached), {}).findings[PROOF]
    assert proved.verdict is Holds.YES
    ratio = found(proved, "ort", "depthwise", "slopes") / found(proved, "openvino", "depthwise", "slopes")
    assert ratio == pytest.approx(0.85, rel=1e-2)
    assert "depthwise ones could be off" in proved.limits


def test_claims_that_no_paper_makes_are_the_studys_own():
    assert [finding.source.key for finding in findings()] == ["MobileNetV1 paper"] * 3 + ["mnbench"] * 2


# --- the formula: twins, common cells, how many of them


def test_a_variation_is_compared_with_the_same_shapes_of_the_grid_alone():
    """Pairs take 1.25 times as long in batches of 8: 0.8 of their twins' share, whatever the grid's median is."""

    def slower(case, _, ns):
        operator = parse(case.model)
        return ns * (1.25 if operator is not None and operator.kind == "separable" and case.batch == 8 else 1.0)

    formula = separable.conclude(made_up(quick=False, change=slower), {}).findings[FORMULA]
    assert found(formula, "ort: batch 8 over those") == pytest.approx(0.8, rel=5e-3)
    twins = found(formula, "ort: share of the formula's speed-up, batch 8, median of 7 shapes") / 0.8
    # The median, over the same seven shapes, of what standard at 60 and pairs of 6 and 60 MAdds a ns give.
    shares = [100 * (9 * n / 60) / (9 / 6 + n / 60) * (1 / n + 1 / 9) for n in (32, 64, 128, 128, 256, 128, 512)]
    assert twins == pytest.approx(sorted(shares)[3], rel=1e-2)
    assert found(formula, "ort: the same 7 shapes") == pytest.approx(twins, rel=1e-2)
    assert values(formula)["ort: share of the formula's speed-up, stride 2, median of 3 shapes"] > 0
    assert "4 shapes with stride 2 have no twin" in formula.limits


def test_runtimes_are_compared_over_the_shapes_that_each_of_them_has():
    cell = Cell(kernel=3, resolution=28, in_channels=64, out_channels=64)
    spoilt = (cell.standard.name, replace(cell.standard, copies=2).name, replace(cell.standard, copies=8).name)
    run = made_up(quick=False, disturbed=lambda c, launch: c.model in spoilt and c.backend == "ort" and launch > 1)
    concluded = separable.conclude(run, {})
    formula = concluded.findings[FORMULA]
    assert sum("median of 29 shapes (judged)" in label for label in values(findings(quick=False)[FORMULA])) == 2
    assert sum("median of 28 shapes (judged)" in label for label in values(formula)) == 2
    assert "as a median over 28 shapes" in formula.measured
    assert f"{cell.name} in ort ({TOO_FEW})" in formula.limits
    assert "not measured" not in formula.limits
    refused = [row for row in speedup_rows(operator_times(run)) if row.refused]
    assert {(row.backend, row.resolution, row.in_channels) for row in refused} == {("ort", 28, 64)}
    assert all(plot.draw() is not None for plot in concluded.plots[:1])


def test_the_sentence_on_the_formula_says_how_far_single_shapes_are_from_the_median():
    formula = findings(quick=False)[FORMULA]
    for backend in ("ort", "openvino"):
        low, high = (found(formula, backend, f"{word} of the grid, chosen after the fact") for word in ("least", "most"))
        assert f"(single shapes from {low:.0f} to {high:.0f} %)" in formula.measured
    assert "chosen after the fact, which drives them apart" in formula.limits


def test_a_quick_run_has_too_few_shapes_for_a_verdict_on_the_grid():
    assert findings()[FORMULA].verdict is Holds.UNDECIDED
    assert "2 of the grid's 29 shapes have a figure in every runtime" in findings()[FORMULA].limits
    # Depthwise runs at a tenth of the others' rate: at the median, N = 64, (9·64 / 60) / (9 / 6 + 64 / 60) of 7.9 is 47 %.
    assert findings(quick=False)[FORMULA].verdict is Holds.NO


# --- Table 3


def test_that_each_step_saves_and_that_it_saves_as_much_are_two_findings():
    steps, gains = findings()[STEPS], findings()[GAINS]
    assert steps.verdict is Holds.YES
    assert gains.verdict is not Holds.YES
    # By hand: 9·512 at 60 over 9 at 6 plus 512 at 60, and that over the 8.84 times fewer multiply-adds.
    expected = (9 * 512 / 60) / (9 / 6 + 512 / 60)
    assert found(gains, "Depthwise Separable Conv, ort: times faster") == pytest.approx(expected, rel=1e-2)
    share = found(gains, "Depthwise Separable Conv, ort: of that saving")
    assert share == pytest.approx(100 * expected * (1 / 512 + 1 / 9), rel=1e-2)
    for finding in (findings()[FORMULA], gains, findings()[SINGLES]):
        assert "Judged" in finding.limits
        assert "corrected for their number" in finding.limits
    assert "where it reaches 90 % of the saving" in gains.limits


# --- verdicts


def exactly(low, high):
    """A figure whose interval is the same at every level."""
    return lambda _: Estimate(value=(low + high) / 2, low=low, high=high, level=0.95, method="t")


def nothing(_):
    return None


def test_verdicts_compare_intervals_with_the_claim():
    assert judge_within([exactly(0.95, 1.05), exactly(0.91, 1.0)], 0.95) is Holds.YES
    assert judge_within([exactly(0.5, 0.6), exactly(1.2, 1.3)], 0.95) is Holds.NO
    assert judge_within([exactly(0.95, 1.05), exactly(1.2, 1.3)], 0.95) is Holds.PARTLY
    assert judge_within([exactly(0.95, 1.05), exactly(0.85, 1.0)], 0.95) is Holds.UNDECIDED
    assert judge_within([exactly(0.95, 1.05), nothing], 0.95) is judge_within([], 0.95) is Holds.UNDECIDED
    assert judge_steps([exactly(2, 3), exactly(1.1, 1.2)], 0.95) is Holds.YES
    assert judge_steps([exactly(0.8, 0.9)], 0.95) is Holds.NO
    assert judge_steps([exactly(2, 3), exactly(0.9, 1.1)], 0.95) is Holds.UNDECIDED
    assert judge_gains([exactly(0.95, 1.0), exactly(1.2, 1.3)], 0.95) is Holds.YES
    assert judge_gains([exactly(0.95, 1.0), exactly(0.6, 0.7)], 0.95) is Holds.PARTLY
    assert judge_gains([exactly(0.85, 1.0), exactly(0.95, 1.0)], 0.95) is Holds.UNDECIDED


def test_the_formula_is_reached_in_part_between_half_and_nine_tenths():
    def judged(*medians, cells=29):
        return judge_shares(medians, 0.95, cells=cells, planned=29)

    assert judged(exactly(0.95, 1.4)) is Holds.YES
    assert judged(exactly(0.3, 0.45)) is Holds.NO
    assert judged(exactly(0.7, 0.8), exactly(0.85, 0.85)) is Holds.PARTLY
    assert judged(exactly(0.3, 0.45), exactly(0.95, 1.4)) is Holds.PARTLY
    assert judged(exactly(0.85, 0.95)) is judged(exactly(0.45, 0.6)) is judged(nothing) is Holds.UNDECIDED
    assert judged(exactly(0.95, 1.4), cells=14) is Holds.UNDECIDED
    assert judged(exactly(0.95, 1.4), cells=15) is Holds.YES


def test_several_intervals_are_judged_at_the_level_at_which_all_of_them_hold():
    """Student's t with 3 degrees of freedom: 3.18 at 95 %, 5.84 at 99 % (printed tables); five comparisons need the latter."""
    spread = math.log(1.02) / math.sqrt(5 / 3)  # half a standard deviation: logs of mean ± 1.5, ± 0.5 of it
    logs = {launch: math.log(0.86) + place * spread for launch, place in enumerate((-1.5, -0.5, 0.5, 1.5))}
    reach = {level: ratio_of(logs, level).high / 0.86 for level in (0.95, 0.99)}
    assert reach[0.95] == pytest.approx(math.exp(3.182 * math.log(1.02) / 2), rel=1e-4)
    assert reach[0.99] == pytest.approx(math.exp(5.841 * math.log(1.02) / 2), rel=1e-4)

    def low(level):
        return ratio_of(logs, level)

    assert low(0.95).high < 0.9 < low(0.99).high
    four = [exactly(0.95, 1.05)] * 4
    assert judge_within([low], 0.95) is Holds.NO
    assert judge_within([low, *four], 0.95) is Holds.UNDECIDED
    assert judge_gains([low, *four], 0.95) is Holds.UNDECIDED
    assert judge_steps([lambda level: shifted(low(level)), *[exactly(2, 3)] * 4], 0.95) is Holds.UNDECIDED
    assert judge_shares([low, *[exactly(0.95, 1.0)] * 4], 0.95, cells=29, planned=29) is Holds.UNDECIDED


def shifted(estimate):
    """The same interval, below 1 as it was below 0.9."""
    return replace(estimate, low=estimate.low / 0.9, value=estimate.value / 0.9, high=estimate.high / 0.9)


def test_a_sum_of_graphs_of_one_operator_that_lacks_launches_is_refused_and_says_of_which_layer():
    operator = V1_LAYERS[1][0]
    single = single_of(operator).name
    run = made_up(disturbed=lambda case, launch: case.model == single and launch > 1)
    singles = separable.conclude(run, {}).findings[SINGLES]
    assert singles.verdict is Holds.UNDECIDED
    assert "No sum in ort: fewer than 3 launches left of graphs of depthwise 112x112, 32 → 32." in singles.limits
    assert "No sum" not in findings()[SINGLES].limits


def test_a_pool_whose_launches_were_left_out_is_not_called_noise():
    beside = tail_keys(Key(operator=POOL, backend="ort"))[1].operator
    spoilt = {replace(beside, copies=copies).name for copies in copies_of(beside, 1)}
    run = made_up(disturbed=lambda case, launch: case.model in spoilt and launch > 1)
    pools = [row for row in layer_rows(operator_times(run)) if row.layer == POOL_NAME]
    assert [(row.slope_ms, row.refused) for row in pools] == [(None, TOO_FEW)] * 2
    assert [row.refused for row in layer_rows(operator_times(made_up())) if row.layer == POOL_NAME] == ["", ""]
