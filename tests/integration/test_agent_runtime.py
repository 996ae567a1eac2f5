"""What must not stop a site: absent devices and broker, a full card, an end at any moment.

The whole agent runs in this process on a scaled clock: a quarter of an hour passes in half a
second.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from central.broker import Broker
from central.release.keys import KeyDirectory
from central.release.repository import Repository
from central.settings import CentralSettings, MqttSettings
from central.weather import newest_run, publish_weather
from edge_agent.app import Agent
from edge_agent.errors import StorageError
from edge_agent.journal.reader import JournalReader
from edge_agent.settings import read_settings
from edge_agent.status.status_file import read_snapshot
from firmware_bridge.simulator import open_pty_pair
from models.contract.clock import Anchor
from models.contract.messages import Kind
from models.contract.timestamps import HOUR_MS, format_iso8601

NOON = 1_687_996_800_000
PATIENCE_S = 30.0
EDGE = Path(sys.executable).parent / "solar-edge"


class Box:
    """The files of one site whose devices are not there."""

    def __init__(self, directory: Path, broker_port: int, *, more: str = "") -> None:
        self.data = directory / "data"
        self.serial_port = directory / "meter"
        Anchor(time.time(), NOON, 1800.0).write(directory / "clock.json")
        self.config = directory / "site.toml"
        self.config.write_text(
            f"""[agent]
id = "farm"
data_dir = {json.dumps(str(self.data))}
clock_anchor = {json.dumps(str(directory / "clock.json"))}
status_every_s = 0.2

[site]
latitude = 48.1
longitude = 11.5
dc_capacity_w = 6000
ac_capacity_w = 5000

[[devices]]
name = "inverter"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "no-such-host.invalid"
poll_s = 60

[[devices]]
name = "meter"
role = "meter"
protocol = "modbus-rtu"
profile = "eastron-sdm630"
serial_port = {json.dumps(str(self.serial_port))}
poll_s = 60

[mqtt]
host = "127.0.0.1"
port = {broker_port}

[journal]
commit_window_s = 0.05

[resources]
memory_limit_mb = 100000  # this process holds whatever other tests have imported
{more}""",
            encoding="utf-8",
        )

    def forecasts(self) -> int:
        """How many are in the journal."""
        path = self.data / "journal.sqlite"
        return JournalReader(path).counts().get(Kind.FORECAST, 0) if path.exists() else 0

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Agent]:
        """The running agent; whatever ends it before the block does is raised."""
        agent, stop = Agent(read_settings(self.config)), asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        self.running = running
        while not (running.done() or hasattr(agent, "_ledger_loop")):
            await asyncio.sleep(0)  # it opens its files first
        try:
            yield agent
        finally:
            stop.set()
            await running

    async def wait(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert not self.running.done(), self.running.exception()
            assert time.monotonic() < deadline, what
            await asyncio.sleep(0.05)


def test_without_devices_and_broker_there_are_forecasts_alerts_and_a_status(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    box = Box(tmp_path, free_port())

    async def go() -> None:
        async with box.agent():
            await box.wait(lambda: box.forecasts() >= 2, "forecasts")
            reader = JournalReader(box.data / "journal.sqlite")
            await box.wait(lambda: reader.counts().get(Kind.ALERT, 0) >= 2, "both are silent")
        snapshot = read_snapshot(None, box.data)
        assert not snapshot.status.online
        assert snapshot.forecast is not None
        assert snapshot.status.counters["mqtt_failures"] > 0
        assert snapshot.status.counters["forecast_failures"] == 0

    asyncio.run(go())


def test_a_status_file_that_cannot_be_written_does_not_end_the_agent(
    tmp_path: Path, free_port: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    box = Box(tmp_path, free_port())
    (box.data / "status.new").mkdir(parents=True)

    async def go() -> None:
        async with box.agent():
            await box.wait(lambda: box.forecasts() >= 2, "forecasts")

    asyncio.run(go())
    said = [record for record in caplog.records if "status could not be told" in record.message]
    assert len(said) == 1, "once, not every time"
    assert "status.new" in caplog.text


def test_a_state_file_that_takes_no_writes_does_not_end_the_agent(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    box = Box(tmp_path, free_port())

    async def go() -> None:
        async with box.agent() as agent:
            await box.wait(lambda: box.forecasts() >= 1, "a forecast")
            agent._state._database.query("PRAGMA query_only = 1")
            before = box.forecasts()
            await box.wait(lambda: box.forecasts() >= before + 2, "forecasts on a full card")

    asyncio.run(go())


def test_a_ruined_state_file_ends_the_agent_in_order_and_the_next_start_goes_on(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    box = Box(tmp_path, free_port())

    async def ruin() -> None:
        async with box.agent() as agent:
            await box.wait(lambda: box.forecasts() >= 1, "a forecast")
            database = agent._state._database
            database.query("PRAGMA wal_checkpoint(TRUNCATE)")
            database.path.write_bytes(b"nonsense" * 10_000)
            database.query("PRAGMA shrink_memory")  # or SQLite would not look at the file again
            await asyncio.wait([box.running], timeout=PATIENCE_S)

    with pytest.raises(
        RuntimeError, match=r"intervals worker is beyond help: state\.sqlite is dam"
    ):
        asyncio.run(ruin())
    assert not read_snapshot(None, box.data).status.online

    async def go_on() -> None:
        before = box.forecasts()
        async with box.agent():
            await box.wait(lambda: box.forecasts() > before, "a forecast")

    asyncio.run(go_on())
    assert (box.data / "state.sqlite.corrupt-1").exists()


def test_a_data_directory_that_cannot_be_made_is_named(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    box = Box(tmp_path, free_port())
    box.data.write_text("a file in its place")

    async def go() -> None:
        async with box.agent():
            pass

    with pytest.raises(StorageError, match=str(box.data)):
        asyncio.run(go())


def test_an_agent_ends_at_once_while_a_bundle_check_waits_for_a_dead_broker(
    tmp_path: Path, broker: Broker
) -> None:
    root = Repository.create(tmp_path / "repository", KeyDirectory.create(tmp_path / "keys"))
    shutil.copy(root.first_root, tmp_path / "root.json")
    bundles = f"""
