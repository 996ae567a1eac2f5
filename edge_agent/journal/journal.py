"""The journal: one append-only table that is buffer and outbox at once.

The front of the room: what others append to it, ask of it and tell it. It leaves to others: when to
write (``group_commit``), what the writing thread does (``writer``), what is acknowledged, void or
still to be sent (``outbox``), what the clock is worth (``times``), reading for people and tests
(``reader``), and what to send next (``uplink``).

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.clock.watch import ClockPeriod, TrustedClockWatch
from edge_agent.errors import StorageError
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
from models.contract.timestamps import Instant, format_iso8601
from models.contract.topics import check_identifier

from .backlog import Backlog
from .file import Waiting, values_text
from .group_commit import GroupCommitter
from .reader import JournalReader
from .room import Room
from .seq_ranges import SeqRanges
from .times import RecordTimes
from .writer import JournalWriter, OnCommit, OnCorrected, OnThinned

_log = logging.getLogger(__name__)

_URGENT = frozenset({Kind.ALERT})
_LOWEST_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class JournalSettings:
    """How much may be lost, kept and held back."""

    commit_window_s: float = 30.0
    """Entries wait this long, real time, for company before they are written, and up to a second
    more for the round of polls under way: what a power cut may cost, and the price of card wear
    (``benchmarks.edge_footprint`` shows the curve)."""
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
    """The one writer of a journal file.

    Every method may be called from any thread; with a ``clock_period``, those that look at the
    clock (``append``, ``append_record``, ``note_clock``, ``believes``) from the one that may.
    """

    def __init__(
        self,
        path: Path,
        settings: JournalSettings,
        clock: Clock,
        clock_period: Callable[[], ClockPeriod] | None = None,
        monotonic: Callable[[], float] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        """Open or create ``path``, start a new epoch and the writer thread.

        ``clock_period`` says what the clock's time is worth at the moment, asked by whoever
        appends; without it the clock is believed. ``monotonic``: the clock that the offsets of
        its periods are against, where it is not ``clock``'s own. ``alone``: no other process is let
        in, which saves the card a third of what is written; a :class:`JournalReader` elsewhere
        reads a copy.

        Raises:
            StorageError: the file cannot be written, or another agent is writing it.
        """
        self.path = path
        self._guard = _lock_file(path)
        self._times = RecordTimes(
            clock_period or TrustedClockWatch(clock).look, monotonic or clock.monotonic
        )
        room = Room(path, settings.max_bytes, settings.keep_free_bytes)
        self._writer = JournalWriter(
            path, room, settings.keep_days, clock, self._times, alone=alone
        )
        self.busy = self._writer.busy
        self.boot_id = self._writer.boot_id
        self._committer: GroupCommitter[Waiting] = GroupCommitter(
            self._writer.write,
            window_s=settings.commit_window_s,
            limit=settings.queue_limit,
            reserve=max(100, settings.queue_limit // 10),
            monotonic=clock.monotonic,
            name="journal-writer",
        )
        self._writer.nudge = self._committer.nudge
        self.note_clock()

    @property
    def reader(self) -> JournalReader:
        """For reading what is committed."""
        return self._writer.reader

    @property
    def set_aside(self) -> Path | None:
        """Where a broken file was set aside, at the start or since."""
        return self._writer.set_aside

    @property
    def thinned(self) -> int:
        """Records that others stand for, since the start."""
        return self._writer.thinned

    @property
    def epoch(self) -> str:
        """The epoch of what is committed now; another one after a damaged file was set aside."""
        return self._writer.file.epoch

    @property
    def first_seq(self) -> int:
        """First sequence number of the epoch."""
        return self._writer.file.first_seq

    # --- writing ---------------------------------------------------------------------------------

    def append_record(self, record: Record) -> bool:
        """Queue a record without waiting. False: see :meth:`append`."""
        form, values = RecordForm.of(record)
        if not self._writer.file.knows(form):
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
        self.note_clock()
        period, monotonic_ms = self._times.period_of(at), self._times.monotonic_ms()
        waiting = Waiting(kind, device, at, monotonic_ms, period, form, body)
        return self._committer.submit(waiting, urgent=kind in _URGENT)

    def on_commit(self, watcher: OnCommit) -> None:
        """Call ``watcher`` with what was just committed, from the writer thread; to be quick."""
        self._writer.on_commit.append(watcher)

    def on_thinned(self, watcher: OnThinned) -> None:
        """Call ``watcher``, from the writer thread, with records that were replaced for want of
        room and how many stand for them."""
        self._writer.on_thinned.append(watcher)

    def on_corrected(self, watcher: OnCorrected) -> None:
        """Call ``watcher``, from the writer thread, with ranges whose time has become known."""
        self._writer.on_corrected.append(watcher)

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
            self._writer.file.close()
        os.close(self._guard)

    # --- a clock that was not set ----------------------------------------------------------------

    def note_clock(self) -> None:
        """Look at the clock: once it can be trusted, entries that wait get their true time.

        Like :meth:`append`, to be called from the one thread that may look at the clock.
        """
        if self._times.look():
            self._committer.nudge()

    def believes(self, measured_at: Instant) -> bool:
        """Whether the clock could be believed when it showed ``measured_at``."""
        self.note_clock()
        return self._times.period_of(measured_at).trusted

    def release_held(self) -> None:
        """Let entries of an untrusted clock travel as they are, marked; no correction came."""
        if self.held_count():
            self._times.wait_no_longer()
            self._committer.nudge()

    def held_count(self) -> int:
        """Entries that wait for their true time."""
        with self._writer.lock:
            return self._writer.outbox.held.count()

    # --- outbox ----------------------------------------------------------------------------------

    @property
    def last_seq(self) -> int:
        """Sequence number of the newest committed entry."""
        with self._writer.lock:
            return self._writer.outbox.last_seq

    def acknowledge(self, epoch: str, ranges: Sequence[SeqRange], through: int = 0) -> int:
        """The centre has committed ``ranges`` of ``epoch``, and all of it up to ``through``.

        Durable with the next group: an acknowledgement lost in a power cut only costs a resend.
        Returns how many entries were not acknowledged before; 0 for an epoch that is not in this
        file.
        """
        with self._writer.lock:
            gained = self._writer.outbox.acknowledge(epoch, ranges, through)
        if gained:
            # A full file has something to give up now; else it goes with the next entries.
            self._committer.nudge(hopeful=True, patient=True)
        return gained

    def declare_void(self, void: Void) -> None:
        """``void`` will never be sent; the centre is told why with the backlog."""
        with self._writer.lock:
            self._writer.outbox.declare(void)
        self._committer.nudge()

    def rewind(self, since: Instant) -> int:
        """Send again what was measured at ``since`` or later and is still kept. How many."""
        lost = self._writer.rewind(since)
        self._committer.nudge()
        return lost

    def backlog(
        self, after: int, upto: int, under_way: SeqRanges, max_entries: int, max_bytes: int
    ) -> Backlog | None:
        """The oldest run in ``after < seq <= upto`` neither acknowledged nor ``under_way``.

        At most ``max_entries`` entries and about ``max_bytes`` of text, all of one epoch. Sequence
        numbers without a row (a damaged file) become void. None when there is nothing.
        """
        found = self._writer.gather(after, upto, under_way, max_entries, max_bytes)
        if found is not None:
            for void in found.missing:
                _log.error("%s: entries %d to %d are lost", self.path, void.first, void.last)
                self.declare_void(void)
        return found

    def note_under_way(self, ranges: SeqRanges) -> None:
        """What is on its way to the centre: not to be thinned meanwhile."""
        with self._writer.lock:
            self._writer.outbox.under_way = ranges

    def pending_count(self) -> int:
        """Committed entries that the centre has not acknowledged."""
        with self._writer.lock:
            return self._writer.outbox.pending()

    def counts(self) -> dict[str, int]:
        """Counters for status and metrics."""
        with self._writer.lock:
            committed = self._writer.outbox.last_seq - self._writer.outbox.lowest + 1
            pending = self._writer.outbox.pending()
            held = self._writer.outbox.held.count()
            void = sum(one.last - one.first + 1 for one in self._writer.outbox.voids.values())
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
            "journal_watcher_errors": self._writer.watcher_errors,
        }

    def first_seq_of(self, epoch: str) -> int | None:
        """First sequence number that ``epoch`` may have used; None for an unknown epoch."""
        with self._writer.lock:
            span = self._writer.outbox.epoch_range(epoch)
        return span[0] if span else None


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
