"""The columns of the main tables, the summary, the comparison and the diff of two runs: the one place that names them.

Every view takes its columns from here: CSV and JSON their fields, the terminal, Markdown and
the page their headings and cells. To add a column, add one entry. A figure with an interval has three fields, in CSV and JSON
alike: `x_ms`, `x_low_ms`, `x_high_ms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from mnbench.records import PERCENTILES, Estimate
from mnbench.report.naming import condition_words
from mnbench.report.numbers import DASH, Figure, bracketed, count, lopsided, plain, short, span
from mnbench.report.rows import CaseRow, ComparisonRow, DiffRow, finite, in_ms

CSV, JSON, TERMINAL, MARKDOWN, PAGE = "csv", "json", "terminal", "markdown", "page"
DATA = frozenset({CSV, JSON})
EVERYWHERE = DATA | {TERMINAL, MARKDOWN, PAGE}
RESULTS, QUANTILES, REGIMES = TABLES = ("results", "percentiles", "regimes")
"""The tables for people that the summary is divided into."""
UNITS = ("ms", "us", "mib", "pct", "per_s")
"""What a field's name may end in."""
DECIMALS = 6
"""Of an interval's fields: a nanosecond in a millisecond, and far below any interval of a ratio."""

Row = TypeVar("Row")
Cell = Estimate | float | str | None
Interval = Callable[[Any], str]
"""How a view writes a figure that has an interval: `numbers.bracketed` or `numbers.plus_minus`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[Row]):
    """One column: what is in it, what it means, and where and how it is shown."""

    name: str
    """The field's name in CSV and JSON, with its unit."""
    value: Callable[[Row], Cell]
    """The cell, in that unit; None where there is no figure."""
    meaning: str
    """One sentence, for the table of columns in the documentation."""
    interval: bool = False
    """Whether the cell is an `Estimate` (or an exact number), and so has three fields."""
    decimals: int | None = None
    """Of the number in CSV and JSON; None: all it has, or `DECIMALS` of a figure with an interval."""
    heading: str = ""
    """In tables for people; without one, the column is in CSV and JSON only."""
    text: Callable[[Any], str] | None = None
    """Writes the cell for people; None: as the view writes figures with an interval."""
    align: Literal["l", "r"] = "r"
    views: frozenset[str] = EVERYWHERE
    tables: tuple[str, ...] = (RESULTS,)
    """The tables for people that it is in."""
    of_network: bool = False
    """The same in every case of a network, so that a narrow terminal shows it once."""
    published: str = ""
    """What a legend calls it, where its figures were published and not measured or counted here."""
    optional: bool = False
    """Left out of tables for people where no row has a figure."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Its names in CSV and JSON."""
        return interval_fields(self.name) if self.interval else (self.name,)

    @property
    def unit(self) -> str:
        """The unit that its name ends in; empty for a text, a count or a ratio."""
        return unit_of(self.name)

    def cells(self, row: Row) -> tuple[float | str | None, ...]:
        """Return its cells in CSV and JSON, one for each of `fields`."""
        value = self.value(row)
        if not self.interval:
            assert not isinstance(value, Estimate)  # noqa: S101 (an entry of the table that forgot `interval`)
            return (_rounded(value, self.decimals),)
        return interval_cells(value, DECIMALS if self.decimals is None else self.decimals)

    def shown(self, row: Row, interval: Interval = bracketed) -> str:
        """Return its cell for people."""
        return (self.text or interval)(self.value(row))


def interval_fields(name: str) -> tuple[str, str, str]:
    """Return the names of a figure with its interval: of `x_ms` `x_ms`, `x_low_ms`, `x_high_ms`."""
    unit = unit_of(name)
    stem, end = (name.removesuffix(f"_{unit}"), f"_{unit}") if unit else (name, "")
    return name, f"{stem}_low{end}", f"{stem}_high{end}"


def interval_cells(value: object, decimals: int | None = None) -> tuple[Any, Any, Any]:
    """Return the cells of a figure with its interval; an exact number has empty ends."""
    if isinstance(value, Estimate):
        low, middle, high = (_rounded(bound, decimals) for bound in (value.low, value.value, value.high))
        return middle, low, high
    return value, None, None


def unit_of(name: str) -> str:
    """Return the unit in which a field's name ends; empty without one."""
    return next((unit for unit in UNITS if name.endswith(f"_{unit}")), "")


