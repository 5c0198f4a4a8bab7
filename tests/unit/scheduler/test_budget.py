from scheduler.budget import Budget


def test_the_first_use_is_allowed_at_once() -> None:
    assert Budget(0.05).allows(0.0)


def test_uses_take_no_more_than_their_share_of_the_time() -> None:
    budget = Budget(0.05)
    now, spent_s = 0.0, 0.0
    while now < 100.0:
        if budget.allows(now):
            now += 0.2
            spent_s += 0.2
            budget.spend(now, 0.2)
        now += 0.01
    assert 0.04 < spent_s / now <= 0.051


def test_something_cheap_waits_for_the_shortest_pause() -> None:
    budget = Budget(0.05, shortest_pause_s=2.0)
    budget.spend(10.0, 0.001)
    assert not budget.allows(11.9)
    assert budget.allows(12.0)
    assert budget.pause_s(11.5) == 0.5
