"""A week offline drains while the site is read: records/s, bytes a value, and what was missed.

Ten devices were polled every 5 s for seven days without a network: 1.2 million records of 8 noisy
values lie in a real journal file. Then the real agent starts, polls ten devices and sends
everything through a real mosquitto to the real centre with its embedded store. Asked: 10 000
records/s on two cores, at most 4 bytes a value, no poll missed, both sides equal. Last line: JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from benchmarks._site import (
    QUANTITIES,
    agent_settings,
    cpu_s,
    peer_folder,
    rss_mb,
    start_agent,
    start_centre,
    start_devices,
    status_counters,
    stop,
    wait_until,
)
from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.storage.database import back_up
from models.contract.record import Record, good_reading
from models.contract.timestamps import DAY_MS, SECOND_MS, Instant

AGENT = "farm-7"
DEVICES, POLL_S = 10, 5
DECIMALS = 1
LIMIT_RATE, LIMIT_BYTES = 10_000.0, 4.0
LEVELS = (3000.0, 3100.0, 230.0, 12.0, 50.0, 41.0, 612.0, 80_000.0)
SPREADS = (60.0, 60.0, 1.5, 0.8, 0.3, 0.4, 6.0, 20.0)
"""Standard deviations of the noise, in the unit of each quantity; resolution is 0.1."""
console = Console(stderr=True)


class PastClock:
    """Stands where the writer of the backlog puts it."""

    def __init__(self, start: Instant) -> None:
        self.wall = start

    def now(self) -> Instant:
        return self.wall

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, instant: Instant) -> None:
        self.wall = max(self.wall, instant)


def entropy_floor() -> float:
    """Bytes a value that no lossless code can beat for this noise: Gaussian, rounded to 0.1."""
    units = (spread * 10**DECIMALS for spread in SPREADS)
    bits = [math.log2(unit * math.sqrt(2 * math.pi * math.e)) for unit in units]
    return sum(bits) / len(bits) / 8


def fill(path: Path, days: float, seed: int, progress: Progress) -> int:
    """A journal as ``days`` without a network leave it; how many records."""
    rng = random.Random(seed)
    polls = int(days * DAY_MS / SECOND_MS / POLL_S)
    clock = PastClock(int(time.time() * 1000) - polls * POLL_S * SECOND_MS)
    settings = JournalSettings(commit_window_s=3600.0, max_bytes=10**10, keep_free_bytes=0)
    journal = Journal(path, settings, clock)
    task = progress.add_task("writing the backlog", total=polls * DEVICES)
    gauss = rng.gauss
    for poll in range(polls):
        clock.wall += POLL_S * SECOND_MS
        for device in range(1, DEVICES + 1):
            readings = {
                name: good_reading(round(gauss(level, spread), DECIMALS) + 0.0)
                for name, level, spread in zip(QUANTITIES, LEVELS, SPREADS, strict=True)
            }
            at = clock.wall + rng.randrange(8)  # a poll comes some milliseconds after its turn
            journal.append_record(Record(f"unit-{device}", at, readings))
        if poll % 500 == 499:
            journal.flush(60)
            progress.update(task, completed=poll * DEVICES)
    journal.flush(60)
    progress.update(task, completed=polls * DEVICES)
    journal.close()
    return polls * DEVICES


def drain(folder: Path, records: int, script: Path, progress: Progress) -> dict[str, Any]:
    """Start everything, wait until the centre has the backlog, and compare."""
    with contextlib.ExitStack() as stack:
        centre, port = start_centre(stack, folder / "centre")
        ports = start_devices(stack, script, DEVICES)
        settings = agent_settings(folder, AGENT, ports, port, POLL_S)
        agent = start_agent(stack, settings)
        wait_until(lambda: status_counters(folder).get("uplink_batches"), 120, "the first batch")
        began, cpu = time.monotonic(), {p.pid: cpu_s(p.pid) for p in (agent, centre)}
        first = status_counters(folder)
        left = first["journal_pending"]
        task = progress.add_task("draining", total=records)
        peak = 0.0
        while (pending := status_counters(folder)["journal_pending"]) > 100:
            if agent.poll() is not None or time.monotonic() - began > 1800:
                raise RuntimeError(f"not drained; see {folder / 'agent.log'}")
            progress.update(task, completed=records - pending)
            peak = max(peak, rss_mb(agent.pid))
            time.sleep(0.2)
        took = time.monotonic() - began
        used = {p.pid: cpu_s(p.pid) - cpu[p.pid] for p in (agent, centre)}
        progress.update(task, completed=records)
        drained = left - pending
        time.sleep(2 * POLL_S)
        last = status_counters(folder)
        stop(agent)
        compared = _compare(folder)
    units = range(1, DEVICES + 1)
    polls = sum(last[f"unit-{unit}_polls"] for unit in units)
    missed = sum(last[f"unit-{unit}_skipped"] + last[f"unit-{unit}_failures"] for unit in units)
    values = last["uplink_batch_entries"] * len(QUANTITIES)
    return {
        "records": records,
        "seconds": round(took, 1),
        "records_per_s": round(drained / took),
        "bytes_per_value": round(last["uplink_batch_bytes"] / values, 3),
        "entropy_floor_bytes_per_value": round(entropy_floor(), 3),
        "sent_twice": last["uplink_late"],
        "agent_core_share": round(used[agent.pid] / took, 2),
        "centre_core_share": round(used[centre.pid] / took, 2),
        "agent_peak_rss_mb": round(peak, 1),
        "live_polls_meanwhile": polls,
        "live_polls_missed": missed,
        "journal_mb": round((folder / "journal.sqlite").stat().st_size / 1e6, 1),
        "matching_on_both_sides": compared["matching"],
        "nothing_lost_or_different": compared["sound"],
    }


def _compare(folder: Path) -> dict[str, Any]:
    """What `solar-central compare` says of the agent's journal and the store."""
    back_up(folder / "journal.sqlite", folder / "journal-copy.sqlite")
    done = subprocess.run(
        [
            sys.executable, "-m", "central.cli", "compare", str(folder / "journal-copy.sqlite"),
            "--agent", AGENT, "--config", str(folder / "centre" / "central.toml"), "--json",
        ],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Fill, drain, print; exit code 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--directory", type=Path, help="work here and keep what is left")
    arguments = parser.parse_args()
    script = peer_folder() / "modbus_site.py"
    if not script.is_file():
        print(json.dumps({"skipped": f"no simulated site at {script}; set SOLAR_DATA_DIR"}))
        return
    with contextlib.ExitStack() as stack:
        folder = arguments.directory or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="week-offline-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = stack.enter_context(Progress(*columns, console=console))
        records = fill(folder / "journal.sqlite", arguments.days, arguments.seed, progress)
        result = drain(folder, records, script, progress)
    result["seed"] = arguments.seed
    result["within_limits"] = (
        result["records_per_s"] >= LIMIT_RATE
        and result["bytes_per_value"] <= LIMIT_BYTES
        and result["live_polls_missed"] == 0
        and result["nothing_lost_or_different"]
        and result["matching_on_both_sides"] >= records
    )
    text = json.dumps(result)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    print(text)
    sys.exit(0 if result["within_limits"] else 1)


if __name__ == "__main__":
    main()
