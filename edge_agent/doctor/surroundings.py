"""What several checks want to know: whether an agent runs with these settings, who has a file open,
what a failed connection means. Reads only.
"""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.settings import EdgeSettings
from edge_agent.status.status_file import NoStatus, Snapshot, read_snapshot

_PROC = Path("/proc")
_COMMAND_S = 5.0
_FRESH_S = 60.0


@dataclass(frozen=True)
class RunningAgent:
    """The status of an agent that runs now. What it does well is proved by it and not tried again:
    many devices and brokers take one connection only."""

    snapshot: Snapshot

    @property
    def connected(self) -> bool:
        """To the broker."""
        return self.snapshot.connected

    def reads(self, device: str) -> bool:
        """Whether it gets values from ``device``, or has found it asleep."""
        state = self.snapshot.devices.get(device)
        return state is not None and state.state in ("well", "asleep")


def running_agent(settings: EdgeSettings) -> RunningAgent | None:
    """The agent that wrote a status a moment ago, if one runs with these settings and this user
    may see it."""
    try:
        snapshot = read_snapshot(settings.run_dir, settings.data_dir)
    except (NoStatus, OSError):
        return None
    is_fresh = snapshot.age_s <= _FRESH_S + 2 * settings.agent.status_every_s
    is_ours = snapshot.status.agent == settings.agent.id
    return RunningAgent(snapshot) if is_fresh and is_ours and snapshot.status.online else None


@dataclass(frozen=True)
class Process:
    """A process by its number and name."""

    pid: int
    name: str
    is_agent: bool


def processes() -> Iterator[Process]:
    """Those this user may see."""
    for directory in _PROC.iterdir():
        if directory.name.isdigit():
            with suppress(OSError):
                name = (directory / "comm").read_text().strip()
                words = (directory / "cmdline").read_bytes().split(b"\0")
                is_agent = b"run" in words and any(
                    word.endswith((b"solar-edge", b"edge_agent.cli")) for word in words
                )
                yield Process(int(directory.name), name, is_agent)


def holders(path: Path) -> list[Process]:
    """Processes, other than this one, that have the device or file at ``path`` open."""
    wanted = path.stat()
    found = []
    for process in processes():
        if process.pid != os.getpid() and _has_open(process.pid, wanted):
            found.append(process)
    return found


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    with suppress(OSError):
        for link in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                opened = link.stat()
                if (opened.st_dev, opened.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    return False


def ask_command(*command: str) -> str | None:
    """What a command says; None when it is not there, fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def connect_trouble(error: OSError, timeout_s: float) -> tuple[str, str]:
    """What a failed TCP connection means, and what to do."""
    if isinstance(error, TimeoutError):
        return (
            f"no answer within {timeout_s:g} s",
            "is it on, in this network, and not behind a firewall?",
        )
    if isinstance(error, ConnectionRefusedError):
        return (
            "refused the connection",
            "the address answers, but nothing listens there: is `port` right, and the program up?",
        )
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "no route to it", "is the network cable in, and is it an address of this network?"
    return error.strerror or str(error), "see the network settings of this box"


def user_name(number: int) -> str:
    """Name of a user, or the number of one that has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
