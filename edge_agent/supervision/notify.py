"""What systemd is told, and how often it wants to hear from us (sd_notify(3), sd_watchdog_enabled).

Without systemd every call does nothing. When to tell what is decided by others.
"""

from __future__ import annotations

import logging
import os
import socket

_log = logging.getLogger(__name__)

DEFAULT_PERIOD_S = 10.0
_PATIENCE_S = 1.0
_LONGEST_STATUS = 300


def notify_systemd(state: str) -> bool:
    """Send ``state``; False when not started by systemd, or when it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_PATIENCE_S)  # a full queue must not stop the loop that it watches
            sock.sendto(state.encode(), address)
    except OSError as error:
        _log.warning("systemd does not listen at %s: %s", address.replace("\0", "@"), error)
        return False
    return True


def notify_status(text: str) -> bool:
    """One line for ``systemctl status``: "12 devices, 0 pending, connected"."""
    return notify_systemd("STATUS=" + " ".join(text.split())[:_LONGEST_STATUS])


def watchdog_period_s() -> float:
    """How often to feed: three times within what the unit allows."""
    try:
        interval_us = int(os.environ.get("WATCHDOG_USEC", "0"))
        for_pid = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return DEFAULT_PERIOD_S
    if interval_us <= 0 or for_pid != os.getpid():  # inherited: meant for another process
        return DEFAULT_PERIOD_S
    return interval_us / 1e6 / 3
