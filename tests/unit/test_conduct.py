"""How a plan is carried out: with workers that only say what they would, and a clock that only moves when they work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from mnbench.commands import compare
from mnbench.errors import WorkerError
from mnbench.measure import conduct as conducting
from mnbench.measure import conductor, sweep
from mnbench.measure.conduct import conduct
from mnbench.measure.conductor import Already
from mnbench.measure.messages import OpenReply, RoundReply
from mnbench.records import LaunchFailure
from mnbench.stats.analysis import pairs_of
from tests.conftest import a_case, a_launch, a_plan, a_round, a_run

OPEN_S = 0.25
FIRST_NS = 5_000_000_000_000
"""Of the clock when a run begins."""
CASES = [a_case(f"network {n}", backend=name) for name in ("ort", "openvino") for n in range(3)]
HARNESS = a_case("none", backend="null")


class Clock:
    """What the conductor asks of `time`. It moves when a worker works, and when somebody sleeps."""

    def __init__(self):
        self.now_ns, self.slept_s = FIRST_NS, []

    def perf_counter_ns(self):
        return self.now_ns

    def monotonic(self):
        return self.now_ns / 1e9

    def sleep(self, seconds):
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9)


class Host:
    """Makes workers: their time, which of them fail, and what they were asked."""

    def __init__(self, clock):
        self.clock, self.requests, self.fails, self.disturbed = clock, [], {}, lambda case: False
        self.started, self.alive = [], set()

    def worker(self, case, log, python="", environment_bytes=0):
        return Worker(self, case, int(log.stem.rsplit("-", 1)[-1]))


class Worker:
    def __init__(self, host, case, launch):
        self.host, self.case, self.launch = host, case, launch
        host.started.append((case, launch))
        host.alive.add(self)

    def wait_until_started(self, timeout_s):
        pass

    def _work(self, seconds):
        self.host.clock.now_ns += round(seconds * 1e9)

    def _fail(self, when):
        takes_s = self.host.fails.get((self.case, self.launch, when))
        if takes_s is not None:
            self._work(takes_s)
            raise WorkerError("killed.")

    def open(self, request, timeout_s):
        self.case = request.case  # in a sweep one worker opens many
        self._fail("open")
        self._work(OPEN_S)
        return OpenReply(effective={}, import_ns=1, load_ns=2, first_ns=3, imported_bytes=1, peak_bytes=2,
                         ended_ns=self.host.clock.now_ns, max_abs_error=None, max_rel_error=None)  # fmt: skip

    def round(self, request, timeout_s):
        assert self in self.host.alive
        self._fail("round")
        began_ns = self.host.clock.now_ns
        duration_s = 0.02 if request.cold_samples else (request.settle_ms + request.target_ms) / 1000
        self._work(duration_s)
        self.host.requests.append((self.case, self.launch, request))
        fields = dict.fromkeys(RoundReply.__slots__, 0)
        fields |= {"settle_ns": (1,), "latencies_ns": (1_000_000,) * 3, "wall_ns": round(duration_s * 1e9),
                   "cpu_ns": round(duration_s * 1e9), "busy_threads": 1,
                   "busiest_ns": None,
                   "workload_before_ns": 70_000, "workload_after_ns": 70_000,
                   "started_ns": began_ns, "ended_ns": self.host.clock.now_ns,
                   "pressure_us": None, "throttled_ns": 1 if self.host.disturbed(self.case) else None}  # fmt: skip
        return RoundReply(**fields)

    def alive(self):
        return True

    def log_tail(self):
        return ""

    def close(self):
        self.host.alive.discard(self)


class Kept:
    """A sink that remembers, with the clock's time of each round."""

    def __init__(self, clock):
        self.clock, self.launches, self.rounds, self.failures, self.measuring_s, self.caveats = clock, [], [], [], 0.0, []

    def launch(self, samples):
        self.launches.append(samples)

    def round(self, case, launch, measured):
        self.rounds.append((case, launch, measured))

    def memory(self, memory):
        pass

    def failure(self, failure):
        self.failures.append(failure)

    def caveat(self, caveat):
        self.caveats.append(caveat)

    def elapsed(self, measuring_s):
        self.measuring_s = measuring_s

    def steady(self):
        return [(case, launch, r) for case, launch, r in self.rounds if r.regime == "steady"]

    def waves(self):
        return len({launch for _, launch, _ in self.rounds})


@pytest.fixture
def host(monkeypatch):
    made = Host(Clock())
    for module in (conductor, conducting, sweep):
        monkeypatch.setattr(module, "time", made.clock)
    for module in (conductor,):
        monkeypatch.setattr(module, "Worker", made.worker)
    monkeypatch.setattr(conducting, "available_memory_bytes", lambda: 1 << 40)
    return made


