"""The journal: one append-only table that is buffer and outbox at once.

Decides what an entry's key is, when it is durable and what may be deleted. It leaves to others:
when to write (``group_commit``), what is acknowledged, void or still to be sent (``outbox``),
reading for people and tests (``reader``), and what to send next (``uplink``).

    journal = Journal(directory / "journal.sqlite", JournalSettings(), clock)
    journal.append(Kind.RECORD, record.device, record.measured_at, record_to_json(record))
    journal.close()

A power cut loses at most ``commit_window_s`` of entries that nobody has seen: keys are given at
commit, so an entry that was lost never had one. Under pressure, in this order: acknowledged entries
are deleted before their time; then new entries wait in memory and, when that is full too, are
refused and counted (urgent ones last). Entries that are not acknowledged are never deleted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import sqlite3
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.contract.clock import Clock
from models.contract.errors import PayloadError
from models.contract.fields import Json
from models.contract.messages import Entry, EntryKey, Kind, SeqRange, Void
from models.contract.payload import canonical, parse_json
from models.contract.timestamps import DAY_MS, Instant, format_iso8601
from models.contract.topics import check_identifier

from ..errors import StorageError
from ..storage.database import open_database
from .group_commit import GroupCommitter
from .outbox import Outbox, Span
from .reader import JournalReader, StoredEntry
from .seq_ranges import SeqRanges

_log = logging.getLogger(__name__)

Watcher = Callable[[tuple[StoredEntry, ...]], object]

_URGENT = frozenset({Kind.ALERT})
_RETENTION_EVERY_S = 3600.0
_DELETE_AT_ONCE = 5_000
_PAGE_BYTES = 4096
_RESERVE_PAGES = 32
_LOWEST_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class JournalSettings:
    """How much may be lost, kept and held back."""

    commit_window_s: float = 30.0
    """Entries wait this long, real time, for company before they are written: what a power cut may
    cost, and the price of card wear (10 records of 80 B every 5 s: 323 MB/day at 5 s, 108 at 30 s,
    76 at 60 s)."""
    queue_limit: int = 20_000
    """Entries in memory while the disk is full or stalls; more are refused. 20 000 take 10 MB."""
    keep_days: int = 30
    """Acknowledged entries stay this long, so that the centre may ask for them again."""
    max_bytes: int = 1_000_000_000
    """Size of the file; at this size acknowledged entries are deleted before their time."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.commit_window_s <= 3600:
            raise ValueError("commit_window_s: must be between 0.01 and 3600 seconds")
        if not 1 <= self.queue_limit <= 10_000_000:
            raise ValueError("queue_limit: must be between 1 and 10000000 entries")
        if not 1 <= self.keep_days <= 3650:
            raise ValueError("keep_days: must be between 1 and 3650 days")
        if self.max_bytes < _LOWEST_MAX_BYTES:
            raise ValueError(f"max_bytes: must be at least {_LOWEST_MAX_BYTES}")


@dataclass(frozen=True, slots=True)
class Backlog:
    """A run of what is not acknowledged, of one epoch; the next search goes on behind ``last``."""

    epoch: str
    first_seq: int
    entries: tuple[Entry, ...]
    voids: tuple[Void, ...]
    last: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    kind: Kind
    device: str
    measured_at: Instant
    monotonic_ms: int
    body: str


