"""Looking up what a run's model cards say. The first figure of each kind is the headline; others disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mnbench.records import Citation, ModelCard, PublishedLatency, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One published figure as text, with where it stands."""

    model: str
    quantity: str
    figure: str
    citation: Citation
    headline: bool
    """False for a figure of another source, which disagrees with the headline."""


def headline_latency(card: ModelCard | None, baseline: ModelCard | None) -> PublishedLatency | None:
    """Return the latency published for a network by the source, and on the device, of the baseline's headline latency.

    A figure from elsewhere would stand in one column with others it cannot be compared with, so it is left to the list of
    sources. Without a published latency of the baseline, the network's own headline; None without a card.
    """
    if card is None:
        return None
    if baseline is None or not baseline.latency:
        return next(iter(card.latency), None)
    wanted = _origin(baseline.latency[0])
    return next((latency for latency in card.latency if _origin(latency) == wanted), None)


def paper_ratio(card: ModelCard | None, baseline: ModelCard | None) -> float | None:
    """Return the published latency of a network over that of the baseline.

    Only figures of the same source and device are divided. None where either is missing.
    """
    latency = headline_latency(card, baseline)
    if latency is None or baseline is None:
        return None
    for other in baseline.latency:
        if _origin(other) == _origin(latency) and other.latency_ms > 0:
            return latency.latency_ms / other.latency_ms
    return None


def _origin(latency: PublishedLatency) -> tuple[str, str]:
    return latency.source.key, latency.device


def sources(run: Run) -> list[Source]:
    """Return every published figure of the run's cards, headline first within each quantity."""
    return [source for card in run.models for source in _sources_of(card)]


def _sources_of(card: ModelCard) -> Iterator[Source]:
    entries = [
        *(("top-1", place, f"{entry.top1_pct:g} %", entry.source) for place, entry in enumerate(card.accuracy)),
        *(("parameters", place, f"{entry.value / 1e6:.3g} M", entry.source) for place, entry in enumerate(card.params)),
        *(("MAdds", place, f"{entry.value / 1e6:.4g} M", entry.source) for place, entry in enumerate(card.madds)),
        *(
            ("latency", place, f"{entry.latency_ms:g} ms, {entry.device}", entry.source)
            for place, entry in enumerate(card.latency)
        ),
    ]
    for quantity, place, figure, citation in entries:
        yield Source(model=card.name, quantity=quantity, figure=figure, citation=citation, headline=place == 0)


def cited(citations: Iterable[Citation]) -> str:
    """Return the sources as one text: each source once, the rows of one table together."""
    places: dict[str, list[str]] = {}
    for citation in dict.fromkeys(citations):
        place, _, row = citation.short.partition(", row ")
        places.setdefault(place, []).append(row)
    return "; ".join(_with_rows(place, [row for row in rows if row]) for place, rows in places.items())


def _with_rows(place: str, rows: list[str]) -> str:
    if not rows:
        return place
    return f"{place}, {'row' if len(rows) == 1 else 'rows'} {', '.join(rows)}"