def carried_out(host, tmp_path, *cases, already=None, **changes):
    plan = a_plan(*cases, **{"launches": 500, "regimes": ("steady",), "budget_s": 60.0, **changes})
    kept = Kept(host.clock)
    artifacts = {case.id: () if case.backend == "null" else ("a file",) for case in cases}
    conduct(plan, artifacts, tmp_path, tmp_path, kept, already=already)
    assert not host.alive
    return plan, kept


@pytest.mark.parametrize("budget_s", [20.0, 33.0, 47.0, 60.0, 90.0])
def test_whole_waves_use_up_the_budget(host, tmp_path, budget_s):
    plan, kept = carried_out(host, tmp_path, *CASES, budget_s=budget_s)
    rounds = Counter((case, launch) for case, launch, _ in kept.steady())
    assert len({n for (case, _), n in rounds.items() if case == CASES[1]}) == 1  # no wave was cut short
    assert {launch for _, launch in rounds} == set(range(kept.waves()))
    assert all((case, launch) in rounds for case in CASES for launch in range(kept.waves()))
    assert 0.93 * budget_s <= kept.measuring_s <= budget_s + 0.001
    assert {r.settle_ms for _, _, r in host.requests} == {plan.settle_ms}
    targets = [r.target_ms for _, _, r in host.requests]
    assert min(targets) >= 0.75 * plan.round_target_ms - 1e-6
    assert max(targets) <= 2.0 * plan.round_target_ms + 1e-6


def test_no_more_launches_are_made_than_planned(host, tmp_path):
    _, kept = carried_out(host, tmp_path, *CASES, launches=4, budget_s=1000.0)
    assert kept.waves() == 4


def test_each_launch_has_three_rounds_and_a_pivot_twice_as_many_in_passes_of_random_order(host, tmp_path):
    cases = [a_case(f"network {n}") for n in range(4)]
    plan, kept = carried_out(host, tmp_path, *cases, launches=20, budget_s=1000.0)
    assert Counter(baseline for _, baseline in pairs_of(plan)) == {cases[0]: 3}
    counts = Counter((case, launch) for case, launch, _ in kept.steady())
    assert set(counts.values()) == {3, 6}
    assert {case for (case, _), n in counts.items() if n == 6} == {cases[0]}
    orders = {}
    for case, launch, measured in kept.steady():
        orders.setdefault(launch, []).append((measured.order, case))
    sequences = [[case for _, case in sorted(found, key=lambda pair: pair[0])] for found in orders.values()]
    for sequence in sequences:  # three passes, each with every case
        for one_pass in batches(sequence, 5):
            assert set(one_pass) == set(cases)
    assert len({tuple(sequence[:5]) for sequence in sequences}) > 10
    first = Counter(sequence[0] for sequence in sequences)
    assert len(first) == 4


def batches(sequence, size):
    return [sequence[start : start + size] for start in range(0, len(sequence), size)]


def test_the_order_is_that_of_the_seed(host, tmp_path):
    orders = []
    for seed in (1, 1, 2):
        _, kept = carried_out(host, tmp_path, *CASES, launches=3, budget_s=1000.0, seed=seed)
        orders.append([case for case, _, _ in kept.rounds])
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(("files", "most"), [(64, 6), (8, 4), (5, 2), (-3, 1)])
def test_a_wave_is_split_where_few_files_may_be_open(host, tmp_path, monkeypatch, files, most):
    monkeypatch.setattr(conducting, "spare_files", lambda: files)
    together = []
    started = host.worker

    def watched(*arguments):
        worker = started(*arguments)
        together.append(len(host.alive))
        return worker

    monkeypatch.setattr(conductor, "Worker", watched)
    _, kept = carried_out(host, tmp_path, *CASES, launches=2, budget_s=1000.0)
    assert max(together) == most
    assert len({(case, launch) for case, launch, _ in kept.rounds}) == 2 * len(CASES)


def test_the_harness_is_timed_in_the_first_three_waves_only(host, tmp_path):
    _, kept = carried_out(host, tmp_path, *CASES, HARNESS, launches=8, budget_s=1000.0)
    assert {launch for case, launch, _ in kept.rounds if case == HARNESS} == {0, 1, 2}
    assert {launch for case, launch, _ in kept.rounds if case == CASES[0]} == set(range(8))


def test_a_run_of_the_harness_alone_times_it_in_every_wave(host, tmp_path):
    _, kept = carried_out(host, tmp_path, HARNESS, launches=5, budget_s=1000.0)
    assert kept.waves() == 5


