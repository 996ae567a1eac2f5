"""No interval is lost or thinned by a restart, a full disk, or a correction of one device only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_agent.forecasting.interval_keeper import MOST_WAITING, IntervalKeeper
from edge_agent.forecasting.interval_store import IntervalStore
from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.storage.state_store import StateDatabase
from models.contract.clock import SystemClock
from models.contract.messages import Kind
from models.contract.payload import record_to_json
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import HOUR_MS, MINUTE_MS, STEP_MS, Instant
from models.features.intervals import Role

NOON = 1_687_996_800_000
ROLES = {"roof": Role.INVERTER, "barn": Role.INVERTER, "meter": Role.METER}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[StateDatabase]:
    """A fresh state file."""
    with closing(StateDatabase(tmp_path / "state.sqlite")) as opened:
        yield opened


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A fresh journal."""
    with closing(Journal(tmp_path / "journal.sqlite", JournalSettings(), SystemClock())) as opened:
        yield opened


def power(device: str, at: Instant, watts: float) -> Record:
    name = "grid_power" if device == "meter" else "ac_power"
    return Record(device, at, {name: Reading(watts)})


def stored(database: StateDatabase, device: str, start: Instant, name: str = "ac_power") -> float:
    return float(IntervalStore(database).series(device, name, start, start + STEP_MS)[0])


def counts(database: StateDatabase) -> dict[tuple[str, Instant], int]:
    return {
        (device, start): count
        for device, start, count in database.query(
            "SELECT device, start, count FROM intervals JOIN series ON series.id = series_id"
            " WHERE quantity IN ('ac_power', 'grid_power')"
        )
    }


class Life:
    """One start of an agent that polls one inverter every minute."""

    def __init__(self, journal: Journal, database: StateDatabase, now: Instant) -> None:
        self.journal = journal
        store = IntervalStore(database)
        self.keeper = IntervalKeeper("farm", {"roof": Role.INVERTER}, store)
        self.taken = self.keeper.resume(journal.reader, journal.last_seq, now)

    def poll(self, first: Instant, last: Instant) -> None:
        for at in range(first, last, MINUTE_MS):
            record = power("roof", at, (at - NOON) / MINUTE_MS)
            self.journal.append(Kind.RECORD, "roof", at, record_to_json(record))
            self.keeper.add(record)
        self.journal.flush()

    def store(self, until: Instant) -> None:
        self.keeper.complete(until)
        self.keeper.store()


def test_a_restart_does_not_make_an_interval_of_its_last_minutes_only(
    journal: Journal, database: StateDatabase
) -> None:
    before = Life(journal, database, NOON)
    before.poll(NOON, NOON + 25 * MINUTE_MS)
    before.store(NOON + STEP_MS)

    after = Life(journal, database, NOON + 28 * MINUTE_MS)
    after.poll(NOON + 28 * MINUTE_MS, NOON + 30 * MINUTE_MS)
    after.store(NOON + 2 * STEP_MS)

    assert after.taken == 10, "the first interval was stored and is left alone"
    minutes = [*range(15, 25), 28, 29]
    assert stored(database, "roof", NOON + STEP_MS) == pytest.approx(np.mean(minutes))
    assert stored(database, "farm", NOON + STEP_MS) == pytest.approx(np.mean(minutes))
    assert counts(database)["farm", NOON + STEP_MS] == 12
    assert counts(database)["roof", NOON] == 15


def test_an_interval_that_ended_while_the_agent_was_dead_is_stored_at_the_next_start(
    journal: Journal, database: StateDatabase
) -> None:
    Life(journal, database, NOON).poll(NOON, NOON + 14 * MINUTE_MS)  # then the power is cut
    after = Life(journal, database, NOON + 5 * HOUR_MS)
    after.store(NOON + 5 * HOUR_MS)
    assert stored(database, "farm", NOON) == pytest.approx(6.5)
    assert counts(database)["roof", NOON] == 14


def test_a_box_that_wakes_in_1970_takes_nothing_up(
    journal: Journal, database: StateDatabase
) -> None:
    Life(journal, database, NOON).poll(NOON, NOON + 14 * MINUTE_MS)
    assert Life(journal, database, 20 * MINUTE_MS).taken == 0


def test_records_that_are_not_good_are_taken_up_as_they_are(
    journal: Journal, database: StateDatabase
) -> None:
    record = Record(
        "roof", NOON, {"ac_power": Reading(9e9, Quality.SUSPECT), "dc_power": Reading(5.0)}
    )
    journal.append(Kind.RECORD, "roof", NOON, record_to_json(record))
    journal.flush()
    after = Life(journal, database, NOON + MINUTE_MS)
    after.store(NOON + STEP_MS)
    assert np.isnan(stored(database, "roof", NOON))
    assert stored(database, "roof", NOON, "dc_power") == 5.0


