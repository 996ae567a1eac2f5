"""What becomes of a judgement of the clock: records wait, are let go, and the next start knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock.keeper import KEY, ClockKeeper, open_watch
from edge_agent.clock.settings import ClockSettings, Trust
from edge_agent.clock.watch import ClockWatch, TrustedClockWatch
from edge_agent.journal.journal import Journal
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.messages import Alert
from models.contract.timestamps import HOUR_MS
from tests.unit.edge_agent.journal.opened import NOON, SetClock, opened, record

HOLD = ClockSettings(settle_s=0.0, hold_s=60.0)


async def at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


class Box:
    """A keeper over a real journal and state file, with a source that the test sets."""

    def __init__(self, journal: Journal, clock: SetClock, state: StateStore) -> None:
        self.clock, self.journal, self.state = clock, journal, state
        self.connected = True
        self.alerts: list[Alert] = []
        self.trusted_times = 0

    def keeper(self, watch: ClockWatch) -> ClockKeeper:
        keeper = ClockKeeper(
            "farm", watch, self.clock, HOLD, self.journal, self.state,
            connected=lambda: self.connected, on_alert=self.alerts.append, in_worker=at_once,
        )  # fmt: skip

        def trusted() -> None:
            self.trusted_times += 1

        keeper.on_trusted = trusted
        keeper.start()
        return keeper


class Source:
    """Whether the kernel says that the clock is synchronised."""

    def __init__(self) -> None:
        self.answer: bool | None = False

    def __call__(self) -> bool | None:
        return self.answer


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    database = StateDatabase(tmp_path / "state.sqlite")
    yield StateStore(database, SetClock())
    database.close()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def box(tmp_path: Path, state: StateStore, source: Source) -> Iterator[tuple[Box, ClockKeeper]]:
    clock = SetClock()
    watch = ClockWatch(clock, HOLD, synchronised=source, not_before=NOON - HOUR_MS)
    with opened(tmp_path / "journal.sqlite", clock=clock, clock_period=watch.look) as journal:
        one = Box(journal, clock, state)
        yield one, one.keeper(watch)


def test_records_of_an_untrusted_clock_wait_for_ever_while_the_centre_could_have_them(
    box: tuple[Box, ClockKeeper],
) -> None:
    one, keeper = box
    one.journal.append_record(record(one.clock.wall, ac_power=1.0))
    assert one.journal.flush()
    for _ in range(59):
        keeper.look()
        one.clock.run(1)
    assert one.journal.held_count() == 1
    one.connected = False
    one.clock.run(3600)
    keeper.look()
    assert one.journal.flush()
    assert one.journal.held_count() == 1  # nobody could be told: waiting costs nothing
    one.connected = True
    keeper.look()
    assert one.journal.flush()
    assert one.journal.held_count() == 0
    assert [alert.code for alert in one.alerts] == ["clock-untrusted"]
    assert one.trusted_times == 0


def test_nobody_hears_that_the_clock_is_right_again(
    box: tuple[Box, ClockKeeper], source: Source
) -> None:
    one, keeper = box
    one.journal.append_record(record(one.clock.wall, ac_power=1.0))
    assert one.journal.flush()
    one.clock.run(5)
    source.answer = True
    keeper.look()
    assert one.journal.flush()
    assert one.journal.held_count() == 0
    assert one.trusted_times == 1
    assert [alert.active for alert in one.alerts] == [True, False]


def test_a_restart_while_offline_costs_the_trust(
    box: tuple[Box, ClockKeeper], source: Source, state: StateStore
) -> None:
    one, keeper = box
    source.answer = True
    one.clock.run(5)
    keeper.look()
    asyncio.run(keeper.save())
    assert state.get(KEY)["boot_id"] == one.journal.boot_id
    for boot_id, trusted in ((one.journal.boot_id, True), ("another", False)):
        mark = state.get(KEY)
        assert mark["offset_ms"] == one.clock.wall - round(one.clock.uptime_s * 1000)
        watch = open_watch(
            one.clock, HOLD, state, scaled=False, not_before=NOON - HOUR_MS, boot_id=boot_id
        )
        assert isinstance(watch, ClockWatch)
        # The real kernel and uptime are read here, so only the mark itself can be compared.
        assert (watch.mark is not None and watch.mark.offset_ms == mark["offset_ms"]) == trusted


@pytest.mark.parametrize("saved", [None, 3, {}, {"boot_id": 1}, {"boot_id": "b", "offset_ms": "x"}])
def test_nonsense_in_the_state_file_ends_the_agent(saved: Any, state: StateStore) -> None:
    state.put(KEY, saved)
    settings = ClockSettings(trust=Trust.ALWAYS)
    watch = open_watch(SetClock(), settings, state, scaled=False, not_before=0, boot_id="b")
    assert watch.look().trusted


def test_a_demo_clock_is_judged(state: StateStore) -> None:
    watch = open_watch(SetClock(), HOLD, state, scaled=True, not_before=2**50, boot_id="b")
    assert isinstance(watch, TrustedClockWatch)
    assert watch.look().trusted
