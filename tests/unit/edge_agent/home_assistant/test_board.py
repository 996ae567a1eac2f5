"""What may be shown as a value, when a device counts as there, and which alerts are on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from edge_agent.home_assistant.alerts import MAX_ACTIVE
from edge_agent.home_assistant.board import AgentState, Board
from edge_agent.home_assistant.discovery import DeviceInfo, Topics
from models.contract.forecast import LEVELS, Forecast, ForecastSeries
from models.contract.messages import Alert, Severity, Status
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import HORIZON_STEPS

T0 = 1_705_492_800_000
INFO = DeviceInfo("inverter", "modbus-tcp sunspec", poll_s=20.0)
PREFIX = "solar-edge/farm/"


@pytest.fixture
def board() -> Board:
    return make_board(INFO)


def make_board(*infos: DeviceInfo) -> Board:
    one = Board(Topics("homeassistant", "solar-edge", "farm"), "farm-7", infos, UTC)
    one.changes(T0, 0.0)
    return one


def record(at: int = T0, **readings: float | Reading) -> Record:
    taken = {n: one if isinstance(one, Reading) else Reading(one) for n, one in readings.items()}
    return Record("inverter", at, taken)


def changes(board: Board, monotonic: float = 0.0, now: int = T0) -> dict[str, Any]:
    found = board.changes(now, monotonic)
    return {topic.removeprefix(PREFIX): body for topic, body in found.items()}


def test_only_true_values_are_shown(board: Board) -> None:
    board.note_record(
        record(
            ac_power=Reading(10.0, Quality.CURTAILED),
            dc_power=Reading(11.0, Quality.CLIPPED),
            ac_energy=Reading(12.0, Quality.SUSPECT),
            frequency=50.0,
            ac_voltage=Reading(None, Quality.MISSING),
        ),
        0.0,
    )
    found = changes(board)
    assert found["inverter/state"] == {
        "measured_at": "2024-01-17T12:00:00Z",
        "ac_power": 10.0,
        "dc_power": 11.0,
        "ac_energy": None,
        "frequency": 50.0,
    }
    assert found["inverter/availability"] == "online"
    assert found["inverter/condition"] == {
        "condition": "suspect",
        "attributes": {"in_doubt": ["ac_energy: suspect", "ac_voltage: missing"]},
    }


def test_before_the_first_record_old_values_are_not_shown_as_of_now() -> None:
    board = Board(Topics("homeassistant", "solar-edge", "farm"), "farm-7", [INFO], UTC)
    board.expect("inverter", ["ac_power"])
    found = changes(board)
    assert found["inverter/availability"] == "offline"
    assert found["inverter/condition"]["condition"] is None
    assert "inverter/state" not in found
    assert found["inverter/problem"]["state"] == found["farm-7/problem"]["state"] == "OFF"


def test_a_device_is_silent_after_three_missed_polls_and_back_at_once(board: Board) -> None:
    board.note_record(record(ac_power=1.0), 100.0)
    changes(board, 100.0)
    assert changes(board, 160.0) == {}
    found = changes(board, 160.1)
    assert found["inverter/availability"] == "offline"
    assert found["inverter/condition"]["condition"] == "silent"
    assert changes(board, 500.0) == {}
    board.note_record(record(ac_power=1.0), 501.0)
    assert changes(board, 501.0)["inverter/availability"] == "online"


def test_a_record_without_any_value_makes_the_device_unavailable(board: Board) -> None:
    missing, night = Reading(None, Quality.MISSING), Reading(None, Quality.ASLEEP)
    board.note_record(record(ac_power=night, dc_power=night), 0.0)
    assert changes(board)["inverter/condition"]["condition"] == "asleep"
    board.note_record(record(ac_power=missing), 0.0)
    found = changes(board)
    assert found["inverter/condition"]["condition"] == "silent"
    assert found["inverter/availability"] == "offline"
    board.note_record(record(ac_power=night, temp_inverter=12.0), 0.0)
    assert changes(board)["inverter/availability"] == "online"


def test_a_slow_quantity_keeps_its_value_until_it_is_overdue() -> None:
    board = make_board(replace(INFO, poll_s=5.0, slow_s=60.0))
    board.note_record(record(ac_power=1.0, ac_energy=500.0), 0.0)
    longest = 15_000 + 120_000
    for ahead, wanted in ((5_000, 500.0), (longest, 500.0), (longest + 1, None), (-1, None)):
        board.note_record(record(T0 + ahead, ac_power=2.0), 0.0)
        assert changes(board)["inverter/state"]["ac_energy"] == wanted


def test_a_quantity_that_is_no_longer_given_is_unknown_at_once_without_slow_groups(
    board: Board,
) -> None:
    board.note_record(record(ac_power=1.0, ac_energy=500.0), 0.0)
    board.note_record(record(T0 + 5_000, ac_power=2.0), 0.0)
    assert changes(board)["inverter/state"]["ac_energy"] is None
    assert board.quantities("inverter") == ["ac_power", "ac_energy"]


def alert(code: str, device: str = "inverter", **changed: Any) -> Alert:
    return replace(Alert(device, T0, code, Severity.ALARM, f"text of {code}"), **changed)


def test_a_problem_lasts_until_its_own_code_is_over(board: Board) -> None:
    board.note_alert(alert("one"))
    board.note_alert(alert("two"))
    board.note_alert(alert("one", active=False, severity=Severity.INFO))
    found = changes(board)
    assert found["inverter/problem"]["state"] == "ON"
    assert found["inverter/problem"]["attributes"]["active"] == ["two"]
    assert found["farm-7/last_alert"]["code"] == "one"
    board.note_alert(alert("two", active=False))
    assert changes(board)["inverter/problem"] == {"state": "OFF", "attributes": {}}


def test_news_is_no_problem_and_an_unknown_name_is_the_sites_own(board: Board) -> None:
    board.note_alert(alert("jumped", "farm-7", severity=Severity.INFO))
    assert changes(board)["farm-7/problem"]["state"] == "OFF"
    board.note_alert(alert("odd", "somebody-else"))
    assert changes(board)["farm-7/problem"]["state"] == "ON"


def test_alerts_that_never_end_do_not_pile_up(board: Board) -> None:
    for number in range(10 * MAX_ACTIVE):
        board.note_alert(alert(f"code-{number}"))
    active = changes(board)["inverter/problem"]["attributes"]["active"]
    assert active == [f"code-{number}" for number in range(9 * MAX_ACTIVE, 10 * MAX_ACTIVE)]


def test_a_clock_that_is_not_trusted_takes_the_forecast_away(board: Board) -> None:
    rows = tuple((2000 * level,) * HORIZON_STEPS for level in LEVELS)
    series = {"ac_power": ForecastSeries("even", rows)}
    board.note_forecast(Forecast("farm-7", T0, T0, series))
    assert changes(board)["farm-7/forecast"]["power_now"]["value"] == 1000
    assert changes(board) == {}
    status = Status("farm-7", T0, True, "1", "0" * 16, 1, counters={"journal_pending": 3})
    board.note_agent(AgentState(status, clock_trusted=False))
    found = changes(board)
    assert found["farm-7/state"]["clock_trusted"] == "OFF"
    assert found["farm-7/forecast"]["power_now"]["value"] is None
    board.note_agent(AgentState(status, clock_trusted=True, last_sync=T0))
    found = changes(board)
    assert found["farm-7/forecast"]["power_now"]["value"] == 1000
    assert found["farm-7/state"]["last_sync"] == "2024-01-17T12:00:00Z"
