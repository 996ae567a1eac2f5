"""CPU time per delivered value: 20 TCP devices of 40 values each, read every second into the
journal.

The ThingsBoard IoT Gateway reads the same simulated site in the same run, measured by the script
that comes with the recorded data (``peer_gateway/run.py``); without it, or without the package
index to install the gateway from, only our own figures are printed. The fixed part and the slope
come from two numbers of units. Last line: JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks._site import cpu_s, device_profile, peer_folder, rss_mb
from edge_agent.journal.reader import JournalReader
from models.contract.quantities import QUANTITIES

VALUES = 40
GATEWAY = "thingsboard-gateway==3.8.5"
console = Console(stderr=True)


def profile_text() -> str:
    """A profile of the site's units: 40 registers that may hold any number, as 40 quantities."""
    names = [n for n in QUANTITIES if n.startswith(("dc_voltage_", "dc_current_", "dc_power_"))]
    names = [*names[: VALUES - 3], "ac_power", "reactive_power", "apparent_power"]
    return device_profile(names, 0.01)


def measure_ours(units: int, seconds: float, warmup: float) -> dict[str, Any]:
    """Read ``units`` devices for ``seconds``; CPU per value that lies in the journal."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="device-cpu-")))
        (folder / "bench.toml").write_text(profile_text())
        site = _start(
            stack,
            [str(peer_folder() / "modbus_site.py"), "--units", str(units), "--registers", "40"],
        )
        assert site.stdout is not None
        ports = json.loads(site.stdout.readline())["ports"]
        reader = _start(
            stack,
            [
                "-m", "benchmarks._reading_process", "--ports", ",".join(map(str, ports)),
                "--profile", str(folder / "bench.toml"),
                "--journal", str(folder / "journal.sqlite"),
            ],
        )  # fmt: skip
        assert reader.stdout is not None
        json.loads(reader.stdout.readline())
        time.sleep(warmup)
        before, began = cpu_s(reader.pid), time.monotonic()
        time.sleep(seconds)
        used, window_s = cpu_s(reader.pid) - before, time.monotonic() - began
        memory = rss_mb(reader.pid)
        reader.send_signal(signal.SIGTERM)
        counts = json.loads(reader.stdout.readline())
        reader.wait(30)
        records, good = _delivered(folder / "journal.sqlite")
        total_s = warmup + window_s
        values = records * VALUES * window_s / total_s
        return {
            "units": units,
            "window_s": round(window_s, 1),
            "values_per_s": round(values / window_s, 1),
            "cpu_s": round(used, 3),
            "us_per_value": round(used / values * 1e6, 2),
            "core_share": round(used / window_s, 4),
            "rss_mb": round(memory, 1),
            "good_values": good,
            **counts,
        }


def _delivered(journal: Path) -> tuple[int, int]:
    """Records in the journal, and how many values in them are good."""
    bodies = [json.loads(stored.entry.body) for stored in JournalReader(journal).entries()]
    names = set(QUANTITIES)
    good = sum(len(names & set(body)) - len(body.get("quality", {})) for body in bodies)
    return len(bodies), good


def measure_peer(units: int, seconds: float, python: str) -> dict[str, Any]:
    """The gateway's figures from the script that comes with the data."""
    done = subprocess.run(
        [
            sys.executable, str(peer_folder() / "run.py"), "--gateway-python", python,
            "--units", str(units), "--seconds", str(seconds),
        ],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def gateway_python() -> str | None:
    """An interpreter that has the gateway; made on first use and kept in the user's cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "solar-sharing"
    python = home / "peer-gateway" / "bin" / "python"
    if not python.exists():
        console.print(f"installing {GATEWAY} into {python.parent.parent}")
        try:
            subprocess.run([sys.executable, "-m", "venv", str(python.parent.parent)], check=True)
            subprocess.run(
                [str(python), "-m", "pip", "install", "-q", GATEWAY], check=True, timeout=600
            )
        except (subprocess.SubprocessError, OSError) as error:
            console.print(f"no peer: {error}", style="yellow")
            return None
    return str(python)


def _start(stack: contextlib.ExitStack, arguments: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)

    def stop() -> None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    stack.callback(stop)
    return process


def slope(few: dict[str, Any], many: dict[str, Any]) -> float:
    """Microseconds of CPU for each further value, between two numbers of units."""
    extra_cpu = many["cpu_s"] / many["window_s"] - few["cpu_s"] / few["window_s"]
    return float(extra_cpu / (many["values_per_s"] - few["values_per_s"]) * 1e6)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="each window")
    parser.add_argument("--warmup", type=float, default=5.0)
    parser.add_argument("--units", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--no-peer", action="store_true")
    arguments = parser.parse_args()
    if not peer_folder().is_dir():
        print(json.dumps({"skipped": f"no simulated site at {peer_folder()}; set SOLAR_DATA_DIR"}))
        return
    result: dict[str, Any] = {"values_per_unit": VALUES, "ours": []}
    for units in arguments.units:
        console.print(f"ours, {units} units, {arguments.seconds:g} s")
        result["ours"].append(measure_ours(units, arguments.seconds, arguments.warmup))
    result["ours_slope_us"] = round(slope(result["ours"][0], result["ours"][-1]), 2)
    python = None if arguments.no_peer else gateway_python()
    if python is not None:
        result["peer"] = []
        for units in arguments.units[:2]:
            console.print(f"peer, {units} units, {arguments.seconds:g} s")
            result["peer"].append(measure_peer(units, arguments.seconds, python))
        by_units = {one["units"]: one for one in result["ours"]}
        peer = result["peer"][-1]
        result["ratio_at_units"] = peer["units"]
        result["peer_over_ours"] = round(
            peer["cpu_us_per_value"] / by_units[peer["units"]]["us_per_value"], 2
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
