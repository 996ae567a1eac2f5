"""A day with a dead device, a power cut and a night switched off: the centre says what it has and
why the rest is not there. Agent, device, broker and centre are real; the agent is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from central.broker import Broker
from central.completeness import Verdict, completeness
from central.ingest.understand import understand
from edge_agent.journal.reader import JournalReader
from models.contract.clock import Anchor
from models.contract.ledger import Reason, day_of
from models.contract.messages import Kind
from models.contract.timestamps import DAY_MS, HOUR_MS, Instant, parse_iso8601
from tests.fleet_messages import status
from tests.integration.central.conftest import Centre, central_settings, wait_for

EDGE = Path(sys.executable).parent / "solar-edge"
NOON = parse_iso8601("2023-06-29T12:00:00Z")
MIDNIGHT = NOON + 12 * HOUR_MS
DAY, NEXT_DAY = day_of(NOON), day_of(MIDNIGHT)
POLL_MS = 500
SERIES = """timestamp,ac_power,load_power,temp_air
2023-06-01T00:00:00Z,1000,200,15
2023-08-01T00:00:00Z,5000,200,25
"""


class Box:
    """A box with one meter, as processes that can be killed."""

    def __init__(self, directory: Path, broker_port: int, meter_port: int) -> None:
        self.directory, self.meter_port = directory, meter_port
        directory.mkdir()
        self.config = directory / "site.toml"
        self.config.write_text(
            f"""[agent]
id = "farm"
data_dir = {json.dumps(str(directory / "data"))}
clock_anchor = {json.dumps(str(directory / "clock.json"))}
status_every_s = 0.5

[site]
latitude = 40.0
longitude = 0.0
dc_capacity_w = 6000.0
ac_capacity_w = 5000.0

[[devices]]
name = "meter"
role = "meter"
protocol = "modbus-tcp"
profile = "eastron-sdm630"
host = "127.0.0.1"
port = {meter_port}
poll_s = {POLL_MS / 1000}
timeout_s = 0.3

[mqtt]
host = "127.0.0.1"
port = {broker_port}

