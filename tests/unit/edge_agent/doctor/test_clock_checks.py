"""The clock: who keeps it, and a time that has certainly passed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.clock.settings import ClockSettings, Trust, Unknown
from edge_agent.doctor.clock_checks import TIME_SERVICES, check_time, check_time_service
from edge_agent.doctor.finding import State
from edge_agent.doctor.surroundings import processes
from edge_agent.status.status_file import ClockState

HELD = ClockState(True, "the clock was right and was not set since", 0)


@pytest.mark.parametrize(
    ("settings", "answer", "says", "state"),
    [
        (ClockSettings(), True, None, State.OK),
        (ClockSettings(), False, None, State.FAILED),
        (ClockSettings(), False, HELD, State.WARNING),
        (ClockSettings(), False, ClockState(False, "it jumped", 3), State.FAILED),
        (ClockSettings(), None, None, State.WARNING),
        (ClockSettings(unknown=Unknown.TRUSTED), None, None, State.OK),
        (ClockSettings(trust=Trust.ALWAYS), False, None, State.OK),
    ],
)
def test_a_clock_that_nobody_keeps_fails_unless_the_agent_still_believes_it(
    settings: ClockSettings, answer: bool | None, says: ClockState | None, state: State
) -> None:
    (finding,) = check_time_service(settings, lambda: answer, says)
    assert finding.state is state
    assert bool(finding.todo) == (state is not State.OK)


def test_the_processes_of_this_machine_are_seen() -> None:
    own = [one for one in processes() if one.pid == os.getpid()]
    assert len(own) == 1
    assert not own[0].is_agent
    assert all(len(name) <= 15 for name in TIME_SERVICES), "names of the kernel are cut"


@pytest.mark.parametrize(
    ("now", "state", "says"),
    [
        (2_000_000.0, State.OK, "later than all"),
        (999.0, State.FAILED, "before this version existed"),
        (1_499_000.0, State.FAILED, "the agent has written at 1970-01-18T08:40"),
    ],
)
def test_a_clock_in_the_past_is_found_by_what_was_written_later(
    tmp_path: Path, now: float, state: State, says: str
) -> None:
    database = tmp_path / "journal.sqlite"
    database.touch()
    os.utime(database, (1_500_000, 1_500_000))
    (finding,) = check_time(tmp_path, 1_000_000, lambda: now)
    assert (finding.state, says in finding.found) == (state, True), finding
