"""The plots: written for any number of cases, and readable."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from mnbench import report
from mnbench.records import Analysis, Run
from mnbench.report import accuracy_plot, paper_plot
from mnbench.report.labels import Anchor, place_labels
from mnbench.report.view import view_of
from tests.builders import BASELINE, make_run, paper_table, v1_grid, v2_grid, with_failure, without_interval
from tests.noisy_runs import with_noise

WIDE = "mobilenet_v2_1.4_224-ort-fp32-b1-t1"
NASNET = "nasnet_a_mobile_224-ort-fp32-b1-t1"


def one_case() -> tuple[Run, Analysis]:
    cards, latency_ms = paper_table()
    return make_run(cards[:1], latency_ms, backends=("ort",), null=False)


def labels_of(axes: Axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation) and text.get_text()]


def boxes_of(axes: Axes) -> list[Bbox]:
    return [label.get_window_extent() for label in labels_of(axes)]


def overlap(one: Bbox, other: Bbox) -> bool:
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


@pytest.mark.parametrize("make", [one_case, lambda: make_run(*v2_grid())], ids=["1 case", "44 cases"])
def test_plots_are_written_as_png_and_svg(tmp_path: Path, make: object) -> None:
    assert callable(make)
    paths = report.write_all(view_of(*make()), tmp_path, ["accuracy-plot", "paper-plot"])
    assert sorted(path.name for path in paths) == [
        "latency-vs-accuracy.png",
        "latency-vs-accuracy.svg",
        "ratio-vs-paper.png",
        "ratio-vs-paper.svg",
    ]
    assert all(path.stat().st_size > 5000 for path in paths)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    "made",
    [
        make_run(),
        make_run(backends=("ort", "openvino", "torch", "litert")),
        make_run(width_pct=9),
        make_run(*v2_grid()),
        make_run(*v1_grid(), backends=("ort",), baseline="mobilenet_v1_1.0_224"),
    ],
    ids=["6x2", "6x4", "6x2 wide", "22x2", "16x1"],
)
def test_every_point_has_a_label_that_touches_no_label_no_point_and_no_frame(made: tuple[Run, Analysis]) -> None:
    figure = accuracy_plot.figure(view_of(*made))
    assert sum(len(labels_of(axes)) for axes in figure.axes) == len(accuracy_plot.collect(view_of(*made)))
    for axes in figure.axes:
        boxes, frame = boxes_of(axes), axes.get_window_extent()
        assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
        assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes)
        spots = axes.transData.transform([label.xy for label in labels_of(axes)])
        assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for box in boxes for x, y in spots)


@pytest.mark.parametrize("plot", [accuracy_plot, paper_plot])
@pytest.mark.parametrize("name", ["a cpu", "A very long processor name " * 8])
def test_no_words_of_a_figure_overlap_or_leave_it(plot: object, name: str) -> None:
    for made in (make_run(cpu_model=name), make_run(*v2_grid(), cpu_model=name), one_case()):
        figure = plot.figure(view_of(*made))  # type: ignore[attr-defined]
        edge = figure.bbox
        boxes = [text.get_window_extent() for text in figure.texts]
        boxes += [axes.get_tightbbox() for axes in figure.axes]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
        assert all(edge.x0 <= b.x0 and b.x1 <= edge.x1 and edge.y0 <= b.y0 and b.y1 <= edge.y1 for b in boxes)


def words(figure: object) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in figure.texts)  # type: ignore[attr-defined]


def test_the_words_say_what_was_measured_where_and_whose_accuracy_it_is() -> None:
    text = words(accuracy_plot.figure(view_of(*make_run(cpu_model="Xeon $5 and $6"))))
    assert r"Xeon \$5 and \$6 · 1 thread · batch 1 · fp32" in text
    assert "published, not measured here (ImageNet-1k): Sandler et al. 2018, Table 4" in text


def test_a_case_without_an_interval_is_drawn_nowhere_and_named() -> None:
    made = without_interval(*make_run(), WIDE)
    assert ("mobilenet_v2_1.4_224", "ort") not in {(p.model, p.series) for p in accuracy_plot.collect(view_of(*made))}
    assert "with fewer than 3 usable launches: mobilenet_v2_1.4_224 (ort)." in words(accuracy_plot.figure(view_of(*made)))
    (group,) = (group for group in paper_plot.collect(view_of(*made)) if group.model == "mobilenet_v2_1.4_224")
    assert list(group.measured) == ["openvino"]
    assert "No measured ratio for mobilenet_v2_1.4_224 (ort): fewer than 3" in words(paper_plot.figure(view_of(*made)))


def test_a_point_of_a_case_that_was_too_noisy_is_hollow_said_so_and_not_on_the_front() -> None:
    run, analysis = make_run()
    made = (run, with_noise(analysis, WIDE))
    points = [point for point in accuracy_plot.collect(view_of(*made)) if point.series == "ort"]
    assert [point.model for point in points if point.noisy] == ["mobilenet_v2_1.4_224"]
    before = accuracy_plot.pareto_front([p for p in accuracy_plot.collect(view_of(run, analysis)) if p.series == "ort"])
    assert "mobilenet_v2_1.4_224" in {point.model for point in before}
    assert "mobilenet_v2_1.4_224" not in {point.model for point in accuracy_plot.pareto_front(points)}
    for plot in (accuracy_plot, paper_plot):
        assert "Hollow: the machine was too noisy" in words(plot.figure(view_of(*made)))
        assert "Hollow" not in words(plot.figure(view_of(run, analysis)))


def test_a_network_without_a_published_accuracy_is_named_as_such() -> None:
    cards, latency_ms = paper_table()
    cards[1] = replace(cards[1], accuracy=())
    text = words(accuracy_plot.figure(view_of(*make_run(cards, latency_ms))))
    assert (
        "Not drawn, without a published accuracy: shufflenet_v1_1.5_g3_224 (ort), shufflenet_v1_1.5_g3_224 (openvino)." in text
    )


def test_a_failed_case_is_named_in_the_captions() -> None:
    made = with_failure(*make_run(), NASNET)
    assert "nasnet_a_mobile_224 (ort)" in words(accuracy_plot.figure(view_of(*made)))
    assert "No measured ratio for nasnet_a_mobile_224 (ort)" in words(paper_plot.figure(view_of(*made)))


def test_the_front_keeps_what_no_other_network_beats_in_both() -> None:
    points = [p for p in accuracy_plot.collect(view_of(*make_run())) if p.series == "openvino"]
    front = [point.model for point in accuracy_plot.pareto_front(points)]
    assert front == [BASELINE, "shufflenet_v1_2.0_g3_224", "mobilenet_v2_1.4_224"]


def test_a_latency_the_paper_does_not_report_is_marked_as_such() -> None:
    axes = paper_plot.figure(view_of(*make_run())).axes[0]
    shown = [text.get_text() for text in axes.texts]
    assert shown == [
        "paper: 1.51",
        "paper: not reported",
        "paper: not reported",
        "paper: 2.44",
        "paper: 1.00",
        "paper: 1.91",
    ]


def test_without_the_baseline_the_plot_says_why_it_has_no_ratio() -> None:
    assert f"the baseline {BASELINE} was not measured" in words(paper_plot.figure(view_of(*one_case())))


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        report.write_all(view_of(*make_run()), tmp_path / folder, ["accuracy-plot"])
    for name in ("latency-vs-accuracy.svg", "latency-vs-accuracy.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_label_that_fits_nowhere_is_left_out_rather_than_drawn_over_another() -> None:
    nothing = np.empty((0, 4))
    wide = Anchor(x=50, y=50, width=200, height=10)
    assert place_labels([wide], nothing, nothing, (0.0, 0.0, 100.0, 100.0)) == [None]
