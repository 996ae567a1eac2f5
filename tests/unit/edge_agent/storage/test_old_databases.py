"""Databases that earlier versions wrote are still read, and nothing of them is lost or sent twice.

The files under tests/golden/databases/v1 were written by the first released code: two starts of the
agent with ten records and an alert each, five entries acknowledged and one void; and a state file
with a key and four intervals.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from edge_agent.errors import StorageError
from edge_agent.forecasting.interval_store import IntervalStore
from edge_agent.storage.migrations import migrate_in_child, newest_version
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.clock import SystemClock
from models.contract.messages import Kind, Void
from models.contract.timestamps import STEP_MS
from tests.unit.edge_agent.journal.opened import NOON, opened, record, unsent

V1 = Path(__file__).parents[3] / "golden" / "databases" / "v1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(V1, tmp_path / "data")
    return tmp_path / "data"


def test_a_journal_of_version_1_loses_or_repeats_entries(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(V1 / "journal.sqlite")) as before:
        bodies = dict(before.execute("SELECT seq, body FROM journal").fetchall())
    with opened(old / "journal.sqlite") as journal:
        assert journal.set_aside is None
        assert {one.seq: one.entry.body for one in journal.reader.entries()} == bodies
        entries, voids = unsent(journal)
        assert [one.key.seq for one in entries] == [6, *range(8, 23)]
        assert voids == [Void(7, 7, "missing from the journal")]
        assert [one.key.seq for one in entries if one.kind is Kind.ALERT] == [11, 22]
        assert journal.first_seq == 23
        journal.append_record(record(NOON, ac_power=1.0))
        assert journal.flush()
    with contextlib.closing(sqlite3.connect(old / "journal.sqlite")) as after:
        rows = after.execute("SELECT seq, body FROM entries ORDER BY seq").fetchall()
        (version,) = after.execute("PRAGMA user_version").fetchone()
    assert version == newest_version("journal")
    assert json.loads(rows[0][1])["ac_power"] == 1000.5
    assert json.loads(rows[-1][1]) == {"ac_power": 1.0}


def test_a_state_file_of_version_1_loses_what_it_held(old: Path) -> None:
    database = StateDatabase(old / "state.sqlite")
    try:
        assert database.set_aside is None
        assert StateStore(database, SystemClock()).get("updater") == {"release": 3}
        values = IntervalStore(database).series("inverter-1", "ac_power", NOON, NOON + 4 * STEP_MS)
        assert values.tolist() == [0.0, 100.0, 200.0, 300.0]
    finally:
        database.close()


def test_a_cut_within_a_migration_leaves_half_a_schema(old: Path) -> None:
    path = old / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE journal_new (x)")  # makes the script fail in its middle
    with pytest.raises(StorageError, match="journal_new already exists"):
        migrate_in_child(path, "journal")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        assert "forms" not in tables
        assert "entries" in tables
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.execute("DROP TABLE journal_new")
    migrate_in_child(path, "journal")
