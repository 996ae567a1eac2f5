"""Records are kept as form and numbers: small, readable, and the same when they leave."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from models.contract.messages import Kind
from models.contract.payload import canonical, record_to_json
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import DAY_MS
from tests.unit.edge_agent.journal.opened import NOON, opened, record, unsent

MIXED = Record(
    "inverter-1",
    NOON + 250,
    {
        "ac_power": Reading(3240.5, Quality.CLIPPED),
        "frequency": Reading(49.98),
        "temp_cell": Reading(None, Quality.ASLEEP),
        "dc_voltage": Reading(None, Quality.MISSING),
    },
)


def rows(path: Path, sql: str) -> list[sqlite3.Row]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(sql).fetchall()


def test_a_record_is_another_one_when_it_leaves(tmp_path: Path) -> None:
    records = [MIXED, record(NOON, ac_power=1.5), record(NOON, "meter", grid_power=-120.0)]
    with opened(tmp_path / "journal.sqlite") as journal:
        assert journal.append(Kind.RECORD, "inverter-1", MIXED.measured_at, record_to_json(MIXED))
        for one in records[1:]:
            assert journal.append_record(one)
        assert journal.flush()
        expected = [canonical(record_to_json(one)) for one in records]
        assert [one.body for one in unsent(journal)[0]] == expected
        assert [one.entry.body for one in journal.reader.entries()] == expected
        assert [one.device for one in journal.reader.entries()] == ["inverter-1"] * 2 + ["meter"]


def test_a_form_is_written_again_with_every_record_or_every_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    for _ in range(2):
        with opened(path) as journal:
            for index in range(20):
                journal.append_record(record(NOON + index, ac_power=index * 1.0, frequency=50.0))
            assert journal.flush()
    assert len(rows(path, "SELECT * FROM forms")) == 1
    assert {row["body"] for row in rows(path, "SELECT body FROM journal WHERE seq = 3")} == {
        "[2.0,50.0]"
    }


def test_people_cannot_read_the_table(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path) as journal:
        journal.append_record(MIXED)
        journal.append(Kind.ALERT, "inverter-1", NOON, {"text": "hot"})
        assert journal.flush()
    first, second = rows(path, "SELECT * FROM entries ORDER BY seq")
    assert json.loads(first["body"]) == {"ac_power": 3240.5, "frequency": 49.98}
    assert (first["device"], first["measured_at"]) == ("inverter-1", "2024-01-17T12:00:00.250Z")
    assert json.loads(first["quality"])["temp_cell"] == "asleep"
    assert (second["kind"], json.loads(second["body"])) == ("alert", {"text": "hot"})


def test_a_record_with_something_nobody_knows_is_lost_or_changed(tmp_path: Path) -> None:
    body = record_to_json(MIXED) | {"padding": "xyz"}
    with opened(tmp_path / "journal.sqlite") as journal:
        assert journal.append(Kind.RECORD, "inverter-1", MIXED.measured_at, body)
        assert journal.append(Kind.RECORD, "another", MIXED.measured_at, record_to_json(MIXED))
        assert journal.flush()
        assert [one.body for one in unsent(journal)[0]] == [
            canonical(body),
            canonical(record_to_json(MIXED)),
        ]


def test_a_damaged_row_stops_the_others(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path) as journal:
        for index in range(5):
            journal.append_record(record(NOON + index, ac_power=index * 1.0))
        assert journal.flush()
        with contextlib.closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE journal SET body = '[1.0,2.0]' WHERE seq = 2")
            other.execute("UPDATE journal SET body = '[' WHERE seq = 4")
        entries, voids = unsent(journal)
        assert [one.key.seq for one in entries] == [1, 3, 5]
        assert sorted(void.first for void in voids) == [2, 4]
        assert all("damaged" in void.reason for void in voids)


@pytest.mark.parametrize("days", [0, 1])
def test_polls_of_a_day_are_counted_wrongly(tmp_path: Path, days: int) -> None:
    day = NOON - NOON % DAY_MS + days * DAY_MS
    asleep = {"ac_power": Reading(None, Quality.ASLEEP)}
    with opened(tmp_path / "journal.sqlite") as journal:
        journal.append_record(record(day - 1, ac_power=1.0))
        journal.append_record(record(day, ac_power=1.0))
        journal.append_record(Record("inverter-1", day + DAY_MS - 1, asleep))
        journal.append_record(record(day + DAY_MS, ac_power=1.0))
        mean = Record("meter", day + 60_000, {"grid_power": Reading(1.0)}, 12, 60_000)
        journal.append_record(mean)
        assert journal.flush()
        found = journal.reader.records_per_device(day, day + DAY_MS)
    assert found == {"inverter-1": (1, 1), "meter": (12, 0)}
