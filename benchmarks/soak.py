"""A month of the whole agent in minutes: does memory grow, do descriptors leak?

Three devices polled each minute and a forecast each quarter of an hour for 30 days, on a clock 7200
times as fast, through a real broker to the real centre. The broker is stopped for some hours every
few days, and a device disappears now and then. Memory is read once a day; the slope is fitted over
all but the first days, in which caches fill. Last line: JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks._site import (
    agent_settings,
    free_port,
    peer_folder,
    rss_mb,
    start_agent,
    start_centre,
    start_devices,
    status_counters,
    wait_until,
)
from models.contract.clock import Anchor
from models.contract.timestamps import DAY_MS

SPEED = 7200.0
DEVICES, POLL_S = 3, 60.0
DAY_S = DAY_MS / 1000 / SPEED
LIMIT_MB_PER_DAY = 0.1
"""Of 30 days: 3 MB. A box that is never restarted reaches its limit of 300 MB after six years."""
LIMIT_DESCRIPTORS = 3
SETTLED_AFTER = 5
NOON = 1_718_452_800_000  # 2024-06-15T12:00:00Z
console = Console(stderr=True)


def children(pid: int, name: str) -> list[int]:
    """Processes called ``name`` that ``pid`` has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(words[1]) == pid and (entry / "comm").read_text().strip() == name:
                found.append(int(entry.name))
    return found


def soak(folder: Path, script: Path, days: int) -> dict[str, Any]:
    """Run for ``days`` of domain time; the figures of each day."""
    with contextlib.ExitStack() as stack:
        centre, port = start_centre(stack, folder / "centre")
        (broker,) = children(centre.pid, "mosquitto")
        ports = start_devices(stack, script, DEVICES - 1)
        nobody = free_port()  # the last device is not there; it costs timeouts and back-off
        # What takes real time is shortened, if not as much as the days are.
        more = (
            "[journal]\ncommit_window_s = 0.2\n[reconnect]\nfirst_s = 0.05\nlongest_s = 0.5\n"
            "[resources]\ncheck_every_s = 0.5\n"
        )
        settings = agent_settings(folder, "farm-7", [*ports, nobody], port, POLL_S, more)
        Anchor(time.time(), NOON, SPEED).write(folder / "clock.json")
        text = settings.read_text()
        settings.write_text(
            text.replace("[agent]\n", f'[agent]\nclock_anchor = "{folder}/clock.json"\n', 1)
        )
        agent = start_agent(stack, settings)
        wait_until(lambda: status_counters(folder).get("journal_acknowledged"), 60, "a first ack")
        memory: list[float] = []
        descriptors: list[int] = []
        for day in track(range(days), "days", console=console):
            if day % 4 == 3:  # some hours without an answer from the broker
                os.kill(broker, signal.SIGSTOP)
                time.sleep(DAY_S / 4)
                os.kill(broker, signal.SIGCONT)
                time.sleep(DAY_S * 3 / 4)
            else:
                time.sleep(DAY_S)
            if agent.poll() is not None:
                raise RuntimeError(f"the agent ended; see {folder / 'agent.log'}")
            memory.append(rss_mb(agent.pid))
            descriptors.append(len(list(Path(f"/proc/{agent.pid}/fd").iterdir())))
        time.sleep(5)
        counters = status_counters(folder)
    settled = memory[SETTLED_AFTER:]
    slope = statistics.linear_regression(range(len(settled)), settled).slope
    return {
        "days": days,
        "rss_mb_by_day": [round(one, 1) for one in memory],
        "mb_per_day": round(slope, 4),
        "descriptors_first_and_most": [descriptors[0], max(descriptors)],
        "records": counters["journal_committed"],
        "pending_at_the_end": counters["journal_pending"],
        "forecast_failures": counters["forecast_failures"],
        "worker_restarts": counters["worker_restarts"],
        "reconnects": counters["mqtt_connects"] - 1,
    }


def main() -> None:
    """Run and print; exit code 1 when memory or descriptors grow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    if arguments.days < SETTLED_AFTER + 3:
        parser.error(f"--days: at least {SETTLED_AFTER + 3}, or there is no slope")
    script = peer_folder() / "modbus_site.py"
    if not script.is_file():
        print(json.dumps({"skipped": f"no simulated site at {script}; set SOLAR_DATA_DIR"}))
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        result = soak(Path(name), script, arguments.days)
    result["seconds"] = round(time.monotonic() - began)
    first, most = result["descriptors_first_and_most"]
    result["within_limits"] = (
        result["mb_per_day"] <= LIMIT_MB_PER_DAY and most - first <= LIMIT_DESCRIPTORS
    )
    text = json.dumps(result)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    print(text)
    sys.exit(0 if result["within_limits"] else 1)


if __name__ == "__main__":
    main()
