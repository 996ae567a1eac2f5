"""Whether every loop still moves, and telling systemd so.

A loop marks its progress; the watchdog is fed only when *every* loop has moved within its own
deadline, so one stuck loop restarts the process instead of hiding behind the others. A loop that
ends with an error ends the agent: systemd starts it again with nothing lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Mark of one loop. Deadlines are real time."""

    name: str
    deadline_s: float
    _monotonic: Callable[[], float]
    _elsewhere: Callable[[], float] | None = None
    _marked: float = 0.0

    def __post_init__(self) -> None:
        self.mark()

    def mark(self) -> None:
        """The loop has come round."""
        self._marked = self._monotonic()

    @property
    def stuck(self) -> bool:
        """Whether the loop has not come round within its deadline."""
        marked = self._marked if self._elsewhere is None else self._elsewhere()
        return self._monotonic() - marked > self.deadline_s


class Watchdog:
    """Feeds systemd while all loops move."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._loops: list[Progress] = []
        interval_us = int(os.environ.get("WATCHDOG_USEC", "0") or 0)
        self.period_s = interval_us / 1e6 / 3 if interval_us else 10.0

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


def notify_systemd(state: str) -> bool:
    """Send ``state`` to systemd (sd_notify(3)); False when not started by it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(state.encode(), address)
    except OSError as error:
        _log.warning("systemd does not listen at %s: %s", address, error)
        return False
    return True
