"""What the views show of models that the catalog does not have: no empty columns, no empty plots, and what was measured."""

from __future__ import annotations

import ast
import csv
import json
from dataclasses import replace
from io import StringIO
from itertools import combinations
from pathlib import Path

import pytest
from rich.console import Console

import mnbench
from mnbench import report
from mnbench.measure.worker import judge
from mnbench.records import Analysis, Caveat, Model, Remark, Run, Severity, Source, TensorSpec
from mnbench.report import columns, latency_plot, paper_plot
from mnbench.report.html import page
from mnbench.report.json_text import to_json
from mnbench.report.markdown import Shown, plot_links, results_table
from mnbench.report.models import model_rows
from mnbench.report.terminal import render
from mnbench.report.view import view_of
from mnbench.sources.feeds import Difference
from mnbench.stats.analysis import ADVICE, analyse
from tests.builders import make_run, paper_table, with_failure
from tests.noisy_runs import with_noise

REFERENCE = "onnxruntime without graph optimisation"
PUBLISHED = ("top-1 %", "paper ms", "paper ratio")


def a_user_run(names: tuple[str, ...] = ("mine", "bölüm_2"), *, kept: int = 0, batch: int = 1) -> tuple[Run, Analysis]:
    """A run of the user's files, and of the first `kept` networks of the paper's table."""
    cards, latency_ms = paper_table()
    mine = [replace(card, name=name, accuracy=(), latency=()) for card, name in zip(cards, names, strict=False)]
    times = {card.name: value for card, value in zip(mine, latency_ms.values(), strict=False)}
    run, analysis = make_run([*cards[:kept], *mine], {**latency_ms, **times}, baseline=(*cards[:kept], *mine)[0].name)
    models = tuple(_of_user(model) if model.id in names else model for model in run.plan.models)
    artifacts = tuple(
        replace(
            artifact,
            inputs=(
                TensorSpec(name="images", dtype="float32", dims=(1, 3, 64, 64), filled="standard normal"),
                TensorSpec(name="ids", dtype="int64", dims=(1, 7), filled="integers 0 and 1"),
            ),
            outputs=(TensorSpec(name="y", dtype="float32", dims=(1, 10)),),
            reference=REFERENCE,
            exporter="pytorch 2.13",
        )
        for artifact in run.artifacts
    )
    facts = tuple(replace(each, uncounted=("FFT",) if each.model == "mine" else ()) for each in run.facts)
    run = replace(run, plan=replace(run.plan, models=models), artifacts=artifacts, facts=facts)
    return (run, analysis) if batch == 1 else _batched(run, analysis, batch)


def _of_user(model: Model) -> Model:
    source = Source(scheme="onnx", locator=f"/data/{model.id}.onnx", sha256="abcdef" * 10 + "1234")
    return replace(model, title=f"files/{model.id}.onnx", card=None, source=source)


def _batched(run: Run, analysis: Analysis, batch: int) -> tuple[Run, Analysis]:
    """The same with every case at another batch."""
    new = {case: replace(case, batch=batch) for case in run.plan.cases}
    results = tuple(
        replace(
            result,
            case=new[result.case],
            vs_baseline=result.vs_baseline
            and replace(result.vs_baseline, case=new[result.vs_baseline.case], baseline=new[result.vs_baseline.baseline]),
        )
        for result in analysis.results
    )
    between = tuple(replace(each, case=new[each.case], baseline=new[each.baseline]) for each in analysis.between_backends)
    plan = replace(run.plan, cases=tuple(new.values()))
    samples = tuple(replace(each, case=new[each.case]) for each in run.samples)
    return replace(run, plan=plan, samples=samples), replace(analysis, results=results, between_backends=between)


