"""Small things that must survive a power cut, outside the journal's cap: ``state.sqlite``.

Keys are dotted words, values JSON; each ``put`` is durable when it returns. A card may stall for
seconds, so callers in the event loop go through ``asyncio.to_thread``. The same file holds the
interval table (``interval_store``).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.contract.clock import Clock
from models.contract.fields import Json
from models.contract.payload import canonical

from .database import open_database


class StateDatabase:
    """One connection to ``state.sqlite``, shared by its stores under one lock."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises ``StorageError`` when that is impossible."""
        self.path = path
        self._connection, self.set_aside = open_database(path, "state")
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside a transaction that is durable when the block has ended."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class StateStore:
    """Durable key-value pairs."""

    def __init__(self, database: StateDatabase, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, parsed, or ``default``."""
        rows = self._database.query("SELECT value FROM state WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else default

    def put(self, key: str, value: Json) -> None:
        """Store ``value`` durably. Raises ``ValueError`` for NaN and what is not JSON."""
        text = canonical(value)
        with self._database.transaction() as run:
            run.execute(
                "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
                " SET value = excluded.value, updated_at = excluded.updated_at",
                (key, text, self._clock.now()),
            )

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        with self._database.transaction() as run:
            run.execute("DELETE FROM state WHERE key = ?", (key,))

    def items(self, prefix: str = "") -> dict[str, Any]:
        """Every pair whose key starts with ``prefix``."""
        rows = self._database.query(
            "SELECT key, value FROM state WHERE substr(key, 1, ?) = ? ORDER BY key",
            (len(prefix), prefix),
        )
        return {key: json.loads(value) for key, value in rows}
