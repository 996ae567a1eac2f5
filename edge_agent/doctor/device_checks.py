"""The devices: are their ports there and ours, do hosts answer, can the lines carry the load?

Nothing is sent to a device and no serial port is opened: opening alone moves control lines. A
device that the running agent reads is not touched at all; ``solar-edge read`` asks the others.
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from edge_agent.devices.tables import DeviceTable, check_lines
from edge_agent.settings import EdgeSettings
from firmware_bridge import DeviceError, link_of
from firmware_bridge.serial_ports import BY_ID, stable_name
from firmware_bridge.settings import GOODWE_UDP, Link

from .finding import Check, Finding, failed, ok, warning
from .surroundings import RunningAgent, connect_trouble, holders, user_name

_CONNECT_S = 3.0
_LOOKUP_S = 10.0
_PORTS = ("ttyUSB*", "ttyACM*", "ttyAMA*")
_GRABBERS = {
    "ModemManager": "it takes every serial port for a modem: sudo systemctl disable --now"
    " ModemManager",
    "brltty": "it takes some USB adapters for braille displays: sudo apt remove brltty",
    "gpsd": "it looks for GPS receivers: sudo systemctl disable --now gpsd.socket gpsd",
    "agetty": "a login waits on this port: sudo systemctl disable --now serial-getty@PORT",
}


def device_checks(settings: EdgeSettings, agent: RunningAgent | None) -> list[Check]:
    """One check for each port and host, and one for the load of all lines."""
    by_port: defaultdict[str, list[str]] = defaultdict(list)
    by_host: defaultdict[tuple[str, int, bool], list[tuple[str, Link]]] = defaultdict(list)
    for device in settings.devices:
        link = link_of(device.link())
        if link.is_serial:
            by_port[link.serial_port].append(device.name)
        else:
            by_host[link.host, link.port, link.protocol == GOODWE_UDP].append((device.name, link))
    checks = [
        Check(port, partial(check_serial_port, Path(port), names))
        for port, names in by_port.items()
    ]
    for (host, port, is_udp), devices in by_host.items():
        timeout_s = max(_CONNECT_S, *(link.timeout_s for _, link in devices))
        names = [name for name, _ in devices]
        look = partial(check_host, host, port, names, agent, timeout_s, is_udp=is_udp)
        checks.append(Check(f"{host}:{port}", look, timeout_s + _LOOKUP_S))
    checks.append(Check("lines", partial(check_load, settings.devices)))
    return checks


# ---- serial


def check_serial_port(path: Path, devices: Sequence[str]) -> Iterator[Finding]:
    """Whether the port is there, may be used, keeps its name and is nobody else's."""
    subject = f"{path} ({', '.join(devices)})"
    try:
        status = path.stat()
    except OSError as error:
        yield failed(subject, f"is not there: {error.strerror}", _what_is_there())
        return
    if not stat.S_ISCHR(status.st_mode):
        yield failed(subject, "is no serial port", _what_is_there())
        return
    if not os.access(path, os.R_OK | os.W_OK):
        me = user_name(os.geteuid())
        yield failed(
            subject, f"may not be used by {me}",
            f"sudo usermod -aG {_group(status.st_gid)} {me}, then log in again;"
            " for the service: SupplementaryGroups= in its unit",
        )  # fmt: skip
        return
    others = holders(path)
    strangers = [one for one in others if not one.is_agent]
    if strangers:
        names = ", ".join(f"{one.name} (process {one.pid})" for one in strangers)
        remedy = _GRABBERS.get(strangers[0].name, "end it: two programs eat each other's replies")
        yield failed(subject, f"is open in {names}", remedy.replace("PORT", path.name))
    elif others:
        yield ok(subject, "is there, and the running agent has it")
    else:
        yield ok(subject, "is there and free")
    if (name := stable_name(str(path))) is not None:
        yield warning(
            subject, "this name may belong to another adapter after the next plugging",
            f'serial_port = "{name}"',
        )  # fmt: skip


def _what_is_there() -> str:
    names = sorted(str(path) for path in BY_ID.iterdir()) if BY_ID.is_dir() else []
    names = names or sorted(str(path) for glob in _PORTS for path in Path("/dev").glob(glob))
    if names:
        return f"there are: {', '.join(names)}; set serial_port to one of them"
    return "is the adapter plugged in? dmesg | tail shows what the kernel finds"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


# ---- network


def check_host(
    host: str,
    port: int,
    devices: Sequence[str],
    agent: RunningAgent | None,
    timeout_s: float,
    *,
    is_udp: bool = False,
) -> Iterator[Finding]:
    """Whether a connection comes about; it is closed at once."""
    subject = f"{host}:{port} ({', '.join(devices)})"
    if agent is not None and any(agent.reads(name) for name in devices):
        yield ok(subject, "the running agent reads it")
        return
    says = _last_error(agent, devices)
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]
    except (socket.gaierror, UnicodeError) as error:
        yield failed(
            subject, f"the name cannot be resolved: {error}",
            "correct `host`; a fixed address from the router is surest",
        )  # fmt: skip
        return
    if is_udp:
        yield ok(subject, f"is {address}; UDP has no connection to try: solar-edge read{says}")
        return
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError as error:
        found, todo = connect_trouble(error, timeout_s)
        if isinstance(error, ConnectionRefusedError):
            todo += ". Is its network interface switched on? Many devices take one connection only"
        yield failed(subject, f"{found}{says}", todo)
    else:
        if says:
            todo = "it connects; solar-edge read shows more, solar-edge scan what answers"
            yield warning(subject, f"takes connections{says}", todo)
        else:
            yield ok(subject, "takes connections; solar-edge read shows what it gives")


def _last_error(agent: RunningAgent | None, devices: Sequence[str]) -> str:
    states = {} if agent is None else agent.snapshot.devices
    said = [states[name].last_error for name in devices if name in states]
    first = next((text for text in said if text), None)
    return f" (the running agent: {first})" if first else ""


# ---- load


def check_load(devices: Sequence[DeviceTable]) -> Iterator[Finding]:
    """Whether the serial lines can carry what the settings ask of them."""
    subject = "line load"
    try:
        shares = check_lines(devices)
    except DeviceError as error:
        yield failed(subject, str(error), "a larger poll_s, or a higher baud_rate at all devices")
        return
    for line, share in shares.items():
        yield ok(subject, f"{line}: polls take {share:.0%} of its time")
