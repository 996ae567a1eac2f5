"""The reconnect machine: no thundering herd, no hammering, no forgetting too early."""

from __future__ import annotations

import itertools
import random

import pytest

from edge_agent.uplink.reconnect import TABLE, Backoff, Event, Reconnect, ReconnectSettings, State

SETTINGS = ReconnectSettings(first_s=1.0, longest_s=60.0, stable_s=30.0)


def machine(seed: int = 1) -> Reconnect:
    return Reconnect(SETTINGS, random.Random(seed))


def failing(one: Reconnect, times: int, now: float = 0.0) -> list[float]:
    pauses = []
    for _ in range(times):
        assert one.handle(Event.FAILED, now) is State.WAITING
        pauses.append(one.pause_s)
        one.handle(Event.WAITED, now)
    return pauses


def test_pauses_lie_below_a_bound_that_doubles_up_to_the_longest() -> None:
    bounds = [1, 2, 4, 8, 16, 32, 60, 60]
    for seed in range(200):
        one = machine(seed)
        one.handle(Event.START, 0)
        pauses = failing(one, len(bounds))
        assert all(0 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))


def test_a_fleet_that_lost_its_broker_does_not_come_back_together() -> None:
    pauses = []
    for seed in range(1000):
        one = machine(seed)
        one.handle(Event.START, 0)
        pauses.append(failing(one, 7)[-1])
    by_tenth = [sum(6 * i <= pause < 6 * (i + 1) for pause in pauses) for i in range(10)]
    assert min(by_tenth) > 60  # evenly spread: 100 each


def test_a_broker_that_accepts_and_drops_is_not_hammered() -> None:
    one = machine()
    one.handle(Event.START, 0)
    for turn in range(6):
        one.handle(Event.ACCEPTED, 10.0 * turn)
        one.handle(Event.LOST, 10.0 * turn + 1)
        one.handle(Event.WAITED, 10.0 * turn + 2)
    assert one.backoff.bound_s == 60.0


def test_a_stable_connection_wipes_out_earlier_failures() -> None:
    one = machine()
    one.handle(Event.START, 0)
    failing(one, 6)
    one.handle(Event.ACCEPTED, 100)
    one.handle(Event.LOST, 100 + SETTINGS.stable_s)
    assert one.pause_s <= SETTINGS.first_s
    assert one.backoff.failures == 1


def test_a_wrong_password_goes_straight_to_the_longest_bound() -> None:
    one = machine()
    one.handle(Event.START, 0)
    one.handle(Event.REFUSED, 0)
    assert one.backoff.bound_s == SETTINGS.longest_s


def test_every_state_can_be_stopped_and_nothing_else_is_guessed() -> None:
    for state, event in itertools.product(State, Event):
        one = machine()
        one.state = state
        if (state, event) in TABLE:
            assert one.handle(event, 0) is TABLE[state, event]
        else:
            with pytest.raises(ValueError, match=state.name):
                one.handle(event, 0)
        assert TABLE[state, Event.STOP] is State.STOPPED


def test_years_of_failures_do_not_overflow() -> None:
    backoff = Backoff(SETTINGS, random.Random(1))
    backoff.failures = 100_000
    assert 0 <= backoff.next_s() <= 60.0


@pytest.mark.parametrize("bad", [{"first_s": 0.0}, {"first_s": 9.0, "longest_s": 8.0}])
def test_impossible_pauses_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="first_s"):
        ReconnectSettings(**bad)
