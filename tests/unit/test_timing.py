from mnbench.measure import timing
from mnbench.records import SettleRule

MS = 1_000_000
RULE = SettleRule(window=4, tolerance_pct=1.0, min_ms=0.0, max_ms=1000.0)


def test_a_round_lasts_until_its_target_and_keeps_every_latency(clock, fake_session):
    session = fake_session([3 * MS])
    assert timing.time_for(session.run, 10 * MS, clock) == [3 * MS] * 4
    assert session.runs == 4


def test_a_round_makes_at_least_one_inference(clock, fake_session):
    assert timing.time_for(fake_session([5 * MS]).run, 0, clock) == [5 * MS]


def test_a_round_of_a_session_that_takes_no_time_is_bounded(clock, fake_session):
    assert len(timing.time_for(fake_session([0]).run, 10 * MS, clock, most=100)) == 100


def test_settling_waits_for_the_end_of_a_transient(clock, fake_session):
    transient = [120, 118, 116, 114, 112, 110, 108, 106, 104, 102, 101, 100]
    latencies, settled = timing.settle(fake_session([t * MS // 100 for t in transient]).run, RULE, clock)
    assert settled
    assert len(latencies) >= len(transient)


def test_a_steady_session_settles_after_a_look_of_two_inferences_and_two_windows(clock, fake_session):
    latencies, settled = timing.settle(fake_session([MS]).run, RULE, clock)
    assert (len(latencies), settled) == (2 + 2 * 4, True)


def test_a_very_slow_session_is_not_run_for_a_whole_window_before_the_first_look(clock, fake_session):
    latencies, _ = timing.settle(fake_session([10_000 * MS]).run, SettleRule(window=8), clock)
    assert len(latencies) == 4


def test_settling_takes_the_least_time_it_was_given(clock, fake_session):
    rule = SettleRule(window=4, min_ms=60.0)
    timing.settle(fake_session([MS]).run, rule, clock)
    assert clock.now_ns >= 60 * MS


def test_a_session_that_never_settles_is_given_up_and_said_so(clock, fake_session):
    ever_faster = [int(MS * 0.98**n) + 1 for n in range(4000)]
    rule = SettleRule(window=4, max_ms=20.0, min_ms=0.0)
    latencies, settled = timing.settle(fake_session(ever_faster).run, rule, clock)
    assert not settled
    assert latencies


def test_slow_inferences_need_fewer_of_them_in_a_window():
    assert timing.window_size(SettleRule(window=8), [100 * MS]) == 2
    assert timing.window_size(SettleRule(window=8), [10 * MS]) == 4
    assert timing.window_size(SettleRule(window=8), [MS]) == 8
