"""The journal against a real file: keys, durability, acknowledgement, pressure, damage."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.errors import StorageError
from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.journal.reader import JournalReader, StoredEntry
from edge_agent.journal.seq_ranges import SeqRanges
from edge_agent.storage.migrations import migrate_in_child
from models.contract.clock import SystemClock
from models.contract.errors import PayloadError
from models.contract.messages import EntryKey, Kind, Void
from models.contract.timestamps import DAY_MS, HOUR_MS, Instant

T0 = 1_705_492_800_000
QUICK = JournalSettings(commit_window_s=0.01)
SLOW = JournalSettings(commit_window_s=3600.0)
NONE_UNDER_WAY = SeqRanges()


class SetClock(SystemClock):
    """Domain time stands where the test puts it; real time runs."""

    def __init__(self) -> None:
        self.instant: Instant = T0

    def now(self) -> Instant:
        return self.instant


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty journal of the newest schema: making one takes a process and half a second."""
    path = tmp_path_factory.mktemp("empty") / "journal.sqlite"
    migrate_in_child(path, "journal")
    return path


@pytest.fixture
def path(tmp_path: Path, empty: Path) -> Path:
    path = tmp_path / "journal.sqlite"
    shutil.copy(empty, path)
    return path


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@contextlib.contextmanager
def opened(path: Path, settings: JournalSettings, clock: SetClock) -> Iterator[Journal]:
    journal = Journal(path, settings, clock)
    try:
        yield journal
    finally:
        journal.close(5)


def fill(journal: Journal, count: int, start: Instant = T0, padding: str = "") -> None:
    for index in range(count):
        body = {"v": 1, "index": index} | ({"padding": padding} if padding else {})
        assert journal.append(Kind.RECORD, "inverter-1", start + index, body)
    assert journal.flush(10)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "did not happen in 10 s"
        time.sleep(0.005)


def seqs(journal: Journal, after: int = 0, **limits: int) -> list[int]:
    run = journal.backlog(
        after,
        limits.get("upto", 2**62),
        NONE_UNDER_WAY,
        limits.get("max_entries", 1000),
        limits.get("max_bytes", 10**6),
    )
    return [entry.key.seq for entry in run.entries] if run else []


def test_what_was_appended_is_read_back_in_order_with_its_digest(
    path: Path, clock: SetClock
) -> None:
    with opened(path, SLOW, clock) as journal:
        seen: list[StoredEntry] = []
        journal.on_commit(seen.extend)
        fill(journal, 50)
        stored = list(JournalReader(path).entries())
    assert [one.seq for one in stored] == list(range(1, 51))
    assert [json.loads(one.entry.body)["index"] for one in stored] == list(range(50))
    assert {one.entry.key.epoch for one in stored} == {journal.epoch}
    assert [one.entry.digest for one in seen] == [one.entry.digest for one in stored]


def test_nothing_is_written_before_the_window_but_an_alert_takes_all_along(
    path: Path, clock: SetClock
) -> None:
    with opened(path, SLOW, clock) as journal:
        journal.append(Kind.RECORD, "inverter-1", T0, {"a": 1})
        assert list(journal.reader.entries()) == []
        journal.append(Kind.ALERT, "inverter-1", T0, {"code": "hot"})
        until(lambda: len(list(journal.reader.entries())) == 2)


def test_close_commits_what_still_waits(path: Path, clock: SetClock) -> None:
    with opened(path, SLOW, clock) as journal:
        journal.append(Kind.RECORD, "inverter-1", T0, {"a": 1})
    assert len(list(JournalReader(path).entries())) == 1


def test_a_restart_uses_a_new_epoch_and_goes_on_counting(path: Path, clock: SetClock) -> None:
    with opened(path, QUICK, clock) as first:
        fill(first, 3)
        first.acknowledge(first.epoch, [(1, 2)])
    with opened(path, QUICK, clock) as second:
        fill(second, 2)
        assert second.epoch != first.epoch
        assert second.first_seq == 4
        assert second.pending_count() == 3
        run = second.backlog(0, 99, NONE_UNDER_WAY, 10, 10**6)
        assert run is not None
        assert (run.epoch, run.first_seq) == (first.epoch, 1)  # one epoch at a time
        assert [entry.key.seq for entry in run.entries] == [3]
        assert seqs(second, after=run.last) == [4, 5]


def test_a_restored_card_image_never_uses_a_key_again(path: Path, clock: SetClock) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 5)
    image = path.read_bytes()
    keys: set[EntryKey] = set()
    for start in (T0, T0 + HOUR_MS):
        path.write_bytes(image)
        with opened(path, QUICK, clock) as journal:
            fill(journal, 5, start)
            new = {one.entry.key for one in journal.reader.entries(first=6)}
        assert not keys & new
        keys |= new


