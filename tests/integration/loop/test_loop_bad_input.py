"""What users and devices get wrong: a clear word, and everything else goes on."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from models.contract.messages import Kind
from tests.integration.loop.running import CENTRAL, EDGE, Loop, Weather, open_loop

BAD_SETTINGS = {
    "agent with an unknown key": (EDGE, "run", '[agent]\nid = "x"\nspeed = 3\n', ":3: agent.speed"),
    "centre with an unknown key": (CENTRAL, "serve", "[mqtt]\nportt = 1\n", ":2: mqtt.portt"),
    "agent without its file": (EDGE, "run", None, ": cannot be read: No such file"),
    "centre without its file": (CENTRAL, "serve", None, ": cannot be read: No such file"),
    "status of an agent never started": (EDGE, "status", "", ": agent: "),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_settings_that_cannot_be_used_are_one_line_on_stderr(tmp_path: Path, case: str) -> None:
    program, command, text, expected = BAD_SETTINGS[case]
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [program, command, "--config", file],
        capture_output=True, check=False, text=True, timeout=60,
        env=os.environ | {"COLUMNS": "40"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"{file}{expected}" in line


@contextmanager
def strange_device(answer: bytes) -> Iterator[int]:
    """A device that takes every connection and answers each request with ``answer``; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened: list[socket.socket] = []

        def serve(line: socket.socket) -> None:
            with suppress(OSError):
                while line.recv(1000):
                    line.sendall(answer)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    line, _ = server.accept()
                    opened.append(line)
                    threading.Thread(target=serve, args=(line,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield int(server.getsockname()[1])
        finally:
            for one in (server, *opened):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()


def add_inverter(loop: Loop, name: str, port: int) -> None:
    with loop.place.edge_config.open("a", encoding="utf-8") as settings:
        settings.write(
            f"""
[[devices]]
name = "{name}"
role = "sensor"
protocol = "modbus-tcp"
profile = "sunspec-meter"
host = "127.0.0.1"
port = {port}
poll_s = 300
timeout_s = 0.2
"""
        )


@pytest.mark.timeout(180)
def test_devices_that_answer_nothing_or_nonsense_raise_an_alert_and_the_others_are_read(
    tmp_path: Path, weather: Weather
) -> None:
    with (
        strange_device(b"") as silent,
        strange_device(b"\x00\x01 nonsense") as foolish,
        open_loop(tmp_path / "loop", weather) as loop,
    ):
        add_inverter(loop, "silent", silent)
        add_inverter(loop, "foolish", foolish)
        loop.start_all()
        failures = ("silent_failures", "foolish_failures")
        loop.wait_status(
            lambda now: all(now["status"]["counters"][name] >= 3 for name in failures), "failures"
        )
        loop.grow(50)
        assert loop.compare(loop.copy_journal())["complete"]
        entries = list(loop.journal.entries())
        records = Counter(e.device for e in entries if e.entry.kind is Kind.RECORD)
        assert set(records) == {"inverter", "meter"}
        assert min(records.values()) > 20
        assert any(entry.entry.kind is Kind.FORECAST for entry in entries)
        with closing(sqlite3.connect(loop.place.central_data / "central.sqlite")) as store:
            alerts = store.execute(
                "SELECT device, body FROM entries WHERE kind = 'alert' ORDER BY device"
            ).fetchall()
        assert [device for device, _ in alerts] == ["foolish", "silent"]
        assert all("nothing to believe" in body for _, body in alerts)
        read = json.loads(loop.edge("read", "--device", "silent", "--json", check=False))
        assert f"127.0.0.1:{silent}" in read["failures"]["silent"]


@pytest.mark.timeout(180)
def test_an_agent_that_never_met_a_broker_works_and_delivers_everything_later(
    tmp_path: Path, weather: Weather
) -> None:
    with open_loop(tmp_path / "loop", weather) as loop:
        loop.start_site()
        loop.start_agent(entries=100)
        status = loop.wait_status(lambda now: now["forecast"], "a forecast")
        assert status["status"]["counters"]["mqtt_connects"] == 0
        assert status["status"]["counters"]["journal_acknowledged"] == 0
        assert {record["device"] for record in status["records"]} == {"inverter", "meter"}
        loop.start_centre()  # it does not need a broker to start either
        assert loop.get("/api/iot/health")["mqtt_connected"] is False
        loop.broker.start()
        found = loop.compare(loop.copy_journal())
        assert found["complete"], found
        assert found["journal_entries"] > 100
        loop.wait_status(lambda now: _delivered(now["status"]["counters"]), "acknowledgements")


def _delivered(counters: dict[str, int]) -> bool:
    return counters["journal_acknowledged"] > 100 and counters["mqtt_connects"] == 1
