"""Does the centre hold what a box has journalled? Counts, keys and digests of both sides.

Reads an edge journal file as it lies on disk, without the agent's code: the file's layout and the
digest of an entry are what edge and centre agree on.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from central.store import Store, StoreError
from central.store.values import merge_ranges
from models.contract.messages import SeqRange, body_digest
from models.contract.payload import form_from_json

Key = tuple[str, int]
"""Epoch and sequence number."""
EpochRanges = tuple[tuple[str, SeqRange], ...]
"""Epoch and sequence numbers from the first to the last, both included."""


class JournalRow(NamedTuple):
    """One journal entry as the comparison sees it."""

    epoch: str
    seq: int
    digest: bytes
    acknowledged: bool


@dataclass(frozen=True)
class Comparison:
    """What the two sides hold."""

    agent: str
    journal_entries: int
    stored_entries: int
    matching: int
    lost: EpochRanges
    """The agent holds an acknowledgement, the centre does not hold the entry: never right."""
    pending: EpochRanges
    """Neither acknowledged nor stored: still on its way."""
    extra: EpochRanges
    """Stored, but not in this file: the agent deletes what is acknowledged and old."""
    different: EpochRanges
    """The same key with another content: never right."""
    journal_duplicates: int
    stored_duplicates: int

    @property
    def complete(self) -> bool:
        """Whether the centre holds every entry of the journal exactly once and unchanged."""
        return self.matching == self.journal_entries and not (
            self.journal_duplicates or self.stored_duplicates
        )

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, even if something is still on its way."""
        return not (
            self.lost or self.different or self.journal_duplicates or self.stored_duplicates
        )


def compare_journal(store: Store, journal_path: Path, agent: str) -> Comparison:
    """Compare ``journal_path``, a journal of ``agent``, with the store.

    The file may be in use. Raises ``StoreError`` when it is not a journal that can be read.
    """
    with store.read() as ask, contextlib.closing(_open(journal_path)) as journal:
        journal_duplicates = stored_duplicates = matching = 0
        here: dict[Key, bytes] = {}
        for stored in ask.keys_and_digests(agent):
            key = (stored.epoch, stored.seq)
            stored_duplicates += key in here
            here[key] = stored.digest
        stored_entries = len(here) + stored_duplicates
        lost: list[Key] = []
        pending: list[Key] = []
        different: list[Key] = []
        seen: set[Key] = set()
        for row in _journal_rows(journal, journal_path):
            key = (row.epoch, row.seq)
            if key in seen:
                journal_duplicates += 1
                continue
            seen.add(key)
            digest = here.pop(key, None)
            if digest is None:
                (lost if row.acknowledged else pending).append(key)
            elif digest == row.digest:
                matching += 1
            else:
                different.append(key)
    return Comparison(
        agent=agent,
        journal_entries=len(seen) + journal_duplicates,
        stored_entries=stored_entries,
        matching=matching,
        lost=_ranges(lost),
        pending=_ranges(pending),
        extra=_ranges(list(here)),
        different=_ranges(different),
        journal_duplicates=journal_duplicates,
        stored_duplicates=stored_duplicates,
    )


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError(f"{path}: no such journal")
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _journal_rows(journal: sqlite3.Connection, path: Path) -> Iterator[JournalRow]:
    try:
        forms = {
            number: form_from_json(json.loads(text))
            for number, text in journal.execute("SELECT id, text FROM forms")
        }
        rows = journal.execute(
            "SELECT epochs.epoch, seq, kind, body, form_id,"
            " measured_at + coalesce(correction_ms, 0), NOT trusted AND correction_ms IS NULL,"
            " EXISTS (SELECT 1 FROM acknowledged WHERE journal.seq BETWEEN first AND last)"
            " FROM journal JOIN periods ON periods.id = period_id"
            " JOIN epochs ON epochs.id = periods.epoch_id"
        )
        for epoch, seq, kind, text, number, at, untrusted, acknowledged in rows:
            body = text
            if number is not None:
                form = forms[number].untrusted if untrusted else forms[number]
                body = form.body(at, json.loads(text))
            yield JournalRow(epoch, seq, body_digest(kind, body), bool(acknowledged))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise StoreError(
                f"{path}: its agent has it open; stop the agent, or copy journal.sqlite and"
                " journal.sqlite-wal together and compare the copy"
            ) from None
        raise StoreError(f"{path}: not a journal that can be read: {error}") from None
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise StoreError(f"{path}: not a journal that can be read: {error}") from None


def _ranges(keys: list[Key]) -> EpochRanges:
    result: list[tuple[str, SeqRange]] = []
    for epoch in sorted({epoch for epoch, _ in keys}):
        pairs = merge_ranges((seq, seq) for name, seq in keys if name == epoch)
        result.extend((epoch, pair) for pair in pairs)
    return tuple(result)
