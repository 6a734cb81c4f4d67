"""The roofline: probes by name, ceilings from samples, floors by hand, and where the column comes from."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mnbench import catalog, report, store, studies
from mnbench.catalog import probes
from mnbench.commands import ceilings
from mnbench.errors import UsageError
from mnbench.records import Bandwidth, Cache, Case, Ceilings, CpuKind, Estimate, Format, LayerCost, ModelFacts, Peak, Run
from mnbench.records.study import Holds, StudyOptions
from mnbench.report.html import page
from mnbench.report.view import view_of
from mnbench.stats import roofline
from mnbench.stats.intervals import geometric_mean
from mnbench.stats.roofline import Bound
from mnbench.studies.roofline.findings import _above_one, _near_verdict
from tests.builders import artifact, make_run, paper_table
from tests.conftest import a_launch, a_plan, a_round, a_run, an_environment

KIB, MIB = 1 << 10, 1 << 20
V1, V2 = "mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224"
CACHES = (
    Cache(level=1, kind="data", size_bytes=32 * KIB, shared_cpus=(0,)),
    Cache(level=1, kind="instruction", size_bytes=64 * KIB, shared_cpus=(0,)),
    Cache(level=2, kind="unified", size_bytes=1 * MIB, shared_cpus=(0,)),
    Cache(level=3, kind="unified", size_bytes=32 * MIB, shared_cpus=(0, 1)),
)
HOST = an_environment(caches=CACHES, cores=((0,), (1,)))


def exactly(value: float) -> Estimate:
    return Estimate(value=value, low=value * 0.9, high=value * 1.1, level=0.95, method="by hand")


KNOWN = Ceilings(
    run_id="r0",
    peaks=(Peak(precision="fp32", threads=1, kernel="matmul_512", madds_per_s=exactly(50e9)),),
    bandwidths=tuple(
        Bandwidth(level=level, threads=1, holds_bytes=holds, kernel="read_16k", bytes_per_s=exactly(rate))
        for level, holds, rate in ((1, 32 * KIB, 200e9), (2, 1 * MIB, 100e9), (0, None, 20e9))
    ),
)


def layer(params: int, madds: int, read: int, written: int) -> LayerCost:
    return LayerCost(
        name="l", kind="pointwise", params=params, madds=madds, input_elements=read, output_elements=written, output_shape=()
    )


POINTWISE = layer(params=1_000, madds=10_000_000, read=4_000, written=3_000)  # 32,000 bytes: in L1
FULLY_CONNECTED = layer(params=1_025_000, madds=1_024_000, read=1_024, written=1_000)  # 4,108,096 bytes: in memory
WIDE = layer(params=0, madds=90_000, read=10_000, written=10_000)  # 80,000 bytes: in L2


@pytest.mark.parametrize(
    ("cost", "floor", "bound", "level"),
    [
        (POINTWISE, 200_000.0, Bound.COMPUTE, 1),  # 1e7 / 50e9 s, against 32,000 / 200e9 s = 160 ns
        (FULLY_CONNECTED, 205_404.8, Bound.MEMORY, 0),  # 4,108,096 / 20e9 s, against 20,480 ns
        (WIDE, 1_800.0, Bound.COMPUTE, 2),  # 90,000 / 50e9 s, against 80,000 / 100e9 s = 800 ns
        (replace(WIDE, madds=10_000), 800.0, Bound.MEMORY, 2),
        (replace(WIDE, padding_madds=45_000), 900.0, Bound.COMPUTE, 2),  # a kernel may leave half of the products out
    ],
)
def test_a_layers_floor_is_the_longer_of_its_arithmetic_and_its_traffic(cost, floor, bound, level):
    found = roofline.layer_floor(cost, roofline.limits(KNOWN, "fp32", 1), "fp32")
    assert found.floor_ns == pytest.approx(floor, rel=1e-12)
    assert (found.bound, found.level) == (bound, level)


def test_a_networks_floor_is_the_sum_over_its_layers():
    assert roofline.floor_ns((POINTWISE, FULLY_CONNECTED, WIDE), KNOWN, "fp32", 1) == pytest.approx(407_204.8)


def test_a_batch_reads_the_weights_once_and_all_else_for_each_image():
    # 4 · (1,025,000 + 2 · 2,024) = 4,116,192 bytes from memory; 2 · 1e7 MAdds, whose 60,000 bytes no longer fit L1
    assert roofline.floor_ns((FULLY_CONNECTED,), KNOWN, "fp32", 1, batch=2) == pytest.approx(205_809.6)
    found = roofline.layer_floor(POINTWISE, roofline.limits(KNOWN, "fp32", 1), "fp32", batch=2)
    assert (found.floor_ns, found.bytes, found.level) == (pytest.approx(400_000.0), 60_000, 2)


def test_elements_of_half_the_size_move_half_the_bytes():
    assert [roofline.layer_bytes(WIDE, precision) for precision in ("fp32", "bf16", "int8")] == [80_000, 40_000, 20_000]


@pytest.mark.parametrize(
    ("layers", "known", "precision", "threads"),
    [
        ((WIDE,), None, "fp32", 1),
        ((), KNOWN, "fp32", 1),
        ((WIDE,), KNOWN, "bf16", 1),
        ((WIDE,), KNOWN, "fp32", 2),
        ((WIDE,), replace(KNOWN, bandwidths=()), "fp32", 1),
        ((WIDE,), KNOWN, "fp8", 1),
    ],
)
def test_without_layers_or_without_the_ceilings_of_its_conditions_there_is_no_floor(layers, known, precision, threads):
    assert roofline.floor_ns(layers, known, precision, threads) is None


def test_caches_of_a_core_count_once_a_thread_and_shared_ones_once():
    assert roofline.capacities(HOST, 1) == {1: 32 * KIB, 2: 1 * MIB, 3: 32 * MIB}
    assert roofline.capacities(HOST, 2) == {1: 64 * KIB, 2: 2 * MIB, 3: 32 * MIB}


def test_siblings_of_one_core_share_their_cache_and_do_not_halve_it():
    first = Cache(level=1, kind="data", size_bytes=32 * KIB, shared_cpus=(0, 1))
    assert roofline.capacities(an_environment(caches=(first,), cores=((0, 1), (2, 3))), 2) == {1: 64 * KIB}


# --- ceilings from samples ---------------------------------------------------------------------------------------------


def probe_artifact(name: str):
    probe = probes.parse(name)
    assert probe is not None
    moved = probe.elements * probe.passes
    work = LayerCost(
        name=name,
        kind=probe.kind,
        params=probe.buffer_bytes // 4,
        madds=probe.madds if probe.kind in probes.COMPUTE else 0,
        input_elements=moved,
        output_elements=moved if probe.kind == "copy" else 0,
        output_shape=(),
    )
    made = artifact(paper_table()[0][0])
    facts = ModelFacts(model=name, params=0, madds=work.madds, layers=(work,))
    return replace(made, spec=replace(made.spec, model=name), format=Format.PROBE, path=name, facts=facts)


def network_artifact(name: str, *layers: LayerCost):
    made = artifact(paper_table()[0][0])
    facts = ModelFacts(model=name, params=1, madds=sum(each.madds for each in layers), layers=layers)
    return replace(made, spec=replace(made.spec, model=name), path=name, facts=facts)


PROBES = {"matmul_100": 20_000, "conv_k1_c100_r10": 15_625, "read_16k": 1_000_000, "read_512k": 2_000_000, "read_8m": 2_500_000,
          "read_128m": 5_000_000, "copy_128m": 4_000_000}  # fmt: skip
"""Latencies in ns. 1e6 MAdds in 20 µs are 50 GMAdds/s, in 15.625 µs 64."""
LAYERS = {V1: (layer(params=10, madds=64_000_000, read=100, written=100),), V2: (POINTWISE,)}


def probed(networks: dict[str, int], probe_ns: dict[str, int], clock=(1.0, 1.0, 1.0, 1.0), jitter=0.0, study="roofline") -> Run:
    """A run of probes and networks (latencies in ns at clock 1) over as many launches as there are clocks."""
    cases = {Case(model=name, backend="probe"): ns for name, ns in probe_ns.items()}
    cases |= {Case(model=name, backend=backend): ns for name, ns in networks.items() for backend in ("ort", "openvino")}
    launches = [
        a_launch(case, launch, a_round([max(1, round(ns * slow * (1 + jitter * (-1) ** launch)))] * 5))
        for launch, slow in enumerate(clock)
        for case, ns in cases.items()
    ]
    plan = replace(a_plan(*cases), baseline=next(iter(networks), "matmul_100"), study=study)
    artifacts = (*map(probe_artifact, probe_ns), *(network_artifact(name, *LAYERS[name]) for name in networks))
    return a_run(plan, *launches, environment=HOST, artifacts=artifacts)


def test_the_ceiling_is_the_best_kernels_rate():
    found = roofline.ceilings_of(probed({}, PROBES))
    assert found is not None
    assert [(p.precision, p.threads, p.kernel) for p in found.peaks] == [("fp32", 1, "conv_k1_c100_r10")]
    assert found.peaks[0].madds_per_s.value == pytest.approx(64e9)


def test_bandwidths_are_bytes_of_all_passes_over_the_time_and_copies_count_both_ways():
    found = roofline.ceilings_of(probed({}, PROBES))
    assert found is not None
    # 16 KiB · 11⁴ passes in 1 ms; 512 KiB · 5⁴ in 2 ms; 8 MiB · 2⁴ in 2.5 ms; 64 MiB read and 64 MiB written in 4 ms
    expected = [(1, 32 * KIB, 16_384 * 14_641 / 1e-3), (2, 1 * MIB, 524_288 * 625 / 2e-3), (3, 32 * MIB, 8 * MIB * 16 / 2.5e-3),
                (0, None, 128 * MIB / 4e-3)]  # fmt: skip
    assert [(b.level, b.holds_bytes) for b in found.bandwidths] == [(level, holds) for level, holds, _ in expected]
    assert [b.bytes_per_s.value for b in found.bandwidths] == pytest.approx([rate for _, _, rate in expected])
    assert found.bandwidths[-1].kernel == "copy_128m"


def test_the_interval_of_a_rate_is_that_of_the_latency_turned_round():
    run = probed({}, {"matmul_100": 20_000}, clock=(0.9, 1.0, 1.1))
    latency = geometric_mean([math.log(20_000 * clock) for clock in (0.9, 1.0, 1.1)], 0.95, "by hand")
    (peak,) = roofline.ceilings_of(run).peaks
    assert latency is not None
    assert (peak.madds_per_s.low, peak.madds_per_s.high) == pytest.approx((1e15 / latency.high, 1e15 / latency.low))


def test_a_probe_disturbed_in_more_than_a_third_of_its_rounds_is_no_ceiling():
    """The best kernel was disturbed in 4 of 10 launches: the six that are left would have made it the peak."""
    run = probed({}, PROBES, clock=(1.0,) * 10)
    samples = tuple(
        replace(each, rounds=tuple(replace(r, disturbances=("steal",)) for r in each.rounds))
        if each.case.model == "conv_k1_c100_r10" and each.launch < 4
        else each
        for each in run.samples
    )
    found = roofline.ceilings_of(replace(run, samples=samples))
    assert found is not None
    assert [(p.kernel, round(p.madds_per_s.value / 1e9)) for p in found.peaks] == [("matmul_100", 50)]
    assert roofline.logs_by_case(replace(run, samples=samples))["conv_k1_c100_r10-probe-fp32-b1-t1"] == {}


def test_with_a_level_missing_there_are_no_bandwidths_because_a_floor_could_be_too_high():
    found = roofline.ceilings_of(probed({}, {name: ns for name, ns in PROBES.items() if name != "read_512k"}))
    assert found is not None
    assert (len(found.peaks), found.bandwidths) == (1, ())


def test_two_launches_make_no_ceiling_and_a_run_without_probes_has_none():
    assert roofline.ceilings_of(probed({}, PROBES, clock=(1.0, 1.0))) is None
    assert roofline.ceilings_of(make_run()[0]) is None


def test_a_clock_that_drifts_between_launches_cancels_in_the_share():
    run = probed({V1: 2_000_000}, PROBES, clock=(1.0, 1.3, 0.8, 1.1))
    by_launch = roofline.limits_by_launch(run, "fp32", 1)
    latency = roofline.logs_by_case(run)[f"{V1}-ort-fp32-b1-t1"]
    found = roofline.estimate_of(roofline.share_logs(LAYERS[V1], latency, by_launch, "fp32"), 0.95)
    assert found is not None
    assert found.value == pytest.approx(0.5, rel=1e-4)  # 64e6 MAdds at 64e9/s take 1 ms of the 2
    assert found.half_width_pct < 0.1


# --- the column --------------------------------------------------------------------------------------------------------


def with_layers(known: Ceilings | None):
    run, analysis = make_run()
    facts = tuple(replace(each, layers=(POINTWISE, FULLY_CONNECTED)) for each in run.facts)
    return replace(run, facts=facts, ceilings=known), analysis


def test_summary_csv_has_the_floor_in_per_cent_of_the_latency(tmp_path: Path):
    run, analysis = with_layers(KNOWN)
    report.write_all(view_of(run, analysis), tmp_path, ["summary"])
    rows = list(csv.DictReader((tmp_path / "summary.csv").open()))
    for row in rows:
        if row["backend"] == "null":
            assert row["roofline_pct"] == ""
        else:
            assert float(row["roofline_pct"]) == pytest.approx(40.54048 / float(row["latency_ms"]), abs=0.006)
            assert float(row["roofline_low_pct"]) == pytest.approx(40.54048 / float(row["latency_high_ms"]), abs=0.006)
            assert float(row["roofline_high_pct"]) == pytest.approx(40.54048 / float(row["latency_low_ms"]), abs=0.006)


def test_without_ceilings_the_column_is_empty_and_the_page_shows_a_dash():
    run, analysis = with_layers(None)
    assert {row.roofline_pct for row in view_of(run, analysis).rows} == {None}
    assert "roofline %" in page(view_of(run, analysis))


def test_the_page_shows_the_column():
    run, analysis = with_layers(KNOWN)
    shown = next(row.roofline_pct for row in view_of(run, analysis).rows if row.case.model == V1)
    assert f'<td class="n">{shown.value:.0f}</td>' in page(view_of(run, analysis))


def test_a_run_of_probes_is_held_against_its_own_ceilings():
    run = replace(probed({V1: 2_000_000}, PROBES), ceilings=KNOWN)
    shares = {row.case.id: row.roofline_pct for row in view_of(run).rows}
    assert shares[f"{V1}-ort-fp32-b1-t1"].value == pytest.approx(50.0, abs=0.01)
    assert shares["matmul_100-probe-fp32-b1-t1"] is None


def test_a_run_stored_before_there_were_ceilings_is_read(tmp_path: Path):
    store.RunWriter(tmp_path, replace(make_run()[0], samples=())).finish(finished=True)
    path = tmp_path / store.RUN_FILE
    old = json.loads(path.read_text())
    del old["ceilings"]
    path.write_text(json.dumps(old))
    assert store.load(tmp_path).ceilings is None


def test_ceilings_are_read_back_as_they_were_stored(tmp_path: Path):
    run = replace(make_run()[0], ceilings=KNOWN, samples=())
    store.RunWriter(tmp_path, run).finish(finished=True)
    assert store.load(tmp_path).ceilings == KNOWN


# --- which ceilings a new run gets ---------------------------------------------------------------------------------------


def stored(directory: Path, run: Run) -> None:
    writer = store.RunWriter(directory, replace(run, samples=()))
    for samples in run.samples:
        writer.launch(replace(samples, rounds=()))
        for order, measured in enumerate(samples.rounds):
            writer.round(samples.case, samples.launch, replace(measured, order=order))
    writer.finish(finished=True)


def test_the_newest_roofline_study_of_this_host_counts(tmp_path: Path):
    run = probed({}, PROBES)
    stored(tmp_path / "a", replace(run, id="a", started_utc="2026-01-01T00:00:00+00:00"))
    stored(tmp_path / "reference" / "studies" / "b", replace(run, id="b", started_utc="2026-01-03T00:00:00+00:00"))
    stored(tmp_path / "reference" / "c", replace(run, id="c", started_utc="2026-01-02T00:00:00+00:00"))
    other = replace(run, id="d", started_utc="2026-01-04T00:00:00+00:00", environment=replace(HOST, cpu_model="Another 2"))
    stored(tmp_path / "d", other)
    stored(tmp_path / "e", replace(run, id="e", started_utc="2026-01-05T00:00:00+00:00", plan=replace(run.plan, study="")))
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / store.RUN_FILE).write_text("{")
    found = ceilings.newest(HOST, tmp_path)
    assert found is not None
    assert found.run_id == "b"
    assert ceilings.caveats(found) == ()


def test_a_study_with_too_few_launches_gives_way_to_an_older_one(tmp_path: Path):
    stored(tmp_path / "a", replace(probed({}, PROBES), id="a", started_utc="2026-01-01T00:00:00+00:00"))
    short = probed({}, PROBES, clock=(1.0, 1.0))
    stored(tmp_path / "b", replace(short, id="b", started_utc="2026-01-02T00:00:00+00:00"))
    found = ceilings.newest(HOST, tmp_path)
    assert found is not None
    assert found.run_id == "a"


def test_ceilings_of_another_kind_of_cores_are_not_those_of_a_run(tmp_path: Path):
    kinds = (CpuKind(name="performance cores", cpus=(0, 1)), CpuKind(name="efficiency cores", cpus=(2, 3)))
    hybrid = replace(HOST, cpu_kinds=kinds)
    run = probed({}, PROBES)
    stored(tmp_path / "a", replace(run, id="a", environment=hybrid, plan=replace(run.plan, cpus=(0,))))
    assert ceilings.newest(hybrid, tmp_path, (1,)) is not None
    assert ceilings.newest(hybrid, tmp_path, (3,)) is None


def test_without_a_study_there_are_no_ceilings_and_a_note_says_how_to_get_them(tmp_path: Path):
    assert ceilings.newest(HOST, tmp_path) is None
    (note,) = ceilings.caveats(None)
    assert (note.code, note.severity) == ("no-ceilings", "note")
    assert "mnbench study roofline" in note.advice


# --- probes by name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["matmul_1024", "conv_k3_c256_r28", "read_16k", "copy_64m", "read_1m", "copy_768k"])
def test_a_probe_is_known_by_its_name_and_bears_it(name):
    found = probes.parse(name)
    assert found is not None
    assert found.name == name
    assert (catalog.card(name).name, catalog.card(name).family) == (name, "probe")


def test_the_work_of_a_probe_is_counted_by_hand():
    assert probes.parse("matmul_100").madds == 1_000_000
    assert probes.parse("conv_k3_c10_r5").madds == 9 * 100 * 25
    assert (probes.parse("read_16k").elements, probes.parse("read_16k").passes) == (4096, 11**4)
    assert (probes.parse("copy_16k").elements, probes.parse("copy_128m").passes) == (2048, 1)


@pytest.mark.parametrize("name", ["matmul_0", "matmul_9000", "conv_k0_c4_r4", "conv_k3_c0_r4", "read_0k", "copy_9000m"])
def test_a_probe_of_a_size_that_cannot_be_is_refused(name):
    with pytest.raises(UsageError, match=f"probe '{name}'"):
        catalog.card(name)


@pytest.mark.parametrize("name", [V1, "matmul", "matmul_x", "read_16", "read_16g", "conv_k3_c256"])
def test_other_names_are_no_probes(name):
    assert probes.parse(name) is None


# --- the study ---------------------------------------------------------------------------------------------------------------


def verdicts(run: Run) -> list[Holds]:
    return [finding.verdict for finding in studies.get("roofline").conclude(run, {}).findings]


def test_a_network_near_its_ceiling_and_nearer_than_the_others_confirms_the_claim():
    # V1's floor is 1 ms, V2's 0.15625 ms (1e7 / 64e9 s): 80 % and 10 %
    run = probed({V1: 1_250_000, V2: 1_562_500}, PROBES, jitter=0.002)
    assert verdicts(run) == [Holds.YES, Holds.YES]
    near, proxy = studies.get("roofline").conclude(run, {}).findings
    assert re.search(r"explains (80\.0|79\.99)\d* \[79\.9\d*, 80\.0\d*\] % of V1's time", near.measured)
    assert re.search(r" 8\.00\d* \[8\.00\d*, 8\.00\d*\] times as fast", proxy.measured)  # 51.2 against 6.4 GMAdds/s
    label = f"{V1} over {V2} in ort, each floor over latency"
    ratios = [figure.estimate.value for figure in near.figures if figure.label == label]
    assert ratios == pytest.approx([8.0], rel=1e-3)
    assert all(figure.estimate.low <= figure.estimate.value <= figure.estimate.high for figure in near.figures)


def test_a_network_far_from_its_ceiling_and_behind_others_refutes_it():
    run = probed({V1: 10_000_000, V2: 200_000}, PROBES, jitter=0.002)
    assert verdicts(run)[0] is Holds.NO


@pytest.mark.parametrize(
    ("near", "ratios", "verdict"),
    [
        ((80, 84), [(1.1, 1.2), (1.01, 1.03)], Holds.YES),
        ((80, 84), [(1.1, 1.2), (0.98, 1.03)], Holds.UNDECIDED),  # that it is not nearer than the second is not shown
        ((80, 84), [(0.98, 1.03), (0.8, 0.9)], Holds.PARTLY),
        ((30, 40), [(0.98, 1.03)], Holds.UNDECIDED),
        ((30, 40), [(1.1, 1.2)], Holds.PARTLY),
        ((30, 40), [(0.8, 0.9), (1.1, 1.2)], Holds.NO),
        ((45, 55), [(1.1, 1.2)], Holds.UNDECIDED),
        ((80, 84), [None], Holds.UNDECIDED),
        ((80, 84), [], Holds.UNDECIDED),
        ((30, 40), [], Holds.UNDECIDED),
    ],
)
def test_near_and_nearest_are_each_shown_refuted_or_left_open(near, ratios, verdict):
    nearer = [_above_one(None if ends is None else between(*ends)) for ends in ratios]
    assert _near_verdict(between(*near), nearer) is verdict


def between(low: float, high: float) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high, level=0.95, method="by hand")


def test_alone_among_no_others_a_network_is_not_said_to_be_nearest():
    run = probed({V1: 1_250_000}, PROBES, jitter=0.002)
    near = studies.get("roofline").conclude(run, {}).findings[0]
    assert near.verdict is Holds.UNDECIDED
    assert "no other network to compare it with" in near.measured
    assert "0 of 0" not in near.measured


def test_a_runtime_in_which_v1_lacks_launches_is_named_and_leaves_the_verdict_open():
    run = probed({V1: 1_250_000, V2: 1_562_500}, PROBES, jitter=0.002)
    kept = tuple(s for s in run.samples if (s.case.model, s.case.backend) != (V1, "openvino") or s.launch < 2)
    near, proxy = studies.get("roofline").conclude(replace(run, samples=kept), {}).findings
    assert (near.verdict, proxy.verdict) == (Holds.UNDECIDED, Holds.UNDECIDED)
    assert "in openvino V1 or the probes beside it had too few launches" in near.measured
    assert "in openvino there are not two networks with enough launches" in proxy.measured


def test_networks_of_one_rate_refute_that_multiply_adds_say_little():
    run = probed({V1: 6_400_000, V2: 1_000_000}, PROBES, jitter=0.002)
    assert verdicts(run)[1] is Holds.NO


@pytest.mark.parametrize(
    "part",
    [
        {"networks": {}, "probe_ns": PROBES},
        {"networks": {V1: 1_250_000, V2: 1_562_500}, "probe_ns": {}},
        {"networks": {V1: 1_250_000}, "probe_ns": {"matmul_100": 20_000}},
        {"networks": {V1: 1_250_000, V2: 1_562_500}, "probe_ns": PROBES, "clock": (1.0, 1.0)},
        {"networks": {V2: 1_562_500}, "probe_ns": PROBES},
    ],
)
def test_a_part_of_the_plan_leaves_verdicts_open_and_can_still_be_drawn(part):
    run = probed(**part)
    conclusion = studies.get("roofline").conclude(run, {})
    assert [finding.verdict for finding in conclusion.findings] == [Holds.UNDECIDED] * 2
    for plot in conclusion.plots:
        assert plot.draw().axes


def test_published_again_a_study_gives_its_files(tmp_path: Path):
    stored(tmp_path, probed({V1: 1_250_000, V2: 1_562_500}, PROBES, jitter=0.002))
    studies.publish(tmp_path)
    networks = {(row["model"], row["backend"]): row for row in csv.DictReader((tmp_path / "networks.csv").open())}
    assert float(networks[V1, "ort"]["roofline_pct"]) == pytest.approx(80.0, abs=0.1)
    assert float(networks[V1, "ort"]["floor_ms"]) == pytest.approx(1.0, rel=1e-3)
    kinds = {(row["kernel"], row["ceiling"]) for row in csv.DictReader((tmp_path / "ceilings.csv").open())}
    assert {("conv_k1_c100_r10", "True"), ("matmul_100", "False"), ("read_128m", "False"), ("copy_128m", "True")} <= kinds
    assert (tmp_path / "study.html").exists()


def test_the_plan_has_probes_of_every_level_for_one_core_and_for_all():
    plan = studies.get("roofline").plan(StudyOptions(backends=("ort",), quick=True))
    assert plan.budget_s <= 90
    threads = {case.threads for case in plan.cases if case.backend == "probe"}
    assert threads == {1, max(threads)}
    for count in threads:
        moved = [case.model for case in plan.cases if case.backend == "probe" and case.threads == count]
        assert any(name.startswith("matmul") for name in moved)
        assert sum(name.startswith("read_") for name in moved) == sum(name.startswith("copy_") for name in moved) >= 2
    assert {(case.precision, case.threads) for case in plan.cases if case.backend == "ort"} == {("fp32", 1)}


def test_the_plan_is_refused_where_the_kernel_does_not_tell_the_caches(monkeypatch):
    from mnbench import environment

    monkeypatch.setattr(environment, "capture", lambda: replace(HOST, caches=()))
    with pytest.raises(UsageError, match="does not tell the sizes of the caches"):
        studies.get("roofline").plan(StudyOptions())


def test_a_precision_the_cpu_lacks_is_left_out_with_the_reason(monkeypatch):
    from mnbench import environment

    monkeypatch.setattr(environment, "capture", lambda: replace(HOST, isa=("avx2", "avx512_bf16")))
    options = StudyOptions(backends=("ort",))
    plan = studies.get("roofline").plan(options)
    assert {case.precision for case in plan.cases} == {"fp32", "bf16"}
    assert options.skipped == ["the CPU has no int8 instructions, so there is no int8 ceiling"]


def test_every_record_of_the_ceilings_survives_json():
    assert msgspec.json.decode(msgspec.json.encode(KNOWN), type=Ceilings) == KNOWN
