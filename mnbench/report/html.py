"""report.html: one page that holds everything, and loads nothing."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mnbench.records import Analysis, Run
from mnbench.report import accuracy_plot, canvas, paper_plot
from mnbench.report.files import write_atomically
from mnbench.report.headline import headline
from mnbench.report.naming import (
    caveats_by_place,
    conditions,
    latency_legend,
    networks,
    percentiles_legend,
    ratio_legend,
    series,
)
from mnbench.report.numbers import bracketed, count, lopsided, plain, short
from mnbench.report.published import sources
from mnbench.report.rows import (
    BASELINE,
    by_network,
    comparison_rows,
    filled_percentiles,
    is_null,
    percentile_ms,
    summary_rows,
)
from mnbench.stats import selftest

TEMPLATE = "report.html.jinja"


def write(run: Run, analysis: Analysis, directory: Path) -> list[Path]:
    """Write report.html into `directory`. Raises StoreError when it cannot be written."""
    return [write_atomically(directory / "report.html", page(run, analysis))]


def page(run: Run, analysis: Analysis) -> str:
    """Return the page as text. Every name and message from the run is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(count=count, plain=plain, short=short)
    template = environment.from_string(files("mnbench.report").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    cases = networks(run)
    names = {case.id: series(case, cases) for case in cases}
    rows = by_network(row for row in summary_rows(run, analysis) if row.case_id in names)
    percentiles = filled_percentiles(rows)
    plots = [accuracy_plot.figure(run, analysis)]
    if not run.plan.environments:  # a paper compares networks, not environments
        plots.append(paper_plot.figure(run, analysis))
    first, later = caveats_by_place(analysis.caveats)
    return template.render(
        run=run,
        conditions=conditions(run),
        blocks=run.plan.blocks > 2,
        latency_legend=latency_legend(run),
        ratio_legend=ratio_legend(run),
        headline=headline(run, analysis),
        rows=rows,
        names=names,
        floor_ns=next((r.latency_ns for r in analysis.results if is_null(r.case) and r.latency_ns), None),
        comparisons=comparison_rows(analysis),
        first_caveats=first,
        caveats=later,
        plots=[inline_svg(canvas.svg_text(plot), f"plot{place}-") for place, plot in enumerate(plots)],
        sources=sources(run),
        powers=selftest.evaluate(run),
        percentiles=percentiles,
        percentile_ms=percentile_ms,
        lopsided=lopsided,
        percentiles_legend=percentiles_legend(run, analysis, percentiles),
        other_regimes=run.plan.regimes != ("steady",),
        interval=bracketed,
        BASELINE=BASELINE,
        versions=_versions(run),
    )


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
