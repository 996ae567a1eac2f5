"""How large the journal may be at this moment: its own cap, and what the disk has left for it.

A journal that fills a disk cannot even delete: SQLite needs room to say that a row is gone
(measured: after SQLITE_FULL on a full disk DELETE and checkpoint fail, too). So it stops growing
while there is still space (``keep_free_bytes``), gives way inside its own file from then on, and
keeps a ballast file that it throws away when somebody else has filled the disk all the same.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)

BALLAST_BYTES = 4_000_000
"""A write-ahead log at its longest, its index, and some pages."""
RESERVE_BYTES = 256_000
"""Of the cap: only deleting and thinning may use it."""


LEAST_BYTES = 2_000_000
"""A journal may be so large even where others have left little; it is worth more than nothing."""


class Room:
    """Space for one journal file."""

    def __init__(self, path: Path, max_bytes: int, keep_free_bytes: int) -> None:
        self._path, self.max_bytes, self._keep_free = path, max_bytes, keep_free_bytes
        self._ballast = path.with_name(path.name + ".reserve")

    def cap(self, pages: int, page_bytes: int) -> int:
        """Pages the file may have now; it has ``pages`` of ``page_bytes`` bytes."""
        reserve = RESERVE_BYTES // page_bytes
        most = self.max_bytes // page_bytes - reserve
        growth = (self.free_bytes() - self._keep_free) // page_bytes
        least = LEAST_BYTES // page_bytes if self.free_bytes() > 2 * BALLAST_BYTES else 1
        return max(1, min(most, max(pages + max(0, growth) - reserve, least)))

    def free_bytes(self) -> int:
        """What the file system has left for this user."""
        try:
            found = os.statvfs(self._path.parent)
        except OSError:  # then the writing itself will say what is wrong
            return self.max_bytes
        return found.f_bavail * found.f_frsize

    def take_ballast(self) -> None:
        """Put the ballast there if it is not, and there is space for it."""
        if self._ballast.exists() or self.free_bytes() < self._keep_free + BALLAST_BYTES:
            return
        try:
            descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._ballast.unlink(missing_ok=True)
            _log.debug("%s: no ballast: %s", self._ballast, error)

    def drop_ballast(self) -> bool:
        """Give the ballast up when it is the disk that is full, and not the journal's share.

        False when that was not so, or there was none.
        """
        if self.free_bytes() >= BALLAST_BYTES:
            return False
        try:
            self._ballast.unlink()
        except OSError:
            return False
        _log.warning("%s: the disk is full; the reserve was given up", self._ballast)
        return True
