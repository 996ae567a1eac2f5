"""An alert that is told to some and not to others, never ends, or ends another's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.status.agent_alerts import AgentAlerts
from edge_agent.status.standing_alerts import KEY, StandingAlerts
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.messages import Alert, Kind
from tests.unit.edge_agent.journal.opened import SetClock, opened


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    database = StateDatabase(tmp_path / "state.sqlite")
    yield StateStore(database, SetClock())
    database.close()


def test_somebody_does_not_hear_of_an_alert_or_of_its_end(
    tmp_path: Path, state: StateStore
) -> None:
    clock, heard = SetClock(), list[Alert]()
    with opened(tmp_path / "journal.sqlite", clock=clock) as journal:
        alerts = AgentAlerts(
            "farm", clock, journal, StandingAlerts(state), soon=lambda save: save()
        )
        alerts.listeners.append(heard.append)
        alerts.restarted("poll roof", "it stood still")
        alerts.restarted("uplink", "it ended")
        alerts.thinned(5000)
        alerts.thinned(4000)  # goes on: not told again
        alerts.well("poll roof")
        clock.run(3599)
        alerts.look()
        assert alerts.board.active == 2
        clock.run(2)
        alerts.look()
        alerts.look()
        told = [(one.code, one.active) for one in heard]
        assert told == [
            ("restarted-poll-roof", True),
            ("restarted-uplink", True),
            ("journal-full", True),
            ("restarted-poll-roof", False),
            ("journal-full", False),
        ]
        assert journal.flush()
        kept = [one for one in journal.reader.entries() if one.entry.kind is Kind.ALERT]
        assert len(kept) == len(heard)
    assert state.get(KEY) == [["farm", "restarted-uplink"]]
    with opened(tmp_path / "journal.sqlite", clock=clock) as journal:
        again = AgentAlerts("farm", clock, journal, StandingAlerts(state), soon=lambda save: save())
        again.start()
        assert again.board.active == 0
        assert journal.flush()
        assert '"active":false' in list(journal.reader.entries())[-1].entry.body
    assert state.get(KEY) == []
