"""memory: the counting rule against the modules and the printed table, and measured readings with known truth."""

from __future__ import annotations

import pytest

from mnbench import catalog
from mnbench.export.torch_state import layer_costs
from mnbench.records import Memory
from mnbench.records.study import Holds, StudyOptions
from mnbench.studies import memory as study
from mnbench.studies.memory.table import NETWORKS, SHUFFLE, V1, V2, kept_channels, kilobytes, largest_kb, misprints
from mnbench.zoo import count, outline
from tests.conftest import a_case, a_plan, a_run
from tests.study_runs import an_artifact, figure_of, only_row


@pytest.fixture(scope="module")
def layers():
    return {model: layer_costs(count(outline(catalog.card(model)), (1, 3, 224, 224))) for model in NETWORKS}


def test_the_channels_kept_are_those_of_the_papers_layouts(layers):
    kept = {model: kept_channels(model, layers[model]) for model in NETWORKS}
    assert kept[V1].in_parts == {112: 64, 56: 128, 28: 256, 14: 512, 7: 1024, 1: 1024}  # V1 paper, Table 1
    assert kept[V2].in_parts == {112: 16, 56: 24, 28: 32, 14: 96, 7: 320, 1: 1280}  # V2 paper, Table 2: the column c
    shuffle = {56: 48, 28: 480, 14: 960, 7: 1920, 1: 1920}  # ShuffleNet paper, Table 1, g = 3, doubled
    assert kept[SHUFFLE].in_parts == shuffle


def test_the_first_layer_counts_for_every_network_or_for_none(layers):
    kept = {model: kept_channels(model, layers[model]) for model in NETWORKS}
    first = {model: kept[model].whole.items() - kept[model].in_parts.items() for model in NETWORKS}
    assert first == {V1: set(), V2: {(112, 32)}, SHUFFLE: {(112, 48)}}  # V1: 64 channels of the layer after next stand there
    # By hand: 64·112²·2, 16·112²·2 and 480·28²·2 bytes; then 32·112²·2 and 48·112²·2 for the last two.
    assert [round(largest_kb(kept[model].in_parts)) for model in NETWORKS] == [1606, 401, 753]
    assert [round(largest_kb(kept[model].whole)) for model in NETWORKS] == [1606, 803, 1204]


def test_sizes_are_of_16_bit_floats():
    assert kilobytes(112, 64) == pytest.approx(1605.632)
    assert kilobytes(1, 1280) == pytest.approx(2.56)


def test_the_misprints_are_named_and_right_cells_are_not(layers):
    kept = {model: kept_channels(model, layers[model]) for model in NETWORKS}
    wrong = {(model, at): misprints(model, at, kept[model]) for model in NETWORKS for at in (112, 56, 28, 14, 7, 1, 0)}
    assert [at for (model, at), found in wrong.items() if model == V1 and found] == [7]
    assert wrong[V1, 7] == ["1024 channels take 100 Kb, not 199"]
    assert wrong[V2, 56] == ["the modules have 24 channels, not 32 (those of 28x28)"]
    assert wrong[V2, 28] == ["the modules have 32 channels, not 64"]
    assert wrong[V2, 7] == wrong[V2, 1] == wrong[V2, 112] == wrong[V2, 0] == []
    assert "(those of two groups)" in wrong[SHUFFLE, 14][0]
    assert wrong[SHUFFLE, 112] == ["the modules have 48 channels where the first layer is kept whole, not 32"]
    assert wrong[SHUFFLE, 0] == [
        "printed 600 beside 800 in the same column, whose first layer it leaves out",
        "the modules keep 753 (first layer in parts) or 1204 (first layer whole)",
    ]


def a_memory_run(layers, peak_mib, launches=5, **changes):
    """Return a run whose processes held `peak_mib(model, batch)` MiB, a little more in each launch."""
    cases = [a_case(model, batch=batch) for batch in study.BATCHES for model in NETWORKS]
    plan = a_plan(*cases, launches=0, regimes=("memory",), memory_launches=launches)
    memory = tuple(
        Memory(case=case, launch=n, imported_bytes=0, peak_bytes=round((size + n * 0.01) * 2**20))
        for case in cases
        for n in range(launches)
        if (size := peak_mib(case.model, case.batch)) is not None
    )
    artifacts = tuple(an_artifact(model, 1, layers=layers[model]) for model in NETWORKS)
    return a_run(plan, memory=memory, artifacts=artifacts, **changes)


WEIGHTS_MIB = {V1: 40.0, V2: 50.0, SHUFFLE: 60.0}
IMAGE_MIB = {V1: 6.0, V2: 3.0, SHUFFLE: 4.0}


def test_the_least_of_the_three_is_found_for_the_process_and_for_one_more_image(layers):
    found = study.conclude(a_memory_run(layers, lambda model, batch: WEIGHTS_MIB[model] + batch * IMAGE_MIB[model]), {})
    table, peak, image = found.findings
    assert table.verdict is Holds.PARTLY  # V2 keeps least, but ShuffleNet's printed 600 is not what its layers keep
    assert figure_of(table, "ShuffleNet 2x, g=3, most kept, first layer in parts").value == pytest.approx(752.64)
    assert figure_of(table, "MobileNetV2, most kept, first layer whole").value == pytest.approx(802.816)
    assert "first layer in parts: MobileNetV1 3.2 MB, MobileNetV2 0.8 MB and ShuffleNet 2x, g=3 1.5 MB" in peak.limits
    assert "first layer whole: MobileNetV1 3.2 MB, MobileNetV2 1.6 MB and ShuffleNet 2x, g=3 2.4 MB" in peak.limits
    assert peak.verdict is Holds.PARTLY  # V1 46, V2 53, ShuffleNet 64
    assert image.verdict is Holds.YES
    assert figure_of(image, "memory of one more image in the batch: MobileNetV2, ort").value == pytest.approx(3.0)
    assert only_row(found.tables[1].rows, network=V1, batch="per image").peak_mib.value == pytest.approx(6.0)
    assert only_row(found.tables[1].rows, network=V1, batch="1").peak_mib.value == pytest.approx(46.02)


def test_one_memory_pass_is_a_reading_without_an_interval_and_decides_nothing(layers):
    found = study.conclude(a_memory_run(layers, lambda model, batch: WEIGHTS_MIB[model] + batch, launches=1), {})
    assert [finding.verdict for finding in found.findings[1:]] == [Holds.UNDECIDED, Holds.UNDECIDED]
    assert only_row(found.tables[1].rows, network=V1, batch="1").peak_mib is None


def test_a_run_in_which_nothing_was_measured_or_exported_is_concluded():
    found = study.conclude(a_memory_run(dict.fromkeys(NETWORKS, ()), lambda *_: None), {})
    assert {finding.verdict for finding in found.findings} == {Holds.UNDECIDED}
    for plot in found.plots:
        plot.draw()


def test_the_plan_times_nothing_and_repeats_each_process():
    plan = study.plan(StudyOptions(quick=True))
    assert (plan.regimes, plan.launches, plan.sweep) == (("memory",), 0, False)
    assert plan.memory_launches >= 3


def test_a_case_whose_memory_was_read_is_measured_when_memory_is_all_that_was_planned(layers):
    run = a_memory_run(layers, lambda model, batch: None if model == V2 else 1.0)
    assert {case.model for case in run.unmeasured()} == {V2}
