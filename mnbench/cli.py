"""The command line: arguments in, exit codes out. Everything else is imported when its command runs, so that --help is quick.

Results go to standard output, progress and messages to standard error. Exit codes: 0 done, 1 something failed (a case,
the disk, a run that cannot be read), 2 the request cannot be met, 128 + the signal's number for an interrupted run.
"""

from __future__ import annotations

import argparse
import difflib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import mnbench
from mnbench.errors import MnbenchError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from mnbench.compare import Request
    from mnbench.records import Run

DONE, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without '×' gets its number, not a traceback
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except BrokenPipeError:  # `mnbench list models | head`
        _drop_output()
        return FAILED
    except OSError as error:
        _drop_output()
        return _complain(f"the system refused: {error}.", FAILED)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    """Run one command, turning what the user can mend into a sentence and an exit code."""
    try:
        options = _parser().parse_args(arguments)
        return int(options.command(options))
    except UsageError as error:
        return _complain(error, USAGE)
    except MnbenchError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt as interrupt:
        return _complain("interrupted.", 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT))


def _drop_output() -> None:
    """Let the interpreter's last flush of a standard output that cannot be written go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _compare(options: argparse.Namespace) -> int:
    from mnbench import compare, store
    from mnbench.report.progress import listener

    directory = None
    with listener(quiet=options.quiet) as progress:
        try:
            if options.resume is not None:
                _refuse_changes(options)
                directory = compare.resume(store.resolve(options.resume, options.out), options.cache, progress)
            else:
                directory = compare.run(_request(options), progress)
        except compare.Interrupted as interrupted:
            progress.close()
            _publish(interrupted.directory, options)
            _complain(f"{interrupted}; go on with: mnbench compare --resume {interrupted.directory}", FAILED)
            return 128 + interrupted.signal
    run = _publish(directory, options)
    unmeasured = [case.id for case in run.unmeasured() if case not in {failure.case for failure in run.failures}]
    if unmeasured:
        _complain(f"the budget ended before {', '.join(unmeasured)} had a turn; raise --budget.", FAILED)
    return FAILED if run.failures or unmeasured else DONE


def _selftest(options: argparse.Namespace) -> int:
    from rich.console import Console

    from mnbench import compare, selftest, store
    from mnbench.report.progress import listener
    from mnbench.report.selftest_text import render

    request = compare.Request(
        models=tuple(options.models or ()), backends=tuple(options.backends), out=options.out, cache=options.cache
    )
    with listener(quiet=options.quiet) as progress:
        directory = selftest.run(request, progress, quick=options.quick)
    run = store.load(directory)
    judged = selftest.judge(run)
    if options.json:
        print((directory / selftest.RESULT_FILE).read_text(encoding="utf-8"), end="")
    elif options.quiet:
        print(directory)
    else:
        render(judged, Console())
        print(f"\n{directory}")
    return FAILED if run.failures or not judged.powers else DONE


def _refuse_changes(options: argparse.Namespace) -> None:
    """Raise UsageError for an option that a resumed run would silently ignore, because its plan is made."""
    default = vars(_parser().parse_args(["compare"]))
    for name, value in vars(options).items():
        if name not in ("resume", "cache", "out", "json", "quiet") and value != default[name]:
            raise UsageError(f"--{name} cannot be changed by --resume: a run goes on under its own plan.")


def _report(options: argparse.Namespace) -> int:
    from mnbench import store

    _publish(store.resolve(options.run, options.out), options)
    return DONE


def _list(options: argparse.Namespace) -> int:
    from mnbench.report import listing

    rows = {"models": _model_rows, "backends": _backend_rows, "runs": _run_rows}
    if options.what not in rows:
        raise UnknownNameError("list", options.what, rows)
    print(listing.show(rows[options.what](options), as_json=options.json))
    return DONE


def _diff(options: argparse.Namespace) -> int:
    from mnbench import diff, store
    from mnbench.report import diff_table

    found = diff.compare(
        store.resolve(options.old, options.out),
        store.resolve(options.new, options.out),
        fail_if_slower_pct=options.fail_if_slower,
        allow_different_hosts=options.allow_different_hosts,
    )
    if options.json or options.markdown:
        print(diff_table.to_json(found) if options.json else diff_table.to_markdown(found))
    else:
        diff_table.render(found)
    if found.not_compared:
        return _complain(diff_table.not_compared(found), USAGE)
    return FAILED if found.regressions else DONE


def _doctor(options: argparse.Namespace) -> int:
    from mnbench import environment
    from mnbench.report import host

    seen = environment.capture(pause=environment.half_a_second)
    found = environment.findings(seen)
    if options.json:
        print(host.to_json(seen, found))
    else:
        host.render(seen, found)
    return DONE


def _readme(options: argparse.Namespace) -> int:
    from mnbench import readme

    stale = readme.update(options.file, options.reference, check=options.check)
    if options.check and stale:
        return _complain(f"{options.file} is not current: {', '.join(stale)}. Run: mnbench readme {options.file}", FAILED)
    return DONE


def _publish(directory: Path, options: argparse.Namespace) -> Run:
    """Rebuild every derived file of a run and print its results; return the run."""
    from mnbench import report, stats, store

    run = store.load(directory)
    analysis = stats.analyse(run)
    report.write_all(run, analysis, directory)
    if options.json:
        from mnbench.report.json_text import to_json

        print(to_json(run, analysis))
    elif options.quiet:
        print(directory)
    else:
        from rich.console import Console

        from mnbench.report.terminal import render

        render(run, analysis, Console())
        print(f"\n{directory}")
    return run


def _request(options: argparse.Namespace) -> Request:
    from mnbench.compare import Request
    from mnbench.environment import parse_cpus

    return Request(
        models=tuple(options.models or ()),
        suite=options.suite,
        backends=tuple(options.backends),
        precisions=tuple(options.precision),
        batch=options.batch,
        threads=options.threads,
        cpus=parse_cpus(options.cpus) if options.cpus is not None else None,
        launches=options.launches,
        budget_s=options.budget,
        target_ci_pct=options.target_ci,
        seed=options.seed,
        baseline=options.baseline,
        timeout_s=options.timeout,
        regimes=tuple(options.regimes),
        out=options.out,
        cache=options.cache,
    )


def _model_rows(_: argparse.Namespace) -> list[dict[str, str]]:
    from mnbench import catalog
    from mnbench.report import listing

    return listing.models(catalog.card(name) for name in catalog.names())


def _backend_rows(_: argparse.Namespace) -> list[dict[str, str]]:
    from mnbench import backends
    from mnbench.environment import package_version

    rows = []
    for name in backends.names():
        row = {"backend": name, "versions": "", "opens": "", "precisions": "", "missing": ""}
        try:
            backend = backends.get(name)
        except UsageError as error:  # another package's, and broken: the others are still worth a list
            rows.append({**row, "missing": str(error)})
            continue
        row["versions"] = ", ".join(f"{package} {package_version(package) or '–'}" for package in backend.packages)
        row["opens"], row["precisions"] = backend.format, " ".join(backend.precisions)
        rows.append({**row, "missing": backend.missing() or ""})
    return rows


def _run_rows(options: argparse.Namespace) -> list[dict[str, str]]:
    from mnbench import store

    return [
        {
            "run": summary.id,
            "started": summary.started_utc,
            "cases": str(summary.cases),
            "launches": str(summary.launches),
            "state": summary.problem or ("complete" if summary.finished else "interrupted"),
        }
        for summary in map(store.describe, store.run_directories(options.out))
    ]


def _complain(message: object, code: int) -> int:
    print(f"mnbench: {message}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in the arguments as any other usage error, with the nearest command or option."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}{self._hint(message)} See: {self.prog} --help")

    def _names(self) -> Iterator[str]:
        """Options and commands, those of the commands included: argparse reports an unknown option from the top."""
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action.choices, dict):
                yield from action.choices
                for command in action.choices.values():
                    yield from command._names()

    def _hint(self, message: str) -> str:
        known = list(self._names())
        words = message.replace("'", " ").replace(":", " ").split()
        for word in words:
            near = difflib.get_close_matches(word.split("=")[0], known, n=1, cutoff=0.6)
            if near and word not in known and (word.startswith("-") or "invalid choice" in message):
                return f"; did you mean {near[0]!r}?"
        return "."


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mnbench", description=mnbench.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"mnbench {mnbench.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_compare(commands.add_parser("compare", help="measure networks in several runtimes", allow_abbrev=False))
    report = commands.add_parser("report", help="rebuild a run's tables and plots from its raw files", allow_abbrev=False)
    report.add_argument("run", metavar="RUN", help="a run directory, or its name below --out")
    _add_output(report)
    report.set_defaults(command=_report)
    listing = commands.add_parser("list", help="list models, backends or runs", allow_abbrev=False)
    listing.add_argument("what", metavar="WHAT", help="models, backends or runs")
    _add_output(listing)
    listing.set_defaults(command=_list)
    _add_diff(commands.add_parser("diff", help="one stored run against an earlier one of this host", allow_abbrev=False))
    selftest = commands.add_parser("selftest", help="how often is the method wrong on this machine, and what does it find?")
    selftest.add_argument("--quick", action="store_true", help="one minute instead of five")
    selftest.add_argument("--models", nargs="+", metavar="MODEL", help="networks (default mobilenet_v2_1.0_224)")
    selftest.add_argument("--backends", nargs="+", default=["ort", "openvino"], metavar="BACKEND")
    _add_cache(selftest)
    _add_output(selftest)
    selftest.set_defaults(command=_selftest)
    doctor = commands.add_parser("doctor", help="what this host is, and what about it spoils measuring", allow_abbrev=False)
    doctor.add_argument("--json", action="store_true", help="print JSON on standard output")
    doctor.set_defaults(command=_doctor)
    readme = commands.add_parser("readme", help="fill a Markdown file's tables from the reference run", allow_abbrev=False)
    readme.add_argument("file", type=Path, metavar="FILE")
    readme.add_argument("--check", action="store_true", help="change nothing; fail if the file is not current")
    readme.add_argument("--reference", type=Path, default=Path("results/reference"), metavar="DIR")
    readme.set_defaults(command=_readme)
    return parser


def _add_compare(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to measure")
    what.add_argument("--suite", default="v2-table", help="v2-table (default), v1-grid, v2-grid or v1-operators")
    what.add_argument("--models", nargs="+", metavar="MODEL", help="networks, instead of a suite; see: mnbench list models")
    what.add_argument("--backends", nargs="+", default=["ort", "openvino"], metavar="BACKEND", help="default: ort openvino")
    what.add_argument("--precision", nargs="+", default=["fp32"], metavar="P", help="fp32 (default), bf16")
    what.add_argument("--batch", type=int, default=1, metavar="N", help="images an inference (default 1)")
    what.add_argument("--threads", type=int, default=1, metavar="N", help="threads an inference (default 1)")
    what.add_argument("--baseline", metavar="MODEL", help="denominator of the ratios (default mobilenet_v2_1.0_224)")
    what.add_argument(
        "--regimes",
        nargs="+",
        default=["steady", "cold"],
        metavar="R",
        help="steady (always), cold, first, load, memory (default: steady cold)",
    )
    how = parser.add_argument_group("how to measure")
    how.add_argument("--budget", type=float, default=90.0, metavar="S", help="seconds of measuring (default 90)")
    how.add_argument(
        "--target-ci",
        type=float,
        metavar="PCT",
        help="stop a case when its ratios are known to ± PCT per cent; --budget still ends all",
    )
    how.add_argument("--launches", type=int, metavar="N", help="most launches a case (default 10, as the budget allows)")
    how.add_argument("--cpus", metavar="LIST", help="CPUs to pin to, e.g. 1 or 0,2 or 2-3 (default: the last cores)")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights, input and order (default 0)")
    how.add_argument("--timeout", type=float, default=120.0, metavar="S", help="a worker silent for so long is killed")
    how.add_argument("--resume", metavar="RUN", help="go on with an interrupted run, under its own plan")
    _add_cache(how)
    _add_output(parser)
    parser.set_defaults(command=_compare)


def _add_cache(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ.get("MNBENCH_CACHE") or "models"),
        metavar="DIR",
        help="exported files (default: models, or $MNBENCH_CACHE)",
    )


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="a run directory, or its name below --out")
    parser.add_argument("new", metavar="NEW", help="the run to judge, likewise")
    parser.add_argument("--fail-if-slower", type=float, metavar="PCT", help="exit 1 if a case is established slower by more")
    parser.add_argument("--allow-different-hosts", action="store_true", help="compare runs of two hosts all the same")
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="runs (default: results)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON on standard output")
    form.add_argument("--markdown", action="store_true", help="print a table in GitHub's Markdown")
    parser.set_defaults(command=_diff)


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="runs (default: results)")
    output.add_argument("--json", action="store_true", help="print JSON on standard output")
    output.add_argument("--quiet", action="store_true", help="no progress; print only the run directory")


if __name__ == "__main__":
    sys.exit(main())