def summary(view: str, table: str = RESULTS, rows: Sequence[CaseRow] | None = None) -> list[Column[CaseRow]]:
    """Return the columns of the summary in a view: for people those of one of `TABLES`, for CSV and JSON all.

    With `rows`, optional columns in which none of them has a figure are left out.
    """
    chosen = [column for column in SUMMARY if _is_in(column, view) and (view in DATA or table in column.tables)]
    if rows is None:
        return chosen
    return [column for column in chosen if not column.optional or any(column.value(row) is not None for row in rows)]


def published_legend(chosen: Sequence[Column[Any]]) -> str:
    """Return the sentence that says which of some columns are published and not measured here; empty without any."""
    names = [column.published for column in chosen if column.published]
    if not names:
        return ""
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{listed[0].upper()}{listed[1:]} {'is' if len(names) == 1 else 'are'} published, not measured here."


def comparison(view: str) -> list[Column[ComparisonRow]]:
    """Return the columns of the comparison in a view."""
    return [column for column in COMPARISON if _is_in(column, view)]


def diff(view: str) -> list[Column[DiffRow]]:
    """Return the columns of the diff of two runs in a view."""
    return [column for column in DIFF if _is_in(column, view)]


def _is_in(column: Column[Any], view: str) -> bool:
    return view in column.views and (view in DATA or bool(column.heading))


