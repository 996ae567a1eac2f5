"""The journal's file as its writer sees it: rows in, rows out, each call one transaction.

Decides what stands in which table. It leaves to others: threads, and what is acknowledged or held
(``journal``), when there is no room (``room``), how records are thinned (``thinning``). Used by one
thread at a time.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from edge_agent.clock.watch import ClockPeriod
from edge_agent.storage.database import open_database
from models.contract.errors import ContractError
from models.contract.messages import Kind, SeqRange, Void, to_ranges
from models.contract.payload import RecordForm, canonical, form_from_json, form_to_json
from models.contract.record import Record
from models.contract.timestamps import Instant

from .reader import Row, read_values
from .seq_ranges import SeqRanges
from .thinning import KeptRow, Step, is_candidate, thin

_log = logging.getLogger(__name__)

_AT_ONCE = 5_000
"""Rows that one transaction deletes or thins at most: the write-ahead log stays small."""
MOST_FORMS = 1_000
"""A device that gives other quantities with every poll has as many forms as records; a form takes
some kilobytes of memory."""
_KEPT_TIME = "the time was corrected before"
_UNCORRECTED = "NOT trusted AND correction_ms IS NULL AND NOT sent_as_is"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry that has no number yet."""

    kind: Kind
    device: str
    measured_at: Instant
    monotonic_ms: int
    period: ClockPeriod
    form: RecordForm | None
    body: str
    """With a form: the JSON list of the values."""


class Written(NamedTuple):
    """A row that was written, and whether it waits for its time to be corrected."""

    row: Row
    held: bool


@dataclass(slots=True)
class _Period:
    id: int
    correction_ms: int | None
    held: bool
    trusted: bool


