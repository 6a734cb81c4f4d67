from mnbench.measure import timing

MS = 1_000_000


def test_a_round_lasts_until_its_target_and_keeps_every_latency(clock, fake_session):
    session = fake_session([3 * MS])
    assert timing.time_for(session.run, 10 * MS, clock) == [3 * MS] * 4
    assert session.runs == 4


def test_a_round_makes_at_least_one_inference(clock, fake_session):
    assert timing.time_for(fake_session([5 * MS]).run, 0, clock) == [5 * MS]


def test_a_round_of_a_session_that_takes_no_time_is_bounded(clock, fake_session):
    assert len(timing.time_for(fake_session([0]).run, 10 * MS, clock, most=100)) == 100
