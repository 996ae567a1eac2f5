"""The worker of every quarter of an hour: close intervals, store them, forecast, look out.

Decides when, and that one of these may fail and not the others. It leaves to others: what an
interval is (``interval_keeper``), what a forecast is (``engine``), what is kept (``journal``).
While the clock is not trusted nothing is fed to a model and no forecast is made; what was read
meanwhile is taken up as soon as its time is known.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from edge_agent.journal.journal import Journal
from edge_agent.journal.reader import StoredEntry
from edge_agent.pacing import wait_for_turn
from edge_agent.supervision import Progress, RestartNeeded
from models.contract.clock import Clock
from models.contract.forecast import Forecast
from models.contract.messages import Kind, SeqRange
from models.contract.payload import forecast_to_json
from models.contract.record import Record
from models.contract.timestamps import STEP_MS, Instant, floor_to_step, format_iso8601

from .engine import ForecastEngine
from .interval_keeper import IntervalKeeper, Numbered, trusted_records

_log = logging.getLogger(__name__)

SETTLE_SHARE = 0.02
"""Share of an interval to wait after its end for polls that are under way."""
_RUINED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PIECE = 5_000
"""Corrected entries that are read at once."""
_NEIGHBOURS = 5_000
"""Entries before and after corrected ones that may lie in the same intervals."""


class ForecastCycle:
    """Event loop only; what waits for the card goes through ``in_worker``."""

    def __init__(
        self,
        keeper: IntervalKeeper,
        engine: ForecastEngine,
        journal: Journal,
        clock: Clock,
        *,
        is_trusted: Callable[[], bool],
        in_worker: Callable[..., Awaitable[Any]],
    ) -> None:
        self._keeper, self._engine, self._journal, self._clock = keeper, engine, journal, clock
        self._is_trusted, self._in_worker = is_trusted, in_worker
        self._resumed = False
        self.last: Forecast | None = None
        """The newest forecast."""
        self.on_forecast: Callable[[Forecast], object] = lambda forecast: None
        self.failures = 0

    async def run(self, progress: Progress) -> None:
        """Work until cancelled."""
        settle = int(STEP_MS * SETTLE_SHARE)
        while True:
            due = floor_to_step(self._clock.now() - settle) + STEP_MS + settle
            # The newest boundary that has passed: after a stall old forecasts help nobody.
            if await wait_for_turn(self._clock, due, STEP_MS) and self._is_trusted():
                await self.turn(floor_to_step(self._clock.now() - settle))
            progress.mark()

    def add(self, record: Record) -> None:
        """A record of this moment."""
        # A poll may have begun before the clock was set: its time is what the clock showed then.
        if self._is_trusted() and self._journal.believes(record.measured_at):
            self._keeper.add(record)

    def trusted(self) -> None:
        """The clock is right: take up what earlier starts left, once."""
        if self._resumed:
            return
        self._resumed = True
        try:
            taken = self._keeper.resume(
                self._journal.reader, self._journal.last_seq, self._clock.now()
            )
        except sqlite3.Error as error:
            _log.error("%s: open intervals begin anew: %s", self._journal.path, error)
            return
        if taken:
            _log.info("%d records of intervals that were not stored yet are taken up", taken)

    async def turn(self, boundary: Instant) -> None:
        """Store what ended at ``boundary`` and forecast from there; one may fail and not both."""
        try:
            self._keeper.complete(boundary)
            await self._in_worker(self._keeper.store)
        except Exception as error:
            _give_up_if_ruined(error)
            _log.exception("intervals could not be stored; they are tried again")
        try:
            forecast: Forecast = await self._in_worker(self._engine.issue, boundary)
            self._journal.append(
                Kind.FORECAST, forecast.site, forecast.issued_at, forecast_to_json(forecast)
            )
            self.last = forecast
            self.on_forecast(forecast)
        except Exception as error:
            _give_up_if_ruined(error)
            self.failures += 1
            _log.exception("no forecast at %s; the next is tried", format_iso8601(boundary))

    async def corrected(
        self,
        ranges: Sequence[SeqRange],
        take: Callable[[list[StoredEntry]], Awaitable[object]],
    ) -> None:
        """The time of these entries has become known: their intervals are built again.

        In pieces, each read and parsed in the worker thread: they may be a week's. ``take`` is
        handed the entries of each.
        """
        for begin, end in ranges:
            for first in range(begin, end + 1, _PIECE):
                last = min(first + _PIECE - 1, end)
                entries, here, others = await self._in_worker(self._read_around, first, last)
                self._keeper.build_again(here, others, floor_to_step(self._clock.now()))
                await take(entries)

    def _read_around(
        self, first: int, last: int
    ) -> tuple[list[StoredEntry], list[Numbered], list[Record]]:
        """Entries ``first..last``, the records in them, and others of the same intervals."""
        reader = self._journal.reader
        here = reader.run(first, last, _PIECE)
        starts = {floor_to_step(stored.measured_at) for stored in here}
        around = (
            stored
            for a, b in ((first - _NEIGHBOURS, first - 1), (last + 1, last + _NEIGHBOURS))
            for stored in reader.run(a, b, _NEIGHBOURS)
            if floor_to_step(stored.measured_at) in starts
        )
        others = [record for _, record in trusted_records(around)]
        return here, list(trusted_records(here)), others

    async def finish(self) -> None:
        """The last whole intervals; what came since is in the journal for the next start."""
        if self._resumed and self._is_trusted():
            self._keeper.complete(floor_to_step(self._clock.now()))
        await self._in_worker(self._keeper.store)


def _give_up_if_ruined(error: Exception) -> None:
    """A damaged ``state.sqlite`` is set aside at a start only: end in good order."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _RUINED:
        raise RestartNeeded(f"state.sqlite is damaged ({error}); the next start sets it aside")
