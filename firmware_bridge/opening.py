"""From a device's settings to its driver: the one place that knows which protocol needs what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from models.contract.timestamps import Instant

from .drivers import Driver
from .drivers.listening import ListeningDriver
from .drivers.p1 import P1Driver
from .drivers.registers import RegisterDriver
from .drivers.sensor_node import SensorNodeDriver
from .drivers.sunspec import SunSpecDriver
from .errors import DeviceError, PermanentDeviceError
from .goodwe.framing import Aa55Request
from .modbus.bus import Bus
from .modbus.buses import Buses, open_link
from .modbus.port import ModbusUnit
from .poll_plan import Block
from .profile import Profile, load_profile
from .profile.schema import AA55, MODBUS, P1, SENSOR_NODE, SUNSPEC
from .settings import (
    GOODWE_UDP,
    MODBUS_RTU,
    MODBUS_RTU_TCP,
    MODBUS_TCP,
    SERIAL,
    TCP,
    DeviceSettings,
    Link,
    resolve,
)

_MODBUS_LINKS = (MODBUS_TCP, MODBUS_RTU, MODBUS_RTU_TCP)
_LINKS = {
    MODBUS: (*_MODBUS_LINKS, GOODWE_UDP),
    SUNSPEC: _MODBUS_LINKS,
    AA55: (GOODWE_UDP,),
    P1: (SERIAL, TCP),
    SENSOR_NODE: (SERIAL, TCP),
}
"""Which links a profile's protocol runs over."""


def profile_of(settings: DeviceSettings) -> Profile:
    """The profile that ``settings`` name, in the word order they ask for.

    Raises:
        PermanentDeviceError: Unknown, wrong, or not for this kind of link.
    """
    try:
        profile = load_profile(settings.profile)
        allowed = _LINKS[profile.file.protocol]
        if settings.protocol not in allowed:
            raise PermanentDeviceError(
                f"protocol: {profile.name} is read over {', '.join(allowed)}, "
                f"not {settings.protocol}"
            )
    except DeviceError as error:
        error.device = settings.name
        raise
    return profile.in_order(settings.word_order)


def link_of(settings: DeviceSettings) -> Link:
    """The link of ``settings``, with what their profile knows. Raises ``PermanentDeviceError``."""
    return resolve(settings, profile_of(settings).file.link)


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
    profile = profile_of(settings)
    link = resolve(settings, profile.file.link)
    protocol = profile.file.protocol
    if protocol in (P1, SENSOR_NODE):
        return _listening(settings, protocol, link)
    try:
        bus = buses.acquire(settings.name, link, bytewise=profile.file.is_bytewise)
    except DeviceError as error:
        error.device = settings.name
        raise

    async def release() -> None:
        await buses.release(bus)

    return _asking(settings, profile, link, bus, release, is_daylight)


def _asking(
    settings: DeviceSettings,
    profile: Profile,
    link: Link,
    bus: Bus,
    release: Callable[[], Awaitable[None]],
    is_daylight: Callable[[Instant], bool] | None,
) -> Driver:
    unit = ModbusUnit(bus, settings.name, link.unit, link.timeout_s)
    if profile.file.protocol == SUNSPEC:
        return SunSpecDriver(
            unit, release, profile, is_daylight, rated_power_w=settings.rated_power_w
        )
    reader: Any = _Commands(bus, link.timeout_s) if profile.file.is_bytewise else _Blocks(unit)
    return RegisterDriver(
        settings.name, profile, reader, release, rated_power_w=settings.rated_power_w
    )


def _listening(settings: DeviceSettings, protocol: str, link: Link) -> ListeningDriver[Any]:
    if protocol == P1:
        return P1Driver(settings.name, open_link(link), timeout_s=link.timeout_s)
    return SensorNodeDriver(
        settings.name, open_link(link), timeout_s=link.timeout_s, node=settings.unit
    )


@dataclass(frozen=True)
class _Blocks:
    """Reads a block of registers of one unit."""

    unit: ModbusUnit

    async def __call__(self, block: Block) -> bytes:
        return await self.unit.read(block.function, block.address, block.count)


@dataclass(frozen=True)
class _Commands:
    """Sends an AA55 read command; its payload is the block."""

    bus: Bus
    timeout_s: float

    async def __call__(self, block: Block) -> bytes:
        request = Aa55Request.of(block.function)
        return await self.bus.exchange(request, timeout_s=self.timeout_s)
