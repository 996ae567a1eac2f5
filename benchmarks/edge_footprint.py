"""What the agent takes of a box: memory, CPU, and bytes written to the card, forecasting included.

The whole agent reads 10 devices of 8 values every 5 s, forecasts with a real bundle that the centre
signed, and sends everything through a real broker. Its data lies on a file system of its own, so
that what reaches the block device is counted, the log of SQLite and of ext4 included.

The curve over commit windows is taken in real time, all windows at once: ext4 commits 5 s after a
change and the kernel writes back after 30 s, whatever the agent's clock says, so that a faster
clock (``--speed 20``, with windows 20 times as short) packs many commits into one of theirs and
finds too little. SQLite folds its log back once an hour, so the agent is killed at the end, its log
is folded back and what that writes is counted, too; with less than an hour this counts too much.

The ThingsBoard IoT Gateway reads the same simulated devices in the same run
(``peer_gateway/run.py``). Needs root for the file system. Last line: JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks._bundle import small_bundle
from benchmarks._power_card import RASPBERRY_PI_OS, make_image, mounted, own_mounts, why_not
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
    wait_until,
)
from benchmarks.device_cpu import gateway_python
from edge_agent.storage.database import WAL_BYTES
from models.contract.clock import Anchor
from models.contract.timestamps import HOUR_MS, SECOND_MS, STEP_MS

DEVICES, POLL_S = 10, 5.0
LIMIT_RSS_MB, LIMIT_CORE_SHARE, LIMIT_MB_PER_DAY = 110.0, 0.03, 100.0
DEFAULT_WINDOW_S = 30.0
AT_REST_S = 45.0
"""The kernel has written back by then what the start has changed."""
_ALL_AT_ONCE = 2.0  # up to this speed a machine carries five sites
AGENT = "farm-7"
console = Console(stderr=True)


@contextlib.contextmanager
def card(folder: Path, options: str = RASPBERRY_PI_OS) -> Iterator[Path]:
    """A file system of its own, mounted as Raspberry Pi OS mounts its root; where."""
    image = folder / "card.img"
    make_image(image)
    with mounted(image, folder / "card", options) as place:
        yield place


def bytes_written(place: Path) -> int:
    """Bytes that have reached the block device under ``place``."""
    device = place.stat().st_dev
    numbers = f"{os.major(device)}:{os.minor(device)}"
    return int(Path(f"/sys/dev/block/{numbers}/stat").read_text().split()[6]) * 512


def centre_command(folder: Path, *words: str) -> str:
    """Standard output of a `solar-central` command."""
    command = [
        sys.executable,
        "-m",
        "central.cli",
        *words,
        "--config",
        str(folder / "central.toml"),
    ]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def write_anchor(folder: Path, speed: float, lead_s: float) -> str:
    """A clock whose next quarter of an hour comes after ``lead_s`` real seconds; its file."""
    now = int(time.time() * 1000)
    boundary = now - now % STEP_MS + STEP_MS
    start = boundary - int(lead_s * speed * SECOND_MS)
    Anchor(time.time(), start, speed).write(folder / "clock.json")
    return str(folder / "clock.json")


def with_clock(settings: Path, anchor: str) -> None:
    """Put the scaled clock into a settings file."""
    text = settings.read_text()
    settings.write_text(text.replace("[agent]\n", f'[agent]\nclock_anchor = "{anchor}"\n', 1))


def footprint(folder: Path, script: Path, bundle: Path, seconds: float) -> dict[str, Any]:
    """Memory and CPU of the whole agent in real time, with at least one forecast in the window."""
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(card(folder))
        centre = folder / "centre"
        _, port = start_centre(stack, centre)
        root = centre_command(centre, "trust-root")
        centre_command(centre, "release", "--bundle", str(bundle))
        ports = start_devices(stack, script, DEVICES)
        more = f'[bundles]\ndirectory = "{data}/bundles"\nroot_file = "{root}"\n'
        settings = agent_settings(data, AGENT, ports, port, POLL_S, more)
        with_clock(settings, write_anchor(folder, 1.0, 60.0))
        agent = start_agent(stack, settings)
        wait_until(lambda: _forecast_model(data) is not None, 150, "a forecast")
        began, used, before = time.monotonic(), cpu_s(agent.pid), status_counters(data)
        time.sleep(seconds)
        took, used = time.monotonic() - began, cpu_s(agent.pid) - used
        after = status_counters(data)
        polls = sum(
            after[f"unit-{unit}_polls"] - before[f"unit-{unit}_polls"]
            for unit in range(1, DEVICES + 1)
        )
        peak = Path(f"/proc/{agent.pid}/status").read_text()
        return {
            "model": _forecast_model(data),
            "rss_mb": round(rss_mb(agent.pid), 1),
            "peak_rss_mb": round(int(peak.split("VmHWM:")[1].split()[0]) / 1024, 1),
            "core_share": round(used / took, 4),
            "us_per_value": round(used / (polls * len(QUANTITIES)) * 1e6, 1),
            "polls": polls,
            "missed": _missed(after),
            "open_descriptors": after["open_descriptors"],
            "window_s": round(took, 1),
        }


def _forecast_model(data: Path) -> str | None:
    try:
        forecast = json.loads((data / "status.json").read_text())["forecast"]
    except (OSError, ValueError):
        return None
    return None if forecast is None else str(forecast["series"]["ac_power"]["model"])


def written(
    folder: Path, script: Path, window_s: float, hours: float, speed: float, options: str
) -> dict[str, Any]:
    """What the whole agent writes in a day with this commit window."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(card(folder, options))
        _, port = start_centre(stack, folder / "centre")
        ports = start_devices(stack, script, DEVICES)
        more = f"[journal]\ncommit_window_s = {window_s / speed}\n"
        settings = agent_settings(place, AGENT, ports, port, POLL_S, more)
        memory = folder / "run"  # on the box the status file is in memory, too
        memory.mkdir()
        text = settings.read_text().replace("[agent]\n", f'[agent]\nrun_dir = "{memory}"\n', 1)
        settings.write_text(text)
        with_clock(settings, write_anchor(folder, speed, 10.0))
        agent = start_agent(stack, settings)
        first = 60 + 2 * window_s / speed
        wait_until(lambda: status_counters(memory).get("journal_acknowledged"), first, "an ack")
        time.sleep(AT_REST_S)
        begin, began, before = _synced(place), time.monotonic(), status_counters(memory)
        time.sleep(hours * HOUR_MS / SECOND_MS / speed)
        logged = _synced(place) - begin
        domain_s = (time.monotonic() - began) * speed
        after = status_counters(memory)
        assert agent.poll() is None
        agent.kill()
        agent.wait()
        folded = _folded_back(place)
        return {
            "window_s": window_s,
            "mb_per_day": round((logged + folded) / domain_s * 86_400 / 1e6, 1),
            "of_these_folded_back": round(folded / domain_s * 86_400 / 1e6, 1),
            "entries_per_day": round(
                (after["journal_committed"] - before["journal_committed"]) / domain_s * 86_400
            ),
            "missed": _missed(after) - _missed(before),
            "pending": after["journal_pending"],
        }