[bundles]
directory = {json.dumps(str(tmp_path / "bundles"))}
root_file = {json.dumps(str(tmp_path / "root.json"))}
answer_timeout_s = 120
"""
    box = Box(tmp_path, broker.port, more=bundles)

    async def go() -> None:
        async with box.agent() as agent:
            await box.wait(lambda: agent._uplink.connected, "a connection")
            os.kill(broker.pid, signal.SIGSTOP)
            agent._updates.look_now()
            await box.wait(lambda: agent._fetches.under_way, "a check under way")
            stopped_at.append(time.monotonic())

    stopped_at: list[float] = []
    try:
        asyncio.run(go())  # also waits for the threads
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert time.monotonic() - stopped_at[0] < 30, "it waited for the answer"


def test_reading_a_serial_line_that_the_agent_owns_says_who_has_it(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    box = Box(tmp_path, free_port())

    async def go() -> str:
        with open_pty_pair(box.serial_port):
            async with box.agent() as agent:
                poller = agent._pollers[1]
                await box.wait(lambda: "no reply" in (poller.last_error or ""), "an open port")
                reader = await asyncio.create_subprocess_exec(
                    EDGE, "read", "--config", box.config, "--device", "meter", "--json",
                    stdout=subprocess.PIPE,
                )  # fmt: skip
                printed, _ = await reader.communicate()
        assert reader.returncode == 1
        return str(json.loads(printed)["failures"]["meter"])

    said = asyncio.run(go())
    assert str(box.serial_port) in said
    assert "another program has it" in said


def test_a_weather_forecast_from_a_file_reaches_the_box_and_outlives_its_restart(
    tmp_path: Path, broker: Broker
) -> None:
    box = Box(tmp_path, broker.port)
    file = tmp_path / "forecast.csv"
    issued = format_iso8601(NOON)
    rows = [
        f"{format_iso8601(NOON + hour * HOUR_MS)},{issued},{400 + hour},{20.5}"
        for hour in range(48)
    ]
    file.write_text("timestamp,issued_at,ghi,temp_air\n" + "\n".join(rows) + "\n")
    settings = CentralSettings(mqtt=MqttSettings(port=broker.port))
    publish_weather(settings, newest_run(file, "farm", "test"))

    async def go() -> None:
        async with box.agent() as agent:
            await box.wait(lambda: agent._weather.series(NOON + HOUR_MS), "the retained forecast")

    asyncio.run(go())
    broker.stop()

    async def again() -> None:
        async with box.agent() as agent:
            kept = agent._weather.series(NOON + HOUR_MS)
            assert kept is not None
            assert kept.values["temp_air"][10] == 20.5

    asyncio.run(again())
