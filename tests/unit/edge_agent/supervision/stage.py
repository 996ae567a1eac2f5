"""A clock that the test moves, and a supervisor on it that tells what it did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from edge_agent.supervision import LoopGuard, SupervisionSettings, Supervisor

PATIENCE_S = 20.0


class Time:
    """A monotonic clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Turns(LoopGuard):
    """Counts the turns of a supervisor. Never started, it ends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def expect(self, within_s: float, what: str) -> None:
        """See :meth:`LoopGuard.expect`."""
        self.count += what == "a turn of the event loop"
        super().expect(within_s, what)


class Stage:
    """A supervisor that turns every millisecond, on virtual time, and what it told."""

    def __init__(self) -> None:
        self.time, self.turns = Time(), Turns()
        # A test moves time by leaps, and only the tests of gaps mean one by it.
        self.settings = SupervisionSettings(
            turn_s=0.001, gap_s=1e9, cancel_s=0.2, farewell_s=0.5, end_s=5.0, loop_deadline_s=1e9
        )
        self.restarted: list[tuple[str, str]] = []
        self.well: list[str] = []

    def supervisor(self, **more: Any) -> Supervisor:
        """One whose hooks note what they hear; settings by name go to its settings."""
        own = {name: more.pop(name) for name in list(more) if hasattr(self.settings, name)}
        hooks: dict[str, Any] = {
            "on_restart": lambda name, reason: self.restarted.append((name, reason)),
            "on_well": self.well.append,
            "guard": self.turns,
        }
        return Supervisor(self.time, replace(self.settings, **own), **hooks | more)

    @asynccontextmanager
    async def running(self, supervisor: Supervisor) -> AsyncIterator[asyncio.Task[None]]:
        """Run it for the block; what ends it before is raised."""
        task = asyncio.create_task(supervisor.run())
        await asyncio.sleep(0)  # its workers are there,
        await asyncio.sleep(0)  # and have begun
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def looked(self, times: int = 5) -> None:
        """Wait until the supervisor has looked at everybody so often."""
        target = self.turns.count + times
        await self.until(lambda: self.turns.count >= target, "the supervisor turns no more")

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for something that needs no more time than the machine does."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, what
            await asyncio.sleep(0.001)
