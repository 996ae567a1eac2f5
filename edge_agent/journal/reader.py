"""Reading the journal without disturbing its writer: for other threads, command line and tests.

Every call opens a connection of its own, so a reader never holds back the write-ahead log for
longer than the call. ``Journal`` is the only writer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.contract.messages import Entry, EntryKey, Kind, SeqRange
from models.contract.timestamps import Instant

from ..storage.database import read_only

_PAGE = 2_000
_COLUMNS = (
    "SELECT epochs.epoch, seq, kind, device, measured_at, monotonic_ms, body"
    " FROM journal JOIN epochs ON epochs.id = epoch_id"
)


@dataclass(frozen=True)
class StoredEntry:
    """An entry as the journal holds it: what travels, and what the box knows about it."""

    entry: Entry
    device: str
    measured_at: Instant
    monotonic_ms: int
    """Milliseconds on the boot's own clock when it was appended."""

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


class JournalReader:
    """Read-only view of a journal file, open elsewhere or not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, first: int = 1, last: int = 2**63 - 1) -> Iterator[StoredEntry]:
        """Committed entries with ``first <= seq <= last``, ascending, read page by page."""
        while page := self.run(first, last, _PAGE):
            yield from page
            first = page[-1].seq + 1

    def run(self, first: int, last: int, limit: int) -> list[StoredEntry]:
        """At most ``limit`` entries with ``first <= seq <= last``, ascending."""
        where = f"{_COLUMNS} WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
        return self._select(where, (first, last, limit))

    def latest(self, kind: Kind, among: int = 20_000) -> StoredEntry | None:
        """The newest entry of ``kind`` among the last ``among`` entries."""
        where = f"{_COLUMNS} WHERE kind = ? AND seq > (SELECT max(seq) FROM journal) - ?"
        found = self._select(f"{where} ORDER BY seq DESC LIMIT 1", (kind.value, among))
        return found[0] if found else None

    def seqs_since(self, since: Instant) -> list[SeqRange]:
        """Ranges of entries measured at ``since`` or later, ascending; neighbours may touch."""
        with read_only(self.path) as connection:
            rows = connection.execute(
                "SELECT seq FROM journal WHERE measured_at >= ? ORDER BY seq", (since,)
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

    def _select(self, sql: str, parameters: Sequence[int | str]) -> list[StoredEntry]:
        with read_only(self.path) as connection:
            return [
                StoredEntry(
                    Entry(EntryKey(epoch, seq), Kind(kind), body), device, measured_at, monotonic_ms
                )
                for epoch, seq, kind, device, measured_at, monotonic_ms, body in connection.execute(
                    sql, parameters
                )
            ]
