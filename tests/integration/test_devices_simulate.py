"""The simulated site as a program runs it: a file in, ports out, a scaled clock, nothing left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import Buses, DeviceSettings, open_driver
from firmware_bridge.simulator import (
    SeriesError,
    SimulationSettings,
    load_series,
    open_pty_pair,
    simulate,
)
from firmware_bridge.simulator.spec import parse_spec
from models.contract.clock import Anchor, ScaledClock
from models.contract.timestamps import HOUR_MS, parse_iso8601
from tests.device_lines import PATIENT_S, FixedClock

T0 = parse_iso8601("2024-06-01T10:00:00Z")
SERIES = """timestamp,ac_power,load_power,temp_air
2024-06-01T10:00:00Z,1000,200,15
2024-06-01T20:00:00Z,5000,200,25
"""


def test_whole_site_runs_on_a_scaled_clock(tmp_path: Path, free_port: Callable[[], int]) -> None:
    (tmp_path / "series.csv").write_text(SERIES)
    link = tmp_path / "run" / "meter"
    port = free_port()
    settings = SimulationSettings(
        (parse_spec(f"sunspec@tcp:{port}"), parse_spec(f"eastron-sdm630@pty:{link}/5")),
        series=tmp_path / "series.csv",
    )
    clock = ScaledClock(Anchor(real_t0=time.time(), domain_t0=T0 + HOUR_MS, speed=1000.0))
    series = load_series(tmp_path / "series.csv")

    async def scenario() -> None:
        lines: list[str] = []
        ready = asyncio.Event()

        def announce(line: str) -> None:
            lines.append(line)
            if line.startswith("eastron-sdm630"):
                ready.set()

        running = asyncio.create_task(simulate(settings, clock, announce))
        await asyncio.wait_for(ready.wait(), PATIENT_S)
        assert f"eastron-sdm630: modbus-rtu {link} unit 5" in lines
        buses = Buses()
        inverter = open_driver(
            DeviceSettings(
                "inverter-1", "modbus-tcp", "sunspec", host="127.0.0.1", port=port,
                timeout_s=PATIENT_S,
            ),
            buses,
        )  # fmt: skip
        meter = open_driver(
            DeviceSettings(
                "meter-1", "modbus-rtu", "eastron-sdm630", serial_port=str(link), unit=5,
                frame_gap_ms=0, timeout_s=PATIENT_S,
            ),
            buses,
        )  # fmt: skip
        for _ in range(5):
            before = clock.now()
            made, taken = await inverter.poll(before), await meter.poll(before)
            after = clock.now()
            power, grid = made.value("ac_power"), taken.value("grid_power")
            assert power is not None
            assert grid is not None
            lowest, highest = series.at(before).ac_power - 1, series.at(after).ac_power + 1
            assert lowest <= power <= highest
            assert lowest <= 200 - grid <= highest
        await inverter.close()
        await meter.close()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not link.is_symlink()

    asyncio.run(scenario())


def test_unusable_series_ends_the_simulation_with_its_reason(tmp_path: Path) -> None:
    devices = (parse_spec("sunspec@tcp:0"),)
    settings = SimulationSettings(devices, series=tmp_path / "none.csv")
    with pytest.raises(SeriesError, match=r"none\.csv"):
        asyncio.run(simulate(settings, FixedClock(T0), lambda line: None))


def test_pty_link_replaces_a_stale_link_and_spares_a_file(tmp_path: Path) -> None:
    link = tmp_path / "meter"
    link.symlink_to("/dev/pts/gone")
    with open_pty_pair(link) as pair:
        assert pair.device_path == str(link)
        assert link.resolve().is_char_device()
    assert not link.is_symlink()
    link.write_text("precious")
    with pytest.raises(FileExistsError, match="no symbolic link"), open_pty_pair(link):
        pass
    assert link.read_text() == "precious"