[journal]
commit_window_s = 0.1
keep_free_bytes = 0
""",
            encoding="utf-8",
        )

    @property
    def reader(self) -> JournalReader:
        return JournalReader(self.directory / "data" / "journal.sqlite")

    def set_clock(self, domain: Instant) -> None:
        """What time the next agent finds; it runs as the world does."""
        Anchor(time.time(), domain, 1.0).write(self.directory / "clock.json")

    def records(self) -> int:
        """How many the journal holds."""
        try:
            return self.reader.counts().get(Kind.RECORD, 0)
        except sqlite3.OperationalError:  # not there yet
            return 0

    @contextmanager
    def meter(self) -> Iterator[None]:
        """The meter is there; at the end it is dead."""
        series = self.directory / "series.csv"
        series.write_text(SERIES, encoding="utf-8")
        device = f"eastron-sdm630@tcp:{self.meter_port}"
        clock = str(self.directory / "clock.json")
        options = ["--device", device, "--series", str(series), "--clock-anchor", clock]
        with _process("simulate", *options) as running:
            yield
            running.kill()

    @contextmanager
    def agent(self, *, end: signal.Signals) -> Iterator[None]:
        """The agent runs; ``end`` ends it."""
        with _process("run", "--config", str(self.config)) as running:
            yield
            assert running.poll() is None, "the agent has ended by itself"
            running.send_signal(end)
            assert running.wait(30) == (0 if end is signal.SIGTERM else -end)

    def wait_for_records(self, more: int) -> None:
        wanted = self.records() + more
        wait_for(lambda: self.records() >= wanted, f"{more} more records", 60.0)

    def wait_for_alert(self, *, active: bool) -> None:
        def told() -> bool:
            alerts = self.reader.latest(Kind.ALERT)
            return alerts is not None and json.loads(alerts.entry.body)["active"] is active

        wait_for(told, f"an alert, active: {active}", 60.0)


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen([EDGE, *arguments], env=environment, stdout=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def centre(broker: Broker, tmp_path: Path) -> Iterator[Centre]:
    made = Centre(central_settings(broker, tmp_path / "central"))
    made.start()
    yield made
    made.stop()


def ask(centre: Centre, day: str) -> dict[str, Any]:
    url = f"{centre.running.api_url}/api/iot/devices/farm/completeness"
    answer = httpx.get(url, params={"day": day})
    assert answer.status_code in (200, 404), answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_centre_knows_of_every_turn_of_a_bad_day(
    centre: Centre, broker: Broker, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    box = Box(tmp_path / "box", broker.port, free_port())

    box.set_clock(NOON)
    with box.agent(end=signal.SIGKILL):
        with box.meter():
            box.wait_for_records(6)
        box.wait_for_alert(active=True)
        with box.meter():
            box.wait_for_alert(active=False)
            box.wait_for_records(3)
    with box.meter(), box.agent(end=signal.SIGKILL):
        box.wait_for_records(4)
    assert ask(centre, DAY)["verdict"] == "unknown", "the day was not told of to its end"

    with box.meter():
        box.set_clock(MIDNIGHT + HOUR_MS)
        with box.agent(end=signal.SIGTERM):
            box.wait_for_records(3)
            wait_for(lambda: ask(centre, DAY)["verdict"] == "complete", "the whole day")

    committed, _ = box.reader.records_per_device(NOON - 12 * HOUR_MS, MIDNIGHT)["meter"]
    found = ask(centre, DAY)
    (meter,) = found["devices"]
    assert meter["stored"] == meter["have"] == committed
    assert (meter["missing"], found["open_gaps"]) == (0, 0)
    assert meter["expected"] == meter["have"] + sum(meter["lost"].values())
    # From the first turn at noon to midnight.
    assert 12 * HOUR_MS / POLL_MS - 120 < meter["expected"] <= 12 * HOUR_MS / POLL_MS
    assert meter["lost"]["off"] > 80_000
    assert set(meter["lost"]) <= {"dead", "busy", "off"}

    assert ask(centre, NEXT_DAY)["verdict"] == "unknown", "of the rest of it nobody has spoken"
    with centre.running.store.read() as questions:
        so_far = completeness(questions, "farm", NEXT_DAY, MIDNIGHT + 2 * HOUR_MS)
    assert (so_far.verdict, so_far.in_progress) == (Verdict.COMPLETE, True)
    after = so_far.devices[0].ledger
    assert after is not None
    assert after.lost[Reason.OFF] == pytest.approx(HOUR_MS / POLL_MS, abs=120)
    assert after.have == so_far.devices[0].stored >= 3


def test_a_device_that_dies_and_returns_is_counted_dead_meanwhile(
    centre: Centre, broker: Broker, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    box = Box(tmp_path / "box", broker.port, free_port())
    box.set_clock(NOON)
    with box.agent(end=signal.SIGTERM):
        with box.meter():
            box.wait_for_records(6)
        box.wait_for_alert(active=True)
        with box.meter():
            box.wait_for_alert(active=False)
            box.wait_for_records(3)

    def settled() -> bool:
        with centre.running.store.read() as questions:
            (state,) = questions.agents("farm")
        return state.status is not None and not state.status.online

    wait_for(settled, "the agent's last status")
    with centre.running.store.read() as questions:
        told = questions.reported_days("farm", DAY)["meter"].ledger
        stored = questions.stored_polls("farm", NOON, NOON + DAY_MS)["meter"]
    assert told.have == stored
    assert told.lost[Reason.DEAD] >= 10, "three silences, and a pause of five seconds"
    assert Reason.OFF not in told.lost
    assert told.expected == told.have + sum(told.lost.values())


def test_what_a_client_gets_wrong(centre: Centre) -> None:
    url = f"{centre.running.api_url}/api/iot/devices"
    rows = understand("solar/farm/status", status("farm"), own=False, retained=False, now=NOON).rows
    centre.running.store.commit(rows)
    assert httpx.get(f"{url}/farm/completeness").json()["verdict"] == "unknown"
    nobody = httpx.get(f"{url}/nobody/completeness")
    assert (nobody.status_code, "no such agent" in nobody.text) == (404, True)
    assert httpx.get(f"{url}/Not An Agent/completeness").status_code == 422
    for day in ("yesterday", "2024-02-30"):
        answer = httpx.get(f"{url}/farm/completeness", params={"day": day})
        assert (answer.status_code, "day" in answer.text) == (422, True)
    paths = httpx.get(f"{centre.running.api_url}/openapi.json").json()["paths"]
    described = paths["/api/iot/devices/{agent}/completeness"]["get"]["responses"]
    assert {"200", "404", "422"} <= described.keys()
