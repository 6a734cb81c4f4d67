"""The command line: arguments in, exit codes out. Everything else is imported when its command runs, so that --help is quick.

Results go to standard output, progress and messages to standard error. Exit codes: 0 done, 1 something failed (a case,
the disk), 2 the request cannot be met or a run that was named cannot be read, 128 + the signal's number for an interrupted run.
"""

from __future__ import annotations

import argparse
import codecs
import io
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnbench.cli import config
from mnbench.cli.arguments import parser
from mnbench.errors import MnbenchError, UsageError
from mnbench.system import files, processes

if TYPE_CHECKING:
    from mnbench.commands.compare import Listener
    from mnbench.commands.selftest import SelfTest
    from mnbench.records import Run
    from mnbench.records.study import StudyOptions

DONE, FAILED, USAGE = 0, 1, 2
AS_GIVEN = "mnbench.as-given"
INTERRUPTED = 128
"""Plus the number of the signal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    processes.open_standard_descriptors()
    processes.raise_file_limit()
    warnings.simplefilter("ignore")  # those of the libraries, which PYTHONWARNINGS=error would make fail
    codecs.register_error(AS_GIVEN, files.as_given)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=AS_GIVEN)  # a terminal without '×' gets its number, not a traceback
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except BrokenPipeError:  # `mnbench list models | head`
        _drop_output()
        return FAILED
    except OSError as error:
        _drop_output()
        where = f" ({error.filename})" if error.filename else ""
        return _complain(f"the system refused{where}: {processes.refusal(error)}.", FAILED)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    """Run one command, turning what the user can mend into a sentence and an exit code."""
    try:
        known = parser(COMMANDS)
        options = known.parse_args(config.with_defaults(list(sys.argv[1:] if arguments is None else arguments), known))
        return int(options.command(options))
    except UsageError as error:
        return _complain(error, USAGE)
    except MnbenchError as error:
        return _complain(error, FAILED)
    except UnicodeEncodeError as error:  # the last net below `files.require_text`
        return _complain(
            f"{files.text_of(error.object)[:200]!r} is not text in UTF-8, and records hold text; rename it.", USAGE
        )
    except MemoryError:
        return _complain("there is too little memory: free some, raise its limit, or measure smaller models.", FAILED)
    except KeyboardInterrupt as interrupt:
        return _complain("interrupted.", INTERRUPTED + (interrupt.args[0] if interrupt.args else signal.SIGINT))


def _drop_output() -> None:
    """Let the interpreter's last flush of a standard output that cannot be written go nowhere."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:  # not even that one may be opened
        sys.stdout = None


def _compare(options: argparse.Namespace) -> int:
    from mnbench import store
    from mnbench.cli import requests
    from mnbench.commands import compare

    if options.resume is not None:
        requests.refuse_changes(options, parser(COMMANDS).parse_args(["compare"]))
    _check_gate(options)

    def work(progress: compare.Listener) -> Path:
        if options.resume is not None:
            return compare.resume(store.resolve(options.resume, options.out), options.cache, progress)
        chosen, note = requests.backends_of(options)
        return compare.run(requests.compare_request(options, chosen), progress, planned=lambda: _note(note))

    return _measured(work, options)


def _plan(options: argparse.Namespace) -> int:
    from mnbench.cli import requests
    from mnbench.commands import compare, plans

    chosen, note = requests.backends_of(options)
    the_plan = compare.plan(requests.compare_request(options, chosen))
    _note(note)
    print(plans.to_json(the_plan), end="")
    return DONE


def _measure(options: argparse.Namespace) -> int:
    from mnbench.commands import compare, plans

    the_plan = plans.read(options.plan)
    request = compare.Request(out=options.out, cache=options.cache)
    options.fail_if_slower = None
    return _measured(lambda progress: compare.carry_out(the_plan, request, progress), options)


def _measured(work: Callable[[Listener], Path], options: argparse.Namespace) -> int:
    """Let `work` measure, write the reports of the run directory that it returns, print them, and return the exit code."""
    from mnbench.commands import compare
    from mnbench.measure.interrupts import terminated_as_interrupt
    from mnbench.report.progress import listener

    code = DONE
    with terminated_as_interrupt(), listener(quiet=options.quiet) as progress:  # until it is said how to go on
        try:
            directory = work(progress)
        except compare.Interrupted as interrupted:
            progress.close()
            directory, code = interrupted.directory, INTERRUPTED + interrupted.signal
            _complain(f"{interrupted}; go on with: mnbench compare --resume {shlex.quote(str(directory))}", FAILED)
    if code:
        _publish(directory, options)
        return code
    run = _publish(directory, options)
    if options.fail_if_slower is not None:
        return _pass_gate(run, options.fail_if_slower)
    unmeasured = [case.id for case in run.unmeasured() if case not in {failure.case for failure in run.failures}]
    if unmeasured:
        _complain(f"the budget ended before {', '.join(unmeasured)} had a turn; raise --budget.", FAILED)
    return FAILED if run.failures or unmeasured else DONE


