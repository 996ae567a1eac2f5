"""A disk that somebody filled, and a file that was ruined while it was open: the agent goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.journal.journal import JournalSettings
from edge_agent.journal.reader import StoredEntry
from edge_agent.journal.room import BALLAST_BYTES, Room
from models.contract.messages import Kind
from tests.unit.edge_agent.journal.opened import NOON, QUICK, SetClock, opened, record, unsent

DISK_BYTES = 24_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mount = tmp_path / "disk"
    mount.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(mount)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def fill_up(disk: Path) -> Path:
    """Somebody else takes every byte that is left."""
    hog = disk / "hog"
    with contextlib.suppress(OSError), hog.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return hog


def test_a_disk_filled_by_others_stops_the_journal_for_good(disk: Path) -> None:
    clock = SetClock()
    settings = JournalSettings(commit_window_s=0.01, keep_free_bytes=8_000_000)
    with opened(disk / "journal.sqlite", settings, clock=clock) as journal:
        for _ in range(3000):
            clock.run(5)
            journal.append_record(record(clock.wall, ac_power=1.0, ac_energy=2.0))
        assert journal.flush()
        hog = fill_up(disk)
        assert Room(disk / "x", 10**9, 0).free_bytes() < 4096
        for _ in range(3000):
            clock.run(5)
            assert journal.append_record(record(clock.wall, ac_power=1.0, ac_energy=2.0))
        assert journal.flush(), journal.counts()
        counts = journal.counts()
        assert counts["journal_refused"] == counts["journal_queued"] == 0
        assert counts["journal_thinned"] > 0
        hog.unlink()
        journal.append(Kind.ALERT, "inverter-1", clock.wall, {"text": "there is room again"})
        assert journal.flush()
        entries, _ = unsent(journal)
        assert entries[-1].kind is Kind.ALERT


def test_an_agent_does_not_start_on_a_full_disk(disk: Path) -> None:
    path, clock = disk / "journal.sqlite", SetClock()
    settings = JournalSettings(commit_window_s=0.01, keep_free_bytes=1_000_000)
    with opened(path, settings, clock=clock) as journal:
        journal.append_record(record(NOON, ac_power=1.0))
        assert journal.flush()
    assert (disk / "journal.sqlite.reserve").stat().st_size == BALLAST_BYTES
    fill_up(disk)
    with opened(path, settings, clock=clock) as journal:
        assert journal.set_aside is None
        journal.append_record(record(NOON + 1, ac_power=2.0))
        assert journal.flush()
        assert len(unsent(journal)[0]) == 2
    assert not (disk / "journal.sqlite.reserve").exists()


def test_the_journal_grows_until_the_disk_is_full(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", 10**12, 10**15)  # more than any disk has
    assert room.cap(1000, 4096) < 1000


def test_a_file_ruined_while_it_is_open_stops_the_journal_or_loses_the_queue(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "journal.sqlite", SetClock()
    heard: list[StoredEntry] = []
    with opened(path, QUICK, clock=clock) as journal:
        journal.on_commit(heard.extend)
        for index in range(2000):
            journal.append_record(record(NOON + index, ac_power=1.0))
        assert journal.flush()
        before, epoch = journal.last_seq, journal.epoch
        journal.acknowledge(epoch, [(1, before)])
        assert journal.flush()
        # A card that gives back something else than was written to it.
        connection = journal._writer.file.connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        connection.execute("PRAGMA shrink_memory")
        for index in range(50):
            journal.append_record(record(NOON + 5000 + index, ac_power=2.0))
        assert journal.flush(20), journal.counts()
        assert journal.set_aside is not None
        assert journal.set_aside.exists()
        assert journal.epoch != epoch
        assert len(heard) == 2050
        assert heard[-1].seq == before + 50
        assert [one.key.epoch for one in unsent(journal)[0]] == [journal.epoch] * 50
    with opened(path, QUICK, clock=clock) as journal:
        assert len(unsent(journal)[0]) == 50


def test_copies_of_a_card_use_a_key_twice(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path) as journal:
        journal.append_record(record(NOON, ac_power=1.0))
        assert journal.flush()
    copy = tmp_path / "copy.sqlite"
    shutil.copy(path, copy)
    keys = set()
    for file in (path, copy):
        with opened(file) as journal:
            journal.append_record(record(NOON + 1, ac_power=1.0))
            assert journal.flush()
            keys |= {one.key for one in unsent(journal)[0]}
    assert len(keys) == 3
