"""The writer of the journal: what its thread does to the file, and what it does without room.

Decides the order in which a full disk takes things away, when times are corrected, and what becomes
of a file that was ruined while it was open. It leaves to others: when to write (``group_commit``),
rows and tables (``file``), how much room there is (``room``), how records are thinned
(``thinning``), what is acknowledged or held (``outbox``), what the clock is worth (``times``).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_agent.errors import StorageError
from edge_agent.storage.database import set_aside
from edge_agent.supervision import Busy
from models.contract.clock import Clock
from models.contract.messages import Kind, SeqRange, Void
from models.contract.timestamps import DAY_MS, Instant

from .backlog import Backlog, gather
from .boot import boot_id
from .file import JournalFile, Waiting
from .outbox import Outbox
from .reader import JournalReader, StoredEntry, stored_entry
from .room import RESERVE_BYTES, Room
from .seq_ranges import SeqRanges
from .thinning import STEPS, KeptRow
from .times import RecordTimes

_log = logging.getLogger(__name__)

OnCommit = Callable[[tuple[StoredEntry, ...]], object]
OnThinned = Callable[[Sequence[KeptRow], int], object]
OnCorrected = Callable[[Sequence[SeqRange]], object]

_RETENTION_EVERY_S = 3600.0
_RUINED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class JournalWriter:
    """Everything behind the queue. ``write`` belongs to one thread, the writer's; ``outbox`` is
    shared under ``lock``; ``gather`` and ``rewind`` may be called from any thread."""

    def __init__(
        self,
        path: Path,
        room: Room,
        keep_days: int,
        clock: Clock,
        times: RecordTimes,
        *,
        alone: bool = False,
    ) -> None:
        """Open or create ``path`` and start a new epoch.

        Raises:
            StorageError: the file cannot be written.
        """
        self._path, self._room, self._keep_days = path, room, keep_days
        self._clock, self._times, self._alone = clock, times, alone
        self.boot_id = boot_id()
        self.file = self._open_file()
        self.set_aside = self.file.set_aside
        self.reader = JournalReader(path)
        self.lock = threading.Lock()  # never held during a write
        self._taking = threading.RLock()  # who reads rows to send them, and who takes them away
        self.outbox = self._load_outbox()
        self.on_commit: list[OnCommit] = []
        self.on_thinned: list[OnThinned] = []
        self.on_corrected: list[OnCorrected] = []
        self._next_retention = clock.monotonic()
        self._ruined = ""  # why the file is to be set aside
        self.nudge: Callable[[], object] = lambda: None
        """Asks for another :meth:`write` soon."""
        self.watcher_errors = 0
        self.thinned = 0
        """Records that others stand for, since the start."""
        self.busy = Busy(time.monotonic)
        """Whether the writer moves, for the supervisor."""

    def _open_file(self, at_least: int = 1) -> JournalFile:
        self._room.take_ballast()
        monotonic_ms = self._times.monotonic_ms()
        for attempt in (1, 2):
            try:
                file = JournalFile(
                    self._path, self.boot_id, self._clock.now(), monotonic_ms, alone=self._alone
                )
                file.set_cap(self._room.max_bytes // file.page_bytes)
                file.start_epoch(at_least)
            except (StorageError, sqlite3.Error) as error:
                # On a full disk not even the log of a new transaction finds room.
                if attempt == 2 or not self._room.drop_ballast():
                    if isinstance(error, StorageError):
                        raise
                    raise StorageError(
                        f"{self._path}: cannot be written: {error};"
                        " check free space and permissions"
                    ) from error
            else:
                return file
        raise AssertionError("not reached")

    def _load_outbox(self) -> Outbox:
        file = self.file
        self._saved = dict(done := SeqRanges(file.acknowledged()))
        voids = file.voids()
        self._saved_voids = {void.first: void.last for void in voids}
        outbox = Outbox(file.epochs(), file.first_seq - 1, done, voids)
        outbox.held.update(file.held())
        if outbox.held:
            self._times.some_wait()
        return outbox

    def write(self, waiting: Sequence[Waiting]) -> None:
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
            self._note_ruin(error)
            _log.warning("%s: %s; tried again with the next commit", self._path, error)
            self.nudge()

    def _note_ruin(self, error: Exception) -> bool:
        """Whether the file is to be set aside; then it will be, at the next write."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _RUINED:
            return False
        self._ruined = str(error)
        self.nudge()
        return True

    def _look_after_file(self) -> None:
        self._settle_times()
        if self._clock.monotonic() >= self._next_retention:
            self._next_retention = self._clock.monotonic() + _RETENTION_EVERY_S
            self._room.take_ballast()
            if self._times.is_trusted:  # a wrong clock must not say what is old
                self._delete_old()

    def _transaction_with_room(self, waiting: Sequence[Waiting]) -> tuple[StoredEntry, ...]:
        file = self.file
        file.set_cap(self._room.cap(file.pages(), file.page_bytes))
        while True:
            try:
                return self._transaction(waiting)
            except sqlite3.DatabaseError as error:
                if self._note_ruin(error):
                    self._start_over()
                    return self._transaction(waiting)
                is_full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
                if not is_full or not self._make_room():
                    raise

    def _transaction(self, waiting: Sequence[Waiting]) -> tuple[StoredEntry, ...]:
        with self.lock:
            done = dict(self.outbox.done)
            voids = [v for k, v in self.outbox.voids.items() if self._saved_voids.get(k) != v.last]
            first = self.outbox.last_seq + 1
        gone = [key for key in self._saved if key not in done]
        changed = {k: v for k, v in done.items() if self._saved.get(k) != v}
        if not (waiting or gone or changed or voids):
            return ()
        written = self.file.write(
            waiting, first, self._times.newest_trusted,
            gone=gone, acknowledged=changed, voids=voids, now=self._clock.now(),
        )  # fmt: skip
        with self.lock:
            self.outbox.last_seq += len(written)
            for row, held in written:
                if held:
                    self.outbox.held.add(row.seq, row.seq)
        self._saved = done
        self._saved_voids.update((void.first, void.last) for void in voids)
        return tuple(stored_entry(row, waits=held) for row, held in written)

    def _tell(self, stored: tuple[StoredEntry, ...]) -> None:
        if stored:
            for committed in self.on_commit:
                self._guarded(committed, stored)

    def _guarded(self, watcher: Callable[..., object], *arguments: object) -> None:
        try:
            watcher(*arguments)
        except Exception:
            self.watcher_errors += 1
            _log.exception("a watcher of the journal failed; the entries are safe")

    def _settle_times(self) -> None:
        """Correct what was written under an untrusted clock, or give up waiting for it."""
        trusted, give_up = self._times.to_settle()
        if trusted is not None:
            ranges = self.file.correct(trusted)
            with self.lock:
                for first, last in ranges:
                    self.outbox.held.remove(first, last)
                none_left = not self.outbox.held
            give_up = self._times.corrected(all_of_them=none_left)
            if ranges:
                count = sum(last - first + 1 for first, last in ranges)
                _log.info("the clock is right again: %d entries get their true time", count)
                for corrected in self.on_corrected:
                    self._guarded(corrected, ranges)
        if give_up:
            self.file.give_up_correcting()
            self._times.gave_up()
            with self.lock:
                count = self.outbox.held.count()
                self.outbox.held = SeqRanges()
            _log.warning("%d entries are sent with a time that is not known to be right", count)

    def _start_over(self) -> None:
        """The file was ruined while it was open: set it aside, and go on with a fresh one."""
        if not self.file.closed:  # else a fresh one could not be made, and this is the next try
            self.file.close()
            if self._path.exists():
                self.set_aside = set_aside(self._path, "corrupt", self._ruined)
        with self.lock:
            following = self.outbox.last_seq + 1
        file = self._open_file(following)
        reader = JournalReader(self._path)  # numbers of forms mean other forms now
        with self.lock:
            self.file, self.reader = file, reader
            self.outbox = self._load_outbox()
        self._ruined = ""

    def _delete_old(self) -> None:
        before = self._clock.now() - self._keep_days * DAY_MS
        while self._delete_acknowledged(before):
            pass
        with self.lock:
            settled = self.outbox.settled_voids()
        gone = self.file.forget_voids(settled, before)
        with self.lock:
            for first in gone:
                self.outbox.voids.pop(first, None)
        for first in gone:
            self._saved_voids.pop(first, None)

    # --- without room ----------------------------------------------------------------------------

    def _make_room(self) -> bool:
        """Give something up, the least valuable first. False when there is nothing left to give.

        A few pages of reserve let that succeed, and on a full disk the ballast does.
        """
        file = self.file
        reserve = RESERVE_BYTES // file.page_bytes
        file.set_cap(max(self._room.max_bytes // file.page_bytes, file.pages() + reserve))
        self._room.drop_ballast()
        try:
            self._transaction(())  # acknowledgements that only memory knows
            with self._taking:
                return self._delete_acknowledged(None) > 0 or self._thin() or self._drop_others()
        finally:
            file.set_cap(self._room.cap(file.pages(), file.page_bytes))

    def _delete_acknowledged(self, before: Instant | None) -> int:
        """What is acknowledged on the disk and still is: a rewind may just have taken it back."""
        with self._taking:
            with self.lock:
                done = self.outbox.done.copy()
            both = [part for pair in self._saved.items() for part in done.within(*pair)]
            return self.file.delete_acknowledged(both, before)

    def _spared(self) -> SeqRanges:
        with self.lock:
            spared = self.outbox.under_way.copy()
            spared.update(self.outbox.done)
            spared.update(self.outbox.held)
            return spared

    def _thin(self) -> bool:
        for step in STEPS:
            with self.lock:
                first = self.outbox.last_seq + 1
            voids, rows, replaced = self.file.thin(step, self._spared(), first, self._clock.now())
            if not replaced:
                continue
            self._record_void(voids, len(rows))
            self.thinned += len(replaced)
            for thinned in self.on_thinned:
                self._guarded(thinned, replaced, len(rows))
            self._tell(tuple(stored_entry(row, waits=True) for row in rows))
            return True
        return False

    def _drop_others(self) -> bool:
        for kind in (Kind.STATUS, Kind.FORECAST):
            voids = self.file.drop_others(kind, self._spared(), self._clock.now())
            if voids:
                self._record_void(voids, 0)
                return True
        self.file.look_again()
        return False

    def _record_void(self, voids: Sequence[Void], new_rows: int) -> None:
        with self.lock:
            self.outbox.last_seq += new_rows
            for void in voids:
                self.outbox.declare(void)
        self._saved_voids.update((void.first, void.last) for void in voids)

    # --- for other threads -----------------------------------------------------------------------

    def gather(
        self, after: int, upto: int, under_way: SeqRanges, max_entries: int, max_bytes: int
    ) -> Backlog | None:
        """What the centre does not have yet, read from the file; not thinned before it is sent."""
        reader = self.reader
        try:
            with self._taking:
                with self.lock:
                    outbox, reader = self.outbox.copy(), self.reader
                found = gather(reader, outbox.spans(after, upto, under_way), max_entries, max_bytes)
                if found is not None:
                    with self.lock:
                        for block in found.blocks:
                            self.outbox.under_way.update((seq, seq) for seq in block.seqs)
        except sqlite3.DatabaseError as error:
            if reader is self.reader:  # else it was set aside meanwhile, and another one is sound
                self._note_ruin(error)
            raise
        return found

    def rewind(self, since: Instant) -> int:
        """Unmark what was measured at ``since`` or later and is still kept. How many."""
        with self._taking:  # what is found here must not be deleted as acknowledged behind us
            ranges = self.reader.seqs_since(since)
            with self.lock:
                return self.outbox.rewind(ranges)