def _check_gate(options: argparse.Namespace) -> None:
    """Raise UsageError, before anything is measured, for a gate that could not judge what is to be measured."""
    from mnbench import store
    from mnbench.cli import requests

    if options.fail_if_slower is None:
        return
    requests.check_limit(options.fail_if_slower)
    if options.resume is not None:
        compares = bool(store.load(store.resolve(options.resume, options.out)).plan.environments)
    else:
        compares = bool(options.env)
    if not compares:
        raise UsageError(
            "--fail-if-slower needs two environments: give --env OLD=PATH --env NEW=PATH. "
            "To compare two stored runs: mnbench diff OLD NEW --fail-if-slower PCT"
        )


def _pass_gate(run: Run, limit_pct: float) -> int:
    """Tell what is slower and what could not be compared; return the exit code."""
    from mnbench.report.environments import gate_sentences
    from mnbench.stats import gate

    found = gate.judge(run, limit_pct)
    code = USAGE if found.not_compared else FAILED if found.regressions else DONE
    for sentence in gate_sentences(found):
        _complain(sentence, code)
    return code


def _selftest(options: argparse.Namespace) -> int:
    from mnbench import store
    from mnbench.cli import requests
    from mnbench.commands import compare, selftest
    from mnbench.report.progress import listener

    found, note = requests.backends_of(options)
    request = compare.Request(
        models=tuple(options.models or ()),
        backends=found,
        seed=options.seed,
        out=options.out,
        cache=options.cache,
    )
    with listener(quiet=options.quiet) as progress:
        try:
            directory = selftest.run(
                request, progress, quick=options.quick, budget_s=options.budget, planned=lambda: _note(note)
            )
        except compare.Interrupted as interrupted:
            return _complain(interrupted, INTERRUPTED + interrupted.signal)
    run = store.load(directory)
    judged = selftest.judge(run)
    _print_selftest(judged, directory, options)
    return FAILED if run.failures or not judged.powers else DONE


def _print_selftest(judged: SelfTest, directory: Path, options: argparse.Namespace) -> None:
    if options.json:
        print((directory / "selftest.json").read_text(encoding="utf-8"), end="")
    elif options.quiet:
        print(directory)
    else:
        from mnbench.report.grid import standard_console
        from mnbench.report.selftest_text import render

        render(judged, standard_console())
        print(f"\n{directory}")


def _study(options: argparse.Namespace) -> int:
    from mnbench import studies
    from mnbench.cli import requests

    if options.list:
        from mnbench.report import listing

        print(listing.studies({name: studies.get(name).question for name in studies.names()}))
        return DONE
    if options.resume is not None and options.names:
        raise UsageError(f"--resume goes on with the study it belongs to; leave out {' '.join(options.names)}.")
    if options.resume is None and not options.names:
        raise UsageError(f"name a study, or all: {', '.join(studies.names())}. See: mnbench study --list")
    if options.resume is not None:
        requests.refuse_changes(options, parser(COMMANDS).parse_args(["study"]))
        return _one_study(None, options)
    names = studies.names() if "all" in options.names else tuple(dict.fromkeys(options.names))
    chosen, note = requests.backends_of(options)
    studies.check(names, requests.study_options(options, chosen))  # before the first of them takes its minutes
    _note(note)
    worst = DONE
    for name in names:
        worst = max(worst, _one_study(name, options, chosen))
        if worst >= INTERRUPTED:
            break
    return worst


def _one_study(name: str | None, options: argparse.Namespace, chosen: tuple[str, ...] = ()) -> int:
    """Run a study in the backends `chosen`, or resume the one of --resume.

    An error is reported and becomes the exit code, because other studies may follow. What the plan leaves out
    is reported however the study ends.
    """
    from mnbench.cli import requests

    wanted = requests.study_options(options, chosen)
    try:
        return _carry_out_study(name, wanted, options)
    except UsageError as error:
        return _complain(error, USAGE)
    except MnbenchError as error:
        return _complain(error, FAILED)
    finally:
        for reason in dict.fromkeys(wanted.skipped):
            _complain(reason, DONE)


