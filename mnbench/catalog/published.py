"""Reads published.csv and sources.csv: what was published about each network, one line per row of a publication.

A line holds what one printed row says, in the unit it is printed in (millions, per cent, milliseconds). An empty cell
is a figure which that row does not give. A network's lines stand in the order of its card: the first figure of a
quantity is the headline, those after it are other sources, and where they disagree both stay.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mnbench.errors import UnknownNameError
from mnbench.records import Accuracy, Citation, Published, PublishedLatency

DATASET = "ImageNet-1k validation"
"""All published accuracies of the catalog are single-crop on this set."""


@dataclass(slots=True, kw_only=True)
class Figures:
    """Everything published about one network, headline first."""

    params: list[Published] = field(default_factory=list)
    madds: list[Published] = field(default_factory=list)
    latency: list[PublishedLatency] = field(default_factory=list)
    accuracy: list[Accuracy] = field(default_factory=list)


def read_figures() -> dict[str, Figures]:
    """Return the published figures by network name. Parameters and MAdds are counts, not millions."""
    figures: dict[str, Figures] = {}
    for row in _rows("published.csv"):
        _add(figures.setdefault(row["model"], Figures()), row, cite(row["source"], row["locator"]))
    return figures


def cite(key: str, locator: str = "") -> Citation:
    """Return the citation of a place (`Table 4, row 3`) in a source. Raises UnknownNameError for a key not in sources.csv."""
    sources = _sources()
    if key not in sources:
        raise UnknownNameError("source", key, sources)
    source = sources[key]
    return Citation(key=key, title=source["title"], year=int(source["year"]), url=source["url"], locator=locator)


@cache
def _sources() -> dict[str, dict[str, str]]:
    return {row["key"]: row for row in _rows("sources.csv")}


def _add(figures: Figures, row: dict[str, str], citation: Citation) -> None:
    if row["top1_pct"]:
        figures.accuracy.append(
            Accuracy(
                dataset=DATASET,
                resolution=int(row["resolution"]),
                top1_pct=float(row["top1_pct"]),
                top5_pct=float(row["top5_pct"]) if row["top5_pct"] else None,
                source=citation,
            )
        )
    if row["params_m"]:
        figures.params.append(Published(value=_count(row["params_m"]), source=citation))
    if row["madds_m"]:
        figures.madds.append(Published(value=_count(row["madds_m"]), source=citation))
    if row["latency_ms"]:
        latency_ms = float(row["latency_ms"])
        figures.latency.append(PublishedLatency(latency_ms=latency_ms, device=row["device"], source=citation))


def _count(millions: str) -> float:
    return float(round(float(millions) * 1e6))  # 4.2 * 1e6 need not be a whole number in binary


def _rows(name: str) -> Iterator[dict[str, str]]:
    with Path(__file__).with_name(name).open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