def test_cold_rounds_are_in_the_first_launches_behind_the_steady_ones(host, tmp_path):
    _, kept = carried_out(host, tmp_path, *CASES, launches=5, budget_s=1000.0, regimes=("steady", "cold"))
    cold = [(case, launch) for case, launch, r in kept.rounds if r.regime == "cold"]
    assert Counter(cold) == {(case, launch): 1 for case in CASES for launch in range(3)}
    last = {(case, launch): r.regime for case, launch, r in kept.rounds}
    assert {last[case, launch] for case, launch in cold} == {"cold"}
    assert {r.stream for _, _, r in host.requests if not r.cold_samples} == {True}
    assert {r.stream for _, _, r in host.requests if r.cold_samples} == {False}


def test_a_disturbed_cold_round_or_harness_is_made_up_for_in_a_later_launch_and_not_for_ever(host, tmp_path):
    cases = [*CASES, HARNESS]
    until_ns = host.clock.now_ns + 8_000_000_000
    host.disturbed = lambda case: case in (CASES[1], HARNESS) and host.clock.now_ns < until_ns
    _, kept = carried_out(host, tmp_path, *cases, launches=9, budget_s=1000.0, regimes=("steady", "cold"))
    cold = [(case, launch, r) for case, launch, r in kept.rounds if r.regime == "cold"]
    good = Counter(case for case, _, r in cold if not r.disturbances)
    assert set(good.values()) == {3}
    assert {launch for case, launch, _ in cold if case == CASES[0]} == {0, 1, 2}
    assert max(launch for case, launch, _ in cold if case == CASES[1]) > 2
    harness = {launch for case, launch, r in kept.steady() if case == HARNESS and not r.disturbances}
    assert len(harness) == 3

    host.disturbed = lambda case: case in (CASES[1], HARNESS)
    _, kept = carried_out(host, tmp_path, *cases, launches=20, budget_s=1000.0, regimes=("steady", "cold"))
    tried = {launch for case, launch, r in kept.rounds if r.regime == "cold" and case == CASES[1]}
    assert tried == set(range(9))
    assert {launch for case, launch, _ in kept.rounds if case == HARNESS} == set(range(9))


def test_a_disturbed_round_of_a_wave_is_not_repeated(host, tmp_path):
    host.disturbed = lambda case: case == CASES[1]
    _, kept = carried_out(host, tmp_path, *CASES, launches=3, budget_s=1000.0)
    spoilt = [r for case, _, r in kept.rounds if case == CASES[1]]
    assert all(r.disturbances for r in spoilt)
    assert len(spoilt) == 3 * 3
    assert sorted({r.index for r in spoilt}) == [0, 1, 2]


def test_a_disturbed_round_of_a_sweep_is_repeated_once_and_both_are_kept(host, tmp_path):
    host.disturbed = lambda case: case == CASES[1]
    _, kept = carried_out(host, tmp_path, *CASES, launches=3, budget_s=1000.0, sweep=True, rounds_per_launch=1)
    counts = Counter((case, launch) for case, launch, _ in kept.rounds)
    assert {n for (case, _), n in counts.items() if case == CASES[1]} == {2}
    assert {n for (case, _), n in counts.items() if case != CASES[1]} == {1}
    assert {r.index for _, _, r in kept.rounds} == {0}
    assert not any(request.stream for _, _, request in host.requests)


def test_rounds_wait_for_a_quiet_cpu_once_it_is_known_what_is_quiet(host, tmp_path):
    carried_out(host, tmp_path, *CASES, launches=2, budget_s=1000.0)
    first, *others = [request for _, _, request in host.requests]
    assert first.quiet_ns is None
    assert all(request.quiet_ns > 70_000 and request.patience_ms == conductor.PATIENCE_MS for request in others)


def test_blocks_are_spread_over_time_and_waiting_is_not_taken_from_the_budget(host, tmp_path):
    _, kept = carried_out(host, tmp_path, *CASES, blocks=4, over_s=3600.0, budget_s=60.0)
    block_of = {samples.launch: samples.block for samples in kept.launches}
    began_s = {}
    for _, launch, measured in kept.rounds:
        began_s[block_of[launch]] = min(began_s.get(block_of[launch], 1e9), measured.started_ns / 1e9)
    assert sorted(began_s) == [0, 1, 2, 3]
    assert [began_s[block] for block in range(4)] == pytest.approx([0, 1200, 2400, 3600], abs=5)
    assert sum(host.clock.slept_s) == pytest.approx(3600 - 45, abs=5)
    assert 0.9 * 60.0 <= kept.measuring_s <= 60.001
    waves = Counter(block_of.values())
    assert max(waves.values()) - min(waves.values()) <= 1
    alone = carried_out(host, tmp_path, *CASES, budget_s=60.0)[1]
    assert kept.waves() >= alone.waves() - 4


