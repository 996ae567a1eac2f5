"""Waiting for the next turn of a loop, on a clock that somebody may set meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from models.contract.clock import Clock
from models.contract.timestamps import SECOND_MS, Instant

_LOOK_EVERY_S = 5.0


async def wait_for_turn(clock: Clock, due: Instant, period_ms: int) -> bool:
    """Return once domain time has reached ``due``: True.

    False when ``due`` is further away than a period, because the clock was set back: whoever went
    on waiting would do nothing for as long as the clock had been wrong.
    """
    while (left_ms := due - clock.now()) > 0:
        if left_ms > period_ms + SECOND_MS:
            return False
        with suppress(TimeoutError):
            # Never longer than the world needs for it: the clock's own sleep trusts the clock.
            async with asyncio.timeout(min(left_ms / 1000 + 1.0, _LOOK_EVERY_S)):
                await clock.sleep_until(due)
    return True
