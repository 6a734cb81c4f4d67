"""Whole runs through the command line: what is printed, what is kept, and what a failure or a damaged file does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnbench import store
from tests.integration.command import HERE, QUICK, SMALLEST, environment, mnbench
from tests.situations import situation

NULL = ("compare", "--backends", "null", *QUICK)
DERIVED = ("summary.csv", "comparison.csv")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run of the smallest network in two runtimes, watched for sockets; returns (its directory, the process, the notes)."""
    out = tmp_path_factory.mktemp("a folder, ü ☃")
    notes, started = out / "sockets", out / "started"
    done = mnbench(
        "compare", "--models", SMALLEST, *QUICK, "--out", out / "runs", "--cache", out / "models", "--json",
        folders=(HERE / "watch",), MNBENCH_TEST_SOCKETS=notes, MNBENCH_TEST_STARTED=started,
    )  # fmt: skip
    (directory,) = (out / "runs").iterdir()
    return directory, done, out


@pytest.fixture
def copy(measured, tmp_path):
    """The measured run, moved elsewhere."""
    return shutil.copytree(measured[0], tmp_path / "moved")


def test_json_is_all_there_is_on_standard_output(measured):
    directory, done, _ = measured
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["run_id"] == directory.name
    assert {row["backend"] for row in document["summary"]} >= {"ort", "openvino"}
    assert done.stderr == ""


