"""The SQLite file under the store: opening, migrating, one writer, a pool of readers.

Decides durability (WAL with ``synchronous=FULL``: what was committed survives a power cut) and the
schema's version (``PRAGMA user_version`` counts the files in ``schema/``). sqlite-utils opens the
file for inspection; it is not imported here because it imports pandas.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

APPLICATION_ID = 0x534F4C43
"""``SOLC`` in the file header: this database belongs to the centre."""
_BUSY_MS = 10_000
_ROW_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeEncodeError,
)


class StoreError(RuntimeError):
    """The store cannot be used now; names the file and what to do. Trying again may help."""


class RefusedRowsError(ValueError):
    """The store works, but something in these rows can never be stored."""


class Database:
    """One database file. Thread-safe: writes are serialised, reads run beside them."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises ``StoreError`` for a foreign, newer or damaged file."""
        self.path = path
        self._write_lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path}: cannot be opened as a store: {error}") from None
        try:
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            self._migrate()
        except sqlite3.Error as error:
            self._writer.close()
            raise StoreError(f"{path}: cannot be used as a store: {error}") from None
        except StoreError:
            self._writer.close()
            raise

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end of the block, rolled back on any exception.

        Raises ``RefusedRowsError`` for values that SQLite cannot take, ``StoreError`` for
        everything else that goes wrong in it.
        """
        with self._write_lock:
            if self._closed:
                raise StoreError(f"{self.path}: the store is closed")
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException as error:
                # A full disk may have rolled back by itself already.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                if isinstance(error, _ROW_ERRORS):
                    raise RefusedRowsError(f"cannot be stored: {error}") from error
                if isinstance(error, sqlite3.Error):
                    raise StoreError(f"{self.path}: {error}") from error
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection on which all reads of the block see one state. Raises ``StoreError``."""
        with self._readers_lock:
            if self._closed:
                raise StoreError(f"{self.path}: the store is closed")
            connection = self._readers.pop() if self._readers else None
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            with self._readers_lock:
                keep = not self._closed
                if keep:
                    self._readers.append(connection)
            if not keep:
                connection.close()

    def close(self) -> None:
        """Close every connection; later calls raise ``StoreError``."""
        with self._write_lock, self._readers_lock:
            self._closed = True
            for connection in (*self._readers, self._writer):
                connection.close()
            self._readers.clear()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000
        )
        connection.row_factory = sqlite3.Row
        return connection

    def _migrate(self) -> None:
        scripts = schema_scripts()
        (application,) = self._writer.execute("PRAGMA application_id").fetchone()
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        (tables,) = self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION_ID and (tables or application):
            raise StoreError(f"{self.path}: is a database of another program; choose another file")
        if version > len(scripts):
            raise StoreError(
                f"{self.path}: has schema {version}, this program knows {len(scripts)};"
                " install the newer program that wrote it"
            )
        for number, script in enumerate(scripts[version:], version + 1):
            self._writer.executescript(
                f"BEGIN IMMEDIATE; {script}\n;PRAGMA application_id={APPLICATION_ID};"
                f"PRAGMA user_version={number}; COMMIT;"
            )


def schema_scripts() -> list[str]:
    """The SQL of every schema version, oldest first."""
    folder = resources.files("central.store") / "schema"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [file.read_text(encoding="utf-8") for file in files]
