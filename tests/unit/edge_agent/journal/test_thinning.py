"""What a full journal gives up, and in which order: never what counts energy, never an alert."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.journal.seq_ranges import SeqRanges
from edge_agent.journal.thinning import STEPS, KeptRow, Step, thin
from models.contract.messages import Kind
from models.contract.payload import RecordForm
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import HOUR_MS, MINUTE_MS, STEP_MS, Instant
from models.features.intervals import IntervalBuilder
from tests.unit.edge_agent.journal.opened import NOON, SetClock, opened, record, unsent

MINUTE, QUARTER, _, _, ENERGY = STEPS
SMALL = JournalSettings(
    commit_window_s=0.01, max_bytes=1_000_000, keep_free_bytes=0, queue_limit=2000
)


def kept(*records: Record) -> list[KeptRow]:
    rows = []
    for seq, one in enumerate(records, 1):
        form, values = RecordForm.of(one)
        rows.append(KeptRow(seq, form, one.measured_at, values))
    return rows


def one(at: Instant, **readings: Reading) -> Record:
    return Record("inverter-1", at, readings)


# --- the rule -------------------------------------------------------------------------------------


def test_a_mean_is_not_the_mean_of_the_good_values() -> None:
    thinned = thin(
        kept(
            one(NOON, ac_power=Reading(100.0), ac_energy=Reading(5.0)),
            one(NOON + 5000, ac_power=Reading(9e6, Quality.SUSPECT), ac_energy=Reading(6.0)),
            one(NOON + 10_000, ac_power=Reading(300.0), ac_energy=Reading(None, Quality.MISSING)),
        ),
        MINUTE,
    )
    assert thinned is not None
    assert thinned.gone == (1, 2, 3)
    assert thinned.records == (
        Record(
            "inverter-1",
            NOON,
            {"ac_power": Reading(200.0), "ac_energy": Reading(6.0)},
            samples=3,
            window_ms=MINUTE_MS,
        ),
    )


def test_a_flaw_disappears_when_nothing_was_good() -> None:
    thinned = thin(
        kept(
            one(NOON, ac_power=Reading(1.0, Quality.CLIPPED)),
            one(NOON + 1, ac_power=Reading(2.0, Quality.SUSPECT)),
        ),
        MINUTE,
    )
    assert thinned is not None
    assert thinned.records[0].readings == {"ac_power": Reading(2.0, Quality.SUSPECT)}


def test_records_that_are_a_window_apart_are_written_again_for_nothing() -> None:
    assert (
        thin(kept(*(record(NOON + MINUTE_MS * n, ac_power=1.0) for n in range(9))), MINUTE) is None
    )


def test_energy_is_given_up_before_everything_else() -> None:
    thinned = thin(
        kept(
            one(NOON, ac_power=Reading(1.0), ac_energy=Reading(7.0)),
            one(NOON + STEP_MS, ac_power=Reading(1.0), ac_energy=Reading(8.0)),
            one(NOON + 2 * STEP_MS, ac_power=Reading(2.0)),
        ),
        ENERGY,
    )
    assert thinned is not None
    assert thinned.gone == (1, 2, 3)
    assert [r.readings for r in thinned.records] == [{"ac_energy": Reading(8.0)}]


NAMES = ["ac_power", "ac_energy", "frequency"]
readings = st.builds(Reading, st.floats(-1e5, 1e5)) | st.builds(
    Reading, st.floats(-1e5, 1e5), st.sampled_from([Quality.SUSPECT, Quality.CLIPPED])
) | st.just(Reading(None, Quality.ASLEEP))  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.integers(0, STEP_MS - 1),
            st.dictionaries(st.sampled_from(NAMES), readings, min_size=1),
        ),
        min_size=2,
        max_size=30,
        unique_by=lambda pair: pair[0],
    )
)
def test_an_interval_of_thinned_records_is_another_one(
    polls: list[tuple[int, dict[str, Reading]]],
) -> None:
    records = [
        Record("inverter-1", NOON + at, held) for at, held in sorted(polls, key=lambda p: p[0])
    ]
    thinned = thin(kept(*records), QUARTER)
    assert thinned is not None
    before, after = IntervalBuilder(), IntervalBuilder()
    for poll in records:
        before.add(poll)
    for mean in thinned.records:
        after.add(mean)
    expected = {row.quantity: row.value for row in before.complete(NOON + STEP_MS)}
    found = {row.quantity: row.value for row in after.complete(NOON + STEP_MS)}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=6e-4))


# --- the file under pressure ----------------------------------------------------------------------


def press(journal: Journal, clock: SetClock, hours: float, every_s: int = 5) -> int:
    """Polls of two devices; how many the journal took."""
    taken = 0
    for index in range(int(hours * 3600 / every_s)):
        clock.run(every_s)
        for device in ("inverter-1", "meter"):
            values = {"ac_power": 1000.5 + index % 7, "frequency": 50.01, "ac_energy": 1e6 + index}
            taken += journal.append_record(record(clock.wall, device, **values))
        if index % 100 == 0:
            assert journal.flush()
    journal.flush(5)
    return taken


def test_a_journal_without_room_refuses_what_is_new(tmp_path: Path) -> None:
    clock = SetClock()
    with opened(tmp_path / "journal.sqlite", SMALL, clock=clock) as journal:
        journal.append(Kind.ALERT, "inverter-1", clock.wall, {"text": "the first alert"})
        assert press(journal, clock, hours=40) == 40 * 3600 // 5 * 2
        counts = journal.counts()
        assert counts["journal_refused"] == 0
        assert counts["journal_queued"] == 0
        entries, voids = unsent(journal)
    assert (tmp_path / "journal.sqlite").stat().st_size <= SMALL.max_bytes
    bodies = [json.loads(entry.body) for entry in entries if entry.kind is Kind.RECORD]
    polls = sum(body.get("samples", 1) for body in bodies)
    assert polls == 40 * 3600 // 5 * 2
    windows = {body.get("window_s", 0) for body in bodies}
    assert windows >= {0, 60}
    assert [e.kind for e in entries].count(Kind.ALERT) == 1
    # Every number is an entry or void with a reason, and none is both.
    numbers = SeqRanges((entry.key.seq, entry.key.seq) for entry in entries)
    for void in voids:
        assert "thinned to" in void.reason
        assert not list(numbers.within(void.first, void.last))
        numbers.add(void.first, void.last)
    assert list(numbers) == [(1, journal.last_seq)]
    # The newest hour is as it was polled.
    newest = max(body["timestamp"] for body in bodies)
    assert all("window_s" not in b for b in bodies if b["timestamp"] > newest[:11] + "23")


def test_a_restart_forgets_what_was_thinned(tmp_path: Path) -> None:
    clock = SetClock()
    with opened(tmp_path / "journal.sqlite", SMALL, clock=clock) as journal:
        press(journal, clock, hours=20)
        before = unsent(journal)
        assert before[1]
    with opened(tmp_path / "journal.sqlite", SMALL, clock=clock) as journal:
        assert unsent(journal)[0] == before[0]
        assert journal.first_seq > before[0][-1].key.seq


def test_what_is_under_way_is_thinned_and_the_centre_gets_both(tmp_path: Path) -> None:
    clock = SetClock()
    with opened(tmp_path / "journal.sqlite", SMALL, clock=clock) as journal:
        press(journal, clock, hours=1)
        journal.note_under_way(SeqRanges([(1, 700)]))
        press(journal, clock, hours=20)
        left = [stored.seq for stored in journal.reader.run(1, 700, 1000)]
        assert left == list(range(1, 701))


def test_acknowledged_entries_are_spared(tmp_path: Path) -> None:
    clock = SetClock()
    with opened(tmp_path / "journal.sqlite", SMALL, clock=clock) as journal:
        press(journal, clock, hours=8)
        journal.acknowledge(journal.epoch, [(1, journal.last_seq)])
        press(journal, clock, hours=4)
        assert journal.thinned == 0
        assert not unsent(journal)[1]


def test_nobody_hears_of_thinned_polls(tmp_path: Path) -> None:
    clock = SetClock()
    with opened(tmp_path / "journal.sqlite", SMALL, clock=clock) as journal:
        heard: list[tuple[int, int]] = []
        journal.on_thinned(lambda rows, left: heard.append((len(rows), left)))
        press(journal, clock, hours=16)
        assert sum(rows for rows, _ in heard) == journal.thinned > 0
        assert sum(left for _, left in heard) < journal.thinned / 5


def test_steps_go_up_again() -> None:
    windows = [step.window_ms for step in STEPS]
    assert windows == [MINUTE_MS, STEP_MS, MINUTE_MS, STEP_MS, HOUR_MS]
    assert [step.counters_only for step in STEPS] == [False] * 4 + [True]
    assert Step(HOUR_MS, 0, counters_only=True).reason == "thinned to 60 min, energy only"


def test_what_is_void_and_known_at_the_centre_is_kept_for_ever(tmp_path: Path) -> None:
    clock = SetClock()
    with opened(tmp_path / "journal.sqlite", SMALL, clock=clock) as journal:
        press(journal, clock, hours=16)
        assert unsent(journal)[1]
        journal.acknowledge(journal.epoch, [(1, journal.last_seq)])
        clock.run(31 * 86_400)
        journal.append_record(record(clock.wall, ac_power=1.0))
        assert journal.flush()
        assert journal.counts()["journal_void"] == 0
        assert list(journal.reader.entries())[-1].seq == journal.last_seq
    with opened(tmp_path / "journal.sqlite", SMALL, clock=clock) as journal:
        assert journal.first_seq == journal.last_seq + 1
        assert journal.pending_count() == 1
