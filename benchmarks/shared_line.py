"""20 units on one 9600-baud line, three of them dead: how many scheduled polls do the others keep?

A simulated line that charges airtime and turnaround, on a real pseudo terminal; 10 registers a
unit; the schedule fills 60 % of the line when all are well. The same line is run with everything
on, with the breaker off (dead units are asked at every turn, first come first served), with the
planner off (one request for each value), and with both off. All lines run side by side in real
time. Last line: JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from edge_agent.devices.acquisition import DevicePoller
from edge_agent.supervision import Progress as LoopProgress
from firmware_bridge import Buses, DeviceSettings, open_driver
from firmware_bridge.airtime import exchange_s
from firmware_bridge.modbus.bus import Bus
from firmware_bridge.profile import load_profile
from firmware_bridge.settings import resolve
from firmware_bridge.simulator import ModbusServer, open_pty_pair
from firmware_bridge.simulator.map_device import MapDevice
from firmware_bridge.simulator.server import Habits, LineModel
from models.contract.clock import SystemClock
from models.contract.record import Record

UNITS, DEAD = 20, (1, 2, 3)
FILL = 0.6
REGISTERS = 10
TURNAROUND_S = 0.02
_NAMES = ("ac_power", *(f"dc_power_{n}" for n in range(1, 9)), "frequency")
PROFILE = """
name = "bench"
manufacturer = "simulated"
model = "ten registers"
kind = "inverter"
protocol = "modbus"
[[sources]]
name = "benchmarks/shared_line.py"
status = "documented"
[requests]
function = 3
[identity]
quantity = "frequency"
lowest = 45.0
highest = 65.0
""" + "".join(
    f'[[registers]]\nquantity = "{name}"\naddress = {address}\ntype = "uint16"\n'
    f"scale = {0.01 if name == 'frequency' else 1.0}\n"
    for address, name in enumerate(_NAMES)
)


@dataclass(frozen=True)
class Variant:
    """What is switched off."""

    name: str
    breaker: bool = True
    planner: bool = True
    dead: tuple[int, ...] = DEAD


VARIANTS = (
    Variant("all well", dead=()),
    Variant("three dead"),
    Variant("three dead, breaker off", breaker=False),
    Variant("three dead, planner off", planner=False),
    Variant("three dead, breaker and planner off", breaker=False, planner=False),
)


def poll_period_s() -> float:
    """Seconds between two polls of a unit so that the well line is filled to :data:`FILL`."""
    link = resolve(DeviceSettings("u", "modbus-rtu", "bench", serial_port="/dev/null"))
    return UNITS * exchange_s(link, REGISTERS) / FILL


def write_profile(folder: Path, *, planner: bool) -> str:
    """A file with the ten registers; without the planner each of them is a request of its own."""
    path = folder / f"{'planned' if planner else 'singly'}.toml"
    text = PROFILE if planner else PROFILE.replace("function = 3", "function = 3\nlongest = 1")
    path.write_text(text, encoding="utf-8")
    return str(path)


async def run_line(variant: Variant, folder: Path, seconds: float) -> dict[str, Any]:
    """One line for ``seconds``; kept and scheduled polls of the healthy units."""
    name = write_profile(folder, planner=variant.planner)
    profile = load_profile(name)

    def values() -> dict[str, float]:
        watts = 1000.0 + time.monotonic() % 100.0 * 7.0  # no reading is like the last
        inputs = {f"dc_power_{n}": watts / 8.0 for n in range(1, 9)}
        return {"ac_power": watts, "frequency": 50.0, **inputs}

    healthy = [unit for unit in range(1, UNITS + 1) if unit not in variant.dead]
    server = ModbusServer(
        {unit: MapDevice(profile, values) for unit in healthy},
        habits=Habits(line=LineModel(9600, 10, TURNAROUND_S)),
    )
    kept: Counter[str] = Counter()
    clock, period_ms = SystemClock(), round(poll_period_s() * 1000)

    def keep(record: Record) -> None:
        kept[record.device] += 1

    async with AsyncExitStack() as stack:
        pair = stack.enter_context(open_pty_pair())
        await stack.enter_async_context(server.serve_serial(pair.descriptor))
        buses = Buses()
        stack.push_async_callback(buses.close)
        pollers = []
        for unit in range(1, UNITS + 1):
            settings = DeviceSettings(
                f"unit-{unit}", "modbus-rtu", name, serial_port=pair.device_path, unit=unit
            )
            driver = open_driver(settings, buses)
            pollers.append(DevicePoller(driver, period_ms, clock, keep, lambda alert: None))
        (bus,) = buses.all().values()
        if not variant.breaker:
            _switch_off_breaker(pollers, bus)
        progress = LoopProgress("poll", 60.0, clock.monotonic)
        bus.utilisation()
        began = time.monotonic()
        tasks = [asyncio.create_task(poller.run(progress)) for poller in pollers]
        await asyncio.sleep(seconds)
        share = bus.utilisation()
        elapsed = time.monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    turns = {
        poller.driver.name: poller.counters.polls + poller.counters.skipped for poller in pollers
    }
    # A poll that is under way at the end is neither kept nor lost.
    scheduled = {unit: turns[f"unit-{unit}"] for unit in healthy}
    shares = [min(1.0, kept[f"unit-{unit}"] / (scheduled[unit] - 1)) for unit in healthy]
    return {
        "variant": variant.name,
        "seconds": round(elapsed, 1),
        "scheduled_per_unit": max(scheduled.values()),
        "kept_share": round(sum(shares) / len(shares), 4),
        "worst_unit": round(min(shares), 4),
        "line_taken": round(share, 3),
        "faults": {str(fault): count for fault, count in bus.counters.faults.items()},
        "requests": bus.counters.requests,
    }


def _switch_off_breaker(pollers: list[DevicePoller], bus: Bus) -> None:
    """As software without one behaves: every unit at every turn, first come first served."""
    for poller in pollers:
        poller.health.pause_s = lambda poll_s: 0.0  # type: ignore[method-assign]
    bus._is_doubtful = lambda unit: False  # type: ignore[method-assign]


async def run_all(seconds: float) -> list[dict[str, Any]]:
    """All variants side by side."""
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{len(VARIANTS)} lines", total=seconds)

        async def tick() -> None:
            while True:
                await asyncio.sleep(1.0)
                bar.advance(task)

        ticking = asyncio.create_task(tick())
        with tempfile.TemporaryDirectory() as folder:
            lines = (run_line(variant, Path(folder), seconds) for variant in VARIANTS)
            results = await asyncio.gather(*lines)
        ticking.cancel()
    return list(results)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    arguments = parser.parse_args()
    results = asyncio.run(run_all(arguments.seconds))
    print(
        json.dumps(
            {
                "units": UNITS,
                "dead": len(DEAD),
                "poll_period_s": round(poll_period_s(), 3),
                "planned_fill": FILL,
                "seconds": arguments.seconds,
                "limit_kept_share": 0.95,
                "lines": results,
            }
        )
    )


if __name__ == "__main__":
    main()
