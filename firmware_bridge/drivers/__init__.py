"""Drivers: what one poll of one device takes, behind one protocol.

A driver identifies its device and polls it. It does not retry, schedule or remember values: whoever
polls decides when to try again, by the kind of the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from models.contract.record import Record
from models.contract.timestamps import Instant

from ..errors import DeviceError
from ..modbus.buses import Buses
from ..modbus.port import ModbusUnit
from ..profile import load_profile
from ..settings import DeviceIdentity, DeviceSettings
from .registers import RegisterDriver
from .sunspec import SunSpecDriver


class Driver(Protocol):
    """One device that can be polled."""

    @property
    def name(self) -> str:
        """The device's name in records and errors."""
        ...

    async def identify(self) -> DeviceIdentity:
        """Ask the device what it is.

        Raises:
            TransientDeviceError: It did not answer, or not believably.
            PermanentDeviceError: It is not the device that the settings name.
        """
        ...

    async def poll(self, clock_now: Instant) -> Record:
        """Read all quantities once; ``clock_now`` becomes ``measured_at``.

        Raises:
            TransientDeviceError: As above; the next poll may succeed.
            PermanentDeviceError: As above.
        """
        ...

    async def close(self) -> None:
        """Give back the link. May be called twice."""
        ...


def open_driver(
    settings: DeviceSettings, buses: Buses, *, is_daylight: Callable[[Instant], bool] | None = None
) -> Driver:
    """The driver that ``settings`` ask for. Opens nothing yet: the first poll connects.

    Args:
        settings: Where the device is and which profile it follows.
        buses: Buses of this program; devices on one link share one.
        is_daylight: Whether the sun is up at the site, if the caller knows.

    Raises:
        PermanentDeviceError: Unknown profile, or a link that is used with other settings.
    """
    try:
        profile = None if settings.profile == "sunspec" else load_profile(settings.profile)
        bus = buses.acquire(settings)
    except DeviceError as error:
        error.device = settings.name
        raise
    unit = ModbusUnit(bus, settings.name, settings.unit, settings.timeout_s)

    async def release() -> None:
        await buses.release(bus)

    if profile is None:
        return SunSpecDriver(unit, release, is_daylight)
    return RegisterDriver(unit, release, profile)


__all__ = ["Driver", "RegisterDriver", "SunSpecDriver", "open_driver"]
