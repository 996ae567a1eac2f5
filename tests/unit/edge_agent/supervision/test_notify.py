"""systemd hears us."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from edge_agent.supervision import notify_status, notify_systemd
from edge_agent.supervision.notify import DEFAULT_PERIOD_S, watchdog_period_s


def test_systemd_hears_us(systemd: socket.socket) -> None:
    assert notify_systemd("READY=1")
    assert systemd.recv(100) == b"READY=1"


def test_a_status_text_cannot_smuggle_in_another_message(systemd: socket.socket) -> None:
    assert notify_status("12 devices,\n0 pending\nMAINPID=1 " + "x" * 1000)
    heard = systemd.recv(2000)
    assert heard.startswith(b"STATUS=12 devices, 0 pending MAINPID=1 xxx")
    assert b"\n" not in heard
    assert len(heard) < 320


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify_systemd("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify_systemd("READY=1")


def test_a_systemd_that_does_not_read_holds_nobody_up(systemd: socket.socket) -> None:
    systemd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    told = 0
    while notify_systemd("WATCHDOG=1"):
        told += 1
        assert told < 100_000
    assert told > 0


@pytest.mark.parametrize(
    ("usec", "pid", "period_s"),
    [
        ("60000000", None, 20.0),
        ("60000000", "own", 20.0),
        ("60000000", "1", DEFAULT_PERIOD_S),
        ("0", None, DEFAULT_PERIOD_S),
        ("soon", None, DEFAULT_PERIOD_S),
        (None, None, DEFAULT_PERIOD_S),
    ],
)
def test_the_watchdog_is_fed_three_times_within_its_time(
    usec: str | None, pid: str | None, period_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert watchdog_period_s() == pytest.approx(period_s)
