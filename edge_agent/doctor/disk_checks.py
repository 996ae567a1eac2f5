"""The card: room, kind of file system, and whether the databases on it are whole."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_agent.journal.journal import JournalSettings

from .finding import Finding, failed, ok, warning
from .surroundings import size

_FORGETS = frozenset({"tmpfs", "ramfs"})
_NOT_FOR_SQLITE = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"})
_WITHOUT_JOURNAL = frozenset({"vfat", "msdos", "exfat"})
_FEWEST_INODES = 1_000
_DATABASES = ("journal.sqlite", "state.sqlite")
QUICK_CHECK_S = 20.0
_OPCODES = 10_000


@dataclass(frozen=True)
class Mount:
    """Where a path lies."""

    place: str
    kind: str
    is_read_only: bool


def mount_of(path: Path, mountinfo: str | None = None) -> Mount | None:
    """The mount that holds ``path``, by ``/proc/self/mountinfo``."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    resolved, best = path.resolve(), None
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, *options) = before.split(), after.split()
        place = fields[4].encode().decode("unicode_escape")  # \040 is a space
        flags = {*fields[5].split(","), *(options[0].split(",") if options else ())}
        is_closer = best is None or len(place) >= len(best.place)  # the later one lies on top
        if resolved.is_relative_to(place) and is_closer:
            best = Mount(place, kind, "ro" in flags)
    return best


def check_disk(data_dir: Path, journal: JournalSettings) -> Iterator[Finding]:
    """Everything about the place of ``data_dir`` that can be seen without writing to it."""
    subject = "disk"
    directory = data_dir
    while not directory.exists():
        directory = directory.parent
    mount = mount_of(directory)
    if mount is not None:
        yield _kind(mount)
    yield _writable(data_dir, directory)
    room = os.statvfs(directory)
    free = room.f_bavail * room.f_frsize
    own = (data_dir / f"journal.sqlite{end}" for end in ("", "-wal", ".reserve"))
    has = sum(path.stat().st_size for path in own if path.exists())
    wants = max(0, journal.max_bytes - has) + journal.keep_free_bytes
    found = f"{size(free)} free at {directory}"
    if free < journal.keep_free_bytes:
        yield failed(
            subject, f"{found}: the journal does not grow below {size(journal.keep_free_bytes)}",
            "free some: old logs (sudo journalctl --vacuum-size=50M), files set aside",
        )  # fmt: skip
    elif free < wants:
        yield warning(
            subject, f"{found}; the journal may want {size(wants)}, and thins readings before",
            "free some, take a larger card, or set max_bytes in [journal] lower",
        )  # fmt: skip
    else:
        yield ok(subject, f"{found}; the journal takes at most {size(journal.max_bytes)}")
    if room.f_files > 0 and room.f_favail < _FEWEST_INODES:
        yield failed(
            "inodes", f"{room.f_favail} left at {directory}",
            f"many small files fill the file system: sudo du --inodes -xd2 {directory}",
        )  # fmt: skip


def _kind(mount: Mount) -> Finding:
    subject, found = "file system", f"{mount.kind} at {mount.place}"
    if mount.is_read_only:
        return failed(
            subject, f"{found} is mounted read-only",
            "a kernel that finds errors on a card does so: look at dmesg, check it with fsck,"
            " replace the card",
        )  # fmt: skip
    if mount.kind in _NOT_FOR_SQLITE:
        return failed(
            subject, f"{found} is a network file system; SQLite cannot keep a journal there",
            "set data_dir in [agent] to a disk of this box",
        )  # fmt: skip
    if mount.kind in _FORGETS:
        return warning(
            subject, f"{found} is memory: a power cut takes everything",
            "set data_dir in [agent] to a disk",
        )  # fmt: skip
    if mount.kind in _WITHOUT_JOURNAL:
        return warning(
            subject, f"{found} has no journal of its own: a power cut may ruin it",
            "use ext4 for data_dir",
        )  # fmt: skip
    return ok(subject, found)


def _writable(data_dir: Path, existing: Path) -> Finding:
    subject = "data_dir"
    wrong = write_error(existing)
    if wrong is None:
        word = "" if data_dir.exists() else "; is made at the first start"
        return ok(subject, f"{data_dir} can be written{word}")
    return failed(
        subject, f"{existing} cannot be written: {os.strerror(wrong)}",
        f"sudo install -d -o solar-edge -g solar-edge -m 0700 {data_dir}, and run this as that user"
        if wrong in (errno.EACCES, errno.EPERM) else "see the findings about disk and file system",
    )  # fmt: skip


def write_error(directory: Path) -> int | None:
    """Why nothing can be written there; tried with a file that has no name and leaves no trace."""
    try:
        number = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return error.errno
        return None if os.access(directory, os.W_OK | os.X_OK) else errno.EACCES
    try:
        os.write(number, bytes(4096))
        os.fsync(number)
    except OSError as error:
        return error.errno
    finally:
        os.close(number)
    return None


def check_databases(data_dir: Path, limit_s: float = QUICK_CHECK_S) -> Iterator[Finding]:
    """Whether SQLite finds the files whole, and whether some were set aside."""
    for name in _DATABASES:
        path = data_dir / name
        if path.exists():
            yield _database(path, limit_s)
        else:
            yield ok(name, "not there yet")
    aside = sorted(
        path for kind in ("corrupt", "newer") for path in data_dir.glob(f"*.sqlite.{kind}-*")
        if not path.name.endswith(("-wal", "-shm"))
    )  # fmt: skip
    if aside:
        yield warning(
            "files set aside", ", ".join(path.name for path in aside),
            f"what the centre lacks of them: sqlite3 {aside[0]} .recover; then delete them",
        )  # fmt: skip


def _database(path: Path, limit_s: float) -> Finding:
    todo = "stop the agent and start it again: it sets the file aside and goes on with a fresh one"
    deadline = time.monotonic() + limit_s
    try:
        with closing(_open_unchanged(path)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPCODES)
            flaws = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            return warning(
                path.name, f"no flaw found in {limit_s:g} s, not looked at to the end",
                f"with time: sqlite3 {path} 'PRAGMA quick_check'",
            )  # fmt: skip
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return ok(path.name, "in use by the agent, which checks it at every start")
        if isinstance(error, sqlite3.OperationalError):
            return failed(path.name, f"cannot be read: {error}", "run this as the agent's user")
        return failed(path.name, f"is damaged: {error}", todo)
    if flaws != ["ok"]:
        return failed(path.name, f"is damaged: {'; '.join(flaws)}", todo)
    return ok(path.name, f"whole, {size(path.stat().st_size)}")


def _open_unchanged(path: Path) -> sqlite3.Connection:
    """Without a log beside it nobody writes, and none must be left there by us."""
    has_log = path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro" if has_log else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=5.0)