def test_a_run_resumed_in_a_later_block_goes_on_with_that_block(host, tmp_path):
    _, whole = carried_out(host, tmp_path, *CASES, blocks=3, over_s=600.0, launches=6, budget_s=600.0)
    half = tuple(
        replace(s, rounds=tuple(r for case, n, r in whole.rounds if (case, n) == (s.case, s.launch)))
        for s in whole.launches if s.launch < 3
    )  # fmt: skip
    already = Already(waves=3, elapsed_s=10.0, samples=half)
    slept = len(host.clock.slept_s)
    _, rest = carried_out(host, tmp_path, *CASES, blocks=3, over_s=600.0, launches=6, budget_s=600.0, already=already)
    assert {s.launch: s.block for s in rest.launches} == {3: 1, 4: 2, 5: 2}
    assert sum(host.clock.slept_s[slept:]) < 400


def test_a_resumed_run_whose_budget_is_spent_makes_no_further_wave(host, tmp_path):
    _, whole = carried_out(host, tmp_path, *CASES, launches=3, budget_s=600.0)
    already = Already(waves=3, elapsed_s=61.0, samples=tuple(whole.launches))
    assert not carried_out(host, tmp_path, *CASES, budget_s=60.0, already=already)[1].rounds


@pytest.mark.parametrize("changes", [{"blocks": 3, "over_s": 3600.0}, {}])
def test_what_a_killed_run_behind_it_counts_neither_waits_nor_failures(changes):
    """Rounds of 0.1 s, the last one an hour after the first: between them lay a wait for a block, or a launch that hung."""
    plan = a_plan(CASES[0], **changes)
    rounds = [a_round([10**8], order=n, started_ns=n * 1800 * 10**9, wall_ns=10**8, settle_ns=(10**8,)) for n in range(3)]
    failures = () if changes else (LaunchFailure(case=CASES[0], launch=3, reason="hung"),)
    run = a_run(plan, *(a_launch(CASES[0], n, r) for n, r in enumerate(rounds)), measuring_s=0.0, failures=failures)
    assert compare.already(run).elapsed_s == pytest.approx(0.6)
    assert compare.already(replace(run, measuring_s=30.0)).elapsed_s == 30.0


def test_the_time_of_a_failed_launch_is_not_taken_from_the_budget_but_stays_on_the_time_axis(host, tmp_path):
    host.fails = {(CASES[2], 1, "round"): 100.0}
    _, failed = carried_out(host, tmp_path, *CASES, budget_s=60.0)
    assert [(f.case, f.launch) for f in failed.failures] == [(CASES[2], 1)]
    assert failed.measuring_s <= 60.001
    last_s = max(r.started_ns for _, _, r in failed.rounds) / 1e9
    assert 140.0 < last_s < 160.0
    host.fails = {}
    _, sound = carried_out(host, tmp_path, *CASES, budget_s=60.0)
    assert abs(failed.waves() - sound.waves()) <= 1
    starts = [r.started_ns for _, _, r in sorted(failed.rounds, key=lambda kept: kept[2].order)]
    assert starts == sorted(starts)


def test_a_case_that_failed_before_it_gave_a_figure_is_left_out_and_one_that_failed_twice_as_well(host, tmp_path):
    host.fails = {(CASES[0], 0, "open"): 0.1, (CASES[1], 2, "round"): 0.1, (CASES[1], 4, "round"): 0.1}
    _, kept = carried_out(host, tmp_path, *CASES, launches=8, budget_s=1000.0)
    made = {case: {launch for c, launch, _ in kept.rounds if c == case} for case in CASES}
    assert made[CASES[0]] == set()
    assert made[CASES[1]] == {0, 1, 3}
    assert made[CASES[2]] == set(range(8))


def test_rounds_are_numbered_within_the_launch_and_over_the_run(host, tmp_path):
    _, kept = carried_out(host, tmp_path, *CASES, launches=3, budget_s=1000.0, regimes=("steady", "cold"))
    assert sorted(r.order for _, _, r in kept.rounds) == list(range(len(kept.rounds)))
    by_launch = {}
    for case, launch, measured in kept.rounds:
        by_launch.setdefault((case, launch), []).append(measured.index)
    assert all(indices == list(range(len(indices))) for indices in by_launch.values())
