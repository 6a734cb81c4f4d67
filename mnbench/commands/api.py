"""The Python API: measure from a script or a notebook, load what was measured, take it as data frames.

    import mnbench

    run = mnbench.compare(models=["model.onnx", ("mine", module, example)], backends=["ort", "openvino"], budget_s=30)
    run.summary()          # a pandas data frame
    run.report("out")      # tables, plots and a page

Everything is measured in processes of its own: a script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnbench import backends as runtimes
from mnbench import records, store
from mnbench.commands import compare as command
from mnbench.environment import parse_cpus
from mnbench.errors import MissingPackageError, UsageError
from mnbench.report.progress import listener
from mnbench.sources.naming import id_of

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from mnbench.report.view import View

GIVEN_FOLDER = "given"


class Run:
    """A run directory: what was measured, and the tables made of it. Returned by `mnbench.load` and `mnbench.compare`."""

    def __init__(self, directory: Path) -> None:
        """Read a run directory. Raises `mnbench.errors.UnreadableRunError`."""
        self.directory = directory
        self.record: records.Run = store.load(directory)
        """Everything the directory holds, as frozen records."""
        self._view: View | None = None

    def summary(self) -> pd.DataFrame:
        """Return one row per case: the columns of summary.csv (docs/columns.md), figures that are unknown as NaN."""
        from mnbench.report import columns

        return _frame(columns.records(columns.summary(columns.CSV), _networks(self.view)), columns.summary(columns.CSV))

    def comparisons(self) -> pd.DataFrame:
        """Return one row per comparison: the columns of comparison.csv (docs/columns.md)."""
        from mnbench.report import columns

        return _frame(columns.records(columns.comparison(columns.CSV), self.view.comparisons), columns.comparison(columns.CSV))

    def caveats(self) -> tuple[records.Caveat, ...]:
        """Return what to know before acting on a figure."""
        return self.view.analysis.caveats

    @property
    def headline(self) -> str:
        """A few sentences about the shortest latencies."""
        return self.view.headline

    @property
    def view(self) -> View:
        """What the reports are made of, computed once."""
        from mnbench.report.view import view_of

        if self._view is None:
            self._view = view_of(self.record)
        return self._view

    def report(self, path: str | Path | None = None) -> Path:
        """Write tables, plots and the page into the folder `path`, or into the run's own; return the page."""
        from mnbench import report

        folder = self.directory if path is None else Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        report.write_all(self.view, folder)
        return folder / "report.html"

    def to_dict(self) -> dict[str, Any]:
        """Return what `mnbench report RUN --json` prints: plain lists, dicts, numbers and texts."""
        from mnbench.report.json_text import to_json

        document: dict[str, Any] = json.loads(to_json(self.view))
        return document

    def __repr__(self) -> str:
        state = "" if self.record.finished else ", unfinished"
        return f"<mnbench.Run {self.directory}: {len(self.record.plan.cases)} cases{state}>"


def load(path: str | Path) -> Run:
    """Return the run of a directory. Raises `mnbench.errors.UnreadableRunError` for one that is none, or is damaged."""
    return Run(Path(path))


def compare(
    models: Sequence[str | Path | tuple[str, nn.Module, Any]] = (),
    *,
    suite: str = command.DEFAULT_SUITE,
    backends: Sequence[str] | None = None,
    precisions: Sequence[str] = ("fp32",),
    batch: int | Sequence[int] = 1,
    threads: int | Sequence[int] = 1,
    shapes: Mapping[str, Sequence[int]] | None = None,
    data: str | Path | None = None,
    baseline: str | None = None,
    budget_s: float = command.DEFAULT_BUDGET_S,
    target_ci_pct: float | None = None,
    regimes: Sequence[str] = ("steady", "cold"),
    launches: int | None = None,
    cpus: str | Sequence[int] | None = None,
    seed: int = 0,
    timeout_s: float = 120.0,
    out: str | Path = "results",
    cache: str | Path = "models",
    progress: bool = True,
) -> Run:
    """Measure `models` (or a suite) in `backends` for `budget_s` seconds, write the reports, and return the run.

    A model is what `mnbench compare --models` takes (a name, a path, `timm:NAME`, `FILE.py:FUNCTION` …) or
    `("mine", module, example_input)` with a torch module in hand, which is exported by torch.export. `shapes` gives sizes of
    inputs that a model leaves open, by name; `data` a file with numbers for them. The other arguments are the options of the
    command line; durations are in seconds.

    Raises `mnbench.errors.UsageError` for a request that cannot be met, before anything is measured, and other
    `mnbench.errors.MnbenchError` for a step that failed. A model that fails in a runtime is in `Run.record.failures`.
    Without `backends`, those of ONNX Runtime and OpenVINO that are installed are measured; a warning names the other one.
    """
    left_out: tuple[str, ...] = ()
    if backends is None:
        backends, left_out = runtimes.usual()
    for sentence in left_out:
        warnings.warn(sentence, stacklevel=2)
    request = command.Request(
        models=tuple(_text_of(model, Path(cache)) for model in models),
        suite=suite,
        backends=tuple(backends),
        precisions=tuple(precisions),
        batches=_numbers(batch),
        threads=_numbers(threads),
        shapes={name: tuple(sizes) for name, sizes in (shapes or {}).items()},
        data=None if data is None else Path(data),
        baseline=baseline,
        budget_s=budget_s,
        target_ci_pct=target_ci_pct,
        regimes=tuple(regimes),
        launches=launches,
        cpus=parse_cpus(cpus) if isinstance(cpus, str) else None if cpus is None else tuple(cpus),
        seed=seed,
        timeout_s=timeout_s,
        out=Path(out),
        cache=Path(cache),
    )
    with listener(quiet=not progress) as view:
        directory = command.run(request, view)
    run = Run(directory)
    run.report()
    return run


def _numbers(given: int | Sequence[int]) -> tuple[int, ...]:
    return (given,) if isinstance(given, int) else tuple(given)


def _text_of(model: str | Path | tuple[str, nn.Module, Any], cache: Path) -> str:
    """Return what the command line would call a model; one in hand is saved to the cache as an exported program."""
    if isinstance(model, str | Path):
        return str(model)
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError("a torch module needs the package torch: pip install 'mnbench[torch]'.") from error
    if not (isinstance(model, tuple) and len(model) == 3 and isinstance(model[1], torch.nn.Module)):
        raise UsageError(f"{model!r} is no model: give a name, a path, or (name, torch module, example input).")
    name, module, example = model
    given = tuple(example) if isinstance(example, tuple | list) else (example,)
    folder = cache / GIVEN_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    training = module.training
    try:
        program = torch.export.export(module.eval(), given)
    except Exception as error:  # torch raises many types of its own
        raise UsageError(f"the module {name!r} cannot be exported by torch.export: {type(error).__name__}: {error}") from error
    finally:
        module.train(training)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".pt2") as draft:
        torch.export.save(program, draft.name)
        digest = hashlib.sha256(Path(draft.name).read_bytes()).hexdigest()[:16]
        path = folder / digest / f"{id_of(name)}.pt2"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Path(draft.name).read_bytes())
    return str(path)


def _networks(view: View) -> list[Any]:
    """Return the rows that summary.csv has: those of cases that run a model."""
    from mnbench.report.naming import is_null

    return [row for row in view.rows if not is_null(row.case)]


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[Any]) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError("data frames need the package pandas: pip install 'mnbench[frames]'.") from error
    return pd.DataFrame(list(rows), columns=[field for column in columns for field in column.fields])
