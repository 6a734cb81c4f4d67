"""Every bad input that the project promises to refuse, as a user types it: one sentence, exit code 2, nothing overwritten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mnbench import store
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run
from tests.integration.command import HERE, mnbench
from tests.situations import situation

CASE = a_case()
OTHER = a_case("mobilenet_v1_1.0_224")


def operator(kind: str = "standard", **sizes: int) -> tuple[str, ...]:
    values = {"k": 3, "r": 14, "i": 16, "o": 16, "s": 1, "x": 1, **sizes}
    return "compare", "--models", "_".join([kind, *(f"{letter}{value}" for letter, value in values.items())])


REQUESTS = {
    "a target of 0": (("compare", "--target-ci", "0"), "--target-ci must be between 0.01 and 100 per cent, not 0."),
    "a negative target": (("compare", "--target-ci", "-1"), "--target-ci must be between 0.01 and 100 per cent, not -1."),
    "a negative budget": (("compare", "--budget", "-90"), "--budget must be between 1 second and a week, not -90 s."),
    "an absurd budget": (("compare", "--budget", "1e18"), "--budget must be between 1 second and a week, not 1e+18 s."),
    "a selftest's absurd budget": (("selftest", "--budget", "1e18"), "--budget must be between 1 second and a week"),
    "a study's negative budget": (("study", "layers", "--budget", "-1"), "--budget must be between 1 second and a week"),
    "one launch": (("compare", "--launches", "1"), "must be 3 or more, not 1: an interval is computed over launches."),
    "a size of zero": (operator(r=0), "resolution must be between 1 and 1024, not 0."),
    "a negative size": (operator(r=-7), "resolution must be between 1 and 1024, not -7."),
    "no channels": (operator(i=0), "in_channels must be between 1 and"),
    "negative channels": (operator(o=-16), "out_channels must be between 1 and"),
    "a kernel of zero": (operator(k=0), "kernel must be between 1 and"),
    "a stride of zero": (operator(s=0), "stride must be between 1 and"),
    "a stride larger than the input": (operator(r=2, s=3), "a stride of 3 is larger than the input of 2."),
    "groups that do not divide": (operator("grouped", g=3), "16 channels in and 16 out do not both divide by 3 groups."),
    "groups that divide one side": (operator("grouped", i=18, g=3), "do not both divide by 3 groups."),
    "no groups": (operator("grouped", g=0), "groups must be between 1 and"),
    "a study that does not exist": (("study", "seperable"), "unknown study 'seperable'; did you mean 'separable'?"),
    "one of two studies": (("study", "layers", "memroy"), "unknown study 'memroy'; did you mean 'memory'?"),
    "a backend that does not exist": (("study", "layers", "--backends", "opnvino"), "unknown backend 'opnvino'; did you mean"),
    "its backend for all studies": (("study", "all", "--backends", "opnvino"), "unknown backend 'opnvino'; did you mean"),
    "a compared backend": (("compare", "--backends", "tflite"), "unknown backend 'tflite'. Known:"),
}


@situation(
    "files",
    "A request that cannot be met: numbers out of range, unknown names",
    "refuses with one sentence (exit code 2) and leaves no file",
)
@pytest.mark.parametrize(("arguments", "sentence"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_that_cannot_be_met_is_one_sentence_and_leaves_nothing(tmp_path, arguments, sentence):
    done = mnbench(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


def stored(directory: Path, *cases, finished: bool = True, study: str = "") -> Path:
    """Write a run of `cases` as a measuring process would, and return its directory."""
    writer = store.RunWriter(directory, a_run(a_plan(*cases, study=study), id=directory.name, finished=False))
    for launch in range(4):
        for place, case in enumerate(cases):
            writer.launch(a_launch(case, launch))
            writer.round(case, launch, a_round([10_000_000 + launch], order=launch * len(cases) + place))
    writer.finish(finished=finished)
    return directory


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def emptied(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


def newer(directory: Path) -> None:
    document = json.loads((directory / store.RUN_FILE).read_text())
    (directory / store.RUN_FILE).write_text(json.dumps({**document, "schema_version": 2}))


def halved(name: str):
    return lambda directory: os.truncate(directory / name, (directory / name).stat().st_size // 2)


SPOILT = {
    "empty": (emptied, "is not a run directory: run.json: No such file or directory."),
    "half a run.json": (halved(store.RUN_FILE), "run.json cannot be read"),
    "half a rounds.csv": (halved(store.ROUNDS_FILE), "is incomplete: run.json says that the run was finished"),
    "half of the samples": (halved(store.SAMPLES_FILE), "is incomplete: run.json says that the run was finished"),
    "a newer schema": (newer, "has schema version 2; this mnbench reads version 1."),
}
COMMANDS = {
    "report": lambda run, _: ("report", run),
    "compare --resume": lambda run, _: ("compare", "--resume", run),
    "study --resume": lambda run, _: ("study", "--resume", run),
    "diff, as OLD": lambda run, other: ("diff", run, other),
    "diff, as NEW": lambda run, other: ("diff", other, run, "--fail-if-slower", "5"),
}


@situation(
    "files",
    "A run directory that is empty, cut off or of a newer version is given to any command",
    "refuses with one sentence (exit code 2) and changes nothing",
)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("spoil", "sentence"), SPOILT.values(), ids=SPOILT)
def test_a_run_that_cannot_be_read_is_one_sentence_and_stays_as_it_is(tmp_path, spoil, sentence, command):
    run, other = stored(tmp_path / "run", CASE), stored(tmp_path / "other", CASE)
    (run / "summary.csv").write_text("of an earlier report")
    spoil(run)
    before = contents(tmp_path)
    done = mnbench(*command(run, other))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert sentence in done.stderr
    assert contents(tmp_path) == before


def test_runs_without_a_common_case_are_one_sentence(tmp_path):
    old, new = stored(tmp_path / "old", CASE), stored(tmp_path / "new", OTHER)
    before = contents(tmp_path)
    done = mnbench("diff", old, new)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "the runs have no case in common" in done.stderr
    assert contents(tmp_path) == before


@situation(
    "files",
    "A run is resumed by the wrong command",
    "names the right one, and changes nothing",
)
@pytest.mark.parametrize(("study", "wrong", "right"), [("separable", "compare", "study"), ("", "study", "compare")])
def test_a_run_is_resumed_by_the_command_it_belongs_to(tmp_path, study, wrong, right):
    run = stored(tmp_path / "run", CASE, finished=False, study=study)
    before = contents(tmp_path)
    done = mnbench(wrong, "--resume", run)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"go on with: mnbench {right} --resume {run}" in done.stderr
    assert contents(tmp_path) == before


def test_an_interrupted_self_test_is_not_resumed(tmp_path):
    run = stored(tmp_path / "run", a_case(variant="copy1"), a_case(variant="copy2"), finished=False)
    before = contents(tmp_path)
    done = mnbench("compare", "--resume", run)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "is a part of a self-test, which cannot be judged; begin again: mnbench selftest" in done.stderr
    assert contents(tmp_path) == before


def test_an_interrupted_run_can_still_be_reported(tmp_path):
    run = stored(tmp_path / "run", CASE, finished=False)
    halved(store.SAMPLES_FILE)(run)
    assert mnbench("report", run, "--quiet").returncode == 0


@situation(
    "memory",
    "A cell of a study needs more memory than there is",
    "leaves it out by name and measures the others",
)
def test_a_grid_that_needs_more_memory_than_there_is_names_the_cells_and_measures_the_others(tmp_path):
    """Of 20 MiB half can be used. By hand: 8 x (224²·3 + 112²·32 + 3²·3·32) x 4 bytes are 17 MiB."""
    done = mnbench(
        "study", "separable", "--quick", "--backends", "null", "--budget", "8", "--out", tmp_path, "--quiet",
        folders=(HERE / "watch",), MNBENCH_TEST_MEMORY=20 << 20,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr  # 1 where a slow machine had no time for all of them
    told = [line for line in done.stderr.splitlines() if "is left out" in line]
    assert "mnbench: standard_k3_r224_i3_o32_s2_x8 is left out: it needs 17 MiB of memory, and 10 can be used." in told, (
        done.stderr
    )
    assert len(list(tmp_path.iterdir())) == 1, done.stderr
    (directory,) = tmp_path.iterdir()
    run = store.load(directory)
    skipped = [caveat.observed for caveat in run.caveats if caveat.code == "cell-skipped"]
    assert [f"mnbench: {reason}" for reason in skipped] == told
    planned = {case.model for case in run.plan.cases}
    assert not planned & {reason.split(" is left out")[0] for reason in skipped}
    assert not run.failures
    assert any(samples.rounds for samples in run.samples)


@situation(
    "memory",
    "A batch of a study needs more memory than there is",
    "leaves it out by name and measures the others",
)
def test_batches_that_need_more_memory_than_there_is_are_named(tmp_path):
    done = mnbench(
        "study", "memory", "--quick", "--backends", "null", "--budget", "3", "--out", tmp_path, "--quiet",
        folders=(HERE / "watch",), MNBENCH_TEST_MEMORY=1 << 30,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert "MiB, and 512 MiB can be had" in done.stderr
