"""Opening a SQLite file that a power cut may have met: check, set aside what is broken, migrate.

Decides pragmas and what happens to a damaged file (renamed, never deleted; the agent goes on with a
fresh one). What is stored is decided by ``journal``, ``state_store`` and ``interval_store``.

WAL with ``synchronous=FULL``: of 100 rows committed before a power cut, NORMAL lost 100 and FULL
none (measured on an image copy of a mounted file system).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edge_agent.errors import StorageError

from . import migrations

_log = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 5.0
WAL_BYTES = 1_048_576
"""Length of the write-ahead log at which it is folded back into the file; twice that stays on the
disk, so that a full disk still has room for a transaction."""
CACHE_KIB = 512


def open_database(path: Path, schema: str) -> tuple[sqlite3.Connection, Path | None]:
    """Open ``path`` for writing with schema ``schema``, creating it when it is not there.

    Returns the connection (autocommit; transactions are explicit; usable from any one thread at a
    time) and where a broken predecessor was set aside, if there was one.

    Raises:
        StorageError: the directory or file cannot be written, or is locked for good.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        set_aside = _set_aside_if_unusable(path, schema)
        if _version(path) < migrations.newest_version(schema):
            migrations.migrate_in_child(path, schema)
        connection = _connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            f"{path}: cannot be opened: {error}; check that its directory can be written by this"
            " user and has free space"
        ) from error
    connection.execute("PRAGMA synchronous = FULL")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // page_bytes}")
    connection.execute(f"PRAGMA journal_size_limit = {2 * WAL_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection, set_aside


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of one's own that cannot write, for one short use in one thread."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
    )
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        yield connection
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _version(path: Path) -> int:
    with contextlib.closing(_connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _set_aside_if_unusable(path: Path, schema: str) -> Path | None:
    if not path.exists():
        return None
    try:
        with contextlib.closing(_connect(path)) as connection:
            flaws = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.OperationalError:
        raise  # locked, or no permission: the file itself may be sound
    except sqlite3.DatabaseError as error:
        return set_aside(path, "corrupt", str(error))
    if flaws != ["ok"]:
        return set_aside(path, "corrupt", "; ".join(flaws))
    newest = migrations.newest_version(schema)
    if version > newest:
        reason = f"schema version {version} is newer than {newest}, the newest this agent knows"
        return set_aside(path, "newer", reason)
    return None


def set_aside(path: Path, why: str, reason: str) -> Path:
    """Rename a file that cannot be used, with what belongs to it; its new name."""
    number = 1
    while (target := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    path.rename(target)
    for suffix in ("-wal", "-shm"):
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.rename(target.with_name(target.name + suffix))
    _log.error(
        "%s cannot be used (%s). It was set aside as %s and a fresh file is started; what it held"
        " and the centre has not acknowledged must be recovered by hand (sqlite3 %s .recover).",
        path, reason, target.name, target.name,
    )  # fmt: skip
    return target
