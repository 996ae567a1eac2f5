"""From records to stored intervals of devices and site, over full disks and restarts.

Decides what a site's row is made of when only some of its devices' rows changed, that a row waits
until the disk has taken it, and what is built again from the journal at a start: otherwise the
interval during which the agent was restarted would be the mean of its last minutes only. It leaves
to others: the rule of an interval (``models.features.intervals``), and keeping them
(``interval_store``).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_agent.journal.reader import JournalReader, StoredEntry
from edge_agent.journal.seq_ranges import SeqRanges
from models.contract.errors import ContractError
from models.contract.messages import Kind
from models.contract.payload import record_from_json
from models.contract.record import Record
from models.contract.timestamps import DAY_MS, STEP_MS, Instant, floor_to_step
from models.features.intervals import LATE_MS, Interval, IntervalBuilder, Role, site_interval

from .interval_store import IntervalStore

_log = logging.getLogger(__name__)

MOST_WAITING = 20_000
"""Rows in memory while the disk takes none: some days. The oldest go first."""
LOOK_BACK_MS = DAY_MS
"""Intervals as old as this are still built from the journal at a start: the models' last day."""
_FOR_EVER_MS = 3650 * DAY_MS
_PAGE = 2_000
_MOST_PAGES = 10
_SITE_POWERS = ("ac_power", "grid_power")
_SITE_SENSORS = ("temp_air", "ghi")
Numbered = tuple[int, Record]
"""A record and its number in the journal."""
_Key = tuple[Instant, str, str]


def trusted_records(entries: Iterable[StoredEntry]) -> Iterator[Numbered]:
    """The records among ``entries`` whose time is known, each with its number."""
    for stored in entries:
        if stored.entry.kind is not Kind.RECORD:
            continue
        try:
            record = record_from_json(json.loads(stored.entry.body))
        except (ContractError, ValueError) as error:
            _log.warning("entry %d of the journal is no record: %s", stored.seq, error)
            continue
        if record.clock_trusted:
            yield stored.seq, record


class IntervalKeeper:
    """``add`` and ``complete`` belong to one thread; ``store`` may run in another."""

    def __init__(self, site: str, roles: Mapping[str, Role], store: IntervalStore) -> None:
        self._site, self._roles, self._store = site, roles, store
        self._builder = IntervalBuilder()
        self._resumed = SeqRanges()
        self._recent: dict[Instant, dict[tuple[str, str], Interval]] = {}
        self._waiting: dict[_Key, Interval] = {}
        self._lock = threading.Lock()  # guards what waits; never held during a write

    def add(self, record: Record) -> None:
        """Take one record."""
        self._builder.add(record)

    def complete(self, until: Instant) -> None:
        """What ended at ``until`` or before, and is new or corrected, now waits to be stored."""
        rows = self._builder.complete(until)
        for row in rows:
            self._recent.setdefault(row.start, {})[row.device, row.quantity] = row
        changed = {row.start for row in rows}
        rows += [row for start in sorted(changed) for row in self._site_rows(start)]
        horizon = until - LATE_MS - STEP_MS
        self._recent = {start: one for start, one in self._recent.items() if start >= horizon}
        with self._lock:
            self._waiting |= {(row.start, row.device, row.quantity): row for row in rows}
            for key in sorted(self._waiting)[: max(0, len(self._waiting) - MOST_WAITING)]:
                del self._waiting[key]

    def store(self) -> None:
        """Write what waits; blocks. What cannot be written waits for the next call, and
        ``sqlite3.Error`` says why."""
        with self._lock:
            rows = dict(self._waiting)
        self._store.upsert(rows.values())
        with self._lock:
            for key, row in rows.items():
                if self._waiting.get(key) is row:
                    del self._waiting[key]

    def resume(self, journal: JournalReader, last_seq: int, now: Instant) -> int:
        """Take the records of intervals that are not stored yet from the journal; how many.

        Call it before the first ``add``. Blocks: two seconds on a Pi for a full journal.
        """
        current = floor_to_step(now)
        since = current - LOOK_BACK_MS
        known: dict[tuple[str, str], npt.NDArray[np.bool_]] = {}
        taken, last = 0, last_seq
        for _ in range(_MOST_PAGES):
            page = journal.run(last - _PAGE + 1, last, _PAGE)
            recent = [
                stored
                for stored in page
                if stored.entry.kind is Kind.RECORD and since <= stored.measured_at <= now
            ]
            for seq, record in trusted_records(recent):
                missing = self._not_stored(record, since, current, known)
                if missing is not None:
                    self._builder.add(missing)
                    self._resumed.add(seq, seq)
                    taken += 1
            last -= _PAGE
            if not recent or last <= 0:
                break
        return taken

    def build_again(
        self, corrected: Iterable[Numbered], neighbours: Iterable[Record], now: Instant
    ) -> None:
        """Records whose time has become known only now, with their numbers in the journal.

        Intervals that are still open take them like any record, if :meth:`resume` did not find them
        corrected already. Closed ones are built from them and from their ``neighbours``, which were
        there before, and replace what was stored.
        """
        closed = IntervalBuilder(late_ms=_FOR_EVER_MS)
        horizon = now - LATE_MS - STEP_MS
        starts = set()
        for seq, record in corrected:
            start = floor_to_step(record.measured_at)
            if start >= horizon:
                if seq not in self._resumed:
                    self._builder.add(record)
            else:
                closed.add(record)
                starts.add(start)
        for record in neighbours:
            if floor_to_step(record.measured_at) in starts:
                closed.add(record)
        rows = closed.complete(now)
        for row in rows:
            self._recent.setdefault(row.start, {})[row.device, row.quantity] = row
        rows += [row for start in sorted(starts) for row in self._site_rows(start)]
        with self._lock:
            self._waiting |= {(row.start, row.device, row.quantity): row for row in rows}

    def _not_stored(
        self,
        record: Record,
        since: Instant,
        current: Instant,
        known: dict[tuple[str, str], npt.NDArray[np.bool_]],
    ) -> Record | None:
        """``record`` without the quantities whose interval is stored: they had all samples."""
        if record.measured_at >= current:
            return record
        step = (record.measured_at - since) // STEP_MS
        readings = {}
        for name, reading in record.readings.items():
            key = record.device, name
            if key not in known:
                known[key] = np.isfinite(self._store.series(*key, since, current))
            if not known[key][step]:
                readings[name] = reading
        return replace(record, readings=readings) if readings else None

    def _site_rows(self, start: Instant) -> list[Interval]:
        devices = [row for row in self._recent[start].values() if row.device in self._roles]
        used = [row for row in devices if row.quantity in _SITE_POWERS and row.value is not None]
        count = min((row.count for row in used), default=0)
        rows = [
            Interval(start, self._site, name, value, count)
            for name, value in site_interval(devices, self._roles).items()
        ]
        for row in devices:
            if row.quantity in _SITE_SENSORS and row.value is not None:
                rows.append(replace(row, device=self._site))
        return rows
