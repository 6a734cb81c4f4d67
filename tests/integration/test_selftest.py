"""`mnbench selftest` with real processes, on the smallest network and little time: that it works, not what it finds."""

from __future__ import annotations

import json

import pytest

from mnbench import store
from mnbench.commands import selftest
from tests.integration.command import SMALLEST, mnbench


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("selftest")
    return folder, mnbench(
        "selftest", "--quick", "--models", SMALLEST, "--backends", "ort", "--budget", "14", "--json",
        "--cache", folder / "models", "--out", folder / "results",
    )  # fmt: skip


def test_a_selftest_prints_its_rates_for_both_methods_and_one_sentence(done):
    _, process = done
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    assert found["sentence"].startswith("On this machine")
    assert found["floor_ns"] > 0
    assert {power["method"] for power in found["powers"]} == {"paired", "naive"}
    assert set(found["powers"][0]["found"]) == {"3", "5"}


def test_a_selftest_is_stored_like_a_run_and_judged_again_from_its_raw_samples(done):
    folder, process = done
    (directory,) = (folder / "results").iterdir()
    run = store.load(directory)
    again = selftest.judge(run)
    assert [p.false_positives.trials for p in again.powers] == [
        power["false_positives"]["trials"] for power in json.loads(process.stdout)["powers"]
    ]
    assert mnbench("report", directory, "--quiet").returncode == 0
    assert (directory / "report.html").is_file()


def test_the_planted_slow_down_is_in_the_samples(done):
    """5 % is far above what a paired comparison of so few launches leaves open, with the clock in the same process."""
    folder, _ = done
    (directory,) = (folder / "results").iterdir()
    variants = {samples.case.variant for samples in store.load(directory).samples}
    assert variants == {"", *selftest.QUICK}