class JournalFile:
    """The connection that writes, and what it remembers of the file."""

    def __init__(
        self, path: Path, boot_id: str, now: Instant, monotonic_ms: int, *, alone: bool = False
    ) -> None:
        """Open or create ``path`` and start an epoch, with numbers behind all that were used.

        ``alone``: no other process is let in (``storage.database``).

        Raises:
            StorageError: the file cannot be written.
        """
        self.path = path
        self.connection, self.set_aside = open_database(path, "journal", alone=alone)
        (self.page_bytes,) = self.connection.execute("PRAGMA page_size").fetchone()
        self.epoch = secrets.token_hex(8)
        self._periods: dict[int, _Period] = {}
        self._forms: dict[RecordForm, int] = {}
        self._kept_time: int | None = None
        self._boot_id = boot_id
        self._started = (now, monotonic_ms)
        self._passed: dict[Step, int] = {}
        self._plain_forms = 0  # of polls; those of means are as many as means can stand for
        self.first_seq = 1
        self.closed = False
        self._epoch_id = 0

    def start_epoch(self, at_least: int = 1) -> None:
        """Begin this start's epoch; its numbers begin at ``at_least`` or later."""
        (last,) = self.connection.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM journal), 0),"
            " coalesce((SELECT max(last) FROM acknowledged), 0),"
            " coalesce((SELECT max(last) FROM voids), 0),"
            " coalesce((SELECT max(first_seq) - 1 FROM epochs), 0))"
        ).fetchone()
        self.first_seq = max(last + 1, at_least)
        with self.transaction() as run:
            cursor = run.execute(
                "INSERT INTO epochs (epoch, first_seq, boot_id, started_at, started_monotonic_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                (self.epoch, self.first_seq, self._boot_id, *self._started),
            )
            # What another boot could not correct, nobody can.
            run.execute(
                f"UPDATE periods SET sent_as_is = 1 WHERE {_UNCORRECTED}"
                " AND epoch_id IN (SELECT id FROM epochs WHERE boot_id != ?)",
                (self._boot_id,),
            )
        assert cursor.lastrowid is not None
        self._epoch_id = cursor.lastrowid
        for number, text in self.connection.execute("SELECT id, text FROM forms"):
            try:
                self._remember({form_from_json(json.loads(text)): number})
            except (ContractError, ValueError) as error:  # of a newer agent, or damaged
                _log.warning("%s: form %d cannot be used: %s", self.path, number, error)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside a transaction that is durable when the block has ended."""
        run = self.connection
        run.execute("BEGIN IMMEDIATE")
        try:
            yield run
            run.execute("COMMIT")
        except BaseException:
            if run.in_transaction:
                run.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self.connection.close()

    def _remember(self, forms: Mapping[RecordForm, int]) -> None:
        self._forms |= forms
        self._plain_forms += sum(not form.window_ms for form in forms)

    def knows(self, form: RecordForm) -> bool:
        """Whether records of ``form`` can be kept as such: there are not too many forms yet."""
        return form in self._forms or self._plain_forms < MOST_FORMS

    # --- what it holds at a start ----------------------------------------------------------------

    def epochs(self) -> list[tuple[int, str]]:
        """First number and name of every epoch, ascending."""
        return list(self.connection.execute("SELECT first_seq, epoch FROM epochs ORDER BY id"))

    def acknowledged(self) -> list[SeqRange]:
        """Ranges the centre has committed."""
        return list(self.connection.execute("SELECT first, last FROM acknowledged ORDER BY first"))

    def voids(self) -> list[Void]:
        """Ranges that will never be sent."""
        voids = []
        rows = self.connection.execute("SELECT first, last, reason FROM voids ORDER BY first")
        for first, last, reason in rows:
            try:
                voids.append(Void(first, last, reason))
            except ContractError as error:
                _log.warning("%s: the void at %s cannot be used: %s", self.path, first, error)
        return voids

    def held(self) -> list[SeqRange]:
        """Entries whose time may still be corrected."""
        found = self.connection.execute(f"SELECT id FROM periods WHERE {_UNCORRECTED}").fetchall()
        return self._seqs_of_periods(", ".join(str(number) for (number,) in found))

    # --- writing ---------------------------------------------------------------------------------

    def write(
        self,
        waiting: Sequence[Waiting],
        first: int,
        trusted: ClockPeriod | None,
        *,
        gone: Iterable[int],
        acknowledged: Mapping[int, int],
        voids: Iterable[Void],
        now: Instant,
    ) -> list[Written]:
        """Make entries, acknowledgements and voids durable together.

        ``trusted``: the newest period of a trusted clock; ``gone``: starts of acknowledged ranges
        that are no more; ``acknowledged``: ranges that are new or longer.
        """
        fresh_forms: dict[RecordForm, int] = {}
        fresh_periods: dict[int, _Period] = {}
        written: list[Written] = []
        with self.transaction() as run:
            rows = []
            for seq, one in enumerate(waiting, first):
                period = self._period(one.period, trusted, fresh_periods)
                form_id = None if one.form is None else self._form_id(one.form, fresh_forms)
                device = one.device if one.form is None else None
                rows.append(
                    (seq, period.id, one.kind.value, device, one.measured_at, one.monotonic_ms,
                     form_id, one.body)
                )  # fmt: skip
                written.append(self._written(seq, one, period))
            run.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            run.executemany("DELETE FROM acknowledged WHERE first = ?", [(one,) for one in gone])
            run.executemany(
                "INSERT OR REPLACE INTO acknowledged VALUES (?, ?, ?)",
                [(first, last, now) for first, last in acknowledged.items()],
            )
            self._insert_voids(voids, now)
        self._remember(fresh_forms)
        self._periods |= fresh_periods
        return written

    def _written(self, seq: int, one: Waiting, period: _Period) -> Written:
        form = one.form
        if form is not None and not period.trusted and period.correction_ms is None:
            form = form.untrusted
        at = one.measured_at + (period.correction_ms or 0)
        row = Row(self.epoch, seq, one.kind, one.device, at, one.monotonic_ms, form, one.body)
        return Written(row, period.held and one.form is not None)

    def _insert_voids(self, voids: Iterable[Void], now: Instant) -> None:
        self.connection.executemany(
            "INSERT INTO voids VALUES (?, ?, ?, ?) ON CONFLICT (first) DO UPDATE SET"
            " last = excluded.last, reason = excluded.reason, declared_at = excluded.declared_at"
            " WHERE excluded.last > last",
            [(void.first, void.last, void.reason, now) for void in voids],
        )

    def forget_voids(self, settled: Iterable[Void], before: Instant) -> list[int]:
        """Delete those of ``settled`` that were declared before ``before``; their beginnings."""
        gone = []
        with self.transaction() as run:
            for void in settled:
                cursor = run.execute(
                    "DELETE FROM voids WHERE first = ? AND declared_at < ?", (void.first, before)
                )
                gone += [void.first] * cursor.rowcount
        return gone

    def _form_id(self, form: RecordForm, fresh: dict[RecordForm, int]) -> int:
        known = self._forms.get(form) or fresh.get(form)
        if known is None:
            cursor = self.connection.execute(
                "INSERT INTO forms (text) VALUES (?)", (canonical(form_to_json(form)),)
            )
            assert cursor.lastrowid is not None
            known = fresh[form] = cursor.lastrowid
        return known

    def _period(
        self, period: ClockPeriod, trusted: ClockPeriod | None, fresh: dict[int, _Period]
    ) -> _Period:
        known = self._periods.get(period.number) or fresh.get(period.number)
        if known is None:
            correction = None
            if not period.trusted and trusted is not None and trusted.number > period.number:
                correction = trusted.offset_ms - period.offset_ms
            cursor = self.connection.execute(
                "INSERT INTO periods (epoch_id, offset_ms, trusted, reason, correction_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                (self._epoch_id, period.offset_ms, period.trusted, period.reason, correction),
            )
            assert cursor.lastrowid is not None
            held = not period.trusted and correction is None
            known = _Period(cursor.lastrowid, correction, held, period.trusted)
            fresh[period.number] = known
        return known

    # --- time that was not known -----------------------------------------------------------------

    def correct(self, trusted: ClockPeriod) -> list[SeqRange]:
        """Give every earlier untrusted period of this boot its true time; the entries it has."""
        later = [p.id for n, p in self._periods.items() if n > trusted.number]
        which = (
            f"{_UNCORRECTED} AND epoch_id IN (SELECT id FROM epochs WHERE boot_id = ?)"
            f" AND id NOT IN ({', '.join(map(str, later))})"
        )
        found = self.connection.execute(
            f"SELECT id, offset_ms FROM periods WHERE {which}", (self._boot_id,)
        ).fetchall()
        if not found:
            return []
        with self.transaction() as run:
            run.executemany(
                "UPDATE periods SET correction_ms = ? WHERE id = ?",
                [(trusted.offset_ms - offset, number) for number, offset in found],
            )
        corrections = {number: trusted.offset_ms - offset for number, offset in found}
        for period in self._periods.values():
            if period.id in corrections:
                period.correction_ms, period.held = corrections[period.id], False
        return self._seqs_of_periods(", ".join(str(number) for number, _ in found))

    def give_up_correcting(self) -> None:
        """Entries of an untrusted clock travel as they are, and say so."""
        with self.transaction() as run:
            run.execute(f"UPDATE periods SET sent_as_is = 1 WHERE {_UNCORRECTED}")
        for period in self._periods.values():
            period.held = False

    def _seqs_of_periods(self, which: str) -> list[SeqRange]:
        if not which:
            return []
        rows = self.connection.execute(
            f"SELECT seq FROM journal WHERE form_id IS NOT NULL AND period_id IN ({which})"
            " ORDER BY seq"
        )
        ranges = SeqRanges()
        for (seq,) in rows:
            ranges.add(seq, seq)
        return list(ranges)

    # --- making room -----------------------------------------------------------------------------

    def set_cap(self, pages: int) -> None:
        """The file may not grow beyond ``pages``."""
        self.connection.execute(f"PRAGMA max_page_count = {pages}")

    def pages(self) -> int:
        """Pages of the file now."""
        (count,) = self.connection.execute("PRAGMA page_count").fetchone()
        return int(count)

    def delete_acknowledged(self, done: Iterable[SeqRange], before: Instant | None) -> int:
        """Delete some entries of ``done``, the oldest: older than ``before``, or any. How many."""
        limit = 2**62 if before is None else before
        deleted = 0
        for first, last in done:
            cursor = self.connection.execute(
                "DELETE FROM journal WHERE seq IN (SELECT seq FROM (SELECT seq, measured_at"
                " + coalesce(correction_ms, 0) AS at FROM journal"
                " JOIN periods ON periods.id = period_id"
                " WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?) WHERE at < ?)",
                (first, last, _AT_ONCE - deleted, limit),
            )
            deleted += cursor.rowcount
            if deleted >= _AT_ONCE:
                break
        if deleted:
            _log.info("%s: deleted %d acknowledged entries", self.path, deleted)
        return deleted

    def thin(
        self, step: Step, spare: SeqRanges, first: int, now: Instant
    ) -> tuple[list[Void], list[Row], list[KeptRow]]:
        """Replace some records by fewer, the oldest that ``step`` is for; all of it or nothing.

        ``spare``: numbers that must stay. ``first``: number of the first new row. Returns what is
        void, the new rows and the replaced ones; nothing three times when there is nothing to gain.
        """
        while True:
            seen, rows = self._candidates(step, spare)
            if not seen:
                return [], [], []
            self._passed[step] = seen
            thinned = thin(rows, step)
            if thinned is not None:
                break
        gone = list(thinned.gone)
        voids = [Void(*pair, step.reason) for pair in to_ranges(gone)]
        replaced = set(gone)
        fresh: dict[RecordForm, int] = {}
        with self.transaction() as run:
            run.executemany("DELETE FROM journal WHERE seq = ?", [(seq,) for seq in gone])
            kept_time = self._kept_time or self._insert_kept_time()
            new = list(self._insert_thinned(thinned.records, first, kept_time, fresh))
            self._insert_voids(voids, now)
        self._remember(fresh)
        self._kept_time = kept_time
        _log.warning(
            "%s: no room: %d records %s, %d stand for them",
            self.path, len(gone), step.reason, len(new),
        )  # fmt: skip
        return voids, new, [row for row in rows if row.seq in replaced]

    def _candidates(self, step: Step, spare: SeqRanges) -> tuple[int, list[KeptRow]]:
        """The oldest records that ``step`` is for, behind those that it has seen before."""
        forms = {number: form for form, number in self._forms.items() if is_candidate(form, step)}
        if not forms:
            return 0, []
        (newest,) = self.connection.execute(
            "SELECT max(measured_at) FROM (SELECT measured_at FROM journal"
            " WHERE form_id IS NOT NULL ORDER BY seq DESC LIMIT 1000)"
        ).fetchone()
        limit = (newest or 0) - step.keep_ms + (1 if not step.keep_ms else 0)
        rows = self.connection.execute(
            "SELECT seq, form_id, measured_at + coalesce(correction_ms, 0) AS at, body FROM journal"
            " JOIN periods ON periods.id = period_id"
            f" WHERE seq > ? AND form_id IN ({', '.join(map(str, forms))}) AND at < ?"
            f" AND (trusted OR correction_ms IS NOT NULL) ORDER BY seq LIMIT {_AT_ONCE}",
            (self._passed.get(step, 0), limit),
        ).fetchall()
        kept = []
        for seq, number, at, body in rows:
            values = read_values(body, forms[number])
            if seq not in spare and values is not None:
                kept.append(KeptRow(seq, forms[number], at, values))
        return rows[-1][0] if rows else 0, kept

    def _insert_kept_time(self) -> int:
        cursor = self.connection.execute(
            "INSERT INTO periods (epoch_id, offset_ms, trusted, reason) VALUES (?, 0, 1, ?)",
            (self._epoch_id, _KEPT_TIME),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _insert_thinned(
        self, records: Sequence[Record], first: int, period: int, fresh: dict[RecordForm, int]
    ) -> Iterator[Row]:
        for seq, record in enumerate(records, first):
            form, values = RecordForm.of(record)
            body = values_text(values)
            self.connection.execute(
                "INSERT INTO journal VALUES (?, ?, 'record', NULL, ?, 0, ?, ?)",
                (seq, period, record.measured_at, self._form_id(form, fresh), body),
            )
            at = record.measured_at
            yield Row(self.epoch, seq, Kind.RECORD, record.device, at, 0, form, body)

    def look_again(self) -> None:
        """What was passed over, because it was under way, is looked at again next time."""
        self._passed.clear()

    def drop_others(self, kind: Kind, spare: SeqRanges, now: Instant) -> list[Void]:
        """Delete the older half of the entries of ``kind`` that are not spared."""
        rows = self.connection.execute(
            "SELECT seq FROM journal WHERE kind = ? ORDER BY seq", (kind.value,)
        )
        seqs = list(islice((seq for (seq,) in rows if seq not in spare), _AT_ONCE))
        rows.close()
        seqs = seqs[: (len(seqs) + 1) // 2]
        voids = [Void(*pair, f"no room for this {kind.value}") for pair in to_ranges(seqs)]
        with self.transaction() as run:
            run.executemany("DELETE FROM journal WHERE seq = ?", [(seq,) for seq in seqs])
            self._insert_voids(voids, now)
        return voids


def values_text(values: Sequence[float]) -> str:
    """The JSON list of finite floats, as the canonical form writes them."""
    return f"[{','.join(map(repr, values))}]"
