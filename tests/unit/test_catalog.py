"""The catalog: names, suites, and the published figures as their sources print them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mnbench import catalog
from mnbench.catalog.networks import SUITES
from mnbench.catalog.published import read_figures
from mnbench.errors import UnknownNameError
from mnbench.records import Citation, ModelCard, Published

NAMES = catalog.names()


def citations(card: ModelCard) -> list[Citation]:
    return [figure.source for figure in (*card.params, *card.madds, *card.latency, *card.accuracy)]


def by_source(figures: tuple[Published, ...]) -> dict[str, float]:
    return {figure.source.key: figure.value for figure in figures}


def test_there_are_sixteen_v1_points_twenty_two_v2_points_thirteen_modern_networks_and_five_others() -> None:
    assert len(catalog.suite("v1-grid")) == 16
    assert len(catalog.suite("v2-grid")) == 22
    assert len(catalog.suite("modern")) == 13
    assert len(NAMES) == len(set(NAMES)) == 16 + 22 + 13 + 5


@pytest.mark.parametrize("suite", catalog.suites())
def test_every_name_of_a_suite_has_a_card(suite: str) -> None:
    assert all(catalog.card(name).name == name for name in catalog.suite(suite))


@pytest.mark.parametrize("name", NAMES)
def test_every_card_has_top1_params_and_madds_and_each_figure_says_where_it_stands(name: str) -> None:
    card = catalog.card(name)
    assert card.accuracy
    assert card.params
    assert card.madds
    assert card.license
    assert all(source.title and source.url.startswith("https://") and source.locator for source in citations(card))


@pytest.mark.parametrize("name", NAMES)
def test_a_published_accuracy_belongs_to_the_resolution_of_its_card_unless_it_says_otherwise(name: str) -> None:
    card = catalog.card(name)
    assert card.accuracy[0].resolution == card.resolution


def test_no_published_figure_is_filed_under_a_name_that_is_not_in_the_catalog() -> None:
    assert set(read_figures()) == set(NAMES)


# MobileNetV2 paper, Table 4: top-1 %, parameters and MAdds in millions, milliseconds on a Pixel 1.
V2_TABLE = {
    "mobilenet_v1_1.0_224": (70.6, 4.2, 575, 113),
    "shufflenet_v1_g3_1.5_224": (71.5, 3.4, 292, None),
    "shufflenet_v1_g3_2.0_224": (73.7, 5.4, 524, None),
    "nasnet_a_mobile_224": (74.0, 5.3, 564, 183),
    "mobilenet_v2_1.0_224": (72.0, 3.4, 300, 75),
    "mobilenet_v2_1.4_224": (74.7, 6.9, 585, 143),
}


def test_the_v2_table_suite_keeps_the_order_of_the_papers_rows() -> None:
    assert catalog.suite("v2-table") == tuple(V2_TABLE)


@pytest.mark.parametrize(("name", "row"), V2_TABLE.items())
def test_the_headline_figures_of_the_six_networks_are_table_4_of_the_v2_paper(
    name: str, row: tuple[float, float, float, float | None]
) -> None:
    card = catalog.card(name)
    top1_pct, params_m, madds_m, latency_ms = row
    assert (card.accuracy[0].top1_pct, card.params[0].value, card.madds[0].value) == (
        top1_pct,
        round(params_m * 1e6),
        madds_m * 1e6,
    )
    headlines = [card.accuracy[0].source, card.params[0].source, card.madds[0].source]
    if latency_ms is not None:
        assert (card.latency[0].latency_ms, card.latency[0].device) == (latency_ms, "Pixel 1")
        headlines.append(card.latency[0].source)
    assert all(source.short.startswith("MobileNetV2 paper, Table 4") for source in headlines)


def test_the_v2_paper_and_the_released_checkpoint_disagree_on_width_1_4_and_both_stay() -> None:
    card = catalog.card("mobilenet_v2_1.4_224")
    paper, release = "MobileNetV2 paper", "TF-slim MobileNetV2"
    params, madds = by_source(card.params), by_source(card.madds)
    assert (params[paper], params[release]) == (6.9e6, 6.06e6)
    assert (madds[paper], madds[release]) == (585e6, 582e6)
    assert [(a.source.key, a.top1_pct) for a in card.accuracy[:2]] == [(paper, 74.7), (release, 75.0)]
    assert [(point.source.key, point.latency_ms) for point in card.latency] == [(paper, 143.0), (release, 138.0)]


def test_the_sources_disagree_on_mobilenet_v1_and_all_stay() -> None:
    card = catalog.card("mobilenet_v1_1.0_224")
    madds = by_source(card.madds)
    assert (madds["MobileNetV2 paper"], madds["MobileNetV1 paper"]) == (575e6, 569e6)
    top1 = {accuracy.source.key: accuracy.top1_pct for accuracy in card.accuracy}
    assert (top1["MobileNetV2 paper"], top1["TF-slim MobileNetV1"]) == (70.6, 70.9)


def test_three_sources_time_mobilenet_v2_on_the_same_phone_and_all_stay() -> None:
    pixel1 = [point for point in catalog.card("mobilenet_v2_1.0_224").latency if point.device == "Pixel 1"]
    assert [(point.source.key, point.latency_ms) for point in pixel1] == [
        ("MobileNetV2 paper", 75.0),
        ("TF-slim MobileNetV2", 73.8),
        ("MobileNetV3 paper", 64.0),
    ]


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'mobilnet_v2_1.0_224'; did you mean 'mobilenet_v2_1.0_224'"):
        catalog.card("mobilnet_v2_1.0_224")


def test_an_unknown_suite_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown suite 'v2table'; did you mean 'v2-table'"):
        catalog.suite("v2table")


def test_reading_the_catalog_imports_neither_torch_nor_pandas() -> None:
    code = "import sys; from mnbench import catalog; catalog.card(catalog.names()[0]); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "mnbench.catalog" in loaded
    assert not {"torch", "pandas", "numpy"} & set(loaded)


def test_the_suites_are_the_documented_ones() -> None:
    assert catalog.suites() == (*SUITES, "v1-operators") == ("v2-table", "v1-grid", "v2-grid", "modern", "v1-operators")
