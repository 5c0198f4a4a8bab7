from uuid import UUID, uuid4

from scheduler.observations import Instance, Observations, RunningJob

W = "host:1:abc"


def beating(beat: int, worker: str = W) -> Instance:
    return Instance(worker, "worker", beat)


def job(worker: str = W, *, is_listed: bool, token: UUID | None = None) -> RunningJob:
    return RunningJob(uuid4(), token or uuid4(), worker, is_listed)


def test_a_counter_that_stands_still_for_four_seconds_is_dead_and_not_earlier() -> None:
    observations = Observations()
    verdicts = [observations.find_dead(float(now), [beating(7)]) for now in range(6)]
    assert [bool(dead) for dead in verdicts] == [False, False, False, False, True, True]


def test_a_counter_that_moves_is_alive() -> None:
    observations = Observations()
    assert not any(observations.find_dead(now, [beating(now // 3)]) for now in range(30))


def test_a_counter_that_moves_backwards_is_alive() -> None:
    observations = Observations()
    assert not any(observations.find_dead(now, [beating(100 - now)]) for now in range(10))


def test_a_scheduler_that_starts_among_dead_workers_waits_its_own_four_seconds() -> None:
    assert Observations().find_dead(1000.0, [beating(7)]) == []


def test_after_forgetting_nobody_is_dead_at_once() -> None:
    observations = Observations()
    for now in range(4):
        observations.find_dead(float(now), [beating(7)])
    observations.forget()
    assert observations.find_dead(4.0, [beating(7)]) == []


def test_a_gap_between_observations_begins_anew_for_the_workers_stood_still_too() -> None:
    observations = Observations()
    for now in (0.0, 1.0, 2.0, 3.0):
        observations.find_dead(now, [beating(7)])
    assert observations.find_dead(9.0, [beating(7)]) == []
    assert observations.find_dead(10.0, [beating(7)]) == []


def test_only_the_dead_one_of_two_is_dead() -> None:
    observations = Observations()
    for now in range(5):
        dead = observations.find_dead(float(now), [beating(7), beating(now, "host:2:def")])
    assert dead == [beating(7)]


def test_a_listed_job_is_never_lost() -> None:
    observations, running = Observations(), job(is_listed=True)
    assert not any(observations.find_lost(now, {W: now}, [running]) for now in range(10))


def test_an_unlisted_job_is_lost_after_two_more_beats() -> None:
    observations, running = Observations(), job(is_listed=False)
    verdicts = [observations.find_lost(now, {W: beat}, [running]) for now, beat in enumerate([5, 5, 6, 6, 7])]
    assert [len(losses) for losses in verdicts] == [0, 0, 0, 0, 1]
    assert "does not run it any more" in verdicts[-1][0].reason


def test_a_job_that_its_worker_lists_late_is_not_lost() -> None:
    observations, token = Observations(), uuid4()
    assert not observations.find_lost(0, {W: 5}, [job(is_listed=False, token=token)])
    assert not observations.find_lost(1, {W: 6}, [job(is_listed=True, token=token)])
    assert not observations.find_lost(2, {W: 7}, [job(is_listed=False, token=token)])


def test_each_attempt_is_doubted_by_its_own_token() -> None:
    observations = Observations()
    for beat in range(10):
        assert not observations.find_lost(float(beat), {W: beat}, [job(is_listed=False)])


def test_a_job_without_a_worker_is_lost_when_seen_twice_two_seconds_apart() -> None:
    observations, running = Observations(), job(is_listed=False)
    verdicts = [observations.find_lost(now, {}, [running]) for now in (0.0, 1.0, 1.9, 2.0)]
    assert [len(losses) for losses in verdicts] == [0, 0, 0, 1]
    assert verdicts[-1][0].reason == f"worker {W} is gone"


def test_a_worker_that_appears_in_time_keeps_its_job() -> None:
    observations, running = Observations(), job(is_listed=False)
    assert not observations.find_lost(0.0, {}, [running])
    assert not observations.find_lost(2.0, {W: 1}, [running])
    assert not observations.find_lost(3.0, {}, [running])