def test_a_disk_that_takes_nothing_costs_no_interval(database: StateDatabase) -> None:
    keeper = IntervalKeeper("farm", ROLES, IntervalStore(database))
    database.query("PRAGMA query_only = 1")
    for step in range(3):
        keeper.add(power("roof", NOON + step * STEP_MS, 100.0 * step))
        keeper.complete(NOON + (step + 1) * STEP_MS)
        with pytest.raises(sqlite3.OperationalError):
            keeper.store()
    database.query("PRAGMA query_only = 0")
    keeper.store()
    assert [stored(database, "roof", NOON + k * STEP_MS) for k in range(3)] == [0.0, 100.0, 200.0]
    assert not keeper._waiting


def test_what_waits_for_the_disk_is_bounded(database: StateDatabase) -> None:
    keeper = IntervalKeeper("farm", {}, IntervalStore(database))
    for k in range(4):
        for device in range(7_000):
            keeper.add(power(f"d{device}", NOON + k * STEP_MS, 1.0))
        keeper.complete(NOON + (k + 1) * STEP_MS)
    assert len(keeper._waiting) == MOST_WAITING
    assert max(keeper._waiting)[0] == NOON + 3 * STEP_MS


def test_a_late_record_of_one_inverter_corrects_the_sum_of_the_site(
    database: StateDatabase,
) -> None:
    keeper = IntervalKeeper("farm", ROLES, IntervalStore(database))
    for device, watts in (("roof", 1000.0), ("barn", 500.0), ("meter", -200.0)):
        keeper.add(power(device, NOON, watts))
    keeper.complete(NOON + STEP_MS)
    keeper.store()
    assert stored(database, "farm", NOON) == 1500.0
    keeper.add(power("roof", NOON + MINUTE_MS, 2000.0))
    keeper.complete(NOON + 2 * STEP_MS)
    keeper.store()
    assert stored(database, "farm", NOON) == 2000.0
    assert stored(database, "farm", NOON, "load_power") == 1800.0


def test_an_unused_quantity_does_not_make_the_site_count_nothing(
    database: StateDatabase,
) -> None:
    keeper = IntervalKeeper("farm", {"roof": Role.INVERTER}, IntervalStore(database))
    readings = {"ac_power": Reading(0.0), "dc_voltage": Reading(None, Quality.ASLEEP)}
    keeper.add(Record("roof", NOON, readings))
    keeper.complete(NOON + STEP_MS)
    keeper.store()
    assert counts(database)["farm", NOON] == 1


def test_records_whose_time_became_known_late_are_left_out_or_replace_the_others(
    database: StateDatabase,
) -> None:
    keeper = IntervalKeeper("farm", ROLES, IntervalStore(database))
    early = [power("roof", NOON + minute * MINUTE_MS, 100.0) for minute in range(5)]
    for one in early:
        keeper.add(one)
    keeper.complete(NOON + 6 * HOUR_MS)
    keeper.store()
    late = [power("roof", NOON + minute * MINUTE_MS, 400.0) for minute in range(5, 15)]
    keeper.build_again(list(enumerate(late, 1)), early, NOON + 6 * HOUR_MS)
    keeper.store()
    assert stored(database, "roof", NOON) == pytest.approx(300.0)
    assert counts(database)["roof", NOON] == 15


def test_a_corrected_record_counts_twice_in_an_open_interval(database: StateDatabase) -> None:
    keeper = IntervalKeeper("farm", ROLES, IntervalStore(database))
    known = [power("roof", NOON, 100.0)]
    keeper.add(known[0])
    keeper.build_again([(7, power("roof", NOON + MINUTE_MS, 300.0))], known, NOON)
    keeper.complete(NOON + STEP_MS)
    keeper.store()
    assert stored(database, "roof", NOON) == pytest.approx(200.0)
    assert counts(database)["roof", NOON] == 2


def test_records_of_an_unknown_time_are_taken_up_at_a_start(
    database: StateDatabase, journal: Journal
) -> None:
    for at, trusted in ((NOON, True), (NOON + MINUTE_MS, False)):
        readings = {"ac_power": Reading(100.0 if trusted else 900.0)}
        journal.append_record(Record("roof", at, readings, clock_trusted=trusted))
    assert journal.flush()
    keeper = IntervalKeeper("farm", ROLES, IntervalStore(database))
    assert keeper.resume(journal.reader, journal.last_seq, NOON + 2 * MINUTE_MS) == 1
    keeper.complete(NOON + STEP_MS)
    keeper.store()
    assert stored(database, "roof", NOON) == 100.0


def test_a_record_that_a_start_found_corrected_already_counts_twice(
    database: StateDatabase, journal: Journal
) -> None:
    journal.append_record(power("roof", NOON, 100.0))
    assert journal.flush()
    keeper = IntervalKeeper("farm", ROLES, IntervalStore(database))
    assert keeper.resume(journal.reader, journal.last_seq, NOON + MINUTE_MS) == 1
    keeper.build_again([(1, power("roof", NOON, 100.0))], [], NOON)
    keeper.complete(NOON + STEP_MS)
    keeper.store()
    assert counts(database)["roof", NOON] == 1