def _synced(place: Path) -> int:
    subprocess.run(["sync", "-f", str(place)], check=True)
    return bytes_written(place)


def _folded_back(place: Path) -> float:
    """Bytes that it takes to bring what the logs hold into the files.

    The journal's log fills in an hour, that of ``state.sqlite`` in most of a day: of what folding
    it takes, the share counts that it has been filled to.
    """
    folded, before = 0.0, _synced(place)
    with contextlib.ExitStack() as stack:
        for name in ("journal.sqlite", "state.sqlite"):
            # Alone with the file it needs no index on the card.
            uri = f"{(place / name).as_uri()}?vfs=unix-excl"
            connection = sqlite3.connect(uri, uri=True)
            stack.callback(connection.close)  # takes the log away: after counting
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            share = 1.0 if name == "journal.sqlite" else pages * page_bytes / WAL_BYTES
            after = _synced(place)
            folded, before = folded + share * (after - before), after
    return folded


def _missed(counters: dict[str, int]) -> int:
    return sum(
        counters[f"unit-{unit}_{what}"]
        for unit in range(1, DEVICES + 1)
        for what in ("skipped", "failures")
    )


def peer(seconds: float) -> dict[str, Any] | None:
    """The ThingsBoard IoT Gateway on the same simulated devices."""
    python = gateway_python()
    if python is None:
        return None
    script = peer_folder() / "run.py"
    done = subprocess.run(
        [
            sys.executable, str(script), "--gateway-python", python, "--units", str(DEVICES),
            "--registers", str(len(QUANTITIES)), "--period-ms", str(int(POLL_S * 1000)),
            "--seconds", str(seconds),
        ],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print; exit code 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="window of memory and CPU")
    parser.add_argument("--windows", type=float, nargs="*", default=[5, 10, 30, 60, 120])
    parser.add_argument("--hours", type=float, default=1.0, help="of the agent's clock, a window")
    parser.add_argument("--speed", type=float, default=1.0, help="of that clock, 1: real time")
    parser.add_argument("--mount", default=RASPBERRY_PI_OS, help="options of the card's mount")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    script = peer_folder() / "modbus_site.py"
    why = why_not() if script.is_file() else f"no simulated site at {script}"
    if why:
        print(json.dumps({"skipped": why}))
        return
    own_mounts()
    result: dict[str, Any] = {"devices": DEVICES, "poll_s": POLL_S, "values": len(QUANTITIES)}
    with tempfile.TemporaryDirectory(prefix="edge-footprint-") as name:
        work = Path(name)
        with console.status("training a small bundle"):
            bundle = small_bundle(work).directory
        with console.status("reading and forecasting"):
            result["ours"] = footprint(_folder(work, "cpu"), script, bundle, arguments.seconds)
        console.print(result["ours"])
        if not arguments.no_peer:
            with console.status("the peer reads the same devices"):
                result["peer"] = peer(arguments.seconds)
            console.print(result["peer"])
        speed, result["speed"], result["mount"] = arguments.speed, arguments.speed, arguments.mount

        def one(window_s: float) -> dict[str, Any]:
            place = _folder(work, f"window-{window_s:g}")
            return written(place, script, window_s, arguments.hours, speed, arguments.mount)

        at_once = len(arguments.windows) if speed <= _ALL_AT_ONCE else 1
        minutes = arguments.hours * 60 / speed
        with (
            console.status(f"bytes written in {minutes:g} minutes, {at_once} windows at a time"),
            ThreadPoolExecutor(max(1, at_once)) as pool,
        ):
            result["written"] = list(pool.map(one, arguments.windows))
        console.print(result["written"])
    by_window = {one["window_s"]: one["mb_per_day"] for one in result["written"]}
    ours = result["ours"]
    result["within_limits"] = (
        ours["rss_mb"] < LIMIT_RSS_MB
        and ours["core_share"] < LIMIT_CORE_SHARE
        and ours["missed"] == 0
        and by_window.get(DEFAULT_WINDOW_S, 0.0) < LIMIT_MB_PER_DAY
    )
    text = json.dumps(result)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    print(text)
    sys.exit(0 if result["within_limits"] else 1)


def _folder(work: Path, name: str) -> Path:
    folder = work / name
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
