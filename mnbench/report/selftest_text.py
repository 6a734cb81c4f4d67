"""A self-test's result as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

from mnbench.records import Caveat
from mnbench.report.grid import Grid, draw, texts
from mnbench.report.terminal import print_caveats
from mnbench.stats.selftest import Power, Rate


class Judged(Protocol):
    """A self-test's result, as far as it is shown."""

    @property
    def powers(self) -> Sequence[Power]: ...

    @property
    def floor_ns(self) -> float | None: ...

    @property
    def sentence(self) -> str: ...

    @property
    def caveats(self) -> Sequence[Caveat]: ...


def render(judged: Judged, console: Console) -> None:
    """Print false positives and what was found, per method and number of launches, then the caveats and the sentence.

    Every rate has Wilson's interval, at 95 %.
    """
    planted = list(dict.fromkeys(pct for power in judged.powers for pct in power.found))
    head = ("method", "launches", "seconds", "false positives", "trials", *(f"+{pct} %" for pct in planted))
    rows = []
    for power in judged.powers:
        rate = power.false_positives
        cells = [power.method, str(power.launches), f"{power.seconds:.1f}", _with_interval(rate), str(rate.trials)]
        rows.append([*cells, *(_share(power.found.get(pct)) for pct in planted)])
    console.print(Text("Identical work called different, and planted slow-downs found", style="italic"))
    draw(console, [Grid(head=head, align="l" + "r" * (len(head) - 1), rows=texts(rows), names=2)])
    console.print(
        "Paired: this tool's method, launches taking turns. Naive: one process each, a rank test on all samples. In brackets:"
        " 95 % interval of the rate, in per cent.",
        style="dim",
    )
    if judged.floor_ns is not None:
        console.print(f"The harness itself takes {judged.floor_ns:.0f} ns an inference.")
    print_caveats(judged.caveats, console)
    console.print()
    console.print(judged.sentence, markup=False)


def _share(rate: Rate | None) -> str:
    if rate is None or not rate.trials:
        return "–"
    return f"{rate.hits}/{rate.trials}\n[{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _with_interval(rate: Rate) -> str:
    if not rate.trials:
        return "–"
    return f"{100 * rate.share:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