class Journal:
    """The one writer of a journal file. Every method may be called from any thread."""

    def __init__(self, path: Path, settings: JournalSettings, clock: Clock) -> None:
        """Open or create ``path``, start a new epoch and the writer thread.

        Raises:
            StorageError: the file cannot be written, or another agent is writing it.
        """
        self.path, self._settings, self._clock = path, settings, clock
        self._guard = _lock_file(path)
        self._connection, self.set_aside = open_database(path, "journal")
        self._cap_pages()
        self.reader = JournalReader(path)
        self.boot_id = _boot_id()
        (last_given,) = self._connection.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'journal'"
        ).fetchone()
        self.epoch = secrets.token_hex(8)
        self.first_seq = last_given + 1
        self._epoch_id = self._start_epoch()
        voids = [
            Void(*row) for row in self._connection.execute("SELECT first, last, reason FROM voids")
        ]
        epochs = [(row.first_seq, row.epoch) for row in self.reader.epochs()]
        done = SeqRanges(self.reader.acknowledged())
        self._saved, self._saved_voids = dict(done), {void.first for void in voids}
        self._lock = threading.Lock()  # guards the outbox; never held during a write
        self._outbox = Outbox(epochs, last_given, done, voids)
        self._watchers: list[Watcher] = []
        self._next_retention = clock.monotonic()
        self.watcher_errors = 0
        self._committer: GroupCommitter[_Waiting] = GroupCommitter(
            self._write,
            window_s=settings.commit_window_s,
            limit=settings.queue_limit,
            reserve=max(100, settings.queue_limit // 10),
            monotonic=clock.monotonic,
            name="journal-writer",
        )

    # --- writing ---------------------------------------------------------------------------------

    def append(
        self, kind: Kind, device: str, measured_at: Instant, body: Mapping[str, Json]
    ) -> bool:
        """Queue one entry without waiting; alerts are committed at once, the rest in groups.

        False when the queue is full (the disk is full or stalls): the entry is not kept, and is
        counted as ``journal_refused``.

        Raises:
            PayloadError: ``body`` could never be sent: NaN, too large, too deep, or with a name
            that
                belongs to the journal.
        """
        check_identifier(device)
        format_iso8601(measured_at)
        for name in ("epoch", "seq"):
            if name in body:
                raise PayloadError("is given by the journal", name)
        try:
            text = canonical(body)
            parse_json(text.encode())
        except PayloadError:
            raise
        except (TypeError, ValueError) as error:
            raise PayloadError(f"cannot be written as JSON: {error}") from None
        waiting = _Waiting(kind, device, measured_at, int(self._clock.monotonic() * 1000), text)
        return self._committer.submit(waiting, urgent=kind in _URGENT)

    def on_commit(self, watcher: Watcher) -> None:
        """Call ``watcher`` with what was just committed, from the writer thread; to be quick."""
        self._watchers.append(watcher)

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Commit everything appended so far, and wait for it."""
        return self._committer.flush(timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Commit everything and close. What cannot be written within the time is lost, and said."""
        lost = self._committer.close(timeout_s)
        if lost:
            _log.error(
                "%s: %d entries could not be written before the end (%s) and are lost",
                self.path, lost, self._committer.last_error,
            )  # fmt: skip
        if not self._committer.alive:
            self._connection.close()
        os.close(self._guard)

    def _write(self, waiting: Sequence[_Waiting]) -> None:
        """Make ``waiting`` and the acknowledgements of the moment durable, or raise."""
        try:
            stored = self._transaction(waiting)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL or not self._make_room():
                raise
            stored = self._transaction(waiting)
        if stored:
            for watcher in self._watchers:
                try:
                    watcher(stored)
                except Exception:
                    self.watcher_errors += 1
                    _log.exception("a watcher of the journal failed; the entries are safe")
        if self._clock.monotonic() >= self._next_retention:
            self._next_retention = self._clock.monotonic() + _RETENTION_EVERY_S
            while self._delete_acknowledged(self._clock.now() - self._settings.keep_days * DAY_MS):
                pass

    def _transaction(self, waiting: Sequence[_Waiting]) -> tuple[StoredEntry, ...]:
        with self._lock:
            done = dict(self._outbox.done)
            voids = [v for k, v in self._outbox.voids.items() if k not in self._saved_voids]
            first = self._outbox.last_seq + 1
        now = self._clock.now()
        gone = [(key,) for key in self._saved if key not in done]
        changed = [(k, v, now) for k, v in done.items() if self._saved.get(k) != v]
        if not (waiting or gone or changed or voids):
            return ()
        run = self._connection
        run.execute("BEGIN IMMEDIATE")
        try:
            run.executemany(
                "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (seq, self._epoch_id, w.kind, w.device, w.measured_at, w.monotonic_ms, w.body)
                    for seq, w in enumerate(waiting, first)
                ],
            )
            run.executemany("DELETE FROM acknowledged WHERE first = ?", gone)
            run.executemany("INSERT OR REPLACE INTO acknowledged VALUES (?, ?, ?)", changed)
            run.executemany(
                "INSERT OR REPLACE INTO voids VALUES (?, ?, ?, ?)",
                [(void.first, void.last, void.reason, now) for void in voids],
            )
            run.execute("COMMIT")
        except BaseException:
            if run.in_transaction:
                run.execute("ROLLBACK")
            raise
        with self._lock:
            self._outbox.last_seq += len(waiting)
        self._saved = done
        self._saved_voids |= {void.first for void in voids}
        return tuple(
            StoredEntry(
                Entry(EntryKey(self.epoch, seq), w.kind, w.body),
                w.device,
                w.measured_at,
                w.monotonic_ms,
            )
            for seq, w in enumerate(waiting, first)
        )

    def _make_room(self) -> bool:
        """At the cap: delete acknowledged entries. A few pages of reserve let that succeed."""
        self._cap_pages(reserve=_RESERVE_PAGES)
        try:
            self._transaction(())  # acknowledgements that only memory knows
            return self._delete_acknowledged(None) > 0
        finally:
            self._cap_pages()

    def _cap_pages(self, reserve: int = 0) -> None:
        pages = self._settings.max_bytes // _PAGE_BYTES - _RESERVE_PAGES + reserve
        self._connection.execute(f"PRAGMA max_page_count = {pages}")

    def _delete_acknowledged(self, before: Instant | None) -> int:
        """Delete some acknowledged entries, the oldest: older than ``before``, or any. How many."""
        limit = 2**62 if before is None else before
        for first, last in list(self._saved.items()):
            cursor = self._connection.execute(
                "DELETE FROM journal WHERE seq IN (SELECT seq FROM (SELECT seq, measured_at"
                " FROM journal WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?)"
                " WHERE measured_at < ?)",
                (first, last, _DELETE_AT_ONCE, limit),
            )
            if cursor.rowcount:
                _log.info("%s: deleted %d acknowledged entries", self.path, cursor.rowcount)
                return cursor.rowcount
        return 0

    def _start_epoch(self) -> int:
        cursor = self._connection.execute(
            "INSERT INTO epochs (epoch, first_seq, boot_id, started_at, started_monotonic_ms)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                self.epoch,
                self.first_seq,
                self.boot_id,
                self._clock.now(),
                int(self._clock.monotonic() * 1000),
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    # --- outbox ----------------------------------------------------------------------------------

    @property
    def last_seq(self) -> int:
        """Sequence number of the newest committed entry."""
        with self._lock:
            return self._outbox.last_seq

    def acknowledge(self, epoch: str, ranges: Sequence[SeqRange], through: int = 0) -> int:
        """The centre has committed ``ranges`` of ``epoch``, and all of it up to ``through``.

        Durable with the next group: an acknowledgement lost in a power cut only costs a resend.
        Returns how many entries were not acknowledged before; 0 for an epoch that is not in this
        file.
        """
        with self._lock:
            gained = self._outbox.acknowledge(epoch, ranges, through)
        if gained:
            self._committer.nudge()
        return gained

    def declare_void(self, void: Void) -> None:
        """``void`` will never be sent; the centre is told why with the backlog."""
        with self._lock:
            self._outbox.voids[void.first] = void
        self._committer.nudge()

    def rewind(self, since: Instant) -> int:
        """Send again what was measured at ``since`` or later and is still kept. How many."""
        ranges = self.reader.seqs_since(since)
        with self._lock:
            lost = self._outbox.rewind(ranges)
        self._committer.nudge()
        return lost

    def backlog(
        self, after: int, upto: int, under_way: SeqRanges, max_entries: int, max_bytes: int
    ) -> Backlog | None:
        """The oldest run in ``after < seq <= upto`` neither acknowledged nor ``under_way``.

        At most ``max_entries`` entries and about ``max_bytes`` of text, all of one epoch. Sequence
        numbers without a row (a damaged file) become void. None when there is nothing.
        """
        with self._lock:
            outbox = self._outbox.copy()
        head: Span | None = None
        entries: list[Entry] = []
        voids: list[Void] = []
        last, room = after, max_bytes
        for span in outbox.spans(after, upto, under_way):
            head = head or span
            if span.epoch != head.epoch or len(entries) >= max_entries or room <= 0:
                break
            if span.reason is not None:
                voids.append(Void(span.first, span.last, span.reason))
                last = span.last
                continue
            found = self.reader.run(span.first, span.last, max_entries - len(entries))
            stop = span.last if len(found) < max_entries - len(entries) else found[-1].seq
            taken: list[int] = []
            for stored in found:
                room -= len(stored.entry.body)
                if room < 0 and (entries or voids):
                    stop = stored.seq - 1
                    break
                entries.append(stored.entry)
                taken.append(stored.seq)
            voids += self._void_missing(span.first, stop, taken)
            last = stop
        if head is None:
            return None
        return Backlog(head.epoch, head.first_seq, tuple(entries), tuple(voids), last)

    def pending_count(self) -> int:
        """Committed entries that the centre has not acknowledged."""
        with self._lock:
            return self._outbox.pending()

    def counts(self) -> dict[str, int]:
        """Counters for status and metrics."""
        with self._lock:
            committed = self._outbox.last_seq - self._outbox.lowest + 1
            pending = self._outbox.pending()
            void = sum(one.last - one.first + 1 for one in self._outbox.voids.values())
        return {
            "journal_committed": committed,
            "journal_pending": pending,
            "journal_acknowledged": committed - pending,
            "journal_void": void,
            "journal_queued": self._committer.queued,
            "journal_refused": self._committer.refused,
            "journal_write_errors": self._committer.failures,
            "journal_watcher_errors": self.watcher_errors,
        }

    def first_seq_of(self, epoch: str) -> int | None:
        """First sequence number that ``epoch`` may have used; None for an unknown epoch."""
        with self._lock:
            span = self._outbox.epoch_range(epoch)
        return span[0] if span else None

    def _void_missing(self, first: int, last: int, present: list[int]) -> list[Void]:
        gaps = SeqRanges((seq, seq) for seq in present).gaps(first, last)
        voids = [Void(*gap, "missing from the journal") for gap in gaps]
        for void in voids:
            _log.error("%s: entries %d to %d are not in the file", self.path, void.first, void.last)
            self.declare_void(void)
        return voids


def _lock_file(path: Path) -> int:
    guard = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            f"{guard}: cannot be written: {error.strerror}; check permissions and free space"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StorageError(f"{path}: another agent is writing this journal; end it first") from None
    return descriptor


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # no such file outside Linux: then every start counts as a boot
        return str(uuid.uuid4())
