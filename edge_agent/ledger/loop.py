"""The worker of the ledger: saves it, and gives the journal a report for the centre when it is due.

Decides when; what is counted is ``ledger``'s. A report is a status that the journal keeps, so it
reaches the centre also when the day it tells of was spent offline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from edge_agent.journal.journal import Journal
from edge_agent.supervision import Progress
from models.contract.clock import Clock
from models.contract.messages import Kind, Status
from models.contract.payload import status_to_json

from .ledger import Ledger

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 30.0
_SAVE_EVERY_S = 900.0


class LedgerLoop:
    """Event loop only; what waits for the card goes through ``in_worker``."""

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        clock: Clock,
        *,
        status: Callable[[bool], Status],
        is_trusted: Callable[[], bool],
        in_worker: Callable[..., Awaitable[Any]],
    ) -> None:
        self._ledger, self._journal, self._clock = ledger, journal, clock
        self._status, self._is_trusted, self._in_worker = status, is_trusted, in_worker
        self._save_at = clock.monotonic() + _SAVE_EVERY_S

    async def run(self, progress: Progress) -> None:
        """Work until cancelled."""
        while True:
            try:
                self.report()
                if self._clock.monotonic() >= self._save_at:
                    await self.save()
            except Exception as error:  # nothing is forgotten: the next turn tries again
                _log.warning("the ledger could not be saved or reported: %s", error)
            progress.mark()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def save(self) -> None:
        """Make the counts durable."""
        await self._in_worker(self._ledger.save, self._clock.now())
        self._save_at = self._clock.monotonic() + _SAVE_EVERY_S

    def report(self) -> None:
        """Journal what has changed, once an hour and after the end of a day."""
        now = self._clock.now()
        if not self._is_trusted():
            return  # of a day that is not known
        rows = self._ledger.due_report(now)
        if rows is None:
            return
        status = replace(self._status(True), ledger=rows, counters={})
        if self._journal.append(
            Kind.STATUS, status.agent, status.timestamp, status_to_json(status)
        ):
            self._ledger.reported(rows, now)
