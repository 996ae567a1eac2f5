"""Opening a SQLite file that a power cut may have met: check, set aside what is broken, migrate.

Decides pragmas and what happens to a damaged file (renamed, never deleted; the agent goes on with a
fresh one). What is stored is decided by ``journal``, ``state_store`` and ``interval_store``.

WAL with ``synchronous=FULL``: of 100 rows committed before a power cut, NORMAL lost 100 and FULL
none (measured on an image copy of a mounted file system).

The log has its full length from the start, written with zeros: a commit that makes a file longer
makes ext4 write its own journal at once, and twice as much of it (measured, a commit every 30 s:
73 KB reached the card for each with a log that grew, 38 KB with one that did not).

A database may be opened ``alone``: no other process is let in while it is open. Its index of the
log is in memory then, and not a mapped file whose pages the kernel writes to the card after each
commit (measured: 9 KB of those 38; in the whole agent 18 KB of 45). Whoever reads it from outside
meanwhile reads a copy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import tempfile
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
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_LAST_COMMIT_BYTES = 65_536  # the commit that reaches WAL_BYTES goes beyond it
_LEAST_FREE_BYTES = 16 * WAL_BYTES


_ALONE = "vfs=unix-excl"
_TRIES_TO_COPY = 10


def open_database(
    path: Path, schema: str, *, alone: bool = False
) -> tuple[sqlite3.Connection, Path | None]:
    """Open ``path`` for writing with schema ``schema``, creating it when it is not there.

    ``alone``: keep other processes out, see above; not when one of them has it open right now.

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
        connection = _connect_alone(path) if alone else None
        if connection is None:
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
    _lengthen_log(connection, path, page_bytes)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection, set_aside


def _lengthen_log(connection: sqlite3.Connection, path: Path, page_bytes: int) -> None:
    """Zeros behind what the log holds; a reader of the log takes them for its end."""
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the log is there now
    frames = WAL_BYTES // page_bytes
    wanted = _LOG_HEADER_BYTES + frames * (page_bytes + _FRAME_HEADER_BYTES) + _LAST_COMMIT_BYTES
    try:
        free = os.statvfs(path.parent)
        if free.f_bavail * free.f_frsize < _LEAST_FREE_BYTES:
            return
        # No lock of SQLite's is on this file, so closing it again gives none up.
        log = os.open(path.with_name(f"{path.name}-wal"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            length = os.fstat(log).st_size
            if length < wanted:
                os.pwrite(log, bytes(wanted - length), length)
                os.fsync(log)
        finally:
            os.close(log)
    except OSError as error:  # then it grows as it is needed
        _log.debug("%s: its log keeps its length: %s", path, error)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of one's own that cannot write, for one short use in one thread.

    When another process has the file alone, it reads a copy of this moment.
    """
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(contextlib.closing(_connect_to_read(path)))
        if _is_kept_out(connection):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="copy-of-"))
            copy = copy_of_open_file(path, Path(folder))
            connection = stack.enter_context(contextlib.closing(_connect_to_read(copy)))
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        yield connection


def back_up(path: Path, copy: Path) -> None:
    """A whole copy of the database as it is now, also while its owner has it alone."""
    copy.unlink(missing_ok=True)
    with read_only(path) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
    )


def _is_kept_out(connection: sqlite3.Connection) -> bool:
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
        return True
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")
    return False


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def copy_of_open_file(path: Path, folder: Path) -> Path:
    """Copy a database that another process has alone, and its log, into ``folder``; the copy.

    The log only gets longer until it is folded back into the file. When that happened during the
    copy, another one is made.

    Raises:
        StorageError: it cannot be copied.
    """
    log, copy = path.with_name(f"{path.name}-wal"), folder / path.name
    try:
        for _ in range(_TRIES_TO_COPY):
            before = _generation(path, log)
            shutil.copyfile(path, copy)
            if log.exists():
                shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))
            if _generation(path, log) == before:
                return copy
    except OSError as error:
        raise StorageError(f"{path}: cannot be copied to {folder}: {error}") from error
    raise StorageError(f"{path}: changes faster than it can be copied; try again")


def _generation(path: Path, log: Path) -> tuple[int, int, bytes]:
    """The same twice: nothing was folded back in between."""
    found = path.stat()
    try:
        with log.open("rb") as file:
            header = file.read(_LOG_HEADER_BYTES)
    except FileNotFoundError:
        header = b""
    return found.st_mtime_ns, found.st_size, header


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _connect_alone(path: Path) -> sqlite3.Connection | None:
    """None: another process has it open. Readers of this process are let in."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?{_ALONE}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if not _is_busy(error):
            raise
        _log.warning("%s: another process reads it, so it is not opened alone", path)
        return None
    return connection


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
