"""The whole agent on a box that woke up with a wrong clock: read on, wait, correct, go on.

Devices, broker and files are real. The wall clock is one that the test can set, and the kernel's
word about it is the test's, too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks._site import device_profile
from central.broker import Broker
from edge_agent.app import Agent
from edge_agent.clock import keeper
from edge_agent.journal.reader import JournalReader
from edge_agent.settings import read_settings
from firmware_bridge.simulator import ModbusServer
from models.contract.clock import SystemClock
from models.contract.messages import Kind
from models.contract.timestamps import HOUR_MS, Instant
from tests.device_lines import TellingDevice
from tests.integration.uplink_centre import Centre

PATIENCE_S = 30.0


class SetClock(SystemClock):
    """The wall clock, as wrong as the test wants."""

    wrong_by_ms = 0

    def now(self) -> Instant:
        return super().now() + self.wrong_by_ms


class Kernel:
    """Whether a time service keeps the clock right."""

    synchronised: bool | None = False

    def __call__(self) -> bool | None:
        return self.synchronised


def site(directory: Path, broker_port: int, device_port: int) -> Path:
    file, profile = directory / "site.toml", directory / "bench.toml"
    profile.write_text(device_profile())
    file.write_text(
        f"""
[agent]
id = "site-1"
data_dir = {json.dumps(str(directory))}
run_dir = {json.dumps(str(directory))}
status_every_s = 0.2
[site]
latitude = 48.1
longitude = 11.5
dc_capacity_w = 6000
ac_capacity_w = 5000
[[devices]]
name = "roof"
role = "inverter"
protocol = "modbus-tcp"
profile = {json.dumps(str(profile))}
host = "127.0.0.1"
port = {device_port}
unit = 1
poll_s = 0.2
[mqtt]
host = "127.0.0.1"
port = {broker_port}
[journal]
commit_window_s = 0.05
[clock]
settle_s = 0.0
[resources]
memory_limit_mb = 100000
"""
    )
    return file


@pytest.mark.parametrize("wrong_by_ms", [-HOUR_MS, 26 * HOUR_MS, -50 * 365 * 24 * HOUR_MS])
def test_a_box_that_wakes_up_at_the_wrong_time_loses_or_misdates_what_it_reads(
    tmp_path: Path, broker: Broker, wrong_by_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, kernel = SetClock(), Kernel()
    clock.wrong_by_ms = wrong_by_ms
    monkeypatch.setattr(keeper, "KernelClock", lambda: kernel)
    began = SystemClock().now()
    reader = JournalReader(tmp_path / "journal.sqlite")

    async def go() -> None:
        async with ModbusServer({1: TellingDevice(1)}).serve_tcp("127.0.0.1", 0) as port:
            await run(port)

    async def run(port: int) -> None:
        stop = asyncio.Event()
        agent = Agent(read_settings(site(tmp_path, broker.port, port)), clock)
        running = asyncio.create_task(agent.run(stop))

        async def until(true: Callable[[], object], what: str) -> None:
            deadline = time.monotonic() + PATIENCE_S
            while not true():
                assert not running.done(), running.exception()
                assert time.monotonic() < deadline, what
                await asyncio.sleep(0.05)

        def status() -> dict[str, object]:
            try:
                found: dict[str, object] = json.loads((tmp_path / "status.json").read_text())
            except (OSError, ValueError):
                return {}
            return found

        def clock_state() -> dict[str, object]:
            state = status().get("clock")
            return state if isinstance(state, dict) else {}

        await until(lambda: int(str(clock_state().get("held", 0))) >= 5, "records that wait")
        assert clock_state()["trusted"] is False
        assert agent._uplink.connected
        assert not [one for one in reader.entries() if one.entry.kind is Kind.FORECAST]
        clock.wrong_by_ms, kernel.synchronised = 0, True
        await until(lambda: clock_state().get("trusted"), "trust")
        await until(lambda: clock_state().get("held") == 0, "corrected times")
        await until(lambda: len(centre.stored) >= 8, "records at the centre")
        stop.set()
        await running

    with Centre(broker) as centre:
        asyncio.run(go())
    entries = list(reader.entries())
    records = [one for one in entries if one.entry.kind is Kind.RECORD]
    assert records
    for one in records:
        body = json.loads(one.entry.body)
        assert "clock" not in body
        assert began - 1000 <= one.measured_at <= SystemClock().now()
    times = [one.measured_at for one in records]
    assert times == sorted(times)
    alerts = [json.loads(one.entry.body) for one in entries if one.entry.kind is Kind.ALERT]
    assert [(a["code"], a["active"]) for a in alerts if a["code"] == "clock-untrusted"] == [
        ("clock-untrusted", True),
        ("clock-untrusted", False),
    ]
    ledger = json.loads((tmp_path / "status.json").read_text())["status"]["ledger"]
    assert sum(row["have"] for row in ledger) == len(records)