def _carry_out_study(name: str | None, wanted: StudyOptions, options: argparse.Namespace) -> int:
    from mnbench import store, studies
    from mnbench.commands import compare
    from mnbench.measure.interrupts import terminated_as_interrupt
    from mnbench.report.progress import listener

    request = compare.Request(seed=options.seed, out=options.out, cache=options.cache)
    with terminated_as_interrupt(), listener(quiet=options.quiet) as progress:
        try:
            if name is None:
                directory = studies.resume(store.resolve(options.resume, options.out), wanted, options.cache, progress)
            else:
                directory = studies.run(name, wanted, request, progress)
        except compare.Interrupted as interrupted:
            progress.close()
            _complain(f"{interrupted}; go on with: mnbench study --resume {shlex.quote(str(interrupted.directory))}", FAILED)
            return INTERRUPTED + interrupted.signal
    _print_findings(directory, options)
    run = store.load(directory)
    return FAILED if run.failures or run.unmeasured() else DONE


def _print_findings(directory: Path, options: argparse.Namespace) -> None:
    from mnbench.report import findings

    if options.json:
        print((directory / findings.FILE).read_text(encoding="utf-8"), end="")
    elif options.quiet:
        print(directory)
    else:
        from mnbench.report.grid import standard_console

        findings.render(findings.read_findings(directory), standard_console())
        print(f"\n{directory}")


def _report(options: argparse.Namespace) -> int:
    from mnbench import store

    directory = store.resolve(options.run, options.out)
    if store.load(directory).plan.study:
        from mnbench import studies

        studies.publish(directory)
        _print_findings(directory, options)
    else:
        _publish(directory, options)
    return DONE


def _list(options: argparse.Namespace) -> int:
    from mnbench.commands import listing
    from mnbench.report.listing import show

    print(show(listing.rows_of(options.what, options.out), as_json=options.json))
    return DONE


def _inspect(options: argparse.Namespace) -> int:
    from mnbench.cli import requests
    from mnbench.commands import inspecting
    from mnbench.report import inspection

    found = inspecting.inspect(options.model, requests.shapes_of(options.shape or ()))
    if options.json:
        print(inspection.to_json(found))
    else:
        from mnbench.report.grid import standard_console

        inspection.render(found, standard_console())
    return DONE


def _diff(options: argparse.Namespace) -> int:
    from mnbench import store
    from mnbench.commands import diff
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
    if options.fail_if_slower is not None and found.unknown_backends:
        unknown = ", ".join(shift.backend for shift in found.unknown_backends)
        return _complain(f"whether {unknown} became slower as a whole is unknown: the memory's speed changed too much.", USAGE)
    gated = options.fail_if_slower is not None and found.slower_backends
    return FAILED if found.regressions or gated else DONE


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
    from mnbench.commands import readme

    stale = readme.update(options.file, options.reference, check=options.check)
    if options.check and stale:
        return _complain(
            f"{options.file} is not current: {', '.join(stale)}. Run: mnbench readme {shlex.quote(str(options.file))}", FAILED
        )
    return DONE


def _publish(directory: Path, options: argparse.Namespace) -> Run:
    """Rebuild every derived file of a run and print its results; return the run."""
    from mnbench import report, store
    from mnbench.report.view import view_of

    view = view_of(store.load(directory))
    report.write_all(view, directory)
    if options.json:
        from mnbench.report.json_text import to_json

        print(to_json(view))
    elif options.quiet:
        print(directory)
    else:
        from mnbench.report.grid import standard_console
        from mnbench.report.terminal import render

        render(view, standard_console())
        print(f"\n{directory}")
    return view.run


def _note(sentence: str) -> None:
    """Say on standard error what the user should know and need not mend."""
    if sentence:
        _complain(sentence, DONE)


def _complain(message: object, code: int) -> int:
    print(f"mnbench: {message}", file=sys.stderr)
    return code


COMMANDS = {
    "compare": _compare,
    "plan": _plan,
    "measure": _measure,
    "report": _report,
    "list": _list,
    "inspect": _inspect,
    "diff": _diff,
    "selftest": _selftest,
    "study": _study,
    "doctor": _doctor,
    "readme": _readme,
}


if __name__ == "__main__":
    sys.exit(main())
