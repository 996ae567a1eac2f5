"""The process that ``device_cpu`` measures: devices polled into a journal, as the agent does it.

Pollers, drivers, plausibility and journal are the agent's own; forecasting and uplink are left out.
Prints a line when it runs and ends at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path

from edge_agent.devices.acquisition import DevicePoller
from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.supervision import Progress
from firmware_bridge import Buses, DeviceSettings, open_driver
from models.contract.clock import SystemClock


async def read(ports: list[int], profile: str, journal: Journal, poll_ms: int) -> None:
    """Poll the device behind each port until SIGTERM."""
    clock, buses, stop = SystemClock(), Buses(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    pollers = []
    for number, port in enumerate(ports, 1):
        settings = DeviceSettings(
            f"unit-{number}", "modbus-tcp", profile, host="127.0.0.1", port=port, unit=number
        )
        driver = open_driver(settings, buses)
        pollers.append(
            DevicePoller(driver, poll_ms, clock, journal.append_record, lambda alert: None)
        )
    progress = Progress("poll", 60.0, clock.monotonic)
    tasks = [asyncio.create_task(poller.run(progress)) for poller in pollers]
    print(json.dumps({"reading": len(tasks)}), flush=True)
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await buses.close()
    counters = [poller.counters for poller in pollers]
    print(
        json.dumps(
            {
                "polls": sum(one.polls for one in counters),
                "failures": sum(one.failures for one in counters),
                "skipped": sum(one.skipped for one in counters),
            }
        ),
        flush=True,
    )


def main() -> None:
    """Read what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", required=True, help="comma between")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--poll-ms", type=int, default=1000)
    arguments = parser.parse_args()
    journal = Journal(arguments.journal, JournalSettings(), SystemClock())
    try:
        ports = [int(port) for port in arguments.ports.split(",")]
        asyncio.run(read(ports, arguments.profile, journal, arguments.poll_ms))
    finally:
        journal.close()


if __name__ == "__main__":
    main()