def test_an_acknowledgement_survives_a_restart_and_ignores_what_it_does_not_know(
    path: Path, clock: SetClock
) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 10)
        assert journal.acknowledge("0" * 16, [(1, 10)]) == 0
        assert journal.acknowledge(journal.epoch, [(2, 3), (9, 500)], through=1) == 5
        assert journal.acknowledge(journal.epoch, [(2, 3)]) == 0
        assert seqs(journal) == [4, 5, 6, 7, 8]
    with opened(path, QUICK, clock) as again:
        assert again.pending_count() == 5
        fill(again, 1)  # its seq is 11, which the ack of the old epoch up to 500 must not cover
        assert again.pending_count() == 6


def test_the_backlog_respects_limits_and_what_is_under_way(path: Path, clock: SetClock) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 20)
        assert seqs(journal, max_entries=5) == [1, 2, 3, 4, 5]
        assert seqs(journal, after=18) == [19, 20]
        assert seqs(journal, upto=2) == [1, 2]
        assert seqs(journal, max_bytes=1) == [1]
        run = journal.backlog(0, 20, SeqRanges([(1, 7), (10, 19)]), 100, 10**6)
        assert run is not None
        assert [entry.key.seq for entry in run.entries] == [8, 9, 20]
        assert journal.backlog(0, 20, SeqRanges([(1, 20)]), 100, 10**6) is None


def test_a_void_is_declared_in_the_backlog_instead_of_its_entry(
    path: Path, clock: SetClock
) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 5)
        journal.declare_void(Void(2, 3, "too large"))
    with opened(path, QUICK, clock) as again:
        run = again.backlog(0, 99, NONE_UNDER_WAY, 10, 10**6)
        assert run is not None
        assert [entry.key.seq for entry in run.entries] == [1, 4, 5]
        assert run.voids == (Void(2, 3, "too large"),)
        again.acknowledge(journal.epoch, [(1, 5)])
        assert again.pending_count() == 0


def test_a_row_missing_from_the_file_becomes_void_and_does_not_stop_the_queue(
    path: Path, clock: SetClock
) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 5)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM journal WHERE seq IN (2, 4)")
    with opened(path, QUICK, clock) as again:
        run = again.backlog(0, 99, NONE_UNDER_WAY, 10, 10**6)
        assert run is not None
        assert [entry.key.seq for entry in run.entries] == [1, 3, 5]
        assert [(void.first, void.last) for void in run.voids] == [(2, 2), (4, 4)]


def test_a_rewind_sends_again_what_was_measured_since(path: Path, clock: SetClock) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 10)
        journal.acknowledge(journal.epoch, [(1, 10)])
        assert journal.rewind(T0 + 6) == 4
        assert seqs(journal) == [7, 8, 9, 10]
    with opened(path, QUICK, clock) as again:
        assert again.pending_count() == 4


def test_old_acknowledged_entries_go_and_unacknowledged_ones_stay(
    path: Path, clock: SetClock
) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 10, T0 - 40 * DAY_MS)
        fill(journal, 5, T0)
        journal.acknowledge(journal.epoch, [(1, 7), (11, 15)])
    with opened(path, QUICK, clock) as again:
        again.flush()
        until(lambda: len(list(again.reader.entries())) == 8)
        assert [one.seq for one in again.reader.entries()] == [8, 9, 10, 11, 12, 13, 14, 15]
        assert again.pending_count() == 3


def test_at_the_size_cap_acknowledged_entries_make_room(path: Path, clock: SetClock) -> None:
    capped = JournalSettings(commit_window_s=0.01, max_bytes=1_000_000)
    with opened(path, capped, clock) as journal:
        for _ in range(30):
            fill(journal, 100, padding="x" * 1000)
            journal.acknowledge(journal.epoch, [(1, journal.last_seq)])
            journal.flush()
        assert journal.last_seq == 3000
        assert journal.counts()["journal_write_errors"] == 0
    assert path.stat().st_size <= 1_000_000


def test_at_the_size_cap_unacknowledged_entries_are_kept_and_new_ones_wait(
    path: Path, clock: SetClock
) -> None:
    capped = JournalSettings(commit_window_s=0.01, max_bytes=1_000_000, queue_limit=50)
    with opened(path, capped, clock) as journal:
        accepted = 0
        deadline = time.monotonic() + 20
        while journal.counts()["journal_refused"] == 0:
            assert time.monotonic() < deadline
            body = {"padding": "x" * 10_000}
            accepted += journal.append(Kind.RECORD, "inverter-1", T0, body)
            if accepted % 40 == 0 and journal.counts()["journal_write_errors"] == 0:
                journal.flush(0.5)
        counts = journal.counts()
        assert counts["journal_write_errors"] > 0
        assert counts["journal_queued"] == 50
        assert counts["journal_committed"] + 50 == accepted
        journal.acknowledge(journal.epoch, [(1, journal.last_seq)])
        assert journal.flush(30)  # the acknowledged ones made room, by themselves
        assert journal.last_seq == accepted


