"""One worker: its task, what became of it, and when it is started again.

    RUNNING --ends--> PAUSED --pause is over--> RUNNING
       |                ^
       +--stuck--> LEAVING

Decides nothing about others; :meth:`Worker.turn` is called by the supervisor again and again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from enum import StrEnum

from .errors import RestartNeeded, WorkerFailed
from .progress import Monotonic, Progress
from .restarts import Restarts, SupervisionSettings

_log = logging.getLogger(__name__)

Factory = Callable[[Progress], Awaitable[None]]


class State(StrEnum):
    """See the module docstring."""

    RUNNING = "running"
    LEAVING = "leaving"
    """Was told to end because it is stuck, and has not ended yet."""
    PAUSED = "paused"


class Worker:
    """A task that is started again when it ends or stands still."""

    def __init__(
        self,
        progress: Progress,
        factory: Factory,
        monotonic: Monotonic,
        settings: SupervisionSettings,
        rng: random.Random,
        *,
        essential: bool,
        leaves_last: bool,
        wake: Callable[[], None],
        on_restart: Callable[[str, str], object],
        on_well: Callable[[str], object],
    ) -> None:
        self.name, self.progress = progress.name, progress
        self.essential, self.leaves_last = essential, leaves_last
        self.restarts = Restarts(settings, rng)
        self.state = State.PAUSED
        self.task: asyncio.Task[None] | None = None
        self._factory, self._monotonic, self._settings = factory, monotonic, settings
        self._wake, self._on_restart, self._on_well = wake, on_restart, on_well
        self._leaving = Progress(f"the end of {self.name}", settings.cancel_s, monotonic)
        self._left_behind = False
        self._started_at = self._resume_at = monotonic()

    @property
    def fed(self) -> bool:
        """Whether the watchdog may be fed as far as this worker is concerned."""
        if self.state is State.LEAVING:
            return self._left_behind
        return self.state is State.PAUSED or not self.progress.stuck

    @property
    def stuck_reason(self) -> str:
        """The same words each time, so that a repeat is known as one."""
        return f"did not come round within {self.progress.deadline_s:g} s"

    def start(self) -> None:
        """Start a task."""
        self.progress.mark()
        self._started_at = self._monotonic()
        self.state = State.RUNNING
        self.task = asyncio.create_task(self._live(), name=self.name)
        self.task.add_done_callback(lambda _: self._wake())

    async def _live(self) -> None:
        await self._factory(self.progress)

    def forgive(self, seconds: float) -> None:
        """``seconds`` that have just passed count for nobody."""
        self.progress.forgive(seconds)
        self._leaving.forgive(seconds)
        self._started_at += seconds

    def turn(self) -> None:
        """See to it that it runs.

        Raises:
            WorkerFailed: a new process is needed.
        """
        if self.state is State.PAUSED:
            if self._monotonic() >= self._resume_at:
                self.start()
            return
        assert self.task is not None
        if self.task.done():
            self._ended(self.task)
        elif self.state is State.LEAVING:
            if self._leaving.stuck:
                self._does_not_leave()
        elif self.progress.stuck:
            _log.warning("worker %s %s and is told to end", self.name, self.stuck_reason)
            self._see_if_well()
            self.state, self._left_behind = State.LEAVING, False
            self._leaving.mark()
            self.task.cancel()
        else:
            self._see_if_well()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self.state is State.LEAVING:
            reason = self.stuck_reason
        elif error is not None:
            self._see_if_well()
            reason = f"{type(error).__name__}: {error}"
        else:
            self._see_if_well()
            reason = "was cancelled" if task.cancelled() else "ended by itself"
        now, self.task = self._monotonic(), None
        pause_s, is_news = self.restarts.failed(now, reason)
        if isinstance(error, RestartNeeded):
            raise WorkerFailed(self.name, str(error)) from error
        if self.essential and self.restarts.hopeless(now):
            count = self.restarts.count
            raise WorkerFailed(self.name, f"failed {count} times, at last: {reason}") from error
        self.state, self._resume_at = State.PAUSED, now + pause_s
        self._tell(reason, error, pause_s, is_news)

    def _tell(
        self, reason: str, error: BaseException | None, pause_s: float, is_news: bool
    ) -> None:
        if not is_news:
            _log.warning(
                "worker %s again (%d times): %s; it is started again in %.1f s",
                self.name, self.restarts.repeats(reason), reason, pause_s,
            )  # fmt: skip
            return
        _log.error(
            "worker %s: %s; it is started again in %.1f s",
            self.name, reason, pause_s, exc_info=error,
        )  # fmt: skip
        self._call(self._on_restart, self.name, self.restarts.last_reason)

    def _see_if_well(self) -> None:
        """It is well if it has moved until long after its start, not if it merely exists."""
        is_well = self.progress.moved_at - self._started_at >= self._settings.well_s
        if is_well and self.restarts.ran_well():
            _log.info("worker %s runs well again", self.name)
            self._call(self._on_well, self.name)

    def _does_not_leave(self) -> None:
        reason = f"{self.stuck_reason} and does not let itself be cancelled"
        if self.essential:
            raise WorkerFailed(self.name, reason)
        if not self._left_behind:  # it is started again if it ever ends
            self._left_behind = True
            _log.error("worker %s %s; the agent goes on without it", self.name, reason)
            self._call(self._on_restart, self.name, reason)

    def _call(self, hook: Callable[..., object], *arguments: str) -> None:
        try:
            hook(*arguments)
        except Exception:
            _log.exception("a hook of supervision failed for worker %s; it does no harm", self.name)
