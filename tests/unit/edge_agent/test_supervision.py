"""The watchdog is fed only while every loop moves."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.supervision import Watchdog, notify_systemd


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """The socket that systemd would listen at."""
    address = str(tmp_path / "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(2)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    return listener


def test_one_stuck_loop_among_many_is_named() -> None:
    time = Time()
    watchdog = Watchdog(time)
    quick, slow = watchdog.watch("poll", 10), watchdog.watch("uplink", 100)
    time.now = 11
    assert watchdog.stuck() == ["poll"]
    quick.mark()
    assert watchdog.stuck() == []
    time.now = 105
    slow.mark()
    assert watchdog.stuck() == ["poll"]


def test_a_loop_that_keeps_its_own_mark_is_watched_too() -> None:
    time, mark = Time(), Time()
    watchdog = Watchdog(time)
    watchdog.watch("uplink", 10, mark)
    time.now = 11
    assert watchdog.stuck() == ["uplink"]
    mark.now = 5
    assert watchdog.stuck() == []


def test_systemd_hears_us(systemd: socket.socket) -> None:
    assert notify_systemd("READY=1")
    assert systemd.recv(100) == b"READY=1"
    systemd.close()


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify_systemd("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify_systemd("READY=1")


def test_a_stuck_loop_starves_the_watchdog(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    time = Time()
    watchdog = Watchdog(time)
    loop = watchdog.watch("poll", 5)
    assert watchdog.period_s == pytest.approx(0.01)

    async def feed(count: int) -> None:
        task = asyncio.create_task(watchdog.run())
        for _ in range(count):
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(feed(3))
    assert systemd.recv(100) == b"WATCHDOG=1"
    systemd.setblocking(False)
    with suppress(BlockingIOError):
        while systemd.recv(100):
            pass
    time.now = 6
    asyncio.run(feed(3))
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
    loop.mark()
    asyncio.run(feed(3))
    assert systemd.recv(100) == b"WATCHDOG=1"
    systemd.close()
