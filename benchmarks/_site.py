"""A whole site for benchmarks: a real broker, the centre, simulated devices and the agent.

Every part is the program itself in a process of its own, on free ports of the loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._recorded import data_dir

QUANTITIES = (
    "ac_power", "dc_power", "ac_voltage_l1", "ac_current_l1", "frequency", "temp_inverter",
    "dc_voltage", "ac_energy",
)  # fmt: skip
"""What each device of a benchmark measures."""
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def started(
    stack: contextlib.ExitStack, arguments: Sequence[str], log: Path | None = None, **options: Any
) -> subprocess.Popen[str]:
    """A Python process that is ended with ``stack``; its standard output is a pipe."""
    errors = stack.enter_context(log.open("ab")) if log is not None else None
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, **options
    )
    stack.callback(stop, process)
    return process


def stop(process: subprocess.Popen[str]) -> None:
    """End a process in good order, or else at once."""
    for number, patience_s in ((signal.SIGTERM, 40), (signal.SIGKILL, 5)):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
    if process.stdout is not None:
        process.stdout.close()


def start_centre(stack: contextlib.ExitStack, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Broker and centre; the centre's process and the broker's port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (folder / "central.toml").write_text(
        f'data_dir = "{folder}"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
        '[broker]\nembedded = "yes"\n[api]\nport = 0\niot_port = 0\n'
    )
    command = ["-m", "central.cli", "serve", "--config", str(folder / "central.toml")]
    centre = started(stack, command, folder / "centre.log")
    assert centre.stdout is not None
    if not centre.stdout.readline().startswith("ready"):
        raise RuntimeError(f"the centre did not start; see {folder / 'centre.log'}")
    return centre, port


def peer_folder() -> Path:
    """Where the peer's script and its simulated site lie."""
    return data_dir().resolve().parent / "peer_gateway"


def start_devices(stack: contextlib.ExitStack, script: Path, count: int) -> list[int]:
    """Simulated Modbus TCP units, each with a register for every quantity; their ports."""
    arguments = [str(script), "--units", str(count), "--registers", str(len(QUANTITIES))]
    site = started(stack, arguments)
    assert site.stdout is not None
    ports: list[int] = json.loads(site.stdout.readline())["ports"]
    return ports


def device_profile(names: Sequence[str] = QUANTITIES, scale: float = 0.1) -> str:
    """A profile of the simulated units: a register for each name, that may hold any number."""
    head = f"""
name = "bench"
manufacturer = "simulated"
model = "peer site"
kind = "inverter"
protocol = "modbus"
[[sources]]
name = "peer_gateway/modbus_site.py"
status = "documented"
[requests]
function = 3
[identity]
quantity = "{names[-1]}"
lowest = -1.0
highest = 100000.0
"""
    return head + "".join(
        f'[[registers]]\nquantity = "{name}"\naddress = {address}\n'
        f'type = "uint16"\nscale = {scale}\n'
        for address, name in enumerate(names)
    )


def agent_settings(
    folder: Path, agent: str, ports: Sequence[int], broker_port: int, poll_s: float, more: str = ""
) -> Path:
    """Settings of an agent that reads the units behind ``ports``; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    profile = folder / "bench.toml"
    profile.write_text(device_profile())
    devices = "".join(
        f'[[devices]]\nname = "unit-{unit}"\nrole = "inverter"\nprotocol = "modbus-tcp"\n'
        f'profile = "{profile}"\nhost = "127.0.0.1"\nport = {port}\nunit = {unit}\n'
        f"poll_s = {poll_s}\n"
        for unit, port in enumerate(ports, 1)
    )
    file = folder / "site.toml"
    file.write_text(
        f'[agent]\nid = "{agent}"\ndata_dir = "{folder}"\nstatus_every_s = 1.0\n'
        "[site]\nlatitude = 48.0\nlongitude = 11.0\nelevation = 500.0\ndc_capacity_w = 60000.0\n"
        "ac_capacity_w = 60000.0\ntilt = 30.0\nazimuth = 180.0\n"
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\n[clock]\ntrust = "always"\n'
        f"{devices}{more}"
    )
    return file


def start_agent(stack: contextlib.ExitStack, settings: Path) -> subprocess.Popen[str]:
    """The agent itself."""
    command = ["-m", "edge_agent.cli", "run", "--config", str(settings)]
    environment = os.environ | {"MALLOC_ARENA_MAX": "2"}  # as in the systemd unit
    return started(stack, command, settings.with_name("agent.log"), env=environment)


def status_counters(folder: Path) -> dict[str, int]:
    """Counters of the agent's last status; empty before the first."""
    try:
        body = json.loads((folder / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    counters: dict[str, int] = body["status"]["counters"]
    return counters


def cpu_s(pid: int) -> float:
    """User and system seconds of all threads of a process."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process, MiB."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return int(status["VmRSS"].split()[0]) / 1024


def wait_until(true: Any, seconds: float, what: str) -> None:
    """Poll ``true()``; raises ``TimeoutError`` naming ``what``."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)
