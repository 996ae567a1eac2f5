"""The ledger of a running agent: counts from three threads, durable, reported to the centre.

Turns come from the pollers in the event loop, records from the journal's writer once they are
committed, what was thinned or dropped from there, too. Decides what is saved when, what is counted
again after a power cut, and when a day is due for a report that the journal keeps. What the counts
mean is ``tally``'s.

    ledger = Ledger(database)
    ledger.resume(journal.reader, {"roof": 5000}, clock.now())   # before the first append
    journal.on_commit(ledger.committed)
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from edge_agent.journal.reader import JournalReader, StoredEntry
from edge_agent.journal.thinning import KeptRow
from edge_agent.storage.state_store import StateDatabase
from models.contract.ledger import MAX_LEDGERS, DayLedger, Reason, day_start
from models.contract.messages import Kind
from models.contract.timestamps import DAY_MS, HOUR_MS, MINUTE_MS, Instant

from .ledger_store import LedgerStore, Mark, values_of
from .tally import EARLIEST, DayRow, Tally

_log = logging.getLogger(__name__)

KEEP_DAYS = 400
_IN_MEMORY_DAYS = 3
_MOST_REPORTED = 200
"""Rows of one report: 30 kB. More wait for the next."""
_AFTER_THE_HOUR_MS = 10 * MINUTE_MS
"""Reports are due so long after each full hour: a day that has ended is complete by then."""


class Ledger:
    """Every method may be called from any thread; only ``resume`` and ``save`` wait for a disk."""

    def __init__(
        self,
        database: StateDatabase,
        *,
        is_trusted: Callable[[], bool] = lambda: True,
        keep_days: int = KEEP_DAYS,
    ) -> None:
        """``is_trusted``: whether the clock can be believed; asked by whoever counts turns."""
        self._store, self._keep_days = LedgerStore(database), keep_days
        self._is_trusted = is_trusted
        self._unplaced: Counter[str] = Counter()
        self._tally = Tally(self._store.load)
        self._mark: Mark | None = None
        self._report_at: Instant = 0
        self._gone: Counter[tuple[str, Instant]] = Counter()
        self._lock = threading.Lock()  # never held during a write
        self._saving = threading.Lock()

    def resume(self, journal: JournalReader, devices: Mapping[str, int], now: Instant) -> int:
        """Take up the counts of earlier starts, and the records that came after they were saved.

        ``devices``: milliseconds between two turns by name. Returns how many records were counted
        from the journal. Blocks; call it before anything is appended.
        """
        with self._lock:
            self._tally.begin(dict(devices), self._store.recent(_IN_MEMORY_DAYS))
            for row in self._tally:  # the report may have been in memory when the power was cut
                row.reported = row.reported and row.day < now - _IN_MEMORY_DAYS * DAY_MS
            self._report_at = min(_next_report(now), now + _AFTER_THE_HOUR_MS)
            mark, epochs = self._store.mark(), journal.epochs()
            if mark is None:
                found = self._count_two_days(journal, now)
            else:
                # A journal that was set aside is another one now: all that it holds is new.
                known = mark.epoch in {row.epoch for row in epochs}
                found = self._count_after(journal, mark.seq if known else 0)
            if epochs:
                self._mark = Mark(epochs[-1].epoch, epochs[-1].first_seq - 1)
        try:
            self.save(now)  # the first start's mark, or what was found
        except sqlite3.Error as error:
            _log.warning("the ledger could not be saved, it is tried again: %s", error)
        return found

    # -- what happens

    def count(self, device: str, at: Instant, reason: Reason | None, turns: int = 1) -> None:
        """Turns in a row, the first at ``at``, had this outcome; None: the journal was handed a
        record, which counts once it is committed. Cheap: for the event loop.

        While the clock is not trusted nobody knows which turns they are. Their records are counted
        once they have their time (:meth:`corrected`), the others under *clock*.
        """
        trusted = self._is_trusted()
        with self._lock:
            if not trusted:
                self._unplaced[device] += turns
                return
            unplaced = self._unplaced.pop(device, 0)
            if unplaced and reason is not Reason.CLOCK:
                self._tally.unplaced(device, at, unplaced)
            self._tally.count(device, at, reason, turns)

    def committed(self, entries: Sequence[StoredEntry]) -> None:
        """The journal has committed ``entries``; for ``Journal.on_commit``."""
        with self._lock:
            for stored in entries:
                if stored.entry.kind is Kind.RECORD:
                    self._take(stored)
                self._mark = Mark(stored.entry.key.epoch, stored.seq)
            self._settle_gone()

    def corrected(self, entries: Iterable[StoredEntry]) -> None:
        """The time of ``entries`` was not known when they were committed, and is now."""
        for stored in entries:  # read outside the lock
            if stored.entry.kind is Kind.RECORD and stored.clock_trusted:
                with self._lock:
                    self._tally.dated(stored.device, stored.measured_at, asleep=stored.asleep)

    def replaced(self, rows: Iterable[KeptRow], left: int) -> None:
        """Records were thinned: ``left`` others stand for ``rows``, and are told of next by
        ``committed``. For ``Journal.on_thinned``."""
        with self._lock:
            for row in rows:
                day = row.measured_at - row.measured_at % DAY_MS
                self._gone[row.form.device, day] += row.form.samples
                if row.form.window_ms:
                    self._tally.thinned(row.form.device, day, -row.form.samples)
            if not left:
                self._settle_gone()

    def dropped(self, device: str, at: Instant, records: int) -> None:
        """``records`` of the day of ``at`` were deleted before the centre had them."""
        with self._lock:
            self._tally.dropped(device, at, records)

    def _take(self, stored: StoredEntry) -> None:
        device, at = stored.device, stored.measured_at
        if stored.waits and stored.window_ms:
            self._gone[device, at - at % DAY_MS] -= stored.samples
            self._tally.thinned(device, at, stored.samples)
        elif stored.clock_trusted or not stored.waits:
            self._tally.committed(device, at, asleep=stored.asleep)

    def _settle_gone(self) -> None:
        """What was thinned away with nothing to stand for it is dropped."""
        for (device, day), records in self._gone.items():
            if records > 0:
                self._tally.dropped(device, day, records)
        self._gone.clear()

    # -- what is told

    def rows(self, now: Instant, days: int = 2) -> tuple[DayLedger, ...]:
        """The day in progress and those before it, for the live status; oldest first."""
        today = now - now % DAY_MS
        with self._lock:
            return self._told(
                row
                for row in self._tally
                if max(EARLIEST, today - (days - 1) * DAY_MS) <= row.day <= today
            )[-MAX_LEDGERS:]

    def due_report(self, now: Instant) -> tuple[DayLedger, ...] | None:
        """Rows for a status that goes into the journal, oldest first; None when none is due.

        Hourly: what has changed since it was reported, so that a day is told once more after it has
        ended, and again if that changes. Due until :meth:`reported` says that they were taken.
        """
        with self._lock:
            if self._report_at - HOUR_MS - _AFTER_THE_HOUR_MS <= now < self._report_at:
                return None
            rows = self._told(
                row for row in self._tally if not row.reported and EARLIEST <= row.day <= now
            )[:_MOST_REPORTED]
            if not rows:
                self._report_at = _next_report(now)
            return rows or None

    def reported(self, rows: Iterable[DayLedger], now: Instant) -> None:
        """The journal has taken a report with ``rows``."""
        with self._lock:
            taken = set()
            for told in rows:
                day = day_start(told.day)
                row = self._tally.row(told.device, day)
                if row is not None and row.ledger() == told:
                    row.reported = True
                    row.version += 1
                taken.add((told.device, day))
            left = any(
                not row.reported and EARLIEST <= row.day <= now - DAY_MS
                for row in self._tally
                if (row.device, row.day) not in taken
            )
            self._report_at = now if left else _next_report(now)

    def _told(self, rows: Iterable[DayRow]) -> tuple[DayLedger, ...]:
        ascending = sorted(rows, key=lambda row: (row.day, row.device))
        return tuple(row.ledger() for row in ascending)

    # -- what lasts

    def save(self, now: Instant) -> None:
        """Make the counts durable. Blocks; ``sqlite3.Error`` says why it could not, and nothing is
        forgotten. What is not saved at a power cut, the next start finds in the journal or calls
        off."""
        with self._saving:
            with self._lock:
                mark = self._mark
                changed = [row for row in self._tally if row.saved != row.version]
                versions = [row.version for row in changed]
                values = [values_of(row) for row in changed]
            self._store.save(values, mark, now, self._keep_days)
            with self._lock:
                for row, version in zip(changed, versions, strict=True):
                    row.saved = version
                self._tally.forget(_IN_MEMORY_DAYS)

    def _count_after(self, journal: JournalReader, seq: int) -> int:
        found = 0
        for stored in journal.entries(seq + 1):
            is_record = stored.entry.kind is Kind.RECORD
            if not is_record or stored.window_ms or not stored.clock_trusted:
                continue
            self._tally.found(stored.device, stored.measured_at, asleep=stored.asleep)
            found += 1
        return found

    def _count_two_days(self, journal: JournalReader, now: Instant) -> int:
        """For a state file that has no ledger yet: what the journal has of yesterday and today."""
        found = 0
        today = now - now % DAY_MS
        for day, until in ((today - DAY_MS, today - 1), (today, now)):
            for device, counts in journal.records_per_device(day, until + 1).items():
                for records, asleep in zip(counts, (False, True), strict=True):
                    self._tally.found(device, day, asleep=asleep, records=0)
                    self._tally.found(device, until, asleep=asleep, records=records)
                    found += records
        return found


def _next_report(now: Instant) -> Instant:
    return (now - _AFTER_THE_HOUR_MS) // HOUR_MS * HOUR_MS + HOUR_MS + _AFTER_THE_HOUR_MS
