"""The worker that watches the clock: tells the journal, the people, and the next start.

Decides how long records wait for their true time, and what of the judgement outlives a restart of
the agent. The judgement itself is ``watch``'s, correcting the journal's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from edge_agent.journal.journal import Journal
from edge_agent.storage.state_store import StateStore
from edge_agent.supervision import Progress
from models.contract.clock import Clock
from models.contract.messages import Alert
from models.contract.timestamps import Instant

from .alerts import alert_of
from .kernel_time import KernelClock, seconds_since_boot
from .settings import ClockSettings
from .watch import AnyClockWatch, ClockPeriod, ClockWatch, TrustedClockWatch, TrustMark

_log = logging.getLogger(__name__)

KEY = "clock"
LOOK_EVERY_S = 1.0
SAVE_EVERY_S = 900.0


def open_watch(
    clock: Clock,
    settings: ClockSettings,
    state: StateStore,
    *,
    scaled: bool,
    not_before: Instant,
    boot_id: str,
) -> AnyClockWatch:
    """The judge of ``clock``, with what an earlier agent of this boot knew."""
    if scaled:
        return TrustedClockWatch(clock)
    return ClockWatch(
        clock,
        settings,
        synchronised=KernelClock(),
        not_before=not_before,
        monotonic=seconds_since_boot,
        mark=_saved_mark(state.get(KEY), boot_id),
    )


def _saved_mark(saved: Any, boot_id: str) -> TrustMark | None:
    try:
        if saved["boot_id"] != boot_id:
            return None
        return TrustMark(int(saved["offset_ms"]), float(saved["at_s"]))
    except (KeyError, TypeError, ValueError):
        return None


class ClockKeeper:
    """Looks at the clock every second. Event loop only."""

    def __init__(
        self,
        agent: str,
        watch: AnyClockWatch,
        clock: Clock,
        settings: ClockSettings,
        journal: Journal,
        state: StateStore,
        *,
        connected: Callable[[], bool],
        on_alert: Callable[[Alert], object],
        in_worker: Callable[..., Awaitable[Any]],
    ) -> None:
        """``connected``: whether the centre could be told now; ``in_worker`` runs what waits for
        the card."""
        self._agent, self.watch, self._clock, self._settings = agent, watch, clock, settings
        self._journal, self._state = journal, state
        self._connected, self._on_alert, self._in_worker = connected, on_alert, in_worker
        self.on_trusted: Callable[[], object] = lambda: None
        """Called when the clock has become trusted, the first time too."""
        self._untrusted_since: float | None = None
        self._saved_at: float | None = None
        self._saved: TrustMark | None = None
        watch.on_change.append(self._changed)

    @property
    def trusted(self) -> bool:
        """Whether the time of this moment may be given to models."""
        return self.watch.look().trusted

    async def run(self, progress: Progress) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            await self.save()
            progress.mark()
            await asyncio.sleep(LOOK_EVERY_S)

    def start(self) -> None:
        """Tell of the first period."""
        period = self.watch.look()
        self._tell(alert_of(None, period, agent=self._agent, timestamp=self._clock.now()))
        if period.trusted:
            self.on_trusted()

    def look(self) -> None:
        """Judge now, and let what has waited long enough go."""
        period = self.watch.look()
        self._journal.note_clock()
        now = self._clock.monotonic()
        if period.trusted:
            self._untrusted_since = None
            return
        if self._untrusted_since is None:
            self._untrusted_since = now
        waited = now - self._untrusted_since
        # Without a connection waiting costs nothing, and the time may still be found.
        if waited >= self._settings.hold_s and self._connected() and self._journal.held_count():
            self._journal.release_held()

    async def save(self, *, at_once: bool = False) -> None:
        """Keep the mark for the next start in this boot."""
        mark, now = self.watch.mark, self._clock.monotonic()
        recently = self._saved_at is not None and now - self._saved_at < SAVE_EVERY_S
        if mark is None or mark == self._saved or (recently and not at_once):
            return
        body = {"boot_id": self._journal.boot_id, "offset_ms": mark.offset_ms, "at_s": mark.at_s}
        try:
            await self._in_worker(self._state.put, KEY, body)
        except Exception as error:  # costs trust only after a restart while offline
            _log.warning("what is known of the clock could not be saved: %s", error)
        self._saved_at, self._saved = now, mark

    def _changed(self, before: ClockPeriod, after: ClockPeriod) -> None:
        self._tell(alert_of(before, after, agent=self._agent, timestamp=self._clock.now()))
        self._journal.note_clock()
        if after.trusted and not before.trusted:
            self.on_trusted()

    def _tell(self, alert: Alert | None) -> None:
        if alert is not None:
            _log.warning("%s", alert.text)
            self._on_alert(alert)
