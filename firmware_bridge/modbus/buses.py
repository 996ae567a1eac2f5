"""Who shares which link: all units behind one serial port, or one host and port, share one bus."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import PermanentDeviceError
from ..settings import DeviceSettings
from .bus import ModbusBus
from .framing import RtuFraming, TcpFraming
from .links import SerialLink, TcpLink

_SERIAL_GAP_S = 0.030
_SILENT_CHARACTERS = 3.5
"""What ends an RTU frame (Modbus over serial line 1.02, 2.5.1.1); many adapters need more."""


@dataclass
class _Shared:
    bus: ModbusBus
    line: tuple[object, ...]
    first_device: str
    users: int = 0


class Buses:
    """The buses of one program, each made on first use and closed after the last.

    Not thread-safe: one event loop owns it.
    """

    def __init__(self) -> None:
        self._shared: dict[tuple[str, str], _Shared] = {}

    def acquire(self, settings: DeviceSettings) -> ModbusBus:
        """The bus that ``settings`` names. Give it back with :meth:`release`.

        Raises:
            PermanentDeviceError: Another device uses the same link with other line settings.
        """
        key, line = _link_of(settings), _line_of(settings)
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared(_make_bus(settings), line, settings.name)
        elif shared.line != line:
            raise PermanentDeviceError(
                f"{settings.name}: {key[1]} is used by {shared.first_device} with other settings "
                f"({shared.line}, here {line}); all devices of one line need the same"
            )
        shared.users += 1
        return shared.bus

    async def release(self, bus: ModbusBus) -> None:
        """Say that one user of ``bus`` is done; the last one closes the link."""
        for key, shared in list(self._shared.items()):
            if shared.bus is bus:
                shared.users -= 1
                if shared.users <= 0:
                    del self._shared[key]
                    await bus.close()

    def all(self) -> dict[str, ModbusBus]:
        """The open buses by name, for status and counters."""
        return {shared.bus.link.name: shared.bus for shared in self._shared.values()}

    async def close(self) -> None:
        """Close every link."""
        shared, self._shared = self._shared, {}
        for entry in shared.values():
            await entry.bus.close()


def frame_gap_s(settings: DeviceSettings) -> float:
    """Seconds of silence between two frames on the link of ``settings``."""
    if settings.frame_gap_ms is not None:
        return settings.frame_gap_ms / 1000.0
    if settings.protocol == "modbus-tcp":
        return 0.0
    character_s = _bits_per_character(settings) / settings.baud_rate
    return max(_SILENT_CHARACTERS * character_s, _SERIAL_GAP_S)


def _bits_per_character(settings: DeviceSettings) -> int:
    return 1 + 8 + (settings.parity != "N") + settings.stop_bits


def _link_of(settings: DeviceSettings) -> tuple[str, str]:
    if settings.protocol == "modbus-tcp":
        return "tcp", f"{settings.host}:{settings.port}"
    return "serial", os.path.realpath(settings.serial_port)


def _line_of(settings: DeviceSettings) -> tuple[object, ...]:
    if settings.protocol == "modbus-tcp":
        return (frame_gap_s(settings),)
    return (settings.baud_rate, settings.parity, settings.stop_bits, frame_gap_s(settings))


def _make_bus(settings: DeviceSettings) -> ModbusBus:
    if settings.protocol == "modbus-tcp":
        return ModbusBus(
            TcpLink(settings.host, settings.port), TcpFraming(), frame_gap_s=frame_gap_s(settings)
        )
    return ModbusBus(
        SerialLink(settings.serial_port, settings.baud_rate, settings.parity, settings.stop_bits),
        RtuFraming(settings.baud_rate, _bits_per_character(settings)),
        frame_gap_s=frame_gap_s(settings),
    )
