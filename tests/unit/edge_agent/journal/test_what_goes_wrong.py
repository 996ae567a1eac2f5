"""Failures at the worst moment, rows that nobody wrote, and more of a thing than is expected."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from edge_agent.journal import file as journal_file
from edge_agent.journal.backlog import gather
from edge_agent.journal.journal import JournalSettings
from edge_agent.journal.outbox import Outbox
from edge_agent.journal.reader import StoredEntry
from edge_agent.journal.room import LEAST_BYTES, Room
from edge_agent.journal.seq_ranges import SeqRanges
from edge_agent.uplink.batching import pack
from models.contract.errors import PayloadError
from models.contract.messages import Batch, Void
from models.contract.payload import RecordBlock, RecordForm, decode_batch, encode_batch
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import HOUR_MS
from tests.unit.edge_agent.journal.opened import (
    NOON,
    QUICK,
    UPTIME_S,
    Period,
    SetClock,
    opened,
    record,
    unsent,
)

RIGHT = NOON - int(UPTIME_S * 1000)


def change(path: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(sql)


def test_a_failure_after_the_commit_writes_the_group_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, period = SetClock(), Period(1, RIGHT - HOUR_MS, False)
    heard: list[StoredEntry] = []

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(journal_file.JournalFile, "correct", fail)
    with opened(tmp_path / "journal.sqlite", clock=clock, clock_period=lambda: period) as journal:
        journal.on_commit(heard.extend)
        journal.append_record(record(clock.wall, ac_power=1.0))
        assert journal.flush()
        period = Period(2, RIGHT, True)
        for _ in range(3):
            journal.append_record(record(clock.wall, ac_power=2.0))
            assert journal.flush()
        monkeypatch.undo()
        journal.append_record(record(clock.wall, ac_power=3.0))
        assert journal.flush()
        assert journal.held_count() == 0
        assert [one.seq for one in journal.reader.entries()] == [1, 2, 3, 4, 5]
    assert [one.seq for one in heard] == [1, 2, 3, 4, 5]


def test_records_of_a_clock_that_went_wrong_later_wait_for_ever(tmp_path: Path) -> None:
    clock, period = SetClock(), Period(1, RIGHT, True)
    with opened(tmp_path / "journal.sqlite", clock=clock, clock_period=lambda: period) as journal:
        journal.append_record(record(clock.wall, ac_power=1.0))
        assert journal.flush()
        period = Period(2, RIGHT + HOUR_MS, False)
        journal.append_record(record(clock.wall + HOUR_MS, ac_power=2.0))
        assert journal.flush()
        assert journal.held_count() == 1
        journal.release_held()
        assert journal.flush()
        assert journal.held_count() == 0
        assert json.loads(unsent(journal)[0][-1].body)["clock"] == "untrusted"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE journal SET body = '[1e400]' WHERE seq = 2",
        "UPDATE journal SET body = '[NaN]' WHERE seq = 2",
        "UPDATE journal SET body = '[1]' WHERE seq = 2",
        "UPDATE journal SET body = '" + "[" * 5000 + "' WHERE seq = 2",
        "UPDATE journal SET kind = 'nonsense' WHERE seq = 2",
        "INSERT INTO voids VALUES (9, 3, '', 0)",
        "UPDATE forms SET text = '{}'",
        """UPDATE forms SET text = '{"device":"inverter-1","names":["of_a_newer_agent"]}'""",
    ],
)
def test_one_bad_row_stops_the_agent_or_hides_the_others(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path) as journal:
        for index in range(3):
            journal.append_record(record(NOON + index, ac_power=index * 1.0))
        assert journal.flush()
    change(path, damage)
    with opened(path) as journal:
        assert journal.set_aside is None
        journal.append_record(record(NOON + 5, "meter", grid_power=1.0))
        assert journal.flush()
        told, good, after = SeqRanges(), [], 0
        while found := journal.backlog(after, 2**62, SeqRanges(), 100, 10**6):
            after, packed = found.last, pack(found, 10**6)
            assert packed.payload is not None
            batch = decode_batch(packed.payload)
            told.update((entry.key.seq, entry.key.seq) for entry in batch.all_entries())
            told.update((void.first, void.last) for void in batch.voids)
            good += [e.key.seq for e in batch.all_entries() if "grid_power" in e.body]
        assert list(told) == [(1, 4)]
        assert good == [4]
        assert list(journal.reader.entries())


def test_a_device_with_other_quantities_each_time_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "MOST_FORMS", 5)
    with opened(tmp_path / "journal.sqlite") as journal:
        records = [
            Record(f"device-{n}", NOON + n, {"ac_power": Reading(1.0), "ghi": Reading(n + 0.5)})
            for n in range(20)
        ]
        for one in records:
            assert journal.append_record(one)
            assert journal.flush()
        entries, voids = unsent(journal)
        assert not voids
        assert [json.loads(one.body)["device"] for one in entries] == [r.device for r in records]
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM forms").fetchone() == (5,)


def test_a_small_message_becomes_a_million_rows_at_the_centre() -> None:
    form = RecordForm("meter", (), (("grid_power", Quality.ASLEEP),))
    block = RecordBlock(form, range(1, 200_002), [NOON] * 200_001, [])
    data = encode_batch(Batch("0" * 16, 1, (), (), (block,)))
    assert len(data) < 10_000
    with pytest.raises(PayloadError, match="200001 entries"):
        decode_batch(data)


def test_many_voids_make_one_message_too_large_or_none(tmp_path: Path) -> None:
    voids = [Void(2 * n + 1, 2 * n + 1, f"reason {n} " + "x" * 100) for n in range(20_000)]
    outbox = Outbox([(1, "a" * 16)], 40_000, SeqRanges(), voids)
    reader = opened_reader(tmp_path)
    found = gather(reader, outbox.spans(0, 40_000, SeqRanges()), 2000, 800_000)
    assert found is not None
    packed = pack(found, 200_000)
    assert packed.payload is not None
    assert len(packed.payload) <= 200_000
    assert 0 < found.last < 40_000


def opened_reader(tmp_path: Path):  # type: ignore[no-untyped-def]
    with opened(tmp_path / "journal.sqlite", QUICK) as journal:
        return journal.reader


def test_a_fresh_journal_on_a_small_disk_throws_readings_away(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", 10**9, 10**15)
    assert room.cap(10, 1024) >= LEAST_BYTES // 1024
    small = JournalSettings(commit_window_s=0.01, keep_free_bytes=10**15)
    with opened(tmp_path / "journal.sqlite", small) as journal:
        for index in range(2000):
            journal.append_record(record(NOON + 5000 * index, ac_power=1.0))
        assert journal.flush()
        assert journal.thinned == 0


def test_means_use_up_the_forms_and_what_comes_later_cannot_be_thinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "MOST_FORMS", 3)
    path, clock = tmp_path / "journal.sqlite", SetClock()
    small = JournalSettings(commit_window_s=0.01, max_bytes=1_000_000, keep_free_bytes=0)
    with opened(path, small, clock=clock) as journal:
        for index in range(20_000):
            clock.run(5 if index % 7 else 17)  # windows of different numbers of polls
            assert journal.append_record(record(clock.wall, ac_power=1000.5, frequency=50.01))
            if index % 500 == 0:
                assert journal.flush()
        assert journal.flush()
        assert journal.thinned > 0
        assert journal.counts()["journal_refused"] == 0
    with contextlib.closing(sqlite3.connect(path)) as connection:
        forms = connection.execute("SELECT count(*) FROM forms").fetchone()[0]
        texts = connection.execute("SELECT count(*) FROM journal WHERE form_id IS NULL")
        assert forms > 3
        assert texts.fetchone() == (0,)
