"""Reading the journal without disturbing its writer: for other threads, command line and tests.

Every call opens a connection of its own, so a reader never holds back the write-ahead log for
longer than the call. ``Journal`` is the only writer. Decides how a row becomes an entry again: a
record from its form and its numbers, with the time that is believed today.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_agent.storage.database import read_only
from models.contract.errors import ContractError
from models.contract.messages import Entry, EntryKey, Kind, SeqRange
from models.contract.payload import RecordForm, canonical, form_from_json, form_to_json
from models.contract.record import Quality
from models.contract.timestamps import Instant

_log = logging.getLogger(__name__)

_PAGE = 2_000
_LONGEST_UNREADABLE = 10_000
_KINDS = {kind.value: kind for kind in Kind}
_COLUMNS = (
    "SELECT epochs.epoch, seq, kind, device, measured_at + coalesce(correction_ms, 0),"
    " monotonic_ms, form_id, body, NOT trusted AND correction_ms IS NULL"
    " FROM journal JOIN periods ON periods.id = period_id JOIN epochs ON epochs.id = epoch_id"
)


class Row(NamedTuple):
    """A journal row as it is kept. With a ``form``, ``body`` is the JSON list of its values."""

    epoch: str
    seq: int
    kind: Kind
    device: str
    measured_at: Instant
    """Corrected, when the clock was set after it had been written."""
    monotonic_ms: int
    form: RecordForm | None
    body: str


@dataclass(frozen=True)
class StoredEntry:
    """An entry as the journal holds it: what travels, and what the box knows about it."""

    entry: Entry
    device: str
    measured_at: Instant
    monotonic_ms: int
    """Milliseconds on the boot's own clock when it was appended."""
    samples: int = 1
    """Polls that a record stands for."""
    window_ms: int = 0
    """Of a record that stands for several polls, or for one that was thinned."""
    clock_trusted: bool = True
    """Whether the time of a record is known."""
    asleep: bool = False
    """A record that says of every quantity that the device sleeps."""
    waits: bool = False
    """Not to be sent as news: its time is not known yet, or it stands for older entries."""

    @property
    def seq(self) -> int:
        """Sequence number, unique within the file."""
        return self.entry.key.seq


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One start of the agent."""

    epoch: str
    first_seq: int
    boot_id: str
    started_at: Instant


def read_values(body: str, form: RecordForm) -> list[float] | None:
    """The values of a record of ``form``; None for what a damaged file gives instead."""
    try:
        values = json.loads(body)
        if len(values) == len(form.names) and all(
            type(value) is float and math.isfinite(value) for value in values
        ):
            return list(values)
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def _unreadable(form: str | None, body: str) -> str:
    """What is sent of a row that makes no record: the centre keeps it and says what is wrong."""
    clean = body.encode("utf-8", "replace").decode().replace("\0", "")[:_LONGEST_UNREADABLE]
    return canonical({"unreadable": clean, "form": form})


def stored_entry(row: Row, *, waits: bool = False) -> StoredEntry:
    """The entry that ``row`` keeps."""
    form, body = row.form, row.body
    if form is not None:
        values = read_values(body, form)
        if values is None:
            body = _unreadable(canonical(form_to_json(form)), body)
        else:
            body = form.body(row.measured_at, values)
    return StoredEntry(
        Entry(EntryKey(row.epoch, row.seq), row.kind, body),
        row.device,
        row.measured_at,
        row.monotonic_ms,
        samples=form.samples if form is not None else 1,
        window_ms=form.window_ms if form is not None else 0,
        clock_trusted=form is None or form.clock_trusted,
        asleep=form is not None and is_asleep(form),
        waits=waits,
    )


def is_asleep(form: RecordForm) -> bool:
    """Whether such a record says that the device sleeps, and nothing else."""
    return not form.names and all(flaw is Quality.ASLEEP for _, flaw in form.flaws)


class JournalReader:
    """Read-only view of a journal file, open elsewhere or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forms: dict[int, RecordForm] = {}  # a form never changes under its number
        self._told: set[int] = set()

    def entries(self, first: int = 1, last: int = 2**63 - 1) -> Iterator[StoredEntry]:
        """Committed entries with ``first <= seq <= last``, ascending, read page by page."""
        while page := self.run(first, last, _PAGE):
            yield from page
            first = page[-1].seq + 1

    def run(self, first: int, last: int, limit: int) -> list[StoredEntry]:
        """At most ``limit`` entries with ``first <= seq <= last``, ascending."""
        return [stored_entry(row) for row in self.rows(first, last, limit)]

    def rows(self, first: int, last: int, limit: int) -> list[Row]:
        """The same as rows, which is quicker."""
        where = f"{_COLUMNS} WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
        return self._select(where, (first, last, limit))

    def latest(self, kind: Kind, among: int = 20_000) -> StoredEntry | None:
        """The newest entry of ``kind`` among the last ``among`` entries."""
        where = f"{_COLUMNS} WHERE kind = ? AND seq > (SELECT max(seq) FROM journal) - ?"
        found = self._select(f"{where} ORDER BY seq DESC LIMIT 1", (kind.value, among))
        return stored_entry(found[0]) if found else None

    def seqs_since(self, since: Instant) -> list[SeqRange]:
        """Ranges of entries measured at ``since`` or later, ascending; neighbours may touch."""
        with read_only(self.path) as connection:
            rows = connection.execute(
                "SELECT seq FROM journal JOIN periods ON periods.id = period_id"
                " WHERE measured_at + coalesce(correction_ms, 0) >= ? ORDER BY seq",
                (since,),
            )
            ranges: list[SeqRange] = []
            for (seq,) in rows:
                if ranges and ranges[-1][1] == seq - 1:
                    ranges[-1] = (ranges[-1][0], seq)
                else:
                    ranges.append((seq, seq))
            return ranges

    def epochs(self) -> list[EpochRow]:
        """Every start of the agent that this file knows, oldest first."""
        with read_only(self.path) as connection:
            return [
                EpochRow(*row)
                for row in connection.execute(
                    "SELECT epoch, first_seq, boot_id, started_at FROM epochs ORDER BY id"
                )
            ]

    def acknowledged(self) -> list[SeqRange]:
        """Ranges the centre has committed, as far as this file knows."""
        with read_only(self.path) as connection:
            return list(connection.execute("SELECT first, last FROM acknowledged ORDER BY first"))

    def counts(self) -> dict[str, int]:
        """``committed``, ``acknowledged`` and ``pending`` rows, and rows by kind."""
        covered = (
            "SELECT count(*) FROM journal WHERE EXISTS"
            " (SELECT 1 FROM acknowledged WHERE seq BETWEEN first AND last)"
        )
        with read_only(self.path) as connection:
            kinds = dict(connection.execute("SELECT kind, count(*) FROM journal GROUP BY kind"))
            (acknowledged,) = connection.execute(covered).fetchone()
        committed = sum(kinds.values())
        return {
            "committed": committed,
            "acknowledged": acknowledged,
            "pending": committed - acknowledged,
        } | kinds

    def records_per_device(self, start: Instant, end: Instant) -> dict[str, tuple[int, int]]:
        """Polls measured in ``start <= t < end``: with values, and asleep, by device."""
        found: dict[str, tuple[int, int]] = {}
        with read_only(self.path) as connection:
            groups = connection.execute(
                "SELECT form_id, device, count(*) FROM journal"
                " JOIN periods ON periods.id = period_id WHERE kind = 'record'"
                " AND measured_at + coalesce(correction_ms, 0) >= ?"
                " AND measured_at + coalesce(correction_ms, 0) < ? GROUP BY form_id, device",
                (start, end),
            ).fetchall()
            for number, device, count in groups:
                form = self._form(connection, number)
                name = device if form is None else form.device
                polls = count * (1 if form is None else form.samples)
                have, asleep = found.get(name, (0, 0))
                if form is not None and is_asleep(form):
                    found[name] = have, asleep + polls
                else:
                    found[name] = have + polls, asleep
        return found

    def form(self, number: int) -> RecordForm:
        """The form with this number."""
        with read_only(self.path) as connection:
            form = self._form(connection, number)
        assert form is not None
        return form

    def _form(self, connection: sqlite3.Connection, number: int | None) -> RecordForm | None:
        if number is None:
            return None
        if number not in self._forms:
            (text,) = connection.execute(
                "SELECT text FROM forms WHERE id = ?", (number,)
            ).fetchone()
            self._forms[number] = form_from_json(json.loads(text))
        return self._forms[number]

    def _select(self, sql: str, parameters: Sequence[int | str]) -> list[Row]:
        rows: list[Row] = []
        with read_only(self.path) as connection:
            found = connection.execute(sql, parameters).fetchall()
            for epoch, seq, word, named, at, monotonic_ms, number, text, untrusted in found:
                body = text
                try:
                    form, kind = self._form(connection, number), _KINDS[word]
                    if form is not None and untrusted:
                        form = form.untrusted
                except (ContractError, ValueError, KeyError, TypeError) as error:
                    if seq not in self._told:
                        self._told.add(seq)
                        _log.error("%s: entry %d cannot be read: %r", self.path, seq, error)
                    form, kind, body = None, Kind.RECORD, _unreadable(str(number), text)
                device = (named or "") if form is None else form.device
                rows.append(Row(epoch, seq, kind, device, at, monotonic_ms, form, body))
        return rows
