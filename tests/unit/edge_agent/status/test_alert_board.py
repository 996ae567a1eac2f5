"""Alerts on the local page: one for a condition, gone when it ends, never without end."""

from __future__ import annotations

from edge_agent.status.alert_board import AlertBoard
from models.contract.messages import Alert, Severity


def alert(device: str, code: str = "device-silent", *, active: bool = True, at: int = 0) -> Alert:
    return Alert(device, at, code, Severity.ALARM, "text", active)


def test_an_alert_stands_until_it_is_over() -> None:
    board = AlertBoard()
    board.note(alert("meter"))
    board.note(alert("roof"))
    board.note(alert("meter", at=5))
    assert [(one.device, one.timestamp) for one in board.alerts()] == [("meter", 5), ("roof", 0)]
    board.note(alert("meter", active=False, at=6))
    assert [(one.device, one.active) for one in board.alerts()] == [
        ("roof", True),
        ("meter", False),
    ]
    assert board.active == 1


def test_a_flood_of_alerts_takes_no_memory() -> None:
    board = AlertBoard()
    for number in range(5_000):
        board.note(alert(f"device-{number}"))
        board.note(alert(f"event-{number}", active=False))
    found = board.alerts()
    assert len(found) <= 120
    assert found[0].device == "device-4999"
