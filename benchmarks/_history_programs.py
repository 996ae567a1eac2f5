"""The programs of a schedule as an operator would start them, and started again when they end.

Decides commands, settings files, and what counts as an end that nobody asked for. When they are
killed, stopped or held down is ``_history_world``'s.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from models.contract.clock import Anchor

from ._history_agent import AGENT, KEEP_FREE_BYTES, AgentSettings, write_settings
from ._history_faults import Schedule

ROOT = Path(__file__).resolve().parent.parent
_RESTART_S = 0.2
"""Pause before a program that ended by itself is started again; systemd's default is half that."""
_PR_SET_PDEATHSIG = 1
_ENDS_WITHIN_S = 15.0
_NOON = 1_687_996_800_000
_WHOLE_SPEED = 600.0
_SERIES = """timestamp,ac_power,load_power
2023-06-28T00:00:00Z,1000,200
2023-07-03T00:00:00Z,5000,200
"""
_WHOLE_DEVICES = ("inverter-1", "inverter-2")


class Service:
    """One program. ``tick`` often: it notices ends and starts again."""

    def __init__(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        after_end: Callable[[], object] = lambda: None,
        may_fail: Callable[[], bool] = lambda: False,
    ) -> None:
        """``after_end`` is called before it is started again; ``may_fail``: whether an end that
        nobody asked for can be excused now."""
        self.name, self._start, self._after_end, self._may_fail = name, start, after_end, may_fail
        self.process: subprocess.Popen[bytes] | None = None
        self.held = 0
        """How many faults want it to be down."""
        self.starts = self.failed_starts = self.max_rss_kb = 0
        self.flaws: list[str] = []
        self._not_before = 0.0
        self._end_by: float | None = None

    def tick(self) -> None:
        """Notice an end, and start it when it should run."""
        if self.process is not None:
            self._measure()
            if self.process.poll() is not None:
                self._ended()
            elif self._end_by is not None and time.monotonic() > self._end_by:
                self.flaws.append(f"{self.name}: did not end within {_ENDS_WITHIN_S:g} s")
                self.kill()
        if self.process is None and not self.held and time.monotonic() >= self._not_before:
            self.starts += 1
            self.process = self._start()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.process is None:
            return
        self._measure()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process, self._end_by = None, None
        self._after_end()

    def terminate(self) -> None:
        """SIGTERM; :meth:`tick` notices the end."""
        if self.process is not None and self._end_by is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self._end_by = time.monotonic() + _ENDS_WITHIN_S

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def end(self) -> None:
        """End it in good order, and for good."""
        self.held += 1
        self.terminate()
        while self.process is not None:
            self.tick()
            time.sleep(0.01)

    def _ended(self) -> None:
        assert self.process is not None
        code, asked = self.process.returncode, self._end_by is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process, self._end_by = None, None
        # Asked to end before it could listen to that, it dies of it: nothing was under way yet.
        if code and not (asked and code == -signal.SIGTERM):
            if not self._may_fail():
                self.flaws.append(f"{self.name}: ended by itself with {code}")
            self.failed_starts += 1
            self._not_before = time.monotonic() + _RESTART_S
        elif not code and not asked:
            self.flaws.append(f"{self.name}: ended by itself as if asked to")
        self._after_end()

    def _measure(self) -> None:
        assert self.process is not None
        self.max_rss_kb = max(self.max_rss_kb, peak_rss_kb(self.process.pid))


def peak_rss_kb(pid: int) -> int:
    """The most resident memory that a process has had; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (OSError, ValueError):
        return 0
    return next((int(ln.split()[1]) for ln in status.splitlines() if ln.startswith("VmHWM")), 0)


def die_with_parent() -> None:
    """From now on this process ends with the one that started it, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(log: Path, command: Sequence[str], keep: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a program of this checkout that dies with us and leads a group of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            pass_fds=keep,
            process_group=0,
        )


def write_central_settings(file: Path, data: Path, port: int) -> None:
    """The smallest centre, behind its line."""
    file.write_text(
        f"""data_dir = {_text(data)}
[mqtt]
port = {port}
keepalive_s = 2
[broker]
embedded = "no"
[api]
port = 0
iot_port = 0
""",
        encoding="utf-8",
    )


def centre_command(settings: Path, *, broken: bool) -> list[str]:
    """The centre, or the deliberately wrong one."""
    if broken:
        return ["-m", "benchmarks._history_broken", str(settings)]
    return ["-m", "central.cli", "serve", "--config", str(settings)]


def agent_command(
    schedule: Schedule, directory: Path, data: Path, port: int, life: int, pipe: int
) -> list[str]:
    """The journal and uplink alone, with their witness."""
    file = directory / "agent.json"
    told = AgentSettings(
        str(data), str(directory / "control"), port, schedule.seed, life,
        schedule.devices, schedule.commit_window_s, schedule.batch_entries,
    )  # fmt: skip
    write_settings(file, told)
    return ["-m", "benchmarks._history_agent", str(file), str(pipe)]


def write_site_settings(file: Path, data: Path, port: int, device_ports: Sequence[int]) -> None:
    """The whole agent with two inverters, twenty polls a second each."""
    file.with_name("series.csv").write_text(_SERIES, encoding="utf-8")
    anchor = file.with_name("clock.json")
    Anchor(time.time(), _NOON, _WHOLE_SPEED).write(anchor)
    devices = "".join(
        f"""
[[devices]]
name = "{name}"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "127.0.0.1"
port = {device_port}
poll_s = 30
"""
        for name, device_port in zip(_WHOLE_DEVICES, device_ports, strict=True)
    )
    file.write_text(
        f"""[agent]
id = "{AGENT}"
data_dir = {_text(data)}
clock_anchor = {_text(anchor)}
status_every_s = 0.5

[site]
latitude = 48.1
longitude = 11.5
dc_capacity_w = 6000
ac_capacity_w = 5000
{devices}
[mqtt]
host = "127.0.0.1"
port = {port}
keepalive_s = 5
connect_timeout_s = 1.0

[reconnect]
first_s = 0.05
longest_s = 0.5
stable_s = 5.0

[journal]
commit_window_s = 0.1
keep_free_bytes = {KEEP_FREE_BYTES}

[uplink]
ack_timeout_s = 1.0
""",
        encoding="utf-8",
    )


def whole_agent_command(settings: Path) -> list[str]:
    """``solar-edge run``."""
    return ["-m", "edge_agent.cli", "run", "--config", str(settings)]


def site_command(settings: Path, device_ports: Sequence[int]) -> list[str]:
    """``solar-edge simulate``: the two inverters."""
    devices = [word for p in device_ports for word in ("--device", f"sunspec@tcp:{p}")]
    series, anchor = settings.with_name("series.csv"), settings.with_name("clock.json")
    return [
        "-m", "edge_agent.cli", "simulate", *devices,
        "--series", str(series), "--clock-anchor", str(anchor),
    ]  # fmt: skip


def _text(path: Path) -> str:
    return json.dumps(str(path))
