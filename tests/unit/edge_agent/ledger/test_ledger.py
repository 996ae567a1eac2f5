"""Counts that a restart, a full disk, a wrong clock or a change of settings would make untrue.

The journal and the state file are real. A box that loses power is one whose ledger was not saved.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.ledger.ledger import Ledger
from edge_agent.storage.migrations import migrate
from edge_agent.storage.state_store import StateDatabase
from models.contract.ledger import DayLedger, Reason, day_of, turn_after, turns_between
from models.contract.messages import SeqRange
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import DAY_MS, HOUR_MS, MINUTE_MS
from tests.unit.edge_agent.journal.opened import (
    NOON,
    QUICK,
    UPTIME_S,
    Period,
    SetClock,
    opened,
)

MIDNIGHT = NOON - 12 * HOUR_MS
TODAY = day_of(NOON)
POLL_MS = 60_000
HOUR = 60
"""Turns of an hour."""
RIGHT = NOON - int(UPTIME_S * 1000)


@dataclass
class Life:
    """One start of an agent that polls every minute."""

    journal: Journal
    ledger: Ledger
    clock: SetClock
    devices: dict[str, int]
    found: int = 0

    def turns(self, turns: int, reason: Reason | None = None, device: str = "roof") -> None:
        """Turns of one device pass with this outcome; nobody else's do."""
        poll_ms = self.devices[device]
        for _ in range(turns):
            following = turn_after(self.clock.wall, poll_ms)
            self.clock.run((following - self.clock.wall) / 1000)
            outcome = reason
            if reason in (None, Reason.ASLEEP):
                outcome = (
                    None
                    if self.journal.append_record(self._record(device, reason))
                    else (Reason.REFUSED)
                )
            self.ledger.count(device, self.clock.wall, outcome)

    def _record(self, device: str, reason: Reason | None) -> Record:
        reading = Reading(1.0) if reason is None else Reading(None, Quality.ASLEEP)
        return Record(device, self.clock.wall, {"ac_power": reading})

    def rows(self, days: int = 2) -> dict[tuple[str, str], DayLedger]:
        """What would be told, by device and day, with everything committed."""
        assert self.journal.flush()
        rows = self.ledger.rows(self.clock.wall, days)
        return {(row.device, row.day): row for row in rows}

    def another_day_is_told(self) -> bool:
        """Whether a wrong clock made a day of its own."""
        return any(day != TODAY for _, day in self.rows(days=9))

    def today(self, device: str = "roof") -> DayLedger:
        return self.rows()[device, day_of(self.clock.wall)]


@dataclass
class Box:
    """The files of an agent; ``life`` is one start of it."""

    directory: Path
    clock: SetClock = field(default_factory=SetClock)
    devices: dict[str, int] = field(default_factory=lambda: {"roof": POLL_MS})
    period: Period = field(default_factory=lambda: Period(1, RIGHT, True))

    @contextmanager
    def life(
        self, *, save: bool = True, settings: JournalSettings = QUICK, keep_days: int = 400
    ) -> Iterator[Life]:
        """``save``: it ends in good order; otherwise what was not saved is lost."""
        state = self.directory / "state.sqlite"
        if not state.exists():
            shutil.copy(_empty_state(self.directory.parent), state)
        with (
            opened(
                self.directory / "journal.sqlite",
                settings,
                clock=self.clock,
                clock_period=lambda: self.period,
            ) as journal,
            closing(StateDatabase(state)) as database,
        ):
            ledger = Ledger(database, is_trusted=lambda: self.period.trusted, keep_days=keep_days)
            found = ledger.resume(journal.reader, self.devices, self.clock.wall)
            journal.on_commit(ledger.committed)
            journal.on_thinned(ledger.replaced)

            def corrected(ranges: Sequence[SeqRange]) -> None:
                for first, last in ranges:
                    ledger.corrected(journal.reader.entries(first, last))

            journal.on_corrected(corrected)
            yield Life(journal, ledger, self.clock, self.devices, found)
            assert journal.flush()
            if save:
                ledger.save(self.clock.wall)


