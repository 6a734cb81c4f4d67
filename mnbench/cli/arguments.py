"""The arguments of the command line, and what is said when they are wrong."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import mnbench
from mnbench.errors import UsageError

Command = Callable[[argparse.Namespace], int]
DESCRIPTION = "Which network, in which runtime and precision, is fastest on this CPU, at what accuracy, and how sure is that?"
"""No docstring: PYTHONOPTIMIZE=2 takes these away."""


def duration_s(text: str) -> float:
    """Return the seconds of `90`, `90s`, `30m` or `2h`. Raises argparse.ArgumentTypeError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 30m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


class Parser(argparse.ArgumentParser):
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


def parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser; the options it parses carry the command's function as `command`."""
    top = Parser(prog="mnbench", description=DESCRIPTION, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"mnbench {mnbench.__version__}")
    added = top.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)
    _add_compare(added.add_parser("compare", help="measure networks in several runtimes", allow_abbrev=False))
    _add_compare(
        added.add_parser("plan", help="print the plan of a comparison as JSON, and measure nothing", allow_abbrev=False)
    )
    measure = added.add_parser("measure", help="carry out a plan that `mnbench plan` printed", allow_abbrev=False)
    measure.add_argument("plan", type=Path, metavar="PLAN.json", help="a plan, or - for standard input")
    _add_cache(measure)
    _add_output(measure)
    report = added.add_parser("report", help="rebuild a run's tables and plots from its raw files", allow_abbrev=False)
    report.add_argument("run", metavar="RUN", help="a run directory, or its name below --out")
    _add_output(report)
    listing = added.add_parser("list", help="list models, backends or runs", allow_abbrev=False)
    listing.add_argument("what", metavar="WHAT", help="models, backends or runs")
    _add_output(listing)
    _add_inspect(added.add_parser("inspect", help="what a model is, and what each runtime will do with it", allow_abbrev=False))
    _add_diff(added.add_parser("diff", help="one stored run against an earlier one of this host", allow_abbrev=False))
    _add_selftest(
        added.add_parser("selftest", help="how often is the method wrong here, and what does it find?", allow_abbrev=False)
    )
    _add_study(added.add_parser("study", help="the papers' claims beside what this CPU does", allow_abbrev=False))
    doctor = added.add_parser("doctor", help="what this host is, and what about it spoils measuring", allow_abbrev=False)
    doctor.add_argument("--json", action="store_true", help="print JSON on standard output")
    readme = added.add_parser("readme", help="fill a Markdown file's tables from the reference run", allow_abbrev=False)
    readme.add_argument("file", type=Path, metavar="FILE")
    readme.add_argument("--check", action="store_true", help="change nothing; fail if the file is not current")
    readme.add_argument("--reference", type=Path, default=Path("results/reference"), metavar="DIR")
    for name, command in added.choices.items():
        command.set_defaults(command=commands[name])
    return top


