"""An alert of a process that was killed stands for ever, or one that holds is ended by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.status.standing_alerts import KEY, StandingAlerts
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.clock import SystemClock
from models.contract.messages import Alert, Severity


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    database = StateDatabase(tmp_path / "state.sqlite")
    yield StateStore(database, SystemClock())
    database.close()


def alert(code: str, *, active: bool) -> Alert:
    return Alert("meter", 0, code, Severity.ALARM, "something", active=active)


def test_an_alert_of_a_killed_process_stands_for_ever(state: StateStore) -> None:
    first = StandingAlerts(state)
    assert first.left_over(0) == []
    assert first.note(alert("device-silent", active=True))
    assert first.note(alert("journal-full", active=True))
    assert first.note(alert("journal-full", active=False))
    first.save()
    second = StandingAlerts(state)
    ends = second.left_over(5)
    assert [(one.device, one.code, one.active) for one in ends] == [
        ("meter", "device-silent", False)
    ]
    for one in ends:
        second.note(one)
    second.save()
    assert StandingAlerts(state).left_over(9) == []


def test_a_flapping_alert_writes_each_time_or_grows(state: StateStore) -> None:
    standing = StandingAlerts(state)
    assert standing.note(alert("device-silent", active=True))
    assert not standing.note(alert("device-silent", active=True))
    for number in range(1000):
        standing.note(alert(f"code-{number}", active=True))
    standing.save()
    assert len(state.get(KEY)) == 200


@pytest.mark.parametrize("saved", [None, 3, {}, [1], [["meter"]], [["NO", "x"]], [[None, None]]])
def test_nonsense_in_the_state_file_ends_the_agent(saved: Any, state: StateStore) -> None:
    state.put(KEY, saved)
    assert StandingAlerts(state).left_over(0) == []
