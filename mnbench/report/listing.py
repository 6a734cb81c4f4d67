"""What `mnbench list` shows: networks, backends, runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from mnbench.records import ModelCard


def models(cards: Iterable[ModelCard]) -> list[dict[str, str]]:
    """Return a row per network with its headline figures; empty where nothing was published."""
    return [
        {
            "model": card.name,
            "family": card.family,
            "input": "×".join(map(str, card.input_chw)),
            "top-1 %": f"{card.accuracy[0].top1_pct:.1f}" if card.accuracy else "",
            "params M": f"{card.params[0].value / 1e6:.2f}" if card.params else "",
            "MAdds M": f"{card.madds[0].value / 1e6:.0f}" if card.madds else "",
            "source": card.accuracy[0].source.short if card.accuracy else "",
        }
        for card in cards
    ]


def show(rows: Sequence[dict[str, str]], *, as_json: bool) -> str:
    """Return rows of one shape as a table, or as JSON. `rows` may be empty."""
    if as_json:
        return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()
    if not rows:
        return "none"
    return _table(rows)


def _table(rows: Sequence[dict[str, str]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in rows[0]:
        table.add_column(name, overflow="fold", no_wrap=name in ("model", "run", "backend"))
    for row in rows:
        table.add_row(*row.values())
    console = Console()
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()