def filled(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> list[Column[Row]]:
    """Return the columns that have a figure in any row."""
    return [column for column in columns if any(column.value(row) is not None for row in rows)]


def fields(columns: Sequence[Column[Row]]) -> list[str]:
    """Return the names of the fields that the columns have in CSV and JSON."""
    return [name for column in columns for name in column.fields]


def cells(columns: Sequence[Column[Row]], row: Row) -> list[float | str | None]:
    """Return a row's cell for each of `fields`."""
    return [cell for column in columns for cell in column.cells(row)]


def records(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> list[dict[str, float | str | None]]:
    """Return the rows as JSON has them."""
    names = fields(columns)
    return [dict(zip(names, cells(columns, row), strict=True)) for row in rows]


def _rounded(value: Any, decimals: int | None) -> Any:
    return round(value, decimals) if isinstance(value, float) and decimals is not None else value


def _words(cell: Any) -> str:
    return DASH if cell is None else str(cell)


def _one_decimal(value: float | None) -> str:
    return plain(value, 1)


def _whole(value: Figure | None) -> str:
    return plain(value.value if isinstance(value, Estimate) else value, 0)


def _percentile(percent: float) -> Column[CaseRow]:
    return Column(
        name=f"latency_p{percent:g}_ms".replace(".", "_"),
        value=lambda row: row.percentiles_ms.get(percent),
        meaning=f"Latency that {percent:g} % of the inferences stay below, in all steady rounds, disturbed ones included.",
        interval=True,
        heading=f"p{percent:g} ms",
        text=lopsided,
        tables=(QUANTILES,),
    )


# fmt: off
SUMMARY: tuple[Column[CaseRow], ...] = (
    Column(name="run_id", value=lambda row: row.run_id, meaning="The run."),
    Column(name="case_id", value=lambda row: row.case.id, meaning="The case: network, backend, precision, batch, threads."),
    Column(name="model", value=lambda row: row.case.model, meaning="The network.",
           heading="network", text=str, align="l", tables=TABLES, of_network=True),
    Column(name="series", value=lambda row: row.series, meaning="The backend, and whatever else differs among the cases.",
           heading="backend", text=str, align="l", tables=TABLES, views=EVERYWHERE - DATA),
    Column(name="backend", value=lambda row: row.case.backend, meaning="The runtime."),
    Column(name="precision", value=lambda row: row.case.precision, meaning="Precision asked for."),
    Column(name="threads", value=lambda row: row.case.threads, meaning="Threads asked for."),
    Column(name="batch", value=lambda row: row.case.batch, meaning="Images per inference."),
    Column(name="environment", value=lambda row: row.case.environment or None,
           meaning="Label of the environment of `--env`; empty where this one alone is measured."),
    Column(name="resolution", value=lambda row: row.resolution, meaning="Height and width of the image in pixels."),
    Column(name="top1_pct", value=lambda row: row.accuracy.top1_pct if row.accuracy else None,
           meaning="Published top-1 accuracy, not measured here.", heading="top-1 %", text=_one_decimal, of_network=True,
           published="top-1", optional=True),
    Column(name="top1_source", value=lambda row: row.accuracy.source.short if row.accuracy else None,
           meaning="Who published the accuracy."),
    Column(name="params", value=lambda row: row.params, meaning="Parameters, counted in the network.",
           heading="params", text=count, of_network=True),
    Column(name="madds", value=lambda row: row.madds, meaning="Multiply-adds of one image, counted in the network.",
           heading="MAdds", text=count, of_network=True),
    Column(name="latency_ms", value=lambda row: row.latency_ms, interval=True, heading="latency ms",
           meaning="Steady latency of one inference: geometric mean of the launches' medians."),
    Column(name="latency_per_image_ms", value=lambda row: row.latency_per_image_ms, interval=True, heading="ms per image",
           optional=True, meaning="Latency over the number of images per inference; empty where that is 1."),
    Column(name="ratio", value=lambda row: row.shown_ratio, interval=True, heading="ratio",
           meaning="Typical latency (lower quartile) over that of the baseline; 1, by definition, in the baseline's own row."),
    Column(name="paper_latency_ms", value=lambda row: row.paper.latency_ms if row.paper else None, of_network=True,
           meaning="Latency that the baseline's source published.", heading="paper ms", text=plain,
           published="paper ms", optional=True),
    Column(name="paper_ratio", value=lambda row: row.paper_ratio, decimals=DECIMALS, of_network=True,
           meaning="Published latency over that of the baseline; empty where environments are compared.",
           heading="paper ratio", text=lambda ratio: plain(ratio, 2), published="paper ratio", optional=True),
    Column(name="roofline_pct", value=lambda row: row.roofline_pct, interval=True, decimals=2,
           meaning="The shortest time this machine could need, in per cent of the latency; the ceilings are taken as exact.",
           heading="roofline %", text=_whole, views=DATA | {PAGE}),
    Column(name="verdict", value=lambda row: row.verdict, heading="verdict", text=_words, align="l",
           meaning="What the ratio allows one to say; `baseline` in the baseline's own row."),
    *(_percentile(percent) for percent in PERCENTILES),
    Column(name="cold_ms", value=lambda row: row.cold_ms, interval=True, heading="cold ms", tables=(REGIMES,),
           meaning="Latency after the caches served something else (`evict_bytes` in run.json)."),
    Column(name="first_ms", value=lambda row: row.first_ms, interval=True, heading="first ms", tables=(REGIMES,),
           meaning="Latency of the very first inference of a process."),
    Column(name="load_ms", value=lambda row: row.load_ms, interval=True, heading="load ms", tables=(REGIMES,),
           meaning="Time from the file on disk to a session that can run, the runtime already imported."),
    Column(name="peak_memory_mib", value=lambda row: row.peak_memory_mib, decimals=1, heading="memory MiB", text=_whole,
           tables=(REGIMES,), meaning="Peak resident size above that of the imported runtime."),
    Column(name="launches", value=lambda row: row.launches, meaning="Usable launches."),
    Column(name="samples", value=lambda row: row.samples, meaning="Usable inferences."),
    Column(name="condition", value=lambda row: condition_words(row.condition),
           meaning="`quiet`, or the load beside which all rounds were made."),
    Column(name="effective_threads", value=lambda row: row.effective.get("threads"), meaning="Threads the runtime stated."),
    Column(name="effective_precision", value=lambda row: row.effective.get("precision"),
           meaning="Precision the runtime stated."),
    Column(name="max_abs_error", value=lambda row: row.max_abs_error,
           meaning="Largest difference between the session's outputs and those of its reference."),
    Column(name="caveats", value=lambda row: ";".join(row.caveats) or None, meaning="Codes of its caveats, joined by `;`.",
           heading="caveats", text=lambda codes: codes or "", align="l", views=DATA | {PAGE}),
)

COMPARISON: tuple[Column[ComparisonRow], ...] = (
    Column(name="model", value=lambda row: row.case.model, meaning="The network.",
           heading="network", text=str, align="l", views=frozenset({TERMINAL})),
    Column(name="pair", value=lambda row: f"{row.series} / {row.baseline_series}", meaning="The backends.",
           heading="backends", text=str, align="l", views=frozenset({TERMINAL})),
    Column(name="case_id", value=lambda row: row.case.id, meaning="The case.",
           heading="case", text=str, align="l", views=EVERYWHERE - {TERMINAL}),
    Column(name="baseline_id", value=lambda row: row.baseline.id, meaning="The case it is compared with.",
           heading="against", text=str, align="l", views=EVERYWHERE - {TERMINAL}),
    Column(name="kind", value=lambda row: row.kind, heading="kind", text=str, align="l", views=DATA | {PAGE},
           meaning="`baseline`: another network in the same backend; `backend`: the same network in another backend; "
                   "`environment`: the same case in another environment."),
    Column(name="environment", value=lambda row: row.case.environment or None,
           meaning="Label of the environment of the case; that of its baseline is the first one of the plan."),
    Column(name="latency_ms", value=lambda row: row.latency_ms, interval=True, meaning="Latency of the case."),
    Column(name="baseline_latency_ms", value=lambda row: row.baseline_latency_ms, interval=True,
           meaning="Latency of the case it is compared with."),
    Column(name="ratio", value=lambda row: row.ratio, interval=True, heading="ratio",
           meaning="Typical latency (lower quartile) over that of the case it is compared with, paired by launch."),
    Column(name="ratio_next_run", value=lambda row: row.next_run, interval=True, heading="next run", text=span,
           views=DATA | {PAGE},
           meaning="Where the ratio of one further block should lie at another time; only of a run in three blocks or more."),
    Column(name="level", value=lambda row: row.ratio.level if row.ratio else None, meaning="Level of the ratio's interval."),
    Column(name="method", value=lambda row: row.ratio.method if row.ratio else None, meaning="Method of the ratio's interval."),
    Column(name="p_adjusted", value=lambda row: row.p_adjusted, heading="adjusted p", text=short, views=DATA | {PAGE},
           meaning="p of no difference, corrected for the number of comparisons."),
    Column(name="verdict", value=lambda row: str(row.verdict), heading="verdict", text=str, align="l",
           meaning="What the ratio allows one to say."),
    Column(name="condition", value=lambda row: condition_words(row.condition), meaning="As in the summary."),
)

DIFF: tuple[Column[DiffRow], ...] = (
    Column(name="id", value=lambda row: row.found.case.id, meaning="The case, of both runs."),
    Column(name="model", value=lambda row: row.found.case.model, meaning="The network.",
           heading="network", text=str, align="l"),
    Column(name="series", value=lambda row: row.series, meaning="The backend, and whatever else differs among the cases.",
           heading="backend", text=str, align="l", views=EVERYWHERE - DATA),
    Column(name="backend", value=lambda row: row.found.case.backend, meaning="The runtime."),
    Column(name="precision", value=lambda row: row.found.case.precision, meaning="Precision asked for."),
    Column(name="threads", value=lambda row: row.found.case.threads, meaning="Threads asked for."),
    Column(name="batch", value=lambda row: row.found.case.batch, meaning="Images per inference."),
    Column(name="old_ms", value=lambda row: in_ms(row.found.old_ns), interval=True, heading="old ms",
           meaning="Latency in the old run."),
    Column(name="new_ms", value=lambda row: in_ms(row.found.new_ns), interval=True, heading="new ms",
           meaning="Latency in the new run."),
    Column(name="old_launches", value=lambda row: row.found.old_launches, meaning="Usable launches of the old run."),
    Column(name="new_launches", value=lambda row: row.found.new_launches, meaning="Usable launches of the new run."),
    Column(name="ratio", value=lambda row: finite(row.found.ratio), interval=True, heading="new / old",
           meaning="New over old, relative to the other cases of the backend, at one speed of the memory."),
    Column(name="p_adjusted", value=lambda row: row.found.p_adjusted,
           meaning="The larger p of the two tests, corrected for the number of cases."),
    Column(name="verdict", value=lambda row: row.found.verdict and str(row.found.verdict),
           meaning="What the ratio allows one to say; empty for a case that was not compared."),
    Column(name="outcome", value=lambda row: row.outcome, meaning="The verdict, `regression` or `not compared`.",
           heading="verdict", text=str, align="l", views=EVERYWHERE - DATA),
    Column(name="not_compared", value=lambda row: row.found.not_compared, meaning="Why it could not be compared."),
    Column(name="regression", value=lambda row: row.found.regression,
           meaning="Whether it is slower, and is estimated to be so by more than the limit asked for."),
)

OF_COLUMNS: tuple[Column[Column[Any]], ...] = (
    Column(name="fields", value=lambda column: ", ".join(f"`{name}`" for name in column.fields), meaning="Its names.",
           heading="field", text=str, align="l"),
    Column(name="unit", value=lambda column: column.unit, meaning="Its unit.", heading="unit", text=str, align="l"),
    Column(name="meaning", value=lambda column: column.meaning, meaning="What it means.",
           heading="meaning", text=str, align="l"),
)
"""The columns of the tables of columns in the documentation."""
# fmt: on
