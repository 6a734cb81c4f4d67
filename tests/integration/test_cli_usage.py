"""What a clumsy user types: one clear sentence, exit code 2, nothing on standard output, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mnbench import __version__
from tests.integration.command import SMALLEST, environment, mnbench
from tests.situations import situation

MISTAKES = {
    "no command": ([], "the following arguments are required: COMMAND"),
    "command": (["comapre"], "did you mean 'compare'?"),
    "option": (["compare", "--bakends", "ort"], "unrecognized arguments: --bakends ort; did you mean '--backends'?"),
    "model": (["compare", "--models", "mobilnet_v2_1.0_224"], "did you mean 'mobilenet_v2_1.0_224'?"),
    "backend": (["compare", "--backends", "opnvino"], "unknown backend 'opnvino'; did you mean 'openvino'?"),
    "suite": (["compare", "--suite", "v2-tabel"], "unknown suite 'v2-tabel'; did you mean 'v2-table'?"),
    "list": (["list", "modles"], "unknown list 'modles'; did you mean 'models'?"),
    "one environment": (["compare", "--env", "OLD=."], "--env OLD=. has nothing to be compared with; give two:"),
    "no environment": (["compare", "--env", "OLD=no/such", "--env", "NEW=."], "environment OLD: no/such does not exist"),
    "a gate without environments": (["compare", "--fail-if-slower", "5"], "two stored runs: mnbench diff OLD NEW --fail-if"),
    "a gate at a negative limit": (
        ["compare", "--env", "A=.", "--env", "B=.", "--fail-if-slower", "-1"],
        "--fail-if-slower must be a percentage of 0 or more, not -1.",
    ),
    "a baseline beside environments": (
        ["compare", "--env", "A=.", "--env", "B=.", "--baseline", SMALLEST],
        "--baseline and --env exclude each other",
    ),
    "run": (["report", "nonesuch", "--out", "nowhere"], "unknown run 'nonesuch'. Known: none."),
    "run's path": (["report", "no/such"], "there is no run directory no/such."),
    "resumed run": (["compare", "--resume", "nonesuch", "--out", "nowhere"], "unknown run 'nonesuch'"),
    "option beside --resume": (["compare", "--resume", "x", "--seed", "3"], "--seed cannot be changed by --resume"),
    "CPU": (["compare", "--cpus", "4000"], "CPU 4000 is not available to this process; --cpus can name"),
    "CPU list": (["compare", "--cpus", "two"], "'two' is not a list of CPUs; write it as 0, 0,2 or 1-3."),
    "empty CPU list": (["compare", "--cpus", ""], "'' is not a list of CPUs"),
    "CPU range": (["compare", "--cpus", "3-1"], "write the smaller number first"),
    "huge CPU": (["compare", "--cpus", "9" * 30], "the largest number is 8191"),
    "missing package": (["compare", "--backends", "uninstalled"], "needs the package nowhere: pip install nowhere."),
    "broken package": (["compare", "--backends", "unloadable"], "cannot be loaded: ModuleNotFoundError"),
    "precision": (["compare", "--precision", "fp23"], "cannot run precision 'fp23'; it can run fp32"),
    "many threads": (["compare", "--threads", "4000"], "4000 threads were asked for, but this process may use"),
    "no threads": (["compare", "--threads", "0"], "--threads must be 1 or more, not 0."),
    "no images": (["compare", "--batch", "0"], "--batch must be between 1 and 1024, not 0."),
    "many images": (["compare", "--batch", "9" * 30], "--batch must be between 1 and 1024"),
    "not a number": (["compare", "--batch", "two"], "invalid int value: 'two'"),
    "no launches": (["compare", "--launches", "-1"], "--launches must be 3 or more, not -1"),
    "one launch": (["compare", "--launches", "1"], "must be 3 or more, not 1: an interval is computed over launches."),
    "a target of nothing": (["compare", "--target-ci", "0"], "--target-ci must be between 0.01 and 100 per cent, not 0."),
    "a target that is no number": (["compare", "--target-ci", "nan"], "--target-ci must be between 0.01 and 100 per cent"),
    "a percentile without a column": (
        ["compare", "--percentiles", "90", "42", "nan"],
        "--percentiles can name 50, 90, 95, 99, 99.9, not 42, nan.",
    ),
    "a percentile that is no number": (
        ["compare", "--percentiles", "p90"],
        "argument --percentiles: invalid float value: 'p90'",
    ),
    "two launches": (["compare", "--launches", "2"], "--launches must be 3 or more, not 2"),
    "an operator without size": (["compare", "--models", "standard_k3_r0_i16_o16_s1_x1"], "resolution must be between 1 and"),
    "an operator of negative size": (["compare", "--models", "standard_k3_r-7_i16_o16_s1_x1"], "between 1 and 1024, not -7."),
    "a stride larger than the input": (
        ["compare", "--models", "standard_k3_r2_i16_o16_s3_x1"],
        "is larger than the input of 2.",
    ),
    "a study": (["study", "seperable"], "unknown study 'seperable'"),
    "no study": (["study"], "name a study, or all:"),
    "a study's backend": (["study", "separable", "--backends", "opnvino"], "did you mean 'openvino'?"),
    "a study without time": (["study", "separable", "--budget", "0"], "--budget must be between 1 second and a week, not 0 s."),
    "a study's negative seed": (["study", "separable", "--seed", "-1"], "--seed must be between 0 and 4294967295, not -1."),
    "models for studies that take none": (
        ["study", "memory", "layers", "--models", SMALLEST],
        "--models is for layers and roofline; memory would ignore it.",
    ),
    "models for all studies": (["study", "all", "--models", SMALLEST], "--models is for layers and roofline; "),
    "a budget beside --resume": (["study", "--resume", "x", "--budget", "5"], "--budget cannot be changed by --resume"),
    "quick beside --resume": (["study", "--resume", "x", "--quick"], "--quick cannot be changed by --resume"),
    "backends beside --resume": (["study", "--resume", "x", "--backends", "ort"], "--backends cannot be changed by --resume"),
    "CPUs beside --resume": (["study", "--resume", "x", "--cpus", "0"], "--cpus cannot be changed by --resume"),
    "a seed beside --resume": (["study", "--resume", "x", "--seed", "3"], "--seed cannot be changed by --resume"),
    "models beside --resume": (["study", "--resume", "x", "--models", SMALLEST], "--models cannot be changed by --resume"),
    "a target beside --resume": (["compare", "--resume", "x", "--target-ci", "1"], "--target-ci cannot be changed by --resume"),
    "a resumed study": (["study", "--resume", "nonesuch", "--out", "nowhere"], "unknown run 'nonesuch'"),
    "a resumed study and a name": (["study", "separable", "--resume", "x"], "goes on with the study it belongs to; leave out"),
    "an unknown regime": (["compare", "--regimes", "stedy"], "unknown regime 'stedy'; did you mean 'steady'?"),
    "a selftest without time": (["selftest", "--budget", "-5"], "--budget must be between 1 second and a week, not -5 s."),
    "a selftest of an unknown network": (
        ["selftest", "--models", "mobilnet_v2_1.0_224"],
        "did you mean 'mobilenet_v2_1.0_224'?",
    ),
    "negative seed": (["compare", "--seed", "-1"], "--seed must be between 0 and 4294967295, not -1."),
    "budget nan": (["compare", "--budget", "nan"], "--budget must be between 1 second and a week, not nan s."),
    "budget inf": (["compare", "--budget", "inf"], "not inf s."),
    "budget negative": (["compare", "--budget", "-5"], "not -5 s."),
    "time-out nan": (["compare", "--timeout", "nan"], "--timeout must be between 1 second and a day, not nan s."),
    "baseline": (["compare", "--baseline", "mobilenet_v2_1.0_22"], "did you mean 'mobilenet_v2_1.0_224'?"),
    "baseline elsewhere": (["compare", "--baseline", SMALLEST], "is not among the models to measure"),
}


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_gets_one_sentence_and_exit_code_2(tmp_path, arguments, sentence):
    done = mnbench(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("mnbench: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


@situation(
    "files",
    "`--out` is a file, or cannot be made",
    "refuses before any work with the reason (exit code 2)",
)
@pytest.mark.parametrize(
    ("out", "reason"),
    [("a_file", "File exists"), ("a_file/below", "Not a directory"), ("/proc/x", "No such file or directory")],
)
def test_an_out_that_cannot_be_written_is_refused_before_any_work(tmp_path, out, reason):
    (tmp_path / "a_file").touch()
    done = mnbench("compare", "--backends", "null", "--out", out, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"mnbench: --out {out} cannot be written: {reason}. Nothing was measured.\n")


@situation(
    "files",
    "`--cache` cannot be written",
    "refuses with the reason (exit code 2) and leaves no run",
)
def test_a_cache_that_cannot_be_written_is_refused_and_leaves_no_run(tmp_path):
    (tmp_path / "a_file").touch()
    done = mnbench("compare", "--models", SMALLEST, "--cache", "a_file/x", cwd=tmp_path)
    assert done.returncode == 2
    assert "the cache a_file/x cannot be written: Not a directory; name another with --cache." in done.stderr
    assert not list((tmp_path / "results").iterdir())


@situation(
    "terminals and tables",
    "The reader of a pipe goes away (`| head`)",
    "ends quietly (exit code 1)",
)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_a_reader_that_stops_reading_is_no_error(form):
    command = [sys.executable, "-m", "mnbench", "list", "backends", *form]
    read_end, write_end = os.pipe()
    os.close(read_end)  # `| head`, gone before the first line
    try:
        done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, env=environment(), timeout=60, check=False)
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@situation(
    "terminals and tables",
    "Standard output is full (/dev/full)",
    "says so with one sentence (exit code 1)",
)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_a_full_standard_output_is_a_sentence(form):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-m", "mnbench", "list", "backends", *form]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"mnbench: the system refused: No space left on device.\n")


@situation(
    "terminals and tables",
    "A terminal lacks characters such as ×",
    "writes their numbers",
)
def test_a_terminal_without_the_characters_gets_their_numbers():
    done = mnbench("list", "models", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "3\\xd7224\\xd7224" in done.stdout


def test_the_version_is_told():
    assert mnbench("--version").stdout == f"mnbench {__version__}\n"


@situation(
    "files",
    "Another package's backend cannot be loaded",
    "lists it with the reason, and all others as usual",
)
def test_backends_are_listed_though_another_packages_cannot_be_loaded():
    rows = {row["backend"]: row for row in json.loads(mnbench("list", "backends", "--json").stdout)}
    assert {"ort", "openvino", "torch", "null", "uninstalled"} < set(rows)
    assert "cannot be loaded" in rows["unloadable"]["missing"]


def test_the_command_line_loads_no_runtime_and_not_even_numpy():
    heavy = "{'torch', 'onnxruntime', 'openvino', 'onnx', 'numpy', 'scipy', 'matplotlib', 'rich'}"
    code = f"import sys, mnbench.cli; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60, check=True
    )
    assert done.stdout == "[]\n"
