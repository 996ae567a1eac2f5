"""Feeding systemd while loops move, without starting anything again: until the agent is rewired.

``Supervisor`` does all of this and more; this file goes with its last use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .notify import notify_systemd, watchdog_period_s
from .progress import Monotonic, Progress

_log = logging.getLogger(__name__)


class Watchdog:
    """Feeds systemd while all loops move."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._loops: list[Progress] = []
        self.period_s = watchdog_period_s()

    def watch(
        self, name: str, deadline_s: float, marked: Callable[[], float] | None = None
    ) -> Progress:
        """Register a loop. ``marked``: where it keeps its last mark, if it does so by itself."""
        progress = Progress(name, deadline_s, self._monotonic, marked)
        self._loops.append(progress)
        return progress

    def stuck(self) -> list[str]:
        """Names of loops past their deadline."""
        return [loop.name for loop in self._loops if loop.stuck]

    async def run(self) -> None:
        """Feed until cancelled."""
        while True:
            if stuck := self.stuck():
                _log.critical("not feeding the watchdog: stuck loops: %s", ", ".join(stuck))
            else:
                notify_systemd("WATCHDOG=1")
            await asyncio.sleep(self.period_s)