@cache
def _empty_state(directory: Path) -> Path:
    """A state file that is copied, not migrated in a process of its own each time."""
    path = directory / "empty-state.sqlite"
    migrate(path, "state")
    return path


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A box at noon that was never started."""
    return Box(tmp_path)


def told(have: int, *, thinned: int = 0, **lost: int) -> DayLedger:
    """What is told of the roof today; ``expected`` is the sum."""
    reasons = {Reason(name): turns for name, turns in lost.items()}
    return DayLedger(TODAY, "roof", POLL_MS, have + sum(lost.values()), have, thinned, reasons)


def test_each_outcome_is_counted_under_its_reason(box: Box) -> None:
    with box.life() as life:
        life.turns(10)
        life.turns(3, Reason.DEAD)
        life.turns(2, Reason.ASLEEP)
        life.turns(1, Reason.BAD)
        assert life.today() == told(10, dead=3, asleep=2, bad=1)
        assert life.today().stored == 12


def test_a_record_that_waits_for_the_disk_is_not_had_and_not_lost(box: Box) -> None:
    slow = JournalSettings(commit_window_s=3600, keep_free_bytes=0)
    with box.life(settings=slow) as life:
        life.turns(5)
        (row,) = life.ledger.rows(box.clock.wall)
        assert (row.expected, row.have) == (0, 0)
        life.turns(1, Reason.DEAD)
        (row,) = life.ledger.rows(box.clock.wall)
        assert (row.expected, row.have) == (1, 0)
        assert life.today() == told(5, dead=1)


def test_a_queue_that_is_full_refuses_and_says_so(box: Box) -> None:
    tiny = JournalSettings(commit_window_s=3600, queue_limit=4, keep_free_bytes=0)
    with box.life(settings=tiny) as life:
        life.turns(7)
        assert life.today() == told(4, refused=3)


def test_a_power_cut_costs_no_record_that_was_committed(box: Box) -> None:
    with box.life() as life:
        life.turns(20)
    with box.life(save=False) as life:
        life.turns(30)
        life.turns(5, Reason.DEAD)  # nobody will know
    box.clock.run(HOUR_MS / 1000)
    with box.life() as life:
        assert life.found == 30
        life.turns(1)
        assert life.today() == told(51, off=5 + HOUR)
    with box.life() as life:
        assert life.found == 0
        assert life.today() == told(51, off=5 + HOUR)


def test_a_power_cut_at_midnight_leaves_both_days_right(box: Box) -> None:
    with box.life() as life:
        life.turns(12 * HOUR - 20)  # 23:40
    with box.life(save=False) as life:
        life.turns(30)  # until 00:10
    box.clock.run(50 * 60)
    with box.life() as life:
        life.turns(1)
        yesterday = life.rows()["roof", TODAY]
        assert yesterday == told(12 * HOUR - 1)
        today = life.today()
        assert (today.have, today.lost) == (12, {Reason.OFF: 50})


def test_days_without_power_are_told_and_years_in_a_drawer_are_not(box: Box) -> None:
    with box.life() as life:
        life.turns(60)
    box.clock.run(3 * DAY_MS / 1000)
    with box.life() as life:
        life.turns(1)
        rows = life.rows(days=5)
        day = [day_of(NOON + n * DAY_MS) for n in range(4)]
        assert rows["roof", day[0]].lost == {Reason.OFF: 11 * HOUR - 1}
        assert rows["roof", day[1]].lost == rows["roof", day[2]].lost == {Reason.OFF: 24 * HOUR}
        assert rows["roof", day[3]].expected == 13 * HOUR + 2
    box.clock.run(400 * DAY_MS / 1000)
    with box.life() as life:
        life.turns(1)
        assert list(life.rows(days=300)) == [("roof", day_of(box.clock.wall))]
        assert life.today().expected == 1


def test_a_changed_grid_keeps_what_was_expected_before(box: Box) -> None:
    with box.life() as life:
        life.turns(30)
    box.devices = {"roof": 30_000}
    with box.life() as life:
        life.turns(10)
        row = life.today()
        assert (row.poll_ms, row.expected, row.have) == (30_000, 40, 40)


def test_a_device_that_came_or_left_during_the_day_is_expected_while_it_was_there(
    box: Box,
) -> None:
    with box.life() as life:
        life.turns(30)
    box.devices = {"barn": POLL_MS}
    with box.life() as life:
        life.turns(3 * DAY_MS // POLL_MS, Reason.DEAD, "barn")
        rows = life.rows(days=4)
        assert rows["roof", TODAY].expected == 30
        assert rows["barn", TODAY].expected == 12 * HOUR - 31
        assert {device for device, day in rows if day != TODAY} == {"barn"}
    box.devices = {"roof": POLL_MS}
    with box.life() as life:
        life.turns(2)
        assert [day for device, day in life.rows(days=4) if device == "roof"] == [
            TODAY,
            day_of(box.clock.wall),
        ]
        assert life.today().expected == 2


def test_a_clock_that_runs_ahead_for_a_while_costs_what_it_costs_and_no_more(box: Box) -> None:
    with box.life() as life:
        life.turns(60)
        jumped_over = turns_between(box.clock.wall, box.clock.wall + DAY_MS, POLL_MS)
        life.ledger.count("roof", box.clock.wall + POLL_MS, Reason.CLOCK, jumped_over)
        box.clock.wall += DAY_MS
        life.turns(10)
        box.clock.wall -= DAY_MS
        life.turns(2 * 24 * HOUR)
        rows = life.rows(days=3)
        today = rows["roof", TODAY]
        assert today.expected == 12 * HOUR - 1
        assert today.lost == {Reason.CLOCK: 10}
        tomorrow = rows["roof", day_of(NOON + DAY_MS)]
        assert (tomorrow.expected, tomorrow.have) == (24 * HOUR + 10, 24 * HOUR + 10), "ten twice"


def test_turns_that_come_twice_are_expected_twice(box: Box) -> None:
    with box.life() as life:
        life.turns(30)
        box.clock.wall -= 20 * MINUTE_MS
        life.turns(20)
        life.turns(5)
        assert life.today() == told(55)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("wrong_by_ms", [-NOON + 3 * HOUR_MS, -DAY_MS, 2 * DAY_MS, -HOUR_MS])
def test_records_of_a_clock_nobody_had_set_count_where_they_belong(
    box: Box, wrong_by_ms: int, restart: bool
) -> None:
    with box.life() as life:
        life.turns(HOUR)
    off = 2 * HOUR
    box.clock.run(off * 60)
    box.clock.wall += wrong_by_ms
    box.period = Period(2, RIGHT + wrong_by_ms, False)
    with box.life() as life:
        life.turns(30)
        life.turns(5, Reason.DEAD)
        assert not life.another_day_is_told()
        if restart:
            life.ledger.save(box.clock.wall)
        box.clock.wall -= wrong_by_ms
        box.period = Period(3, RIGHT, True)
        life.turns(5)
        life.journal.flush()
        if restart:
            life.ledger.save(box.clock.wall)
    with box.life() as life:
        today = life.today()
        assert today.have == HOUR + 35
        assert set(today.lost) <= {Reason.OFF, Reason.CLOCK}
        assert sum(today.lost.values()) == off + 5
        due = life.ledger.due_report(life.clock.wall + 2 * HOUR_MS) or ()
        assert [row.day for row in due] == [TODAY]


def test_thinning_moves_records_into_means_and_loses_none(box: Box) -> None:
    small = JournalSettings(commit_window_s=0.01, max_bytes=1_000_000, keep_free_bytes=0)
    box.devices = {"roof": 1000}
    box.clock.wall = MIDNIGHT
    with box.life(settings=small) as life:
        for _ in range(90):
            life.turns(500)
            life.journal.flush()
        assert life.journal.thinned > 0
        rows = life.rows(days=3).values()
        assert sum(row.have for row in rows) == 45_000
        assert sum(row.expected for row in rows) == 45_000
        in_journal = 0
        for row in rows:
            day = MIDNIGHT + (row.day != TODAY) * DAY_MS
            have, _ = life.journal.reader.records_per_device(day, day + DAY_MS)["roof"]
            assert have == row.have
            in_journal += have
        assert 0 < sum(row.thinned for row in rows) <= in_journal


def test_records_deleted_for_want_of_room_are_lost_and_say_why(box: Box) -> None:
    with box.life() as life:
        life.turns(30)
        life.turns(4, Reason.ASLEEP)
        life.today()
        life.ledger.dropped("roof", NOON, 32)
        assert life.today() == told(0, dropped=32, asleep=2)
        life.ledger.dropped("roof", NOON - 5 * DAY_MS, 3)  # of a day that nobody knows: no matter
    with box.life() as life:
        assert life.today() == told(0, dropped=32, asleep=2)


def test_a_journal_that_was_set_aside_starts_the_count_anew_from_its_first_entry(
    box: Box,
) -> None:
    with box.life() as life:
        life.turns(50)
    for path in box.directory.glob("journal.sqlite*"):
        path.unlink()
    with box.life(save=False) as life:
        life.turns(10)
    with box.life() as life:
        assert life.found == 10
        life.turns(1)
        assert life.today() == told(61)


def test_a_state_file_from_before_there_was_a_ledger_is_filled_from_the_journal(
    box: Box,
) -> None:
    box.clock.wall = NOON - DAY_MS
    with box.life(save=False) as life:
        life.turns(24 * HOUR)
    for path in box.directory.glob("state.sqlite*"):
        path.unlink()
    with box.life() as life:
        life.turns(1)
        assert life.found == 24 * HOUR
        assert life.today() == told(12 * HOUR + 2, off=0)
        yesterday = life.rows()["roof", day_of(NOON - DAY_MS)]
        assert yesterday.lost == {Reason.OFF: 12 * HOUR + 1}


def test_a_disk_that_takes_nothing_costs_no_count(box: Box) -> None:
    with box.life() as life:
        life.turns(10)
        life.today()
        database = life.ledger._store._database
        database.query("PRAGMA query_only = 1")
        with pytest.raises(sqlite3.OperationalError):
            life.ledger.save(box.clock.wall)
        life.turns(10, Reason.DEAD)
        database.query("PRAGMA query_only = 0")
    with box.life() as life:
        assert life.found == 0
        assert life.today() == told(10, dead=10)


def test_an_ended_day_is_reported_until_the_journal_has_it_and_again_when_it_changes(
    box: Box,
) -> None:
    box.clock.wall = NOON + 12 * HOUR_MS - 30 * MINUTE_MS
    with box.life() as life:
        life.turns(29)
        life.today()
        assert life.ledger.due_report(box.clock.wall) is not None, "ten minutes after the start"
        life.ledger.reported(life.ledger.due_report(box.clock.wall) or (), box.clock.wall)
        assert life.ledger.due_report(box.clock.wall) is None
        life.turns(5)
        assert life.ledger.due_report(box.clock.wall) is None, "the day is not ten minutes old"
        life.turns(7)
        life.today()
        due = life.ledger.due_report(box.clock.wall)
        assert due is not None
        assert [(row.day, row.expected) for row in due] == [
            (TODAY, 29),
            (day_of(box.clock.wall), 12),
        ]
        assert life.ledger.due_report(box.clock.wall) == due, "the journal was full"
        life.ledger.reported(due, box.clock.wall)
        assert life.ledger.due_report(box.clock.wall) is None
        life.turns(HOUR)
        life.today()
        due = life.ledger.due_report(box.clock.wall)
        assert [row.day for row in due or ()] == [day_of(box.clock.wall)]
        life.ledger.reported(due or (), box.clock.wall)
        life.ledger.dropped("roof", NOON, 3)
        life.turns(HOUR)
        life.today()
        due = life.ledger.due_report(box.clock.wall)
        assert due is not None
        assert (due[0].day, due[0].lost) == (TODAY, {Reason.DROPPED: 3})


def test_a_report_that_died_with_the_power_is_made_again(box: Box) -> None:
    with box.life() as life:
        life.turns(30)
        life.today()
        due = life.ledger.due_report(box.clock.wall)
        life.ledger.reported(due or (), box.clock.wall)
        life.ledger.save(box.clock.wall)
    with box.life() as life:
        assert life.ledger.due_report(box.clock.wall + 10 * MINUTE_MS) == due


def test_a_clock_set_back_does_not_stop_the_reports(box: Box) -> None:
    with box.life() as life:
        life.turns(30)
        life.today()
        life.ledger.reported((), box.clock.wall)
        box.clock.wall -= DAY_MS
        life.turns(1)
        life.today()
        assert life.ledger.due_report(box.clock.wall) is not None


def test_reports_are_bounded_and_the_rest_follows_at_once(box: Box) -> None:
    box.devices = {f"d{n:03}": POLL_MS for n in range(150)}
    with box.life() as life:
        for at in (NOON, NOON + DAY_MS):
            for device in box.devices:
                life.ledger.count(device, at, Reason.DEAD)
        now = NOON + DAY_MS + HOUR_MS
        first = life.ledger.due_report(now) or ()
        assert len(first) == 200
        life.ledger.reported(first, now)
        second = life.ledger.due_report(now + HOUR_MS) or ()
        assert not {(row.device, row.day) for row in first} & {
            (row.device, row.day) for row in second
        }
        assert len(first) + len(second) == 300


def test_old_days_are_kept_on_the_disk_only_and_then_let_go(box: Box) -> None:
    with box.life(keep_days=40) as life:
        for day in range(60):
            life.ledger.count("roof", NOON + day * DAY_MS, Reason.DEAD, 24 * HOUR)
            now = NOON + day * DAY_MS
            life.ledger.reported(life.ledger.due_report(now + 2 * HOUR_MS) or (), now)
            life.ledger.save(now)
        assert len(list(life.ledger._tally)) <= 5
        kept = life.ledger._store._database.query("SELECT count(*) FROM ledger")
        assert kept == [(40,)]
        life.ledger.count("roof", NOON + 5000 * DAY_MS, Reason.DEAD)  # the clock has gone mad
        life.ledger.save(NOON)
        assert life.ledger._store._database.query("SELECT count(*) FROM ledger") == [(41,)]


def test_a_state_file_of_the_first_version_gets_its_table(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    migrate(path, "state")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP VIEW ledger_days; DROP TABLE ledger; PRAGMA user_version = 1;"
            "DELETE FROM _sqlite_migrations WHERE name = '0002_ledger';"
        )
    with closing(StateDatabase(path)) as database:
        assert database.query("SELECT * FROM ledger_days") == []


def test_a_person_can_read_the_ledger(box: Box) -> None:
    with box.life() as life:
        life.turns(10)
        life.turns(2, Reason.DEAD)
    box.clock.run(600)
    with box.life() as life:
        life.turns(1)
    with closing(sqlite3.connect(box.directory / "state.sqlite")) as connection:
        rows = connection.execute("SELECT * FROM ledger_days").fetchall()
    assert rows == [(TODAY, "roof", 23, 11, 0, '{"dead":2}', 10)]