def test_the_percentiles_asked_for_are_kept_with_the_plan_each_once_and_in_order(tmp_path):
    done = mnbench(*NULL, "--percentiles", "99.9", "50", "99.9", "--quiet", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert store.load(Path(done.stdout.strip())).plan.percentiles == (50.0, 99.9)


def test_no_process_of_a_run_opens_a_socket(measured):
    _, _, out = measured
    started = (out / "started").read_text()
    assert all(part in started for part in ("-m mnbench compare", "mnbench.export.child", "mnbench.measure.worker"))
    assert not (out / "sockets").exists()


def test_report_rebuilds_the_same_csv_files_without_torch_or_a_runtime(copy, tmp_path):
    before = [(copy / name).read_bytes() for name in DERIVED]
    for name in DERIVED:
        (copy / name).unlink()
    without = tmp_path / "without"
    without.mkdir()
    names = ("torch", "onnx", "onnxruntime", "openvino", "pytorchcv")
    (without / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({names!r}))\n")
    done = mnbench("report", copy, "--quiet", folders=(without,))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{copy}\n", "")
    assert [(copy / name).read_bytes() for name in DERIVED] == before


def test_a_table_for_people_fits_sixty_columns(copy):
    done = mnbench("report", copy, COLUMNS=60)
    assert done.returncode == 0
    assert SMALLEST in done.stdout
    table = [line for line in done.stdout.splitlines() if str(copy) not in line]
    assert max(map(len, table)) <= 60


def test_a_complete_run_is_not_resumed(copy):
    done = mnbench("compare", "--resume", copy)
    assert (done.returncode, done.stderr) == (2, f"mnbench: {copy} is complete; there is nothing to go on with.\n")


def _other_version(directory: Path) -> None:
    run = json.loads((directory / store.RUN_FILE).read_text())
    (directory / store.RUN_FILE).write_text(json.dumps({**run, "schema_version": 99}))


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def _halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _drop_last_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def _contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


DAMAGE = {
    "version": (_other_version, "has schema version 99; this mnbench reads version 1"),
    "empty run.json": (lambda d: (d / store.RUN_FILE).write_bytes(b""), "run.json cannot be read"),
    "half a run.json": (lambda d: os.truncate(d / store.RUN_FILE, 500), "run.json cannot be read"),
    "a broken character": (lambda d: _flip(d / store.RUN_FILE, 30), "run.json cannot be read"),
    "no run.json": (lambda d: (d / store.RUN_FILE).unlink(), "is not a run directory: run.json: No such file"),
    "samples": (lambda d: _flip(d / store.SAMPLES_FILE, 300), "samples.csv.gz is damaged at byte"),
    "rounds": (lambda d: _flip(d / store.ROUNDS_FILE, 600), "rounds.csv is damaged"),
    "half of the samples": (lambda d: _halve(d / store.SAMPLES_FILE), "hold no whole end of samples.csv.gz."),
    "half of the rounds": (lambda d: _halve(d / store.ROUNDS_FILE), "hold no whole end of rounds.csv."),
    "the last round": (lambda d: _drop_last_line(d / store.ROUNDS_FILE), "rounds.csv and samples.csv.gz hold"),
    "no rounds": (lambda d: (d / store.ROUNDS_FILE).unlink(), "hold 0 whole rounds of"),
    "nothing": (lambda d: [path.unlink() for path in d.iterdir()], "is not a run directory: run.json: No such file"),
}


@situation(
    "files",
    "A file of a run is damaged, cut off or missing",
    "says which with one sentence (exit code 2) and changes nothing",
)
@pytest.mark.parametrize("command", [("report",), ("compare", "--resume"), ("study", "--resume")], ids=" ".join)
@pytest.mark.parametrize(("damage", "sentence"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_run_is_a_sentence_and_exit_code_2_and_stays_as_it_is(copy, damage, sentence, command):
    damage(copy)
    before = _contents(copy)
    done = mnbench(*command, copy)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert _contents(copy) == before


@situation(
    "files",
    "An interrupted run lost some of its samples",
    "reports the rest, and how many rounds are left out",
)
def test_samples_that_an_interrupted_run_lost_are_a_caveat(copy):
    document = json.loads((copy / store.RUN_FILE).read_text())
    del document["rounds"]
    (copy / store.RUN_FILE).write_text(json.dumps({**document, "finished": False}))
    os.truncate(copy / store.SAMPLES_FILE, 300)
    done = mnbench("report", copy, "--json")
    assert "samples-lost" in {caveat["code"] for caveat in json.loads(done.stdout)["caveats"]}


@situation(
    "files",
    "A file of the cache is damaged",
    "notices it by its digest and makes it again",
)
@pytest.mark.parametrize("name", ["model.xml", "model.bin", "artifact.json"])
def test_a_broken_file_in_the_cache_is_made_again(measured, name, tmp_path):
    cache = measured[2] / "models"
    # Of the files that launches open in turn the first: what OpenVINO writes depends on what its process converted before.
    records = (path for path in cache.glob(f"{SMALLEST}-openvino-ir-*/artifact.json") if '"node_order": 0' in path.read_text())
    (broken,) = (path.parent / name for path in records)
    whole = broken.read_bytes()
    if name == "artifact.json":  # a digit: still a valid record, but a wrong one
        broken.write_bytes(whole.replace(b'"madds": 1', b'"madds": 9'))
    else:
        _flip(broken, len(whole) // 2)
    assert broken.read_bytes() != whole
    done = mnbench(
        "compare", "--models", SMALLEST, "--backends", "openvino", "--launches", "3", "--cache", cache, "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert broken.read_bytes() == whole


def test_a_failing_worker_costs_its_case_and_not_the_others(tmp_path):
    done = mnbench("compare", "--models", SMALLEST, "--backends", "crashing", "signalling", *QUICK, "--out", tmp_path,
                   MNBENCH_TEST_PIDS=tmp_path / "pids")  # fmt: skip
    assert done.returncode == 1
    assert "launch 1: the worker ended with exit code 3." in done.stdout
    assert "about to divide by nought" in done.stdout
    (directory,) = (path for path in tmp_path.iterdir() if path.is_dir())
    run = store.load(directory)
    assert {case.backend for case in run.unmeasured()} == {"crashing"}
    assert list((directory / "logs").glob("*crashing*"))


@situation(
    "processes",
    "The budget ends before a case had a turn",
    "names the cases without a figure (exit code 1)",
)
def test_a_budget_too_small_for_a_turn_is_told(tmp_path):
    done = mnbench("compare", "--models", SMALLEST, "--backends", "slow_open", "--budget", "1", "--out", tmp_path, "--quiet")
    assert done.returncode == 1
    assert "the budget ended before" in done.stderr
    assert f"{SMALLEST}-slow_open-fp32-b1-t1" in done.stderr


@situation(
    "files",
    "The disk refuses in the midst of a run (RLIMIT_FSIZE)",
    "ends with one sentence, keeps every round and says how to go on",
)
def test_a_full_disk_ends_the_run_with_a_sentence(tmp_path):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        f"from mnbench.cli.main import main; sys.exit(main({[*NULL, '--out', str(tmp_path)]!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert done.returncode == 1
    assert "cannot be written: File too large. The rounds written so far are kept" in done.stderr
    assert done.stderr.count("\n") == 1
    (directory,) = tmp_path.iterdir()
    store.load(directory)


@situation(
    "files",
    "Files such as `json.py` or `numpy.py` lie in the current folder",
    "never imports them, neither in the command nor in a worker",
)
def test_files_named_like_modules_in_the_current_folder_are_not_imported(tmp_path):
    for name in ("json", "numpy", "msgspec", "argparse", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the current folder')")
    done = mnbench(*NULL, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_doubled_names_are_measured_once(tmp_path):
    done = mnbench(
        "compare", "--backends", "null", "null", "--models", SMALLEST, SMALLEST, *QUICK, "--out", tmp_path, "--quiet"
    )
    (directory,) = tmp_path.iterdir()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{directory}\n", "")
    assert [case.backend for case in store.load(directory).plan.cases] == ["null"]


@situation(
    "processes",
    "Two runs begin at once with an empty cache",
    "exports each network once; both runs end",
)
def test_two_runs_at_once_share_an_empty_cache(tmp_path):
    request = ["compare", "--models", SMALLEST, "--backends", "torch", "--launches", "3", "--cache", str(tmp_path / "models")]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "mnbench", *request, "--out", str(tmp_path / name), "--quiet"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        for name in ("one", "two")
    ]
    assert [(process.communicate(timeout=120)[1], process.returncode) for process in both] == [(b"", 0), (b"", 0)]
    assert len(list((tmp_path / "models").glob(f"{SMALLEST}-torch-state-*/artifact.json"))) == 1
    assert not list((tmp_path / "models").glob(".*"))
