import gzip
import json
import os

import pytest

from mnbench import store
from mnbench.errors import StoreError, UnknownNameError, UnreadableRunError, UsageError
from mnbench.records import LaunchFailure, Memory
from mnbench.system import tables
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run
from tests.situations import situation

CASE = a_case()
ROUNDS = (
    a_round([100, 110, 120], order=0, settle_ns=(150, 130)),
    a_round([101], order=1, index=1, disturbances=("steal", "throttled"), pressure_us=7, throttled_ns=0),
)


def write(directory, *rounds, **changes):
    writer = store.RunWriter(directory, a_run(a_plan(CASE), finished=False, **changes))
    writer.launch(a_launch(CASE, 0))
    for measured in rounds:
        writer.round(CASE, 0, measured)
    return writer


def test_a_run_is_read_back_as_it_was_written(tmp_path):
    write(tmp_path, *ROUNDS).finish(finished=True)
    assert store.load(tmp_path) == a_run(a_plan(CASE), a_launch(CASE, 0, *ROUNDS), finished=True)


def test_every_round_is_readable_as_soon_as_it_is_written(tmp_path):
    write(tmp_path, ROUNDS[0])  # and no finish: the process was killed here
    assert store.load(tmp_path).samples[0].rounds == ROUNDS[:1]


@situation(
    "files",
    "A kill cuts off the last round of a run",
    "leaves that round out and keeps all others",
)
@pytest.mark.parametrize("lost_bytes", [1, 5, 30])
def test_a_round_cut_off_by_a_kill_is_left_out_and_the_earlier_ones_stay(tmp_path, lost_bytes):
    write(tmp_path, *ROUNDS)
    samples = tmp_path / store.SAMPLES_FILE
    os.truncate(samples, samples.stat().st_size - lost_bytes)
    assert store.load(tmp_path).samples[0].rounds == ROUNDS[:1]


def whole(directory):
    write(directory, *ROUNDS).finish(finished=True)
    return directory / store.ROUNDS_FILE, directory / store.SAMPLES_FILE


def cut_rounds(rounds, _samples):
    os.truncate(rounds, rounds.stat().st_size - 3)


def cut_samples(_rounds, samples):
    os.truncate(samples, samples.stat().st_size - 3)


def cut_a_line(rounds, _samples):
    rounds.write_bytes(b"".join(rounds.read_bytes().splitlines(keepends=True)[:-1]))


def cut_both_alike(rounds, samples):
    cut_a_line(rounds, samples)
    *_, before_last, _ = [end for _, end in tables.complete_members(samples)]
    os.truncate(samples, before_last)


def remove_both(rounds, samples):
    rounds.unlink()
    samples.unlink()


DAMAGES = (cut_rounds, cut_samples, cut_a_line, cut_both_alike, remove_both)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_finished_run_whose_tables_lack_a_round_is_refused(tmp_path, damage):
    damage(*whole(tmp_path))
    with pytest.raises(UnreadableRunError, match=r"is incomplete: run\.json says that the run was finished"):
        store.load(tmp_path)


@pytest.mark.parametrize("damage", [cut_rounds, cut_samples, remove_both], ids=lambda damage: damage.__name__)
def test_so_is_one_from_before_the_rounds_were_counted(tmp_path, damage):
    damage(*whole(tmp_path))
    document = json.loads((tmp_path / store.RUN_FILE).read_text())
    assert document.pop("rounds") == len(ROUNDS)
    (tmp_path / store.RUN_FILE).write_text(json.dumps(document))
    with pytest.raises(UnreadableRunError, match="is incomplete"):
        store.load(tmp_path)


def test_a_round_that_a_kill_left_in_one_table_only_may_be_measured_again_under_the_same_number(tmp_path):
    write(tmp_path, *ROUNDS)
    cut_a_line(tmp_path / store.ROUNDS_FILE, None)  # killed between its samples and its line
    again = a_round([90, 91], order=1, index=1)
    writer = store.RunWriter(tmp_path, store.load(tmp_path))
    writer.round(CASE, 0, again)
    writer.finish(finished=True)
    assert store.load(tmp_path).samples[0].rounds == (ROUNDS[0], again)


