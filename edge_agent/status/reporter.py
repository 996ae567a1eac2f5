"""The worker that tells how the agent is: retained at the broker, in ``status.json``, to systemd.

Decides what a status is made of. It leaves to others: where each number comes from (handed in), how
it travels (``uplink``), how it looks (``status_view``, the local page, metrics).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from edge_agent.journal.journal import Journal
from edge_agent.supervision import Progress, notify_status
from edge_agent.uplink.uplink import Uplink
from models.contract.clock import Clock
from models.contract.forecast import Forecast
from models.contract.ledger import DayLedger
from models.contract.messages import BundleStatus, Status
from models.contract.record import Record

from .status_file import ClockState, DeviceState, Snapshot, StatusFile

_log = logging.getLogger(__name__)

Counters = Callable[[], Mapping[str, int]]


class StatusReporter:
    """Event loop only; the file is written through ``in_worker``."""

    def __init__(
        self,
        agent: str,
        version: str,
        clock: Clock,
        journal: Journal,
        file: StatusFile,
        *,
        every_s: float,
        in_worker: Callable[..., Awaitable[Any]],
    ) -> None:
        self._agent, self._version, self._clock = agent, version, clock
        self._journal, self._file = journal, file
        self._every_s, self._in_worker = every_s, in_worker
        self._records: dict[str, Record] = {}
        self._complaint = ""
        self.uplink: Uplink | None = None
        self.counters: Sequence[Counters] = ()
        """Where counters come from, beside the journal and the uplink."""
        self.bundle: Callable[[], BundleStatus] = BundleStatus
        self.ledger: Callable[[], tuple[DayLedger, ...]] = tuple
        self.forecast: Callable[[], Forecast | None] = lambda: None
        self.clock_state: Callable[[], ClockState | None] = lambda: None
        self.devices: Callable[[], Mapping[str, DeviceState]] = dict
        self.on_snapshot: Callable[[Snapshot], object] = lambda snapshot: None
        """Told of every snapshot; to be quick."""

    def note(self, record: Record) -> None:
        """Remember the newest record of a device."""
        self._records[record.device] = record

    def status(self, online: bool) -> Status:
        """The status of this moment."""
        counters = dict(self._journal.counts())
        if self.uplink is not None:
            counters |= self.uplink.counts()
        for source in self.counters:
            counters |= source()
        return Status(
            agent=self._agent,
            timestamp=self._clock.now(),
            online=online,
            version=self._version,
            epoch=self._journal.epoch,
            first_seq=self._journal.first_seq,
            bundle=self.bundle(),
            counters=counters,
            ledger=self.ledger(),
        )

    def snapshot(self, online: bool = True) -> Snapshot:
        """Everything that people of this site may see, at this moment."""
        uplink = self.uplink
        heard = None if uplink is None else uplink.last_ack_at
        return Snapshot(
            self.status(online),
            self.forecast(),
            tuple(self._records.values()),
            0.0,
            self.clock_state(),
            self.devices(),
            uplink is not None and uplink.connected,
            None if heard is None else round(time.monotonic() - heard, 1),
        )

    async def run(self, progress: Progress) -> None:
        """Tell until cancelled."""
        while True:
            try:
                if self.uplink is not None:
                    self.uplink.publish_status()
                await self.write(online=True)
                self._complaint = ""
            except Exception as error:  # a full disk, mostly: said once, not every time
                if str(error) != self._complaint:
                    _log.exception("the status could not be told; the agent goes on")
                self._complaint = str(error)
            progress.mark()
            await asyncio.sleep(self._every_s)

    async def write(self, *, online: bool) -> None:
        """Write the file, and tell systemd in a line."""
        snapshot = self.snapshot(online)
        self.on_snapshot(snapshot)
        counters = snapshot.status.counters
        notify_status(
            f"{len(snapshot.devices)} devices, {counters['journal_pending']} entries pending,"
            f" {'connected' if snapshot.connected else 'not connected'}"
        )
        await self._in_worker(self._file.write, snapshot)
