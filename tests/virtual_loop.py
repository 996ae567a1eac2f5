"""An event loop whose time passes only by waiting for it: hours of polling in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from models.contract.timestamps import Instant

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._virtual_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._virtual_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._virtual_s += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout > 0:
            # A little more: a timer that is a rounding error away would be looked at for ever.
            self._loop.advance(timeout + 1e-6)
        return super().select(0)


class VirtualClock:
    """Domain time runs with the loop, and can be set like a wall clock."""

    def __init__(self, loop: VirtualLoop, start: Instant) -> None:
        self._loop, self.offset_ms = loop, start

    def now(self) -> Instant:
        return self.offset_ms + int(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    def set_by(self, ms: int) -> None:
        """Somebody sets the clock ahead by ``ms``, or back."""
        self.offset_ms += ms

    async def sleep_until(self, instant: Instant) -> None:
        while (left_ms := instant - self.now()) > 0:
            await asyncio.sleep(left_ms / 1000)


def run_virtually(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on ``loop`` and close it."""
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
