"""A real journal file for tests, with clocks that stand where the test puts them."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.journal.seq_ranges import SeqRanges
from edge_agent.storage.migrations import migrate_in_child
from models.contract.messages import Entry, Void
from models.contract.record import Reading, Record
from models.contract.timestamps import Instant

NOON = 1_705_492_800_000  # 2024-01-17T12:00:00Z
UPTIME_S = 1000.0
QUICK = JournalSettings(commit_window_s=0.01, keep_free_bytes=0)


class SetClock:
    """Wall clock and uptime stand where the test puts them."""

    def __init__(self) -> None:
        self.wall: Instant = NOON
        self.uptime_s = UPTIME_S

    def now(self) -> Instant:
        return self.wall

    def monotonic(self) -> float:
        return self.uptime_s

    async def sleep_until(self, instant: Instant) -> None:
        raise AssertionError("nobody sleeps here")

    def run(self, seconds: float) -> None:
        """Both clocks go on."""
        self.uptime_s += seconds
        self.wall += round(seconds * 1000)


@dataclass(frozen=True)
class Period:
    """A stretch of clock time, as ``edge_agent.clock`` finds it."""

    number: int
    offset_ms: int
    trusted: bool
    reason: str = "said by the test"


@cache
def _empty() -> Path:
    directory = tempfile.mkdtemp(prefix="empty-journal-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = Path(directory) / "journal.sqlite"
    migrate_in_child(path, "journal")
    return path


@contextlib.contextmanager
def opened(path: Path, settings: JournalSettings = QUICK, **more: object) -> Iterator[Journal]:
    """A journal that is closed at the end; a new file is copied, not migrated in a process."""
    if not path.exists():
        shutil.copy(_empty(), path)
    clock = more.pop("clock", None) or SetClock()
    journal = Journal(path, settings, clock, **more)  # type: ignore[arg-type]
    try:
        yield journal
    finally:
        journal.close(5)


def record(at: Instant, device: str = "inverter-1", **values: float) -> Record:
    """A record with good values."""
    return Record(device, at, {name: Reading(value) for name, value in values.items()})


def unsent(journal: Journal) -> tuple[list[Entry], Sequence[Void]]:
    """Everything that would be sent now, ascending, and what is void."""
    entries: list[Entry] = []
    voids: list[Void] = []
    after = 0
    while found := journal.backlog(after, 2**62, SeqRanges(), 500, 10**6):
        entries += found.entries
        entries += [one for block in found.blocks for one in block.entries(found.epoch)]
        voids += found.voids
        after = found.last
    return sorted(entries, key=lambda one: one.key.seq), voids
