"""`mnbench diff` and `mnbench doctor` as a user runs them: real processes, stored runs, exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnbench import store
from mnbench.records import Case
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run, an_environment

V1, V2 = a_case("mobilenet_v1_1.0_224"), a_case()
NULL = Case(model="none", backend="null")
ROOT = Path(__file__).parents[2]
DONE, FAILED, USAGE = 0, 1, 2


def stored(directory, latencies_ms, launches=5, workload_ns=None, stream_ns=None, spoilt=(), **changes):
    """Write a run of {case: milliseconds} as a measuring process would, and return its directory.

    `workload_ns` are the reference workload's readings by launch, of all cases or by case (default: quiet). Launches of
    `spoilt` were disturbed.
    """
    run = a_run(a_plan(*latencies_ms, NULL), **{"id": directory.name, "finished": False, **changes})
    writer = store.RunWriter(directory, run)
    for order, launch in enumerate(range(launches)):
        for case, ms in latencies_ms.items():
            readings = workload_ns[case] if isinstance(workload_ns, dict) else workload_ns or [QUIET_NS] * launches
            writer.launch(a_launch(case, launch))
            writer.round(
                case,
                launch,
                a_round(
                    [round(ms * (1_000_000 + 1000 * (launch if case == V1 else launches - launch)))],
                    order=order,
                    workload_before_ns=readings[launch],
                    workload_after_ns=readings[launch],
                    stream_before_ns=stream_ns and stream_ns[launch],
                    stream_after_ns=stream_ns and stream_ns[launch],
                    disturbances=("changed CPU speed",) if launch in spoilt else (),
                ),
            )
    writer.finish(finished=True)
    return directory


def mnbench(*arguments, cwd=None):
    command = [sys.executable, "-m", "mnbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd or ROOT, timeout=60)


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def old(tmp_path):
    return stored(tmp_path / "old", {V1: 10.0, V2: 5.0})


@pytest.mark.parametrize(
    ("new_ms", "arguments", "code"),
    [
        (10.0, ("--fail-if-slower", "3"), DONE),
        (10.5, ("--fail-if-slower", "3"), FAILED),
        (10.5, ("--fail-if-slower", "6"), DONE),
        (10.5, (), DONE),
        (9.0, ("--fail-if-slower", "0"), DONE),
    ],
)
def test_the_gate_fails_on_an_established_slow_down_above_its_limit_only(tmp_path, old, new_ms, arguments, code):
    new = stored(tmp_path / "new", {V1: new_ms, V2: 5.0})
    before = contents(tmp_path)
    answer = mnbench("diff", old, new, *arguments)
    assert (answer.returncode, answer.stderr) == (code, "")
    assert V1.model in answer.stdout
    assert contents(tmp_path) == before


@pytest.mark.parametrize("arguments", [(), ("--fail-if-slower", "50"), ("--json",), ("--markdown",)])
def test_a_missing_case_never_passes(tmp_path, old, arguments):
    answer = mnbench("diff", old, stored(tmp_path / "new", {V1: 9.0}), *arguments)
    assert answer.returncode == USAGE
    assert answer.stderr == f"mnbench: 1 of 2 cases of OLD cannot be compared: {V2.id}: it is missing in NEW.\n"


def test_a_missing_case_outranks_a_regression_and_both_are_told(tmp_path, old):
    answer = mnbench("diff", old, stored(tmp_path / "new", {V1: 12.0}), "--fail-if-slower", "3", "--markdown")
    assert answer.returncode == USAGE
    assert "regression" in answer.stdout


def test_a_run_against_itself_or_a_copy_of_it_is_refused(tmp_path, old):
    shutil.copytree(old, tmp_path / "copy")
    for new in (old, tmp_path / "copy"):
        answer = mnbench("diff", old, new, "--fail-if-slower", "5", "--markdown")
        assert (answer.returncode, answer.stdout) == (USAGE, "")
        assert answer.stderr == "mnbench: OLD and NEW are the same run, old: compare two runs that were measured separately.\n"


def empty(directory):
    directory.mkdir()


def truncated(directory):
    stored(directory, {V1: 10.0})
    (directory / store.RUN_FILE).write_bytes((directory / store.RUN_FILE).read_bytes()[:200])


def without_samples(directory):
    stored(directory, {V1: 10.0, V2: 5.0})
    (directory / store.SAMPLES_FILE).write_bytes((directory / store.SAMPLES_FILE).read_bytes()[:30])


def garbled(directory):
    stored(directory, {V1: 10.0})
    with (directory / store.ROUNDS_FILE).open("ab") as file:
        file.write(b"\xff\xfe\x00\n")


def newer(directory):
    stored(directory, {V1: 10.0})
    document = json.loads((directory / store.RUN_FILE).read_text())
    (directory / store.RUN_FILE).write_text(json.dumps({**document, "schema_version": 99}))


def another_network(directory):
    stored(directory, {a_case("nasnet_a_mobile_224"): 10.0})


def nothing_measured(directory):
    stored(directory, {V1: 10.0, V2: 5.0}, launches=0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty, "is not a run directory"),
        (truncated, "cannot be read"),
        (without_samples, "is incomplete: run.json says that the run was finished"),
        (garbled, "is damaged"),
        (newer, "has schema version 99; this mnbench reads version"),
        (another_network, "the runs have no case in common"),
        (nothing_measured, "no usable launches (an interval needs 3) in NEW"),
    ],
)
def test_a_run_that_cannot_be_judged_gives_one_sentence_and_is_left_alone(tmp_path, old, spoil, message):
    spoil(tmp_path / "new")
    before = contents(tmp_path)
    answer = mnbench("diff", old, tmp_path / "new", "--fail-if-slower", "5")
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (USAGE, "", 1)
    assert message in answer.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fail-if-slower", "-1"), "must be a percentage of 0 or more, not -1"),
        (("--fail-if-slower", "nan"), "must be a percentage of 0 or more, not nan"),
        (("--fail-if-slower", "x"), "invalid float value"),
        (("--json", "--markdown"), "not allowed with argument"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(old, arguments, message):
    answer = mnbench("diff", old, old, *arguments)
    assert (answer.returncode, answer.stdout) == (USAGE, "")
    assert message in answer.stderr


@pytest.mark.parametrize("fact", [{"cpu_model": "Test CPU 2"}, {"isa": ("avx2", "amx_bf16")}, {"logical_cpus": 4}])
def test_runs_of_two_hosts_are_refused_unless_asked_for(tmp_path, old, fact):
    new = stored(tmp_path / "new", {V1: 10.0, V2: 5.0}, environment=an_environment(**fact))
    answer = mnbench("diff", old, new)
    assert answer.returncode == USAGE
    assert f"the runs are of two hosts: {next(iter(fact))} is" in answer.stderr
    assert mnbench("diff", old, new, "--allow-different-hosts").returncode == DONE


def test_another_kernel_or_runtime_is_told_and_not_refused(tmp_path, old):
    changed = an_environment(kernel="7", packages={"numpy": "2", "onnxruntime": "9.9"})
    answer = mnbench("diff", old, stored(tmp_path / "new", {V1: 10.0, V2: 5.0}, environment=changed), "--json")
    assert answer.returncode == DONE
    assert {(c["subject"], c["old"], c["new"]) for c in json.loads(answer.stdout)["changes"]} == {
        ("kernel", "6", "7"), ("onnxruntime", "not set", "9.9"),
    }  # fmt: skip


QUIET_NS, SLOW_NS = 65_000, 72_000
WORKLOAD = "the reference workload, which tells the CPU's own speed, took"


@pytest.mark.parametrize(
    ("now_ns", "told"),
    [
        ([SLOW_NS] * 5, [(f"{WORKLOAD} 10.8 % longer (threads 1)", "65.0 µs", "72.0 µs")]),
        ([QUIET_NS] * 2 + [SLOW_NS] * 3, [(f"{WORKLOAD} 10.8 % longer (threads 1)", "65.0 µs", "72.0 µs")]),
        ([60_000] * 5, [(f"{WORKLOAD} 7.7 % shorter (threads 1)", "65.0 µs", "60.0 µs")]),
        ([QUIET_NS] * 3 + [SLOW_NS] * 2, []),
        ([66_000] * 5, []),
        ([None] * 5, []),
    ],
)
def test_a_cpu_that_itself_became_slower_or_faster_is_told(tmp_path, now_ns, told):
    """Beside a neighbour that stays for most of NEW the reference workload takes longer than it did in OLD."""
    old = stored(tmp_path / "old", {V1: 10.0, V2: 5.0}, workload_ns=[QUIET_NS] * 5)
    new = stored(tmp_path / "new", {V1: 10.9, V2: 5.0}, workload_ns=now_ns)
    answer = mnbench("diff", old, new, "--json")
    assert [(c["subject"], c["old"], c["new"]) for c in json.loads(answer.stdout)["changes"]] == told


@pytest.mark.parametrize(("now_ns", "changed"), [([860_000] * 5, True), ([830_000] * 5, False), ([None] * 5, False)])
def test_a_memory_that_itself_became_slower_is_told(tmp_path, now_ns, changed):
    old = stored(tmp_path / "old", {V1: 10.0, V2: 5.0}, stream_ns=[800_000] * 5)
    new = stored(tmp_path / "new", {V1: 10.9, V2: 5.0}, stream_ns=now_ns)
    (told, *_) = [*json.loads(mnbench("diff", old, new, "--json").stdout)["changes"], None]
    if changed:
        assert "the reference stream" in told["subject"]
        assert "7.5 % longer" in told["subject"]
        assert (told["old"], told["new"]) == ("800.0 µs", "860.0 µs")
    else:
        assert told is None


def test_the_speed_beside_a_round_that_is_not_used_or_not_compared_is_not_looked_at(tmp_path):
    old = stored(tmp_path / "old", {V1: 10.0}, workload_ns=[QUIET_NS] * 5)
    new = stored(tmp_path / "new", {V1: 10.0, V2: 5.0}, workload_ns={V1: [QUIET_NS] * 5, V2: [SLOW_NS] * 5})
    slow = [QUIET_NS] * 4 + [SLOW_NS] * 6
    both = stored(tmp_path / "both", {V1: 10.0, V2: 5.0}, workload_ns=[QUIET_NS] * 5)
    disturbed = stored(tmp_path / "disturbed", {V1: 10.0, V2: 5.0}, launches=10, workload_ns=slow, spoilt=(7, 8, 9))
    for one, other in ((old, new), (both, disturbed)):
        assert not json.loads(mnbench("diff", one, other, "--json").stdout)["changes"]


def test_runs_are_found_by_name_below_out(tmp_path, old):
    stored(tmp_path / "new", {V1: 10.0, V2: 5.0})
    assert mnbench("diff", "old", "new", "--out", tmp_path).returncode == DONE
    answer = mnbench("diff", "old", "odl", "--out", tmp_path)
    assert (answer.returncode, "did you mean 'old'?" in answer.stderr) == (USAGE, True)


def test_doctor_describes_this_host_as_run_json_does():
    answer = mnbench("doctor", "--json")
    assert answer.returncode == DONE
    document = json.loads(answer.stdout)
    assert document["environment"]["logical_cpus"] >= 1
    assert document["environment"]["busy_cpus_now"] is not None
    assert {finding["severity"] for finding in document["findings"]} <= {"note", "warning"}
    assert "clock source" in mnbench("doctor").stdout
