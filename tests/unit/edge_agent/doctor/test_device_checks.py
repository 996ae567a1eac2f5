"""Ports and hosts of devices: real pseudo terminals, real sockets, real other programs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.devices.tables import DeviceTable
from edge_agent.doctor import device_checks
from edge_agent.doctor.device_checks import check_host, check_load, check_serial_port
from edge_agent.doctor.finding import State
from edge_agent.doctor.surroundings import RunningAgent
from edge_agent.status.status_file import DeviceState
from models.features.intervals import Role
from tests.unit.edge_agent.status.site import snapshot


@pytest.fixture
def pty() -> Iterator[Path]:
    """A terminal whose line only this process has open."""
    ours, theirs = os.openpty()
    path = Path(os.ttyname(theirs))
    os.close(theirs)
    yield path
    os.close(ours)


def test_a_port_that_is_there_and_free(pty: Path) -> None:
    (finding,) = check_serial_port(pty, ["meter", "roof"])
    assert (finding.state, finding.subject) == (State.OK, f"{pty} (meter, roof)")


def test_a_port_that_another_program_has_is_named_with_it(
    pty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(pty)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        (finding,) = check_serial_port(pty, ["meter"])
        assert (finding.state, str(other.pid) in finding.found) == (State.FAILED, True)
        name = Path(f"/proc/{other.pid}/comm").read_text().strip()
        monkeypatch.setitem(device_checks._GRABBERS, name, "remove it from PORT")
        (finding,) = check_serial_port(pty, ["meter"])
        assert finding.todo == f"remove it from {pty.name}"
        assert other.stdin is not None
        other.stdin.close()


def test_a_port_that_is_not_there_and_one_that_is_no_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-FTDI-if00-port0").symlink_to("/dev/null")
    monkeypatch.setattr(device_checks, "BY_ID", by_id)
    (gone,) = check_serial_port(tmp_path / "ttyUSB7", ["meter"])
    (tmp_path / "file").touch()
    (wrong,) = check_serial_port(tmp_path / "file", ["meter"])
    assert (gone.state, wrong.state) == (State.FAILED, State.FAILED)
    assert "usb-FTDI-if00-port0" in gone.todo
    assert wrong.found == "is no serial port"


def test_a_name_that_changes_gets_a_better_one_proposed(
    pty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usb-FTDI").symlink_to(pty)
    real = device_checks.stable_name
    monkeypatch.setattr(device_checks, "stable_name", lambda path: real(path, tmp_path))
    there, unstable = check_serial_port(pty, ["meter"])
    assert (there.state, unstable.state) == (State.OK, State.WARNING)
    assert unstable.todo == f'serial_port = "{tmp_path}/usb-FTDI"'


# ---- network


def host(
    port: int, agent: RunningAgent | None = None, name: str = "127.0.0.1"
) -> tuple[State, str]:
    (finding,) = check_host(name, port, ["roof"], agent, 0.3)
    return finding.state, finding.found


def test_a_host_that_answers_refuses_or_has_no_name(free_port: Callable[[], int]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        assert host(server.getsockname()[1])[0] is State.OK
    assert host(free_port()) == (State.FAILED, "refused the connection")
    state, found = host(1, name="no-such-host.invalid")
    assert (state, "cannot be resolved" in found) == (State.FAILED, True)


def test_a_host_that_does_not_answer_in_time() -> None:
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)  # nobody accepts: the queue is full after one, and Linux drops the next
        port = server.getsockname()[1]
        waiting = []
        try:
            for _ in range(3):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
                waiting.append(one)
            assert host(port) == (State.FAILED, "no answer within 0.3 s")
        finally:
            for one in waiting:
                one.close()


def agent_with(state: str, error: str | None) -> RunningAgent:
    return RunningAgent(replace(snapshot(), devices={"roof": DeviceState(state, error)}))


def test_a_device_that_the_agent_reads_is_not_touched(free_port: Callable[[], int]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.setblocking(False)
        state, found = host(server.getsockname()[1], agent_with("well", None))
        assert (state, found) == (State.OK, "the running agent reads it")
        with pytest.raises(BlockingIOError):
            server.accept()
        state, found = host(server.getsockname()[1], agent_with("dead", "unit 3 is silent"))
        assert state is State.WARNING
        assert "unit 3 is silent" in found


def test_udp_is_not_connected_to() -> None:
    (finding,) = check_host("127.0.0.1", 9, ["roof"], None, 0.3, is_udp=True)
    assert (finding.state, "UDP" in finding.found) == (State.OK, True)


# ---- load


def meter(poll_s: float) -> DeviceTable:
    return DeviceTable(
        "meter", Role.METER, "modbus-rtu", "eastron-sdm630", poll_s=poll_s, serial_port="/dev/ttyS9"
    )


def test_a_line_that_cannot_carry_its_polls_fails() -> None:
    (well,) = check_load([meter(60)])
    (full,) = check_load([meter(0.1)])
    assert (well.state, full.state) == (State.OK, State.FAILED)
    assert "/dev/ttyS9" in well.found
    assert "poll_s" in full.todo
