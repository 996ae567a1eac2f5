"""Records of a clock that nobody had set: held, corrected once the time is known, or marked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.journal.journal import Journal
from models.contract.messages import Kind, SeqRange
from models.contract.timestamps import HOUR_MS, format_iso8601
from tests.unit.edge_agent.journal.opened import (
    NOON,
    UPTIME_S,
    Period,
    SetClock,
    opened,
    record,
    unsent,
)

RIGHT = NOON - int(UPTIME_S * 1000)  # wall minus monotonic, when the wall clock is right


class Box:
    """A journal on a box whose clock can be wrong."""

    def __init__(self, path: Path, wrong_by_ms: int) -> None:
        self.path, self.clock = path, SetClock()
        self.clock.wall += wrong_by_ms
        self.period = Period(1, RIGHT + wrong_by_ms, wrong_by_ms == 0)

    @contextmanager
    def running(self) -> Iterator[Journal]:
        with opened(self.path, clock=self.clock, clock_period=lambda: self.period) as journal:
            yield journal

    def poll(self, journal: Journal, count: int = 3) -> None:
        for _ in range(count):
            self.clock.run(5)
            assert journal.append_record(record(self.clock.wall, ac_power=1.0))
        assert journal.flush()

    def set_right(self, number: int = 2) -> None:
        self.clock.wall = RIGHT + int(self.clock.uptime_s * 1000)
        self.period = Period(number, RIGHT, True)


def times(journal: Journal) -> list[str]:
    return [json.loads(one.body)["timestamp"] for one in unsent(journal)[0]]


def seconds(*after_noon: int) -> list[str]:
    return [format_iso8601(NOON + 1000 * second) for second in after_noon]


@pytest.mark.parametrize("wrong_by_ms", [-HOUR_MS, 24 * HOUR_MS, -NOON])
def test_times_stay_wrong_after_the_clock_was_set(tmp_path: Path, wrong_by_ms: int) -> None:
    box = Box(tmp_path / "journal.sqlite", wrong_by_ms)
    corrected: list[SeqRange] = []
    with box.running() as journal:
        journal.on_corrected(corrected.extend)
        box.poll(journal)
        assert journal.held_count() == 3
        assert times(journal) == []
        box.set_right()
        box.poll(journal)
        assert journal.held_count() == 0
        assert times(journal) == seconds(5, 10, 15, 20, 25, 30)
        assert not any("clock" in json.loads(one.body) for one in unsent(journal)[0])
    assert corrected == [(1, 3)]


def test_entries_still_in_the_queue_when_the_clock_was_set_stay_wrong(tmp_path: Path) -> None:
    box = Box(tmp_path / "journal.sqlite", -HOUR_MS)
    with box.running() as journal:
        box.clock.run(5)
        journal.append_record(record(box.clock.wall, ac_power=1.0))
        box.set_right()
        journal.note_clock()
        assert journal.flush()
        assert journal.held_count() == 0
        assert times(journal) == seconds(5)


def test_a_restart_before_the_clock_was_set_costs_the_correction(tmp_path: Path) -> None:
    box = Box(tmp_path / "journal.sqlite", -HOUR_MS)
    with box.running() as journal:
        box.poll(journal)
    with box.running() as journal:
        assert journal.held_count() == 3
        box.poll(journal)
        box.set_right()
        journal.note_clock()
        assert journal.flush()
        assert times(journal) == seconds(5, 10, 15, 20, 25, 30)
    with box.running() as journal:
        assert times(journal) == seconds(5, 10, 15, 20, 25, 30)


def test_records_of_a_boot_that_never_knew_the_time_are_held_for_ever_or_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box(tmp_path / "journal.sqlite", -HOUR_MS)
    with box.running() as journal:
        box.poll(journal)
    monkeypatch.setattr("edge_agent.journal.writer.boot_id", lambda: "the next boot")
    with box.running() as journal:
        assert journal.held_count() == 0
        bodies = [json.loads(one.body) for one in unsent(journal)[0]]
        assert [body["clock"] for body in bodies] == ["untrusted"] * 3
        box.set_right()
        box.poll(journal, 1)  # too late for them: somebody may have seen them
        assert [json.loads(one.body) for one in unsent(journal)[0]][:3] == bodies


def test_what_was_sent_with_an_unknown_time_changes_afterwards(tmp_path: Path) -> None:
    box = Box(tmp_path / "journal.sqlite", -HOUR_MS)
    with box.running() as journal:
        box.poll(journal)
        journal.release_held()
        assert journal.flush()
        sent = unsent(journal)[0]
        assert len(sent) == 3
        box.poll(journal, 1)  # the same period: goes at once, marked as well
        box.set_right()
        box.poll(journal, 1)
        now = unsent(journal)[0]
        assert [one.digest for one in now[:3]] == [one.digest for one in sent]
        assert ["clock" in json.loads(one.body) for one in now] == [True] * 4 + [False]


def test_an_alert_waits_for_the_time(tmp_path: Path) -> None:
    box = Box(tmp_path / "journal.sqlite", -HOUR_MS)
    with box.running() as journal:
        journal.append(Kind.ALERT, "inverter-1", box.clock.wall, {"text": "hot"})
        assert journal.flush()
        assert [one.kind for one in unsent(journal)[0]] == [Kind.ALERT]


def test_a_later_wrong_time_is_corrected_by_an_earlier_right_one(tmp_path: Path) -> None:
    box = Box(tmp_path / "journal.sqlite", 0)
    with box.running() as journal:
        box.poll(journal, 1)
        box.clock.wall += HOUR_MS
        box.period = Period(2, RIGHT + HOUR_MS, False)
        box.poll(journal, 1)
        assert journal.held_count() == 1
        box.set_right(3)
        journal.note_clock()
        assert journal.flush()
        assert times(journal) == seconds(5, 10)


def test_a_poll_under_way_while_the_clock_is_set_gets_the_wrong_time(tmp_path: Path) -> None:
    for wrong_by_ms in (-HOUR_MS, 24 * HOUR_MS, -NOON):
        box = Box(tmp_path / f"{wrong_by_ms}.sqlite", wrong_by_ms)
        with box.running() as journal:
            box.poll(journal, 1)
            box.clock.run(5)
            begun = box.clock.wall
            box.clock.run(2)
            box.set_right()
            journal.append_record(record(begun, ac_power=1.0))
            box.poll(journal, 1)
            assert journal.held_count() == 0
            assert times(journal) == seconds(5, 10, 17)


def test_an_agent_that_starts_with_a_right_clock_again_cannot_start(tmp_path: Path) -> None:
    box = Box(tmp_path / "journal.sqlite", -HOUR_MS)
    with box.running() as journal:
        box.poll(journal)
    box.set_right(1)
    with box.running() as journal:
        assert journal.flush()
        assert journal.held_count() == 0
        assert times(journal) == seconds(5, 10, 15)
