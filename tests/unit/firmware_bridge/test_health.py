"""A device that fails is left alone more and more; one that sleeps at night is no news."""

from __future__ import annotations

import random

import pytest

from firmware_bridge.health import DEAD_AFTER, Health, State
from models.contract.timestamps import HOUR_MS, MINUTE_MS, Instant

DAY = 24 * HOUR_MS
MIDNIGHT = 20_000 * DAY
DAWN, DUSK = MIDNIGHT + 6 * HOUR_MS, MIDNIGHT + 18 * HOUR_MS


def is_daylight(instant: Instant) -> bool:
    """Sun from 6 to 18 h, every day."""
    return 6 * HOUR_MS <= (instant - MIDNIGHT) % DAY < 18 * HOUR_MS


def sleeper() -> Health:
    return Health(sleeps=True, is_daylight=is_daylight, random_source=random.Random(1))


def fail(health: Health, now: Instant, times: int = 1, *, silent: bool = True) -> list[str]:
    """Texts of what is news in ``times`` failures."""
    found = [health.failed(now, "no reply", silent=silent) for _ in range(times)]
    return [news.text for news in found if news is not None]


def test_a_dead_device_is_an_alarm_once_and_its_return_ends_it() -> None:
    health = Health()
    assert health.answered(DAWN) is None
    assert fail(health, DAWN, 10) == ["gives nothing to believe: no reply"]
    assert health.state is State.DEAD
    news = health.answered(DAWN)
    assert news is not None
    assert (news.is_alarm, news.ends_alarm, news.text) == (False, True, "answers again")
    assert health.pause_s(5) == 0


def test_one_or_two_failures_are_no_news_and_cost_no_pause() -> None:
    health = Health()
    assert fail(health, DAWN, DEAD_AFTER - 1) == []
    assert health.pause_s(5) == 0
    assert health.answered(DAWN) is None


def test_pauses_of_the_dead_grow_and_are_bounded() -> None:
    health = Health(random_source=random.Random(1))
    pauses = []
    for _ in range(30):
        fail(health, DAWN)
        pauses.append(health.pause_s(5))
    assert pauses[: DEAD_AFTER - 1] == [0, 0]
    assert 4.5 <= pauses[DEAD_AFTER - 1] <= 5.5
    assert max(pauses) <= 330
    assert all(pause >= 270 for pause in pauses[-20:])
    assert len(set(pauses[-20:])) > 1  # not all dead units at the same moment


def test_silence_at_night_is_sleep_and_one_line() -> None:
    health = sleeper()
    health.answered(DUSK - HOUR_MS)
    texts = [text for hour in range(10) for text in fail(health, DUSK + hour * HOUR_MS)]
    assert texts == ["asleep until dawn"]
    assert health.state is State.ASLEEP


def test_silence_shortly_before_dusk_is_sleep_too() -> None:
    health = sleeper()
    assert fail(health, DUSK - 15 * MINUTE_MS) == ["asleep until dawn"]


def test_a_sleeper_is_expected_at_dawn_and_looked_at_in_between() -> None:
    health = sleeper()
    fail(health, MIDNIGHT)
    assert health.sleeps_until(MIDNIGHT) == MIDNIGHT + 5 * MINUTE_MS
    almost = DAWN - 3 * MINUTE_MS
    assert health.sleeps_until(almost) == DAWN
    assert health.sleeps_until(DAWN) is None
    news = health.answered(DAWN + 20 * MINUTE_MS)
    assert news is not None
    assert (news.text, news.is_alarm, news.ends_alarm) == ("woke up", False, False)


def test_asleep_at_noon_is_an_alarm() -> None:
    health = sleeper()
    fail(health, MIDNIGHT)
    assert fail(health, DAWN + 30 * MINUTE_MS, 20) == []  # some light is needed to start
    assert fail(health, DAWN + 61 * MINUTE_MS, 20) == ["still silent an hour after dawn"]
    assert health.state is State.OVERSLEPT
    news = health.answered(DAWN + 3 * HOUR_MS)
    assert news is not None
    assert news.ends_alarm


def test_a_device_that_dies_by_day_is_dead_and_stays_so_at_night() -> None:
    health = sleeper()
    health.answered(DAWN + HOUR_MS)
    assert len(fail(health, DAWN + 2 * HOUR_MS, DEAD_AFTER)) == 1
    assert fail(health, DUSK + HOUR_MS, 5) == []
    assert health.state is State.DEAD


def test_a_wrong_answer_at_night_is_no_sleep() -> None:
    health = sleeper()
    assert len(fail(health, MIDNIGHT, DEAD_AFTER, silent=False)) == 1
    assert health.state is State.DEAD


@pytest.mark.parametrize("sun", [None, is_daylight])
def test_who_does_not_sleep_or_has_no_sun_dies_at_night_as_by_day(sun: object) -> None:
    meter = Health(sleeps=sun is None, is_daylight=None if sun is None else is_daylight)
    assert len(fail(meter, MIDNIGHT, DEAD_AFTER)) == 1
    assert meter.state is State.DEAD
