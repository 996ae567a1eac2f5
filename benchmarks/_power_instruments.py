"""What the workload is watched with: witnesses over a socket, and weaker synchronisation.

The journal's code runs unchanged; its writer's calls are timed, and for the counter-check SQLite is
told less than the code asks for.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

from edge_agent.journal.group_commit import GroupCommitter
from edge_agent.journal.reader import StoredEntry


def digest(kind: str, body: str) -> str:
    """What an entry's content is known by."""
    return hashlib.blake2b(f"{kind} {body}".encode(), digest_size=9).hexdigest()


class Witness:
    """Tells the world outside the card; one line, one fact."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self.failing = False

    def watch_writes(self) -> None:
        """Tell when the journal's writer is at work: how slow the card is, and making room."""
        plain = GroupCommitter.__init__

        def init(committer: Any, write: Callable[[Any], None], **options: Any) -> None:
            def watched(group: Any) -> None:
                self.say(["writing", began := time.monotonic()])
                try:
                    write(group)
                except BaseException:
                    self.failing = True
                    self.say(["write_failed"])
                    raise
                self.failing = False
                self.say(["written", began, time.monotonic()])

            plain(committer, watched, **options)

        GroupCommitter.__init__ = init  # type: ignore[method-assign, assignment]

    def say(self, *lines: list[Any]) -> None:
        """Send facts: ``[tag, ...]``."""
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        with self._lock:  # send, not write: only writes to the card are to be stopped at
            self._socket.sendall(text.encode())

    def committed(self, stored: tuple[StoredEntry, ...]) -> None:
        """For ``Journal.on_commit``."""
        now = time.monotonic()
        self.say(*(["commit", now, *identity(one)] for one in stored))


def identity(stored: StoredEntry) -> tuple[str, int, str, int, str]:
    """Epoch, sequence number, device, time and digest of an entry."""
    key, kind = stored.entry.key, stored.entry.kind.value
    return key.epoch, key.seq, stored.device, stored.measured_at, digest(kind, stored.entry.body)


def weaken(synchronous: str) -> None:
    """Negative control: SQLite connections whose ``synchronous = FULL`` is quietly less."""

    class Weak(sqlite3.Connection):
        def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
            if sql.replace(" ", "").lower().startswith("pragmasynchronous="):
                sql = f"PRAGMA synchronous = {synchronous}"
            return super().execute(sql, *more)

    connect = sqlite3.connect
    sqlite3.connect = lambda *a, **k: connect(*a, **{"factory": Weak, **k})
