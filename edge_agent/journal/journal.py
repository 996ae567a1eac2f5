"""The journal: one append-only table that is buffer and outbox at once.

Decides what an entry's key is, when it is durable, what waits for its time, and in which order a
full disk takes things away. It leaves to others: when to write (``group_commit``), rows and tables
(``file``), what is acknowledged, void or still to be sent (``outbox``), reading for people and
tests (``reader``), how much room there is (``room``), how records are thinned (``thinning``), and
what to send next (``uplink``).

    journal = Journal(directory / "journal.sqlite", JournalSettings(), clock)
    journal.append_record(record)
    journal.close()

A power cut loses at most ``commit_window_s`` of entries that nobody has seen: keys are given at
commit, so an entry that was lost never had one. Without room, in this order: acknowledged entries
go before their time; records that are not acknowledged are thinned step by step, the oldest first,
energy counters to the last; forecasts and statuses that nobody has fetched; then new entries wait
in memory and, when that is full too, are refused and counted (urgent ones last). Alerts and
acknowledgements are never given up.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.clock.watch import ClockPeriod, TrustedClockWatch
from edge_agent.errors import StorageError
from edge_agent.storage.database import set_aside
from edge_agent.supervision import Busy
from models.contract.clock import Clock
from models.contract.errors import ContractError, PayloadError
from models.contract.fields import Json
from models.contract.messages import Kind, SeqRange, Void
from models.contract.payload import (
    RecordForm,
    canonical,
    parse_json,
    record_from_json,
    record_to_json,
)
from models.contract.record import Record
from models.contract.timestamps import DAY_MS, Instant, format_iso8601
from models.contract.topics import check_identifier

from .backlog import Backlog, gather
from .boot import boot_id
from .file import JournalFile, Waiting, values_text
from .group_commit import GroupCommitter
from .outbox import Outbox
from .reader import JournalReader, StoredEntry, stored_entry
from .room import RESERVE_BYTES, Room
from .seq_ranges import SeqRanges
from .thinning import STEPS, KeptRow

_log = logging.getLogger(__name__)

Watcher = Callable[[tuple[StoredEntry, ...]], object]

_URGENT = frozenset({Kind.ALERT})
_RETENTION_EVERY_S = 3600.0
_LOWEST_MAX_BYTES = 1_000_000
_READING_MS = 100
"""Two clocks are not read in the same moment."""
_RECENT_PERIODS = 4
"""Periods of the clock that a poll under way may have begun in."""
_RUINED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True)
class JournalSettings:
    """How much may be lost, kept and held back."""

    commit_window_s: float = 30.0
    """Entries wait this long, real time, for company before they are written: what a power cut may
    cost, and the price of card wear (``benchmarks.edge_footprint`` shows the curve)."""
    queue_limit: int = 20_000
    """Entries in memory while the disk is full or stalls; more are refused. 20 000 take 10 MB."""
    keep_days: int = 30
    """Acknowledged entries stay this long, so that the centre may ask for them again."""
    max_bytes: int = 1_000_000_000
    """Size of the file; then acknowledged entries go before their time, and others are thinned."""
    keep_free_bytes: int = 50_000_000
    """The file stops growing when the file system has less than this left."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.commit_window_s <= 3600:
            raise ValueError("commit_window_s: must be between 0.01 and 3600 seconds")
        if not 1 <= self.queue_limit <= 10_000_000:
            raise ValueError("queue_limit: must be between 1 and 10000000 entries")
        if not 1 <= self.keep_days <= 3650:
            raise ValueError("keep_days: must be between 1 and 3650 days")
        if self.max_bytes < _LOWEST_MAX_BYTES:
            raise ValueError(f"max_bytes: must be at least {_LOWEST_MAX_BYTES}")
        if self.keep_free_bytes < 0:
            raise ValueError("keep_free_bytes: must not be negative")


