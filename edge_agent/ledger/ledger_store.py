"""The ledger in ``state.sqlite``: rows by day and device, and up to which journal entry they count.

Both are written in one transaction: what the journal holds beyond that entry is counted at the next
start, and nothing twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from edge_agent.storage.state_store import StateDatabase
from models.contract.ledger import Reason
from models.contract.payload import canonical
from models.contract.timestamps import DAY_MS, Instant

from .tally import DayRow

_COLUMNS = "day, device, poll_ms, last_turn, expected, have, thinned, lost, ended, reported"
_MARK = "ledger.counted"
_LARGEST_STEP_MS = 35 * DAY_MS


class Mark(NamedTuple):
    """The newest journal entry that is counted."""

    epoch: str
    seq: int


_log = logging.getLogger(__name__)
_KNOWN = frozenset(reason.value for reason in Reason)


class LedgerStore:
    """Reads and writes ledger rows; every call blocks."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def recent(self, days: int) -> list[DayRow]:
        """Each device's newest day, its ``days`` before, and what is not reported yet."""
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM ledger JOIN (SELECT device AS name, max(day) AS newest"
            " FROM ledger GROUP BY device) ON name = device"
            " WHERE day >= newest - ? OR NOT reported AND day >= newest - ? ORDER BY day",
            (days * DAY_MS, 400 * DAY_MS),
        )
        return [_row(values) for values in rows]

    def load(self, device: str, day: Instant) -> DayRow | None:
        """The row of one device and day."""
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM ledger WHERE day = ? AND device = ?", (day, device)
        )
        return _row(rows[0]) if rows else None

    def mark(self) -> Mark | None:
        """Up to where the rows count; None when nothing was ever saved."""
        rows = self._database.query("SELECT value FROM state WHERE key = ?", (_MARK,))
        if not rows:
            return None
        try:
            body = json.loads(rows[0][0])
            return Mark(str(body["epoch"]), int(body["seq"]))
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("the ledger's mark cannot be understood, counting anew: %r", error)
            return None

    def save(
        self, rows: Iterable[tuple[Any, ...]], mark: Mark | None, now: Instant, keep_days: int
    ) -> None:
        """Store ``rows`` (of :func:`values_of`) and the mark durably, and let go of old days.

        A newest day far ahead of all others may be a wrong clock: it deletes nothing.
        """
        with self._database.transaction() as run:
            run.executemany(
                f"INSERT OR REPLACE INTO ledger ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            if mark is not None:
                run.execute(
                    "INSERT OR REPLACE INTO state VALUES (?, ?, ?)",
                    (_MARK, canonical({"epoch": mark.epoch, "seq": mark.seq}), now),
                )
            newest, before = run.execute(
                "SELECT max(day), (SELECT max(day) FROM ledger"
                " WHERE day < (SELECT max(day) FROM ledger)) FROM ledger"
            ).fetchone()
            if before is not None and newest - before <= _LARGEST_STEP_MS:
                run.execute("DELETE FROM ledger WHERE day <= ?", (newest - keep_days * DAY_MS,))


def values_of(row: DayRow) -> tuple[Any, ...]:
    """What is stored of a row."""
    lost = canonical({reason.value: turns for reason, turns in row.lost.items() if turns})
    return (
        row.day,
        row.device,
        row.poll_ms,
        row.last,
        row.expected,
        row.have,
        row.thinned,
        lost,
        int(row.ended),
        int(row.reported),
    )


def _row(values: tuple[Any, ...]) -> DayRow:
    day, device, poll_ms, last, expected, have, thinned, lost, ended, reported = values
    return DayRow(
        device=device,
        day=day,
        poll_ms=poll_ms,
        last=last,
        expected=expected,
        have=have,
        thinned=thinned,
        lost=_reasons(lost),
        ended=bool(ended),
        reported=bool(reported),
        saved=0,
    )


def _reasons(text: str) -> dict[Reason, int]:
    """Turns by reason; those of a newer version count as off, as whatever has no reason."""
    try:
        found = json.loads(text)
        return {Reason(name): int(found[name]) for name in found if name in _KNOWN}
    except (TypeError, ValueError):
        return {}
