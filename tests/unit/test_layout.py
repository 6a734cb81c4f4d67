"""A launch's layout is drawn evenly, and again the same from the same plan."""

from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from mnbench import sources
from mnbench.commands import compare
from mnbench.export import Exports
from mnbench.measure.layout import REPLICAS, layout_of
from mnbench.records import Artifact, Format, Layout, Samples, ToolEnvironment
from tests.builders import a_spec
from tests.conftest import a_case, a_launch, a_plan

CRITICAL = 121.0
"""Of chi-square with 63 degrees of freedom, exceeded once in 100,000 times (scipy.stats.chi2.ppf(1 - 1e-5, 63) = 120.6)."""


def layouts(launches=6400, seed=0, case="a", process="a"):
    return [layout_of(seed, case, launch, process=process) for launch in range(launches)]


def test_a_layout_is_the_same_again_and_another_for_another_launch_case_or_seed():
    first = layouts(50)
    assert layouts(50) == first
    assert len({layout.input_offset_bytes for layout in first}) > 10
    for others in (layouts(50, seed=1), layouts(50, case="b", process="b")):
        assert sum(a == b for a, b in zip(first, others, strict=True)) < 5


@pytest.mark.parametrize(
    "read",
    [
        lambda layout: layout.input_offset_bytes // 64,
        lambda layout: layout.output_offset_bytes // 64,
        lambda layout: layout.environment_bytes // 64,
        lambda layout: (layout.output_offset_bytes - layout.input_offset_bytes) // 64 % 64,
    ],
    ids=["input", "output", "environment", "input and output apart"],
)
def test_each_line_of_a_page_is_drawn_equally_often(read):
    drawn = layouts()
    counts = Counter(map(read, drawn))
    assert set(counts) <= set(range(64))
    expected = len(drawn) / 64
    assert sum((counts[line] - expected) ** 2 / expected for line in range(64)) < CRITICAL


def test_offsets_are_whole_lines_and_the_padding_is_any_number_of_bytes():
    drawn = layouts()
    assert all(layout.input_offset_bytes % 64 == layout.output_offset_bytes % 64 == 0 for layout in drawn)
    assert len({layout.environment_bytes % 64 for layout in drawn}) == 64


def test_cases_that_share_a_process_share_its_environment_and_not_their_buffers():
    one, other = layouts(20, case="a", process="ort-t1"), layouts(20, case="b", process="ort-t1")
    assert [a.environment_bytes for a in one] == [b.environment_bytes for b in other]
    assert [a.input_offset_bytes for a in one] != [b.input_offset_bytes for b in other]


def test_launches_take_the_files_in_turn():
    assert [layout_of(0, "a", launch, process="a", files=3).node_order for launch in range(5)] == [0, 1, 2, 0, 1]
    assert layout_of(0, "a", 1, process="a").node_order == 0


def test_a_launch_stored_before_layouts_were_drawn_has_none_and_a_new_one_keeps_its_own():
    launch = a_launch(a_case(), 0, layout=Layout(input_offset_bytes=64, environment_bytes=7, node_order=2))
    stored = msgspec.to_builtins(launch)
    assert msgspec.convert(stored, type=Samples) == launch
    del stored["layout"]
    assert msgspec.convert(stored, type=Samples).layout is None


def made(pairs, cache, done, waits, timeout_s):
    """Stand for the export: a record for each file that is wanted."""
    return Exports(made={(spec, kind): an_artifact(spec, kind) for spec, kind in pairs}, failed={})


def an_artifact(spec, kind):
    path = f"{spec.model}-{kind}-{spec.node_order}"
    return Artifact(
        spec=spec, format=kind, path=path, sha256={path: "0"}, size_bytes=1, exporter="e", max_abs_error=0.0, max_rel_error=0.0,
        explained_rel_error={"fp32": 1e-3}, feed_path="feed",
    )  # fmt: skip


class Silent:
    exporting = exported = waiting = measuring = staticmethod(lambda *_: None)


@pytest.fixture
def exported(monkeypatch):
    monkeypatch.setattr(compare, "ensure_each", made)
    return lambda plan: compare.export(replace(plan, models=sources.of_cases(plan.cases, ())), None, Silent())[0]


CASES = (a_case(), a_case(backend="openvino"), a_case(backend="torch"), a_case("none", backend="null"))


def test_files_that_runtimes_map_exist_in_three_node_orders_torchs_in_one_and_nothing_in_none(exported):
    files = exported(a_plan(*CASES))
    assert [[file.spec.node_order for file in files[case.id]] for case in CASES] == [[0, 1, 2], [0, 1, 2], [0], []]
    assert REPLICAS == 3
    assert files[CASES[0].id][1].spec == replace(files[CASES[0].id][0].spec, node_order=1)


@pytest.mark.parametrize("changes", [{"sweep": True}, {"regimes": ("memory",)}], ids=["sweep", "memory alone"])
def test_grids_and_readings_of_memory_use_one_file(exported, changes):
    assert [len(files) for files in exported(a_plan(*CASES, **changes)).values()] == [1, 1, 1, 0]


def test_beside_a_folder_of_artefacts_which_has_one_file_the_others_use_one_too(exported, monkeypatch):
    monkeypatch.setattr(compare.tool_environments, "artifact_of", lambda known, spec, kind: an_artifact(spec, kind))
    folders = (ToolEnvironment(label="A"), ToolEnvironment(label="B", artifacts="/b"))
    cases = [a_case(environment=known.label) for known in folders]
    assert [len(files) for files in exported(a_plan(*cases, environments=folders)).values()] == [1, 1]
    assert len(exported(a_plan(cases[0], environments=folders[:1]))[cases[0].id]) == REPLICAS


def test_the_record_of_a_run_has_the_digests_of_all_files_and_each_once(exported):
    copies = (a_case(variant="copy1"), a_case(variant="copy2"))
    replicas = compare.replicas_of(exported(a_plan(*copies)))
    assert [(r.of, r.path, r.node_order) for r in replicas] == [
        ("mobilenet_v2_1.0_224-onnx-0", "mobilenet_v2_1.0_224-onnx-1", 1),
        ("mobilenet_v2_1.0_224-onnx-0", "mobilenet_v2_1.0_224-onnx-2", 2),
    ]
    assert all(r.sha256 == {r.path: "0"} for r in replicas)


def test_another_node_order_has_another_place_in_the_cache():
    from mnbench.export.cache import digest_of

    spec = a_spec("mobilenet_v1_0.25_128")
    assert digest_of(spec, Format.ONNX) != digest_of(replace(spec, node_order=1), Format.ONNX)