@pytest.mark.parametrize(("study", "command"), [("", "mnbench compare --resume"), ("separable", "mnbench study --resume")])
def test_a_full_disk_advises_the_command_that_goes_on_with_the_run(tmp_path, monkeypatch, study, command):
    writer = store.RunWriter(tmp_path, a_run(a_plan(CASE, study=study), finished=False))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables, "append", full)
    with pytest.raises(StoreError, match=f"go on with: {command} {tmp_path}"):
        writer.round(CASE, 0, ROUNDS[0])


def test_a_half_written_line_of_rounds_is_left_out(tmp_path):
    write(tmp_path, *ROUNDS)
    rounds = tmp_path / store.ROUNDS_FILE
    os.truncate(rounds, rounds.stat().st_size - 3)
    assert store.load(tmp_path).samples[0].rounds == ROUNDS[:1]


def test_a_resumed_run_goes_on_behind_the_last_complete_round(tmp_path):
    write(tmp_path, *ROUNDS)
    samples = tmp_path / store.SAMPLES_FILE
    os.truncate(samples, samples.stat().st_size - 2)
    writer = store.RunWriter(tmp_path, store.load(tmp_path))
    writer.launch(a_launch(CASE, 1))
    later = a_round([90], order=2)
    writer.round(CASE, 1, later)
    assert [launch.rounds for launch in store.load(tmp_path).samples] == [ROUNDS[:1], (later,)]


def test_a_run_begun_before_a_column_existed_goes_on_with_its_own_columns(tmp_path):
    first, second = (a_round([100, 110], order=n, stream_before_ns=800 + n, workload_before_ns=70) for n in range(2))
    write(tmp_path, first)
    header, row = (line.split(",") for line in (tmp_path / store.ROUNDS_FILE).read_text().splitlines())
    kept = [place for place, name in enumerate(header) if not name.startswith("stream_")]
    older = "".join(",".join(line[place] for place in kept) + "\n" for line in (header, row))
    (tmp_path / store.ROUNDS_FILE).write_text(older)
    writer = store.RunWriter(tmp_path, store.load(tmp_path))
    writer.round(CASE, 0, second)
    writer.finish(finished=True)
    rounds = store.load(tmp_path).samples[0].rounds
    assert [(r.order, r.workload_before_ns, r.stream_before_ns, r.regime) for r in rounds] == [
        (0, 70, None, "steady"), (1, 70, None, "steady"),
    ]  # fmt: skip


def test_a_run_killed_within_its_first_line_begins_anew(tmp_path):
    write(tmp_path)
    rounds = tmp_path / store.ROUNDS_FILE
    os.truncate(rounds, 10)
    writer = store.RunWriter(tmp_path, store.load(tmp_path))
    writer.launch(a_launch(CASE, 0))
    writer.round(CASE, 0, a_round([100]))
    writer.finish(finished=True)
    assert len(store.load(tmp_path).samples[0].rounds) == 1


def test_samples_are_a_plain_gzipped_csv_for_any_tool(tmp_path):
    write(tmp_path, *ROUNDS)
    lines = gzip.decompress((tmp_path / store.SAMPLES_FILE).read_bytes()).decode().splitlines()
    assert lines[0] == ",".join(store.SAMPLE_COLUMNS)
    assert lines[1] == f"{CASE.id},0,0,settle,0,150"
    assert len(lines) == 1 + 5 + 2


def test_failures_are_kept(tmp_path):
    failure = LaunchFailure(case=CASE, launch=0, reason="it hung", log_tail="…")
    write(tmp_path).failure(failure)
    assert store.load(tmp_path).failures == (failure,)


