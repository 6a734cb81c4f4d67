"""Findings as text, Markdown and page, read back from what a study stored."""

from __future__ import annotations

import io
from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from mnbench import store
from mnbench.errors import StoreError
from mnbench.records import Citation, Estimate
from mnbench.records.study import Figure, Finding, Holds, StoredFindings, counted
from mnbench.report import findings, markdown, study
from mnbench.report.view import view_of
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run

SOURCE = Citation(key="A paper", title="On <convolutions>", year=2017, url="https://arxiv.org/abs/1", locator="Table 4")
RATIO = Figure(label="ratio & more", unit="x", estimate=Estimate(value=1.5, low=1.46, high=1.54, level=0.95, method="t"))
COUNT = Figure(label="parameters", unit="", estimate=counted(4))
FINDING = Finding(
    claim="Fewer MAdds are <faster>.", source=SOURCE, measured="They are.", figures=(RATIO,), verdict=Holds.PARTLY,
    limits="One CPU.",
)  # fmt: skip
STORED = StoredFindings(
    study="toy", question="Is it so?", findings=(FINDING,), plots=(("bars", "Bars."),), tables=(("rows", "Rows."),)
)
PLAN = a_plan(a_case(), study="toy")
RUN = a_run(PLAN, a_launch(a_case(), 0, a_round([100])))


@pytest.fixture
def directory(tmp_path):
    (tmp_path / findings.FILE).write_bytes(msgspec.json.encode(STORED))
    (tmp_path / "bars.svg").write_text('<?xml version="1.0"?><svg xmlns="x"><g id="a"/></svg>')
    (tmp_path / "rows.csv").write_text("name,latency_ms\nfirst,1.23456\n" + "".join(f"row{n},2\n" for n in range(200)))
    return tmp_path


def test_what_was_stored_is_read_back(directory):
    assert findings.read_findings(directory) == STORED


def test_findings_that_are_missing_or_damaged_are_a_sentence(directory):
    with pytest.raises(StoreError, match="mnbench report"):
        findings.read_findings(directory / "nowhere")
    (directory / findings.FILE).write_text('{"study": 1')
    with pytest.raises(StoreError, match="is damaged"):
        findings.read_findings(directory)


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (RATIO, "1.50 [1.46, 1.54] x"),
        (Figure(label="", unit="parameters", estimate=counted(4_231_976)), "4,231,976 parameters"),
        (Figure(label="", unit="", estimate=counted(0.5)), "0.500"),
    ],
)
def test_a_figure_shows_its_interval_and_a_count_is_exact(figure, text):
    assert findings.figure_text(figure) == text


def a_figure(label, method):
    return Figure(label=label, unit="", estimate=Estimate(value=1.5, low=1.4, high=1.6, level=0.95, method=method))


def stored_with(*figures):
    return StoredFindings(study="toy", question="Is it so?", findings=(replace(FINDING, figures=figures),), plots=(), tables=())


def test_the_page_says_what_intervals_are_over_and_which_are_over_something_else():
    launches = a_figure("time", "mean over launches")
    points = [a_figure(f"slope {place}", "over networks, Student t") for place in range(6)]
    assert findings.intervals_text(stored_with(launches, COUNT)) == "Intervals are 95 % over launches."
    assert findings.intervals_text(stored_with(launches, *points[:2])) == (
        "Intervals are 95 % over launches. Not over launches: slope 0; slope 1 (over networks, Student t)."
    )
    assert findings.intervals_text(stored_with(*points)) == (
        "Intervals are 95 %. Not over launches: slope 0; slope 1; slope 2; slope 3 and 2 more (over networks, Student t)."
    )
    assert findings.intervals_text(stored_with(COUNT)) == "No figure has an interval."
    assert findings.intervals_text(stored_with()) == ""


def test_page_terminal_and_markdown_say_what_intervals_are_over(directory):
    stored = stored_with(a_figure("tau", "every pair of networks"))
    (directory / findings.FILE).write_bytes(msgspec.json.encode(stored))
    console = Console(file=io.StringIO(), width=100)
    findings.render(stored, console)
    shown = markdown.Shown(view=view_of(RUN), folder="runs/toy", directory=directory)
    for text in (console.file.getvalue(), study.page(view_of(RUN), directory), markdown.findings_section(shown)):
        assert "Intervals are 95 %. Not over launches: tau (every pair of networks)." in text


def test_the_terminal_shows_claim_verdict_figures_and_limits():
    console = Console(file=io.StringIO(), width=100)
    findings.render(STORED, console)
    text = console.file.getvalue()
    for part in ("holds in part", "Fewer MAdds are <faster>.", "A paper, Table 4", "1.50 [1.46, 1.54] x", "One CPU."):
        assert part in text


def test_the_page_escapes_every_word_and_cuts_long_tables(directory):
    (path,) = study.write(view_of(RUN), directory)
    page = path.read_text()
    assert "Fewer MAdds are &lt;faster&gt;." in page
    assert "<faster>" not in page
    assert "The first 120 of 201 rows" in page
    assert "1.235" in page
    assert '<g id="plot0-a"' in page


def test_a_page_whose_plot_is_gone_is_a_sentence(directory):
    (directory / "bars.svg").unlink()
    with pytest.raises(StoreError, match=r"bars\.svg cannot be read"):
        study.write(view_of(RUN), directory)


def test_a_markdown_block_names_the_study_by_its_folder_and_links_its_plots(directory):
    text = "<!-- mnbench:findings@studies/toy:begin -->\n<!-- mnbench:findings@studies/toy:end -->\n"
    asked = []

    def pick(name):
        asked.append(name)
        return markdown.Shown(view=view_of(RUN), folder="runs/toy", directory=directory)

    filled = markdown.fill(text, pick)
    assert asked == ["studies/toy"]
    assert "![Bars.](runs/toy/bars.svg)" in filled
    assert "**holds in part.**" in filled
    assert "[rows.csv](runs/toy/rows.csv)" in filled
    assert markdown.fill(filled, pick) == filled


def test_launches_are_kept_one_a_line_while_a_run_lasts_and_merged_when_it_ends(tmp_path):
    writer = store.RunWriter(tmp_path, a_run(PLAN, finished=False))
    for launch in range(2):
        writer.launch(a_launch(a_case(), launch))
    lines = (tmp_path / store.LAUNCHES_FILE).read_bytes()
    assert len(lines.splitlines()) == 2
    assert [s.launch for s in store.load(tmp_path).samples] == [0, 1]
    (tmp_path / store.LAUNCHES_FILE).write_bytes(lines[:-5])  # killed while it wrote the second line
    assert [s.launch for s in store.load(tmp_path).samples] == [0]
    (tmp_path / store.LAUNCHES_FILE).write_bytes(lines)
    writer.finish(finished=True)
    assert not (tmp_path / store.LAUNCHES_FILE).exists()
    assert [s.launch for s in store.load(tmp_path).samples] == [0, 1]