class Journal:
    """The one writer of a journal file. Every method may be called from any thread."""

    def __init__(
        self,
        path: Path,
        settings: JournalSettings,
        clock: Clock,
        clock_period: Callable[[], ClockPeriod] | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """Open or create ``path``, start a new epoch and the writer thread.

        ``clock_period`` says what the clock's time is worth at the moment, asked by whoever
        appends; without it the clock is believed. ``monotonic``: the clock that the offsets of
        its periods are against, where it is not ``clock``'s own.

        Raises:
            StorageError: the file cannot be written, or another agent is writing it.
        """
        self.path, self._settings, self._clock = path, settings, clock
        self._clock_period = clock_period or TrustedClockWatch(clock).look
        self._monotonic = monotonic or clock.monotonic
        self._recent: list[ClockPeriod] = []
        self._guard = _lock_file(path)
        self._room = Room(path, settings.max_bytes, settings.keep_free_bytes)
        self.boot_id = boot_id()
        self._file = self._open_file()
        self.set_aside = self._file.set_aside
        self.reader = JournalReader(path)
        self._deleting = threading.RLock()  # who reads rows to send them, and who takes them away
        self._lock = threading.Lock()  # guards the outbox and clock; never held during a write
        self._trusted: ClockPeriod | None = None
        self._is_trusted = False
        self._corrected = True
        self._give_up_correcting = False
        self._outbox = self._load_outbox()
        self._watchers: list[Watcher] = []
        self.on_thinned: Callable[[Sequence[KeptRow], int], object] = lambda rows, left: None
        """Called from the writer thread with records that were replaced and how many stand for
        them."""
        self.on_corrected: Callable[[Sequence[SeqRange]], object] = lambda ranges: None
        """Called from the writer thread with entries whose time has become known."""
        self._next_retention = clock.monotonic()
        self.watcher_errors = 0
        self._ruined = ""  # why the file is to be set aside
        self.thinned = 0
        """Records that others stand for, since the start."""
        self.busy = Busy(time.monotonic)
        """Whether the writer moves, for the supervisor."""
        self._committer: GroupCommitter[Waiting] = GroupCommitter(
            self._write,
            window_s=settings.commit_window_s,
            limit=settings.queue_limit,
            reserve=max(100, settings.queue_limit // 10),
            monotonic=clock.monotonic,
            name="journal-writer",
        )
        self._note(self._clock_period())

    @property
    def epoch(self) -> str:
        """The epoch of what is committed now; another one after a damaged file was set aside."""
        return self._file.epoch

    @property
    def first_seq(self) -> int:
        """First sequence number of the epoch."""
        return self._file.first_seq

    def _open_file(self, at_least: int = 1) -> JournalFile:
        self._room.take_ballast()
        monotonic_ms = int(self._monotonic() * 1000)
        for attempt in (1, 2):
            try:
                file = JournalFile(self.path, self.boot_id, self._clock.now(), monotonic_ms)
                file.set_cap(self._settings.max_bytes // file.page_bytes)
                file.start_epoch(at_least)
            except (StorageError, sqlite3.Error) as error:
                # On a full disk not even the log of a new transaction finds room.
                if attempt == 2 or not self._room.drop_ballast():
                    if isinstance(error, StorageError):
                        raise
                    raise StorageError(
                        f"{self.path}: cannot be written: {error}; check free space and permissions"
                    ) from error
            else:
                return file
        raise AssertionError("not reached")

    def _load_outbox(self) -> Outbox:
        file = self._file
        self._saved = dict(done := SeqRanges(file.acknowledged()))
        voids = file.voids()
        self._saved_voids = {void.first: void.last for void in voids}
        outbox = Outbox(file.epochs(), file.first_seq - 1, done, voids)
        outbox.held.update(file.held())
        self._corrected = not outbox.held
        return outbox

    # --- writing ---------------------------------------------------------------------------------

    def append_record(self, record: Record) -> bool:
        """Queue a record without waiting. False: see :meth:`append`."""
        form, values = RecordForm.of(record)
        if not self._file.knows(form):
            body = canonical(record_to_json(record))
            return self._submit(Kind.RECORD, record.device, record.measured_at, None, body)
        return self._submit(
            Kind.RECORD, record.device, record.measured_at, form, values_text(values)
        )

    def append(
        self, kind: Kind, device: str, measured_at: Instant, body: Mapping[str, Json]
    ) -> bool:
        """Queue one entry without waiting; alerts are committed at once, the rest in groups.

        False when the queue is full (the disk is full or stalls): the entry is not kept, and is
        counted as ``journal_refused``.

        Raises:
            PayloadError: ``body`` could never be sent: NaN, too large, too deep, or with a name
                that belongs to the journal.
        """
        check_identifier(device)
        format_iso8601(measured_at)
        for name in ("epoch", "seq"):
            if name in body:
                raise PayloadError("is given by the journal", name)
        try:
            text = canonical(body)
            parsed = parse_json(text.encode())
        except PayloadError:
            raise
        except (ContractError, TypeError, ValueError) as error:
            raise PayloadError(f"cannot be written as JSON: {error}") from None
        if kind is Kind.RECORD:
            try:
                record = record_from_json(parsed)
            except ContractError:
                pass  # kept as it is; the centre says what it thinks of it
            else:
                if (record.device, record.measured_at) == (device, measured_at):
                    return self.append_record(record)
        return self._submit(kind, device, measured_at, None, text)

    def _submit(
        self, kind: Kind, device: str, at: Instant, form: RecordForm | None, body: str
    ) -> bool:
        period = self._clock_period()
        self._note(period)
        monotonic_ms = int(self._monotonic() * 1000)
        period = self._period_of(at, monotonic_ms)
        waiting = Waiting(kind, device, at, monotonic_ms, period, form, body)
        return self._committer.submit(waiting, urgent=kind in _URGENT)

    def _period_of(self, measured_at: Instant, monotonic_ms: int) -> ClockPeriod:
        """The period whose clock showed ``measured_at`` last: a poll may be under way while the
        clock is set, and its record has the time of before."""
        ages = [(p.offset_ms + monotonic_ms - measured_at, n) for n, p in enumerate(self._recent)]
        fitting = [age for age in ages if age[0] >= -_READING_MS]
        return self._recent[min(fitting)[1] if fitting else 0]

    def believes(self, measured_at: Instant) -> bool:
        """Whether the clock could be believed when it showed ``measured_at``."""
        self._note(self._clock_period())
        return self._period_of(measured_at, int(self._monotonic() * 1000)).trusted

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
            self._file.close()
        os.close(self._guard)

    # --- a clock that was not set ----------------------------------------------------------------

    def note_clock(self) -> None:
        """Look at the clock: once it can be trusted, entries that wait get their true time.

        Like :meth:`append`, to be called from the one thread that may look at the clock.
        """
        self._note(self._clock_period())

    def release_held(self) -> None:
        """Let entries of an untrusted clock travel as they are, marked; no correction came."""
        with self._lock:
            self._give_up_correcting = bool(self._outbox.held)
        self._committer.nudge()

    def held_count(self) -> int:
        """Entries that wait for their true time."""
        with self._lock:
            return self._outbox.held.count()

    def _note(self, period: ClockPeriod) -> None:
        if not self._recent or self._recent[0].number != period.number:
            self._recent = [period, *self._recent[: _RECENT_PERIODS - 1]]
        with self._lock:
            self._is_trusted = period.trusted
            if not period.trusted:
                self._corrected = False
                return
            news = self._trusted is None or self._trusted.number != period.number
            self._trusted = period
        if news and not self._corrected:
            self._committer.nudge()

    # --- the writer thread -----------------------------------------------------------------------

    def _write(self, waiting: Sequence[Waiting]) -> None:
        """Make ``waiting`` and the acknowledgements of the moment durable, or raise."""
        with self.busy:
            self._write_group(waiting)

    def _write_group(self, waiting: Sequence[Waiting]) -> None:
        if self._ruined:
            self._start_over()
        stored = self._transaction_with_room(waiting)
        self._tell(stored)
        try:
            self._look_after_file()
        except (sqlite3.Error, OSError) as error:  # the group is durable: never write it again
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _RUINED:
                self._ruined = str(error)
            _log.warning("%s: %s; tried again with the next commit", self.path, error)
            self._committer.nudge()

    def _look_after_file(self) -> None:
        self._settle_times()
        if self._clock.monotonic() >= self._next_retention:
            self._next_retention = self._clock.monotonic() + _RETENTION_EVERY_S
            self._room.take_ballast()
            if self._is_trusted:  # a wrong clock must not say what is old
                self._delete_old()

    def _transaction_with_room(self, waiting: Sequence[Waiting]) -> tuple[StoredEntry, ...]:
        file = self._file
        file.set_cap(self._room.cap(file.pages(), file.page_bytes))
        while True:
            try:
                return self._transaction(waiting)
            except sqlite3.DatabaseError as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code in _RUINED:
                    self._ruined = str(error)
                    self._start_over()
                    return self._transaction(waiting)
                if code != sqlite3.SQLITE_FULL or not self._make_room():
                    raise

    def _transaction(self, waiting: Sequence[Waiting]) -> tuple[StoredEntry, ...]:
        with self._lock:
            done = dict(self._outbox.done)
            voids = [v for k, v in self._outbox.voids.items() if self._saved_voids.get(k) != v.last]
            first = self._outbox.last_seq + 1
            trusted = self._trusted
        gone = [key for key in self._saved if key not in done]
        changed = {k: v for k, v in done.items() if self._saved.get(k) != v}
        if not (waiting or gone or changed or voids):
            return ()
        written = self._file.write(
            waiting, first, trusted,
            gone=gone, acknowledged=changed, voids=voids, now=self._clock.now(),
        )  # fmt: skip
        with self._lock:
            self._outbox.last_seq += len(written)
            for row, held in written:
                if held:
                    self._outbox.held.add(row.seq, row.seq)
        self._saved = done
        self._saved_voids.update((void.first, void.last) for void in voids)
        return tuple(stored_entry(row, waits=held) for row, held in written)

    def _tell(self, stored: tuple[StoredEntry, ...]) -> None:
        if not stored:
            return
        for watcher in self._watchers:
            try:
                watcher(stored)
            except Exception:
                self.watcher_errors += 1
                _log.exception("a watcher of the journal failed; the entries are safe")

    def _settle_times(self) -> None:
        """Correct what was written under an untrusted clock, or give up waiting for it."""
        with self._lock:
            trusted, corrected = self._trusted, self._corrected
            give_up = self._give_up_correcting
        if trusted is not None and not corrected:
            ranges = self._file.correct(trusted)
            with self._lock:
                for first, last in ranges:
                    self._outbox.held.remove(first, last)
                self._corrected = self._is_trusted and not self._outbox.held
                if self._is_trusted:
                    self._give_up_correcting = give_up = False
            if ranges:
                _log.info("the clock is right again: %s get their true time", _count_of(ranges))
                try:
                    self.on_corrected(ranges)
                except Exception:
                    self.watcher_errors += 1
                    _log.exception("a watcher of corrected times failed; the entries are safe")
        if give_up:
            self._file.give_up_correcting()
            with self._lock:
                self._give_up_correcting = False
                count = self._outbox.held.count()
                self._outbox.held = SeqRanges()
            _log.warning("%d entries are sent with a time that is not known to be right", count)

    def _start_over(self) -> None:
        """The file was ruined while it was open: set it aside, and go on with a fresh one."""
        if not self._file.closed:  # else a fresh one could not be made, and this is the next try
            self._file.close()
            if self.path.exists():
                self.set_aside = set_aside(self.path, "corrupt", self._ruined)
        with self._lock:
            following = self._outbox.last_seq + 1
        file = self._open_file(following)
        reader = JournalReader(self.path)  # numbers of forms mean other forms now
        with self._lock:
            self._file, self.reader = file, reader
            self._outbox = self._load_outbox()
        self._ruined = ""

    def _delete_old(self) -> None:
        before = self._clock.now() - self._settings.keep_days * DAY_MS
        while self._delete_acknowledged(before):
            pass
        with self._lock:
            settled = self._outbox.settled_voids()
        gone = self._file.forget_voids(settled, before)
        with self._lock:
            for first in gone:
                self._outbox.voids.pop(first, None)
        for first in gone:
            self._saved_voids.pop(first, None)

    # --- without room ----------------------------------------------------------------------------

    def _make_room(self) -> bool:
        """Give something up, the least valuable first. False when there is nothing left to give.

        A few pages of reserve let that succeed, and on a full disk the ballast does.
        """
        file = self._file
        reserve = RESERVE_BYTES // file.page_bytes
        file.set_cap(max(self._settings.max_bytes // file.page_bytes, file.pages() + reserve))
        self._room.drop_ballast()
        try:
            self._transaction(())  # acknowledgements that only memory knows
            with self._deleting:
                return self._delete_acknowledged(None) > 0 or self._thin() or self._drop_others()
        finally:
            file.set_cap(self._room.cap(file.pages(), file.page_bytes))

    def _delete_acknowledged(self, before: Instant | None) -> int:
        """What is acknowledged on the disk and still is: a rewind may just have taken it back."""
        with self._deleting:
            with self._lock:
                done = self._outbox.done.copy()
            both = [part for pair in self._saved.items() for part in done.within(*pair)]
            return self._file.delete_acknowledged(both, before)

    def _spared(self) -> SeqRanges:
        with self._lock:
            spared = self._outbox.under_way.copy()
            spared.update(self._outbox.done)
            spared.update(self._outbox.held)
            return spared

    def _thin(self) -> bool:
        for step in STEPS:
            with self._lock:
                first = self._outbox.last_seq + 1
            voids, rows, replaced = self._file.thin(step, self._spared(), first, self._clock.now())
            if not replaced:
                continue
            self._record_void(voids, len(rows))
            self.thinned += len(replaced)
            try:
                self.on_thinned(replaced, len(rows))
            except Exception:
                self.watcher_errors += 1
                _log.exception("a watcher of thinned records failed; the records are safe")
            self._tell(tuple(stored_entry(row, waits=True) for row in rows))
            return True
        return False

    def _drop_others(self) -> bool:
        for kind in (Kind.STATUS, Kind.FORECAST):
            voids = self._file.drop_others(kind, self._spared(), self._clock.now())
            if voids:
                self._record_void(voids, 0)
                return True
        self._file.look_again()
        return False

    def _record_void(self, voids: Sequence[Void], new_rows: int) -> None:
        with self._lock:
            self._outbox.last_seq += new_rows
            for void in voids:
                self._outbox.declare(void)
        self._saved_voids.update((void.first, void.last) for void in voids)

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
            self._committer.nudge(hopeful=True)  # a full file has something to give up now
        return gained

    def declare_void(self, void: Void) -> None:
        """``void`` will never be sent; the centre is told why with the backlog."""
        with self._lock:
            self._outbox.declare(void)
        self._committer.nudge()

    def rewind(self, since: Instant) -> int:
        """Send again what was measured at ``since`` or later and is still kept. How many."""
        with self._deleting:  # what is found here must not be deleted as acknowledged behind us
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
        try:
            found = self._gather(after, upto, under_way, max_entries, max_bytes)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _RUINED:
                self._ruined = str(error)  # the writer sets the file aside
                self._committer.nudge()
            raise
        if found is None:
            return None
        for void in found.missing:
            with self._lock:  # it may have been thinned since the copy was made
                known = self._outbox.void_ranges().covers(void.first, void.last)
            if known:
                return self.backlog(after, upto, under_way, max_entries, max_bytes)
            _log.error("%s: entries %d to %d are not in the file", self.path, void.first, void.last)
            self.declare_void(void)
        return found

    def _gather(
        self, after: int, upto: int, under_way: SeqRanges, max_entries: int, max_bytes: int
    ) -> Backlog | None:
        with self._deleting:  # what is read here must not be thinned before it is sent
            with self._lock:
                outbox = self._outbox.copy()
                reader = self.reader
            found = gather(reader, outbox.spans(after, upto, under_way), max_entries, max_bytes)
            if found is not None:
                with self._lock:
                    for block in found.blocks:
                        self._outbox.under_way.update((seq, seq) for seq in block.seqs)
        return found

    def note_under_way(self, ranges: SeqRanges) -> None:
        """What is on its way to the centre: not to be thinned meanwhile."""
        with self._lock:
            self._outbox.under_way = ranges

    def pending_count(self) -> int:
        """Committed entries that the centre has not acknowledged."""
        with self._lock:
            return self._outbox.pending()

    def counts(self) -> dict[str, int]:
        """Counters for status and metrics."""
        with self._lock:
            committed = self._outbox.last_seq - self._outbox.lowest + 1
            pending = self._outbox.pending()
            held = self._outbox.held.count()
            void = sum(one.last - one.first + 1 for one in self._outbox.voids.values())
        return {
            "journal_committed": committed,
            "journal_pending": pending,
            "journal_acknowledged": committed - pending,
            "journal_void": void,
            "journal_held": held,
            "journal_thinned": self.thinned,
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


def _count_of(ranges: Sequence[SeqRange]) -> str:
    return f"{sum(last - first + 1 for first, last in ranges)} entries"


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
