"""A clock that is set while a loop waits costs at most one turn."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent import pacing
from edge_agent.pacing import wait_for_turn
from models.contract.timestamps import HOUR_MS, MINUTE_MS, Instant

NOON = 1_687_996_800_000


class SetClock:
    """A wall clock that stands still until somebody sets it, and sleeps as the system's does."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> Instant:
        return self.time

    def monotonic(self) -> float:
        raise AssertionError("not asked")

    async def sleep_until(self, instant: Instant) -> None:
        while self.time < instant:
            await asyncio.sleep(0.001)


def wait(moved_by: int, due: Instant) -> bool:
    async def go() -> bool:
        clock = SetClock()
        waiting = asyncio.create_task(wait_for_turn(clock, due, MINUTE_MS))
        await asyncio.sleep(0.005)
        assert not waiting.done()
        clock.time += moved_by
        async with asyncio.timeout(5):
            return await waiting

    return asyncio.run(go())


def test_the_turn_comes() -> None:
    assert wait(MINUTE_MS, NOON + MINUTE_MS)


def test_a_clock_set_forward_by_hours_is_one_turn() -> None:
    assert wait(7 * HOUR_MS, NOON + MINUTE_MS)


def test_a_clock_set_back_by_hours_does_not_stop_the_loop_for_hours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacing, "_LOOK_EVERY_S", 0.02)
    assert not wait(-3 * HOUR_MS, NOON + MINUTE_MS)
