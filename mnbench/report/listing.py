"""What `mnbench list` shows: networks, backends, runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich.padding import Padding
from rich.text import Text

from mnbench.records import ModelCard
from mnbench.report.grid import Grid, draw, standard_console, texts

LEAST_FIRST = ("source", "family", "input", "params M")
"""Columns of networks that a narrow terminal leaves out, in this order; `--json` and a pipe have them all."""


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


def studies(questions: Mapping[str, str]) -> str:
    """Return the studies with their questions, one a line; where that is too wide, the question below the name."""
    console = standard_console()
    with console.capture() as captured:
        for name, question in questions.items():
            line = Text(f"{name:20} {question}")
            if line.cell_len <= console.width:
                console.print(line)
            else:
                console.print(Text(name))
                console.print(Padding(Text(question), (0, 0, 0, 2), expand=False), overflow="fold")
    return captured.get().rstrip("\n")


def _table(rows: Sequence[dict[str, str]]) -> str:
    """Return the rows as lines; where they are too wide, without the columns that matter least."""
    head = list(rows[0])
    spared = [name for name in LEAST_FIRST if name in head]
    forms = [[_grid([name for name in head if name not in spared[:number]], rows)] for number in range(len(spared) + 1)]
    console = standard_console()
    with console.capture() as captured:
        draw(console, *forms)
    return captured.get().strip("\n")


def _grid(names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Grid:
    align = "".join("r" if name.endswith((" %", " M")) else "l" for name in names)
    return Grid(head=names, align=align, rows=texts([[row[name] for name in names] for row in rows]))