def test_a_locked_file_delays_and_loses_nothing(
    path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.storage.database.BUSY_TIMEOUT_S", 0.05)
    with opened(path, QUICK, clock) as journal:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for index in range(10):
                assert journal.append(Kind.RECORD, "meter", T0 + index, {"index": index})
            until(lambda: journal.counts()["journal_write_errors"] > 0)
            other.execute("ROLLBACK")
        assert journal.flush(10)
        assert journal.last_seq == 10


@pytest.mark.parametrize("damage", ["header", "middle", "text"])
def test_a_corrupt_file_is_set_aside_and_the_agent_goes_on(
    path: Path, clock: SetClock, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 200, padding="y" * 500)
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:16] = b"not a database.."
    elif damage == "middle":
        content[4096 * 8 : 4096 * 30] = bytes(4096 * 22)
    else:
        content = bytearray(b"hello")
    path.write_bytes(content)
    with opened(path, QUICK, clock) as again:
        assert again.set_aside == path.with_name("journal.sqlite.corrupt-1")
        assert again.set_aside.read_bytes() == bytes(content)
        assert "set aside" in caplog.text
        fill(again, 3)
        assert [one.seq for one in again.reader.entries()] == [1, 2, 3]


def test_a_second_corrupt_file_does_not_overwrite_the_first(path: Path, clock: SetClock) -> None:
    for number in (1, 2):
        path.write_bytes(f"broken {number}".encode())
        with opened(path, QUICK, clock) as journal:
            assert journal.set_aside == path.with_name(f"journal.sqlite.corrupt-{number}")


def test_a_file_of_a_newer_agent_is_set_aside_not_misread(path: Path, clock: SetClock) -> None:
    with opened(path, QUICK, clock) as journal:
        fill(journal, 1)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with opened(path, QUICK, clock) as again:
        assert again.set_aside == path.with_name("journal.sqlite.newer-1")


def test_a_second_agent_on_the_same_journal_is_refused(path: Path, clock: SetClock) -> None:
    with opened(path, QUICK, clock), pytest.raises(StorageError, match="another agent"):
        Journal(path, QUICK, clock)


def test_a_directory_that_cannot_be_made_names_itself(clock: SetClock) -> None:
    with pytest.raises(StorageError, match="/proc/nowhere"):
        Journal(Path("/proc/nowhere/journal.sqlite"), QUICK, clock)


@pytest.mark.parametrize(
    "body",
    [
        {"ac_power": float("nan")},
        {"ac_power": float("inf")},
        {"text": "x" * 1_000_001},
        {"text": "\ud800"},
        {"seq": 3},
        {"deep": [[[[[[[[[1]]]]]]]]]},
        {"what": object()},
    ],
)
def test_what_could_never_be_sent_is_refused_at_the_door(
    path: Path, clock: SetClock, body: dict[str, object]
) -> None:
    with opened(path, QUICK, clock) as journal:
        with pytest.raises(PayloadError):
            journal.append(Kind.RECORD, "inverter-1", T0, body)  # type: ignore[arg-type]
        fill(journal, 1)
        assert journal.last_seq == 1


def test_a_watcher_that_raises_does_not_hurt_the_writer(path: Path, clock: SetClock) -> None:
    with opened(path, QUICK, clock) as journal:
        seen: list[StoredEntry] = []
        journal.on_commit(lambda _: 1 / 0)
        journal.on_commit(seen.extend)
        fill(journal, 3)
        assert len(seen) == 3
        assert journal.counts()["journal_watcher_errors"] == 1


def test_ten_threads_append_at_once_and_every_entry_gets_its_own_key(
    path: Path, clock: SetClock
) -> None:
    with opened(path, QUICK, clock) as journal:

        def append(device: str) -> None:
            for index in range(100):
                assert journal.append(Kind.RECORD, device, T0 + index, {"index": index})

        threads = [threading.Thread(target=append, args=(f"d{i}",)) for i in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.flush(10)
        stored = list(journal.reader.entries())
    assert [one.seq for one in stored] == list(range(1, 1001))
    for device in {one.device for one in stored}:
        times = [one.measured_at for one in stored if one.device == device]
        assert times == sorted(times)
    assert journal.reader.counts() == {
        "committed": 1000,
        "acknowledged": 0,
        "pending": 1000,
        "record": 1000,
    }


def test_the_write_ahead_log_stays_bounded(path: Path, clock: SetClock) -> None:
    with opened(path, QUICK, clock) as journal:
        for _ in range(20):
            fill(journal, 200, padding="z" * 500)
        assert path.with_name("journal.sqlite-wal").stat().st_size < 4_000_000
    assert not path.with_name("journal.sqlite-wal").exists()
