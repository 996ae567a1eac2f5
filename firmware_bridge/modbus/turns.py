"""Whose turn it is on a shared line: one at a time, and the healthy before the doubtful.

A request to a unit that has not answered lately costs a whole timeout. It therefore lets others
pass, as if it had come later by :data:`YIELD_S`; it still gets its turn on a line that is never
free.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time

YIELD_S = 10.0


class Turns:
    """A lock with an order. Not thread-safe: one event loop owns it."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._tie = itertools.count()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    async def take(self, *, doubtful: bool = False) -> None:
        """Wait for a turn; give it back with :meth:`give`."""
        if not self._taken:
            self._taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        due = time.monotonic() + (YIELD_S if doubtful else 0.0)
        heapq.heappush(self._waiting, (due, next(self._tie), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()  # it was our turn already: pass it on
            raise

    def give(self) -> None:
        """End a turn."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():  # who gave up waiting is passed over
                turn.set_result(None)
                return
        self._taken = False
