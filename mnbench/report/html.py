"""report.html: one page that holds everything, and loads nothing."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mnbench.records import Run
from mnbench.report import columns, models
from mnbench.report.columns import PAGE, Column
from mnbench.report.files import write_atomically
from mnbench.report.naming import latency_legend, percentiles_legend, ratio_legend
from mnbench.report.numbers import plain
from mnbench.report.published import sources
from mnbench.report.rows import CaseRow
from mnbench.report.view import View
from mnbench.stats import selftest

TEMPLATE = "report.html.jinja"


def write(view: View, directory: Path) -> list[Path]:
    """Write report.html into `directory`. Raises StoreError when it cannot be written."""
    return [write_atomically(directory / "report.html", page(view))]


def page(view: View) -> str:
    """Return the page as text. Every name and message from the run is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain=plain)
    template = environment.from_string(files("mnbench.report").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    run, results = view.run, columns.summary(PAGE, rows=view.networks)
    return template.render(
        view=view,
        run=run,
        latency_legend=latency_legend(run),
        ratio_legend=ratio_legend(run),
        percentiles_legend=percentiles_legend(run, view.analysis),
        results=results,
        published_legend=columns.published_legend(results),
        tensor=models.tensor,
        filled=models.filled,
        percentiles=_filled(view, columns.QUANTILES),
        regimes=_filled(view, columns.REGIMES),
        comparison=columns.filled(columns.comparison(PAGE), view.comparisons),
        plots=[inline_svg(plot.svg, f"plot{place}-") for place, plot in enumerate(view.plots.values())],
        sources=sources(run),
        powers=selftest.evaluate(run) if any(case.variant for case in run.plan.cases) else (),
        versions=_versions(run),
    )


def _filled(view: View, table: str) -> list[Column[CaseRow]]:
    """Return the columns of one of the further tables, as far as it is filled; none of it where nothing is."""
    every = columns.summary(PAGE, table)
    figures = columns.filled(every[2:], view.networks)
    return [*every[:2], *figures] if figures else []


def inline_svg(svg: str, prefix: str) -> Markup:
    """Return an SVG file as an element of a page: without prologue and namespaces, its ids made unique by `prefix`."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", element)
    element = re.sub(r"<!--.*?-->\n?", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="', f'id="{prefix}', element)
    element = re.sub(r'href="#', f'href="#{prefix}', element)
    element = re.sub(r"url\(#", f"url(#{prefix}", element)
    return Markup(element)  # noqa: S704 (drawn here, with letters as outlines: no text of the run is in it)


def _versions(run: Run) -> dict[str, str]:
    """Return the version each backend's runtime stated, by backend and environment."""
    return {
        " in ".join(filter(None, (s.case.backend, s.case.environment))): s.effective["version"]
        for s in run.samples
        if "version" in s.effective
    }
