"""Who shares which link: all units behind one serial port, or one host and port, share one bus."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import PermanentDeviceError
from ..flight import FlightRecorder
from ..goodwe.framing import Aa55Framing, Aa55RtuFraming
from ..goodwe.udp import UdpLink
from ..settings import GOODWE_UDP, MODBUS_RTU_TCP, MODBUS_TCP, Link
from .bus import Bus, LinkTimes
from .framing import Framing, RtuFraming, TcpFraming
from .links import ByteLink, SerialLink, TcpLink


@dataclass
class _Shared:
    bus: Bus
    line: tuple[object, ...]
    first_device: str
    users: int = 0


class Buses:
    """The buses of one program, each made on first use and closed after the last.

    Not thread-safe: one event loop owns it.
    """

    def __init__(self) -> None:
        self._shared: dict[tuple[str, str], _Shared] = {}

    def acquire(self, device: str, link: Link, *, bytewise: bool = False) -> Bus:
        """The bus of ``link``, for ``device``. Give it back with :meth:`release`.

        ``bytewise``: the device speaks AA55 commands instead of Modbus.

        Raises:
            PermanentDeviceError: Another device uses the same link with other line settings.
        """
        key, line = place_of(link), (*link.line, bytewise)
        shared = self._shared.get(key)
        if shared is None:
            bus = make_bus(link, bytewise=bytewise)
            shared = self._shared[key] = _Shared(bus, line, device)
        elif shared.line != line:
            raise PermanentDeviceError(
                f"{device}: {key[1]} is used by {shared.first_device} with other settings "
                f"({shared.line}, here {line}); all devices of one line need the same"
            )
        else:
            shared.bus.adopt(_times(link), control=link.control)
        shared.users += 1
        return shared.bus

    async def release(self, bus: Bus) -> None:
        """Say that one user of ``bus`` is done; the last one closes the link."""
        for key, shared in list(self._shared.items()):
            if shared.bus is bus:
                shared.users -= 1
                if shared.users <= 0:
                    del self._shared[key]
                    await bus.close()

    def all(self) -> dict[str, Bus]:
        """The open buses by name, for status and counters."""
        return {shared.bus.link.name: shared.bus for shared in self._shared.values()}

    def find(self, link: Link) -> Bus | None:
        """The bus of ``link``, if somebody uses it."""
        shared = self._shared.get(place_of(link))
        return shared.bus if shared is not None else None

    async def close(self) -> None:
        """Close every link."""
        shared, self._shared = self._shared, {}
        for entry in shared.values():
            await entry.bus.close()


def place_of(link: Link) -> tuple[str, str]:
    """What tells two links apart: kind and place."""
    if link.is_serial:
        return "serial", os.path.realpath(link.serial_port)
    return ("udp" if link.protocol == GOODWE_UDP else "tcp"), f"{link.host}:{link.port}"


def open_link(link: Link) -> ByteLink:
    """The byte pipe of ``link``, not yet opened."""
    if link.is_serial:
        return SerialLink(
            link.serial_port, link.baud_rate, link.parity, link.stop_bits, link.data_bits
        )
    if link.protocol == GOODWE_UDP:
        return UdpLink(link.host, link.port)
    return TcpLink(link.host, link.port, cuts_late_replies=link.protocol != MODBUS_RTU_TCP)


def make_bus(link: Link, *, bytewise: bool = False) -> Bus:
    """A bus of its own for ``link``."""
    pipe = open_link(link)
    framing, word = _framing(link, bytewise=bytewise)
    recorder = FlightRecorder(pipe.name, framing=word)
    return Bus(pipe, framing, times=_times(link), control=link.control, recorder=recorder)


def _framing(link: Link, *, bytewise: bool) -> tuple[Framing[Any], str]:
    if link.protocol == MODBUS_TCP:
        return TcpFraming(), "tcp"
    if link.protocol == GOODWE_UDP:
        make: Callable[[], Framing[Any]] = Aa55Framing if bytewise else Aa55RtuFraming
        return make(), "aa55" if bytewise else "aa55-rtu"
    return RtuFraming(link.baud_rate, link.bits_per_character), "rtu"


def _times(link: Link) -> LinkTimes:
    return LinkTimes(link.frame_gap_s, link.connect_delay_s, link.reconnect_gap_s)