def test_a_memory_reading_stored_before_they_were_repeated_is_that_of_the_first_process(tmp_path):
    writer = store.RunWriter(tmp_path, a_run(a_plan(a_case())))
    writer.memory(Memory(case=a_case(), launch=2, imported_bytes=1, peak_bytes=3))
    document = json.loads((tmp_path / "run.json").read_text())
    assert store.load(tmp_path).memory[0].launch == document["memory"][0].pop("launch") == 2
    del document["plan"]["memory_launches"]
    (tmp_path / "run.json").write_text(json.dumps(document))
    old = store.load(tmp_path)
    assert (old.memory[0].launch, old.memory[0].above_runtime_bytes, old.plan.memory_launches) == (0, 2, 1)


def test_a_run_stored_before_percentiles_could_be_chosen_has_the_default_ones(tmp_path):
    store.RunWriter(tmp_path, a_run(a_plan(a_case(), percentiles=(50.0, 99.9))))
    assert store.load(tmp_path).plan.percentiles == (50.0, 99.9)
    document = json.loads((tmp_path / "run.json").read_text())
    del document["plan"]["percentiles"]
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert store.load(tmp_path).plan.percentiles == (90.0, 99.0)


def test_another_schema_version_is_refused_by_its_number(tmp_path):
    write(tmp_path)
    path = tmp_path / store.RUN_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(StoreError, match=r"has schema version 99; this mnbench reads version 1"):
        store.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": 1}', b"[]", b"\xff\xfe"])
def test_a_damaged_run_file_is_refused_with_its_path(tmp_path, content):
    (tmp_path / store.RUN_FILE).write_bytes(content)
    with pytest.raises(StoreError, match=r"run\.json cannot be read"):
        store.load(tmp_path)


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(StoreError, match="is not a run directory"):
        store.load(tmp_path)


def test_damage_in_the_middle_of_the_samples_is_an_error_not_a_shorter_run(tmp_path):
    write(tmp_path, *ROUNDS)
    path = tmp_path / store.SAMPLES_FILE
    data = bytearray(path.read_bytes())
    data[len(gzip.compress(b"")) + 40] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="is damaged"):
        store.load(tmp_path)


def test_a_damaged_round_line_is_an_error(tmp_path):
    write(tmp_path, *ROUNDS)
    path = tmp_path / store.ROUNDS_FILE
    path.write_text(path.read_text().replace(",1,1,0,", ",1,one,0,", 1).replace(f"{CASE.id},0,0,0", f"{CASE.id},0,x,0"))
    with pytest.raises(StoreError, match="is damaged"):
        store.load(tmp_path)


def test_two_runs_of_one_second_get_two_directories(tmp_path):
    first = store.create_directory(tmp_path, "2026-01-01T00:00:00+00:00")
    second = store.create_directory(tmp_path, "2026-01-01T00:00:00+00:00")
    assert (first.name, second.name) == ("20260101T000000", "20260101T000000-2")


def test_an_out_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        store.create_directory(tmp_path / "file", "2026-01-01T00:00:00+00:00")


def test_an_out_without_space_is_refused_before_measuring(tmp_path, monkeypatch):
    monkeypatch.setattr(store.writer, "NEEDED_BYTES", 1 << 62)
    with pytest.raises(UsageError, match=r"MiB of free space; a run needs up to .* Nothing was measured"):
        store.create_directory(tmp_path, "2026-01-01T00:00:00+00:00")


def test_an_unknown_run_suggests_the_nearest(tmp_path):
    write(tmp_path / "20260101T000000")
    with pytest.raises(UnknownNameError, match="did you mean '20260101T000000'"):
        store.resolve("20260101T000001", tmp_path)


@situation(
    "files",
    "`mnbench list runs` finds a run that cannot be read",
    "lists it with its problem",
)
def test_a_run_that_cannot_be_read_is_listed_with_its_problem(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / store.RUN_FILE).write_text("{")
    assert "cannot be read" in (store.describe(tmp_path / "broken").problem or "")