def shown(run: Run, analysis: Analysis, width: int = 160) -> str:
    console = Console(file=StringIO(), width=width)
    render(view_of(run, analysis), console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_columns_of_published_figures_vanish_where_no_network_has_one() -> None:
    made = a_user_run()
    view = view_of(*made)
    for text in (shown(*made), results_table(Shown(view=view, folder="r"))):
        assert not any(heading in text for heading in PUBLISHED)
        assert "published" not in text
    assert not any(f">{heading}</th>" in page(view) for heading in PUBLISHED)
    mixed = a_user_run(kept=2)
    for text in (shown(*mixed), results_table(Shown(view=view_of(*mixed), folder="r")), page(view_of(*mixed))):
        assert all(heading in text for heading in PUBLISHED)
        assert "Top-1, paper ms and paper ratio are published" in " ".join(text.split())


def test_a_table_with_accuracies_alone_says_that_these_are_published() -> None:
    cards, latency_ms = paper_table()
    view = view_of(*make_run([replace(card, latency=()) for card in cards], latency_ms))
    assert "Top-1 is published, not measured here." in results_table(Shown(view=view, folder="r"))


def test_data_keep_all_columns(tmp_path: Path) -> None:
    view = view_of(*a_user_run())
    report.write_all(view, tmp_path, ["summary"])
    (first, *_) = csv.DictReader((tmp_path / "summary.csv").open())
    assert list(first) == columns.fields(columns.summary(columns.CSV))
    assert (first["top1_pct"], first["latency_per_image_ms"]) == ("", "")


@pytest.mark.parametrize("batch", [1, 8])
def test_latency_per_image_stands_beside_that_of_a_call_where_there_are_several_images(batch: int) -> None:
    made = a_user_run(batch=batch)
    row = json.loads(to_json(view_of(*made)))["summary"][0]
    texts = (shown(*made), page(view_of(*made)))
    if batch == 1:
        assert row["latency_per_image_ms"] is None
        assert not any("ms per image" in text for text in texts)
    else:
        assert row["latency_per_image_ms"] == pytest.approx(row["latency_ms"] / 8, abs=1e-6)
        assert row["latency_per_image_low_ms"] == pytest.approx(row["latency_low_ms"] / 8, abs=1e-6)
        assert all("ms per image" in text for text in texts)


def test_each_model_of_the_user_is_listed_with_its_inputs_in_every_view() -> None:
    made = a_user_run(kept=1)
    view = view_of(*made)
    assert [row.model for row in model_rows(made[0])] == ["mine", "bölüm_2"]
    text, html = shown(*made), page(view)
    for words in ("files/mine.onnx", "SHA-256 abcdefabcdef", REFERENCE, "FFT"):
        assert words in text
        assert words in html
    assert "input images: float32 [1, 3, 64, 64], standard normal" in text
    assert "ids: int64 [1, 7], integers 0 and 1" in html
    assert "pytorch 2.13" in html
    (mine, other) = json.loads(to_json(view))["models"]
    assert (mine["title"], mine["sha256"][:6], mine["reference"]) == ("files/mine.onnx", "abcdef", REFERENCE)
    assert mine["inputs"][1] == {"name": "ids", "dtype": "int64", "dims": [1, 7], "filled": "integers 0 and 1"}
    assert (mine["uncounted"], other["uncounted"]) == (["FFT"], [])


def test_a_run_of_the_catalog_has_no_section_of_models() -> None:
    made = make_run()
    assert "Models" not in shown(*made)
    assert "<h2>Models" not in page(view_of(*made))
    assert json.loads(to_json(view_of(*made)))["models"] == []


def test_a_model_that_could_not_be_opened_is_listed_as_far_as_it_is_known() -> None:
    run, analysis = a_user_run()
    run = replace(run, artifacts=())
    (row, _) = model_rows(run)
    assert (row.outputs, row.reference, row.exporters) == ((), "", ())
    assert "reference: none" in shown(run, analysis)


def test_an_axis_that_differs_between_cases_is_the_batch() -> None:
    run, _ = a_user_run()
    first = run.artifacts[0]
    eight = replace(first, inputs=tuple(replace(spec, dims=(8, *spec.dims[1:])) for spec in first.inputs))
    (row, _) = model_rows(replace(run, artifacts=(*run.artifacts, eight)))
    assert [spec.dims for spec in row.inputs] == [("batch", 3, 64, 64), ("batch", 7)]


def test_outputs_that_differ_from_the_reference_stand_in_the_headline_with_their_size() -> None:
    run, analysis = a_user_run()
    observed = f"its outputs differ from those of {REFERENCE} by 0.12 of the largest"
    caveat = Caveat(code="outputs-differ", subject=run.plan.cases[1].id, observed=observed, advice="Compare.")
    text = view_of(run, replace(analysis, caveats=(caveat,))).headline
    assert text.endswith(f" mine (openvino): {observed}.")
    assert "differ" not in view_of(run, analysis).headline


def test_without_accuracies_the_plot_is_of_latency_alone_under_a_name_of_its_own(tmp_path: Path) -> None:
    view = view_of(*a_user_run())
    paths = report.write_all(view, tmp_path, ["accuracy-plot", "latency-plot", "paper-plot"])
    assert [path.name for path in paths] == ["latency.png", "latency.svg"]
    assert plot_links(Shown(view=view, folder="r")) == "![Measured latency](r/latency.svg)"
    assert page(view).count("<svg") == 1
    assert view_of(*a_user_run(kept=1)).plot_names == ("latency-vs-accuracy", "ratio-vs-paper")
    assert view_of(*make_run()).plot_names == ("latency-vs-accuracy", "ratio-vs-paper")


@pytest.mark.parametrize("names", [("mine",), ("mine", "bölüm_2", "c_model", "a" * 48, "detector"), tuple("abcdef")])
def test_the_plot_of_latency_has_a_mark_for_each_case_and_no_word_overlaps(names: tuple[str, ...]) -> None:
    made = a_user_run(names)
    failed = with_failure(*made, f"{names[0]}-ort-fp32-b1-t1")
    noisy = (made[0], with_noise(made[1], f"{names[0]}-openvino-fp32-b1-t1"))
    for run, analysis in (made, failed, noisy):
        figure = latency_plot.figure(view_of(run, analysis))
        (axes,) = figure.axes
        bars = len(axes.containers)
        assert bars == sum(1 for row in view_of(run, analysis).networks if row.latency_ms)
        boxes = [text.get_window_extent() for text in figure.texts]
        boxes += [axes.get_tightbbox(), *(legend.get_window_extent() for legend in figure.legends)]
        for one, other in combinations(boxes, 2):
            assert not (one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)
        edge = figure.bbox
        assert all(edge.x0 <= b.x0 and b.x1 <= edge.x1 and edge.y0 <= b.y0 and b.y1 <= edge.y1 for b in boxes)
    words = " ".join(text.get_text().replace("\n", " ") for text in latency_plot.figure(view_of(*noisy)).texts)
    assert "Hollow: the machine was too noisy" in words


def test_a_plot_of_latency_without_any_latency_says_so() -> None:
    run, analysis = a_user_run(("mine",))
    for case in run.plan.cases[:2]:
        run, analysis = with_failure(run, analysis, case.id)
    words = " ".join(text.get_text().replace("\n", " ") for text in latency_plot.figure(view_of(run, analysis)).texts)
    assert "Not drawn, with fewer than 3 usable launches: mine (ort), mine (openvino)." in words


def test_plots_call_a_users_model_as_the_tables_do_and_say_nothing_of_a_paper() -> None:
    made = a_user_run(("c_model", "c_net"))
    axes = latency_plot.figure(view_of(*made)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c_model", "c_net"]
    axes = paper_plot.figure(view_of(*a_user_run(kept=2))).axes[0]
    assert [text.get_text() for text in axes.texts] == ["paper: 1.00", "paper: not reported", "", ""]


def remark_codes() -> set[str]:
    """The codes of all remarks that the source makes."""
    found = set()
    for path in Path(mnbench.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Remark":
                found |= {
                    word.value.value for word in node.keywords if word.arg == "code" and isinstance(word.value, ast.Constant)
                }
    return found


def test_every_remark_has_advice_in_short_sentences() -> None:
    assert remark_codes() == set(ADVICE)
    for advice, _ in ADVICE.values():
        assert all(len(sentence.split()) <= 25 for sentence in advice.split(". "))
        assert advice.endswith(".")


def test_a_remark_of_another_package_is_a_note() -> None:
    run, _ = a_user_run(("mine",))
    model = replace(run.plan.models[0], remarks=(Remark(code="toy", observed="it is a toy"),))
    found = analyse(replace(run, plan=replace(run.plan, models=(model,)))).caveats
    (caveat,) = [caveat for caveat in found if caveat.code == "toy"]
    assert (caveat.severity, caveat.subject, caveat.observed) == (Severity.NOTE, "mine", "it is a toy")


@pytest.mark.parametrize(
    ("precision", "max_rel", "told"),
    [("fp32", 9e-4, False), ("fp32", 2e-3, True), ("bf16", 0.0, False), ("bf16", 1e-5, True)],
)
def test_outputs_of_a_users_model_differ_when_they_are_further_off_than_the_precision_explains(
    precision: str, max_rel: float, told: bool
) -> None:
    """What bf16 explains is not known for a file: any difference is told, and none is not."""
    run, _ = a_user_run(("mine",))
    artifact = replace(run.artifacts[0], strict=False)
    found = list(judge(Difference(max_abs=1.0, max_rel=max_rel), artifact, precision))
    assert [remark.code for remark in found] == (["outputs-differ"] if told else [])