def _add_compare(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to measure")
    what.add_argument("--suite", default="v2-table", help="v2-table (default), v1-grid, v2-grid, modern or v1-operators")
    what.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        help="instead of a suite: names of the catalog (mnbench list models), PATH.onnx, PATH.xml, PATH.pt2, timm:NAME, "
        "torchvision:NAME, FILE.py:FUNCTION, package.module:FUNCTION",
    )
    what.add_argument("--backends", nargs="+", metavar="BACKEND", help="default: ort openvino, if installed")
    what.add_argument("--precision", nargs="+", default=["fp32"], metavar="P", help="fp32 (default), bf16")
    what.add_argument("--batch", nargs="+", type=int, default=[1], metavar="N", help="images per inference (default 1)")
    what.add_argument("--threads", nargs="+", type=int, default=[1], metavar="N", help="threads per inference (default 1)")
    _add_shape(what)
    what.add_argument(
        "--input", type=Path, metavar="FILE", help="data for the inputs: an .npz by their names, an .npy or an image"
    )
    what.add_argument("--baseline", metavar="MODEL", help="denominator of the ratios (default mobilenet_v2_1.0_224)")
    what.add_argument(
        "--env",
        action="append",
        metavar="LABEL=PATH",
        help="take turns in two environments, the baseline first: virtual environments, artefact folders or . (this one)",
    )
    what.add_argument(
        "--regimes",
        nargs="+",
        default=["steady", "cold"],
        metavar="R",
        help="steady (always), cold, first, load, memory (default: steady cold)",
    )
    what.add_argument(
        "--percentiles",
        nargs="+",
        type=float,
        default=[90.0, 99.0],
        metavar="P",
        help="of the steady latency, of 50, 90, 95, 99 and 99.9 (default: 90 99); shown where their interval has an end",
    )
    how = parser.add_argument_group("how to measure")
    how.add_argument("--budget", type=float, default=90.0, metavar="S", help="seconds of measuring (default 90)")
    how.add_argument(
        "--target-ci",
        type=float,
        metavar="PCT",
        help="stop a case when its ratios are known to ± PCT per cent; --budget still ends all",
    )
    how.add_argument(
        "--blocks", type=int, default=1, metavar="K", help="parts of the run, each with its share of the budget (default 1)"
    )
    how.add_argument(
        "--over",
        type=duration_s,
        default=0.0,
        metavar="T",
        help="spread the blocks over this time, e.g. 30m: what will the next run show?",
    )
    how.add_argument(
        "--quiet-only", action="store_true", help="leave out rounds with load on other CPUs, even if it is always the same"
    )
    how.add_argument("--launches", type=int, metavar="N", help="most launches a case (default 20, as the budget allows)")
    how.add_argument("--cpus", metavar="LIST", help="CPUs to pin to, e.g. 1 or 0,2 or 2-3 (default: the last cores)")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights, input and order (default 0)")
    how.add_argument("--timeout", type=float, default=120.0, metavar="S", help="a worker silent for so long is killed")
    how.add_argument("--resume", metavar="RUN", help="go on with an interrupted run, under its own plan")
    _add_cache(how)
    parser.add_argument_group("gate").add_argument(
        "--fail-if-slower", type=float, metavar="PCT", help="with --env: exit 1 if surely slower, and estimated above it"
    )
    _add_output(parser)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="as in compare --models: a name of the catalog, a file, timm:NAME …")
    _add_shape(parser)
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def _add_shape(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--shape",
        action="append",
        metavar="NAME=SIZES",
        help="sizes of an input that a model leaves open, e.g. --shape images=1,3,640,640",
    )


def _add_cache(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ.get("MNBENCH_CACHE") or "models"),
        metavar="DIR",
        help="exported files (default: models, or $MNBENCH_CACHE)",
    )


def _add_selftest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="one minute instead of five")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="networks (default mobilenet_v2_1.0_224)")
    parser.add_argument("--backends", nargs="+", metavar="BACKEND", help="default: ort openvino, if installed")
    parser.add_argument("--budget", type=float, metavar="S", help="seconds of measuring, instead of five minutes or one")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights, input and order (default 0)")
    _add_cache(parser)
    _add_output(parser)


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies, or all; see --list")
    parser.add_argument("--list", action="store_true", help="list the studies")
    parser.add_argument("--backends", nargs="+", metavar="BACKEND", help="default: ort openvino, if installed")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="networks, for the studies that take any")
    _add_shape(parser)
    parser.add_argument("--quick", action="store_true", help="a coarse grid, in 90 seconds")
    parser.add_argument("--budget", type=float, metavar="S", help="seconds of measuring, instead of the study's own")
    parser.add_argument("--cpus", metavar="LIST", help="CPUs to pin to, e.g. 1 or 0,2 or 2-3 (default: the last cores)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights, input and order (default 0)")
    parser.add_argument("--resume", metavar="RUN", help="go on with an interrupted study, under its own plan")
    _add_cache(parser)
    _add_output(parser)


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="a run directory, or its name below --out")
    parser.add_argument("new", metavar="NEW", help="the run to judge, likewise")
    parser.add_argument("--fail-if-slower", type=float, metavar="PCT", help="exit 1 if surely slower, and estimated above it")
    parser.add_argument("--allow-different-hosts", action="store_true", help="compare runs of two hosts all the same")
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="runs (default: results)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON on standard output")
    form.add_argument("--markdown", action="store_true", help="print a table in GitHub's Markdown")


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="runs (default: results)")
    output.add_argument("--json", action="store_true", help="print JSON on standard output")
    output.add_argument("--quiet", action="store_true", help="no progress; print only the run directory")
