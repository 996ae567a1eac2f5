"""Keeps every worker running: starts again what ends or stands still, and gives up in good order.

    supervisor = Supervisor(clock.monotonic, SupervisionSettings(), farewell=self._farewell)
    supervisor.add("status", self._status_loop, 180.0)
    supervisor.watch("journal-writer", 600.0, journal.moved_at)
    await supervisor.run()

Decides when systemd's watchdog is fed (only while everybody moves, or waits to be started again),
when a new process is needed, and in which order workers end. It leaves to others: one worker
(``worker``), pauses and counting (``restarts``), a loop that does not turn at all (``loop_guard``).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from .errors import WorkerFailed
from .loop_guard import LoopGuard
from .notify import notify_status, notify_systemd, watchdog_period_s
from .progress import Monotonic, Progress
from .restarts import SupervisionSettings
from .worker import Factory, State, Worker

_log = logging.getLogger(__name__)


async def _nothing() -> None:
    pass


@dataclass(frozen=True)
class WorkerReport:
    """One worker for status and metrics."""

    name: str
    state: State
    essential: bool
    restarts: int
    last_reason: str
    moved_s_ago: float


class Supervisor:
    """Create and use it in one event loop; :meth:`run` once."""

    def __init__(
        self,
        monotonic: Monotonic,
        settings: SupervisionSettings,
        *,
        on_restart: Callable[[str, str], object] = lambda name, reason: None,
        on_well: Callable[[str], object] = lambda name: None,
        farewell: Callable[[], Awaitable[None]] = _nothing,
        guard: LoopGuard | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """What is told and asked.

        ``on_restart(name, reason)``: a worker is started again; a repeat of the same reason is
        logged and counted only. ``on_well(name)``: it has run well for a while since.
        ``farewell``: at every end, after all workers but those that leave last. ``guard``: hears of
        every turn, and of the end.
        """
        self._monotonic, self._settings = monotonic, settings
        self._on_restart, self._on_well = on_restart, on_well
        self._farewell, self._guard = farewell, guard
        self._rng = rng or random.Random()
        self._workers: dict[str, Worker] = {}
        self._watched: dict[str, Progress] = {}
        self._wake = asyncio.Event()
        self._period_s = watchdog_period_s()
        self._fed_at: float | None = None
        self._told_stuck: tuple[str, ...] = ()
        self.gaps = 0
        """How often the process was stopped, asleep or blocked for longer than ``gap_s``."""

    def add(
        self,
        name: str,
        factory: Factory,
        deadline_s: float,
        *,
        essential: bool = True,
        marked: Callable[[], float] | None = None,
        leaves_last: bool = False,
    ) -> None:
        """A worker, before :meth:`run`. ``factory(progress)`` is awaited anew at each start.

        ``deadline_s``: how long it may not have moved. ``essential``: what cannot be helped ends
        the agent; otherwise it is tried for ever. ``marked``: where it keeps its last mark, if it
        does so by itself. ``leaves_last``: it is needed until after the farewell, which also tells
        it to end.
        """
        self._check_free(name)
        self._workers[name] = Worker(
            Progress(name, deadline_s, self._monotonic, marked),
            factory,
            self._monotonic,
            self._settings,
            self._rng,
            essential=essential,
            leaves_last=leaves_last,
            wake=self._wake.set,
            on_restart=self._on_restart,
            on_well=self._on_well,
        )

    def watch(
        self, name: str, deadline_s: float, marked: Callable[[], float] | None = None
    ) -> Progress:
        """A thread. It cannot be started again: past its deadline the agent ends."""
        self._check_free(name)
        self._watched[name] = progress = Progress(name, deadline_s, self._monotonic, marked)
        return progress

    def _check_free(self, name: str) -> None:
        if name in self._workers or name in self._watched:
            raise ValueError(f"{name}: something is supervised under this name already")

    async def run(self) -> None:
        """Supervise until cancelled; then every worker is cancelled and awaited with a deadline.

        Raises:
            WorkerFailed: a new process is needed; this one has said its farewell.
        """
        try:
            for progress in self._watched.values():
                progress.mark()
            for worker in self._workers.values():
                worker.start()
            await self._supervise()
        except WorkerFailed as failure:
            _log.critical("%s; the agent ends and has to be started again", failure)
            raise
        finally:
            await self._undisturbed(self._end())

    async def _supervise(self) -> None:
        pause_s = min(self._settings.turn_s, self._period_s)
        before = self._monotonic()
        while True:
            now = self._monotonic()
            if now - before > self._settings.gap_s + pause_s:
                self._forgive(now - before)
            before = now
            if self._guard is not None:
                self._guard.expect(self._settings.loop_deadline_s, "a turn of the event loop")
            for worker in self._workers.values():
                worker.turn()
            for progress in self._watched.values():
                if progress.stuck:
                    raise WorkerFailed(
                        progress.name,
                        f"the thread did not move within {progress.deadline_s:g} s"
                        " (does the card answer?)",
                    )
            self._feed(now)
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    def _forgive(self, gap_s: float) -> None:
        self.gaps += 1
        _log.warning(
            "nothing moved for %.0f s: the process was stopped, or something blocks the event loop",
            gap_s,
        )
        # Not a fresh deadline: a loop that is blocked again and again would hide who is stuck.
        for worker in self._workers.values():
            worker.forgive(gap_s)
        for progress in self._watched.values():
            progress.forgive(gap_s)

    def stuck(self) -> tuple[str, ...]:
        """Who keeps the watchdog from being fed."""
        threads = (name for name, progress in self._watched.items() if progress.stuck)
        return (*(name for name, worker in self._workers.items() if not worker.fed), *threads)

    def _feed(self, now: float) -> None:
        if stuck := self.stuck():
            if stuck != self._told_stuck:
                notify_status(f"stuck: {', '.join(stuck)}")
            self._told_stuck = stuck
            return
        self._told_stuck = ()
        if self._fed_at is None or now - self._fed_at >= self._period_s:
            self._fed_at = now
            notify_systemd("WATCHDOG=1")

    # --- the end ---------------------------------------------------------------------------------

    @staticmethod
    async def _undisturbed(end: Awaitable[None]) -> None:
        """A SIGTERM during the end must not cut it short; every step of it has a deadline."""
        ending = asyncio.ensure_future(end)
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                _log.info("the agent is ending already")
        ending.result()

    async def _end(self) -> None:
        if self._guard is not None:
            self._guard.expect(self._settings.end_s, "the end of the process")
        notify_systemd("STOPPING=1")
        workers = list(self._workers.values())
        await self._leave([worker.task for worker in workers if not worker.leaves_last])
        farewell = asyncio.create_task(self._say_farewell(), name="farewell")
        await asyncio.wait([farewell], timeout=self._settings.farewell_s)
        if not farewell.done():
            _log.error("the farewell took longer than %g s", self._settings.farewell_s)
            await self._leave([farewell])
        last = [worker.task for worker in workers if worker.leaves_last and worker.task]
        if last:
            await asyncio.wait(last, timeout=self._settings.cancel_s)
        await self._leave(last)

    async def _leave(self, tasks: Collection[asyncio.Task[None] | None]) -> None:
        there = [task for task in tasks if task is not None]
        for task in there:
            task.cancel()
        if not there:
            return
        done, stay = await asyncio.wait(there, timeout=self._settings.cancel_s)
        for task in stay:
            _log.error("%s does not let itself be cancelled and is left behind", task.get_name())
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                _log.warning("%s ended with an error: %s", task.get_name(), error)

    async def _say_farewell(self) -> None:
        try:
            await self._farewell()
        except Exception:
            _log.exception("the farewell failed; the agent ends without it")

    # --- seeing it -------------------------------------------------------------------------------

    def workers(self) -> list[WorkerReport]:
        """Everybody, for status and metrics."""
        now = self._monotonic()
        return [
            WorkerReport(
                worker.name,
                worker.state,
                worker.essential,
                worker.restarts.count,
                worker.restarts.last_reason,
                now - worker.progress.moved_at,
            )
            for worker in self._workers.values()
        ]

    def counts(self) -> dict[str, int]:
        """Counters for status and metrics; a worker that never failed has none."""
        failed = [one for one in self._workers.values() if one.restarts.count]
        return {
            "worker_restarts": sum(one.restarts.count for one in failed),
            "supervisor_gaps": self.gaps,
            **{f"{one.name} restarts": one.restarts.count for one in failed},
        }
