"""Who is on this bus, and what are they? The part of commissioning that reads the wire.

For each unit address: is anybody there; does it describe itself (SunSpec); else which profile fits,
told by its type code or by a value that must make sense (grid frequency), in whatever word order
that gives sense. What fits is read once, and the best candidate is the one of whose values most are
good. Guesses are shown as such: a float meter's family shares its map.

Leaves to others: how a finding is shown (``edge_agent.devices.scan_report``), and what becomes
of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from models.contract.record import Quality
from models.contract.timestamps import Instant

from .drivers import Driver
from .errors import DeviceError, Fault
from .modbus.buses import Buses
from .opening import open_driver
from .poll_plan import Block
from .profile import Profile, known_profiles, load_profile
from .profile.schema import AA55, MODBUS
from .registers import ORDERS
from .settings import GOODWE_UDP, DeviceIdentity, DeviceSettings, resolve
from .values import Decoded

PROBE_TIMEOUT_S = 0.5
"""For a unit that may not be there. Slow starters are given their profile's time afterwards."""
COMMON_UNITS = (1, 2, 3, 4, 5, 10, 71, 100, 126, 200, 240, 247)
"""Where devices behind one network address usually are."""
_PROBES = (Block(3, 40_000, 2), Block(4, 0, 2), Block(3, 0, 2))
_NOBODY_BEHIND_GATEWAY = (10, 11)
_SUNSPEC = "sunspec"
_LEAST_GOOD = 0.5
"""A profile of which fewer values make sense is no candidate."""
_MOST_CANDIDATES = 5

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Candidate:
    """A profile that a unit may have."""

    profile: str
    word_order: str | None
    """None: as the profile says."""
    why: str
    certain: bool
    """The device said so itself, by text or type code."""
    identity: DeviceIdentity
    decoded: Decoded
    good_share: float


@dataclass(frozen=True)
class FoundUnit:
    """Somebody who answers at ``unit``."""

    unit: int
    candidates: tuple[Candidate, ...] = ()
    """Best first; empty if nobody knows what it is."""
    answered: str = ""
    """What made sure that somebody is there."""


@dataclass
class ScanResult:
    """What a scan of one link found."""

    base: DeviceSettings
    """The link; ``unit`` and ``profile`` are those of nobody."""
    tried: tuple[int, ...] = ()
    found: list[FoundUnit] = field(default_factory=list)
    trouble: str = ""
    """Why the link itself could not be used, if so."""


async def scan_units(
    base: DeviceSettings, units: Iterable[int], now: Instant, *, progress: Progress = lambda t: None
) -> ScanResult:
    """Look at ``units`` on the link of ``base``. Raises nothing for what is not there."""
    result = ScanResult(base, tuple(units))
    buses = Buses()
    try:
        for unit in result.tried:
            progress(f"unit {unit}")
            try:
                answered = await _presence(buses, replace(base, unit=unit))
            except DeviceError as error:
                result.trouble = str(error)
                break
            if answered:
                progress(f"unit {unit}: somebody is there, finding out what it is")
                found = await _identify(buses, replace(base, unit=unit), now)
                result.found.append(FoundUnit(unit, tuple(found), answered))
    finally:
        await buses.close()
    return result


async def _presence(buses: Buses, settings: DeviceSettings) -> str:
    """What ``settings.unit`` answers to a probe; empty for silence. Raises if the link fails."""
    link = resolve(replace(settings, timeout_s=settings.timeout_s or PROBE_TIMEOUT_S))
    if link.protocol == GOODWE_UDP:
        return "answers on UDP"  # told by the profiles themselves
    bus = buses.acquire(settings.name, link)  # kept until the scan ends: one connection for all
    for probe in _PROBES:
        try:
            await bus.read(
                link.unit, probe.function, probe.address, probe.count, timeout_s=link.timeout_s
            )
        except DeviceError as error:
            if error.fault is Fault.LINK and bus.counters.opened == 0:
                raise
            if error.fault is Fault.EXCEPTION:
                if error.exception_code in _NOBODY_BEHIND_GATEWAY:
                    return ""
                return f"refuses function {probe.function}, address {probe.address}"
            if error.fault in (Fault.TIMEOUT, Fault.LINK):
                continue
            return f"answers wrongly: {error.reason}"
        else:
            return f"answers function {probe.function}, address {probe.address}"
    return ""


async def _identify(buses: Buses, settings: DeviceSettings, now: Instant) -> list[Candidate]:
    candidates = []
    for name in _profiles_for(settings.protocol):
        profile = load_profile(name)
        for order in _orders_to_try(profile):
            try:
                candidate = await _try(buses, settings, profile, order, now)
            except DeviceError as error:
                if error.fault is not None:
                    break  # not answered: what was not said has no word order
                continue
            if candidate is not None:
                candidates.append(candidate)
                break
        if candidates and candidates[-1].certain:
            break
    candidates.sort(key=lambda one: (not one.certain, -one.good_share, len(one.profile)))
    return candidates[:_MOST_CANDIDATES]


def _profiles_for(protocol: str) -> list[str]:
    """Generic SunSpec first, then those that can be told for certain, then guesses."""
    modbus = [name for name in known_profiles() if load_profile(name).file.protocol == MODBUS]
    certain = [name for name in modbus if _has_code(load_profile(name))]
    guesses = [name for name in modbus if name not in certain]
    if protocol == GOODWE_UDP:
        aa55 = [name for name in known_profiles() if load_profile(name).file.protocol == AA55]
        return [*aa55, *(name for name in modbus if name.startswith("goodwe"))]
    return [_SUNSPEC, *certain, *guesses]


def _has_code(profile: Profile) -> bool:
    return profile.file.identity is not None and profile.file.identity.code is not None


def _orders_to_try(profile: Profile) -> Sequence[str | None]:
    """The profile's own order first; the others where the number that tells could be in another."""
    if not profile.has_registers or _has_code(profile) or profile.file.is_bytewise:
        return (None,)
    wide = [register for register in profile.file.registers if register.type[-2:] == "32"]
    own = {register.order for register in wide}
    identity = profile.file.identity
    assert identity is not None
    if len(own) != 1 or not any(register.quantity == identity.quantity for register in wide):
        return (None,)
    return (None, *(order for order in ORDERS if order not in own))


async def _try(
    buses: Buses,
    settings: DeviceSettings,
    profile: Profile,
    order: str | None,
    now: Instant,
) -> Candidate | None:
    """``profile`` as a candidate, or None if too little of what it reads makes sense.

    Raises:
        DeviceError: The device is none (no fault), or does not say (with the fault).
    """
    link = profile.file.link
    chosen = replace(
        settings,
        profile=profile.name,
        word_order=order,
        timeout_s=settings.timeout_s or min(link.timeout_s or 1.0, 3.0),
    )
    bus = buses.find(resolve(settings))
    times = bus.times if bus is not None else None
    driver: Driver | None = None
    try:
        driver = open_driver(chosen, buses)
        identity = await driver.identify()
        decoded = await driver.read(now)
    finally:
        if driver is not None:
            await driver.close()
        if bus is not None and times is not None:
            bus.relax(times)  # the pauses of one profile do not slow the trying of the next
    share = _good_share(decoded)
    if share < _LEAST_GOOD:
        return None
    certain = not profile.has_registers or _has_code(profile)
    return Candidate(
        profile.name, order, _why(profile, identity, order), certain, identity, decoded, share
    )


def _good_share(decoded: Decoded) -> float:
    """Share of good values among those that are there at all."""
    given = [r for r in decoded.readings.values() if r.value is not None]
    if not given:
        return 0.0
    good = sum(reading.quality is Quality.GOOD and reading.value != 0 for reading in given)
    zero = sum(reading.value == 0 for reading in given)
    return (good + 0.25 * zero) / len(given)


def _why(profile: Profile, identity: DeviceIdentity, order: str | None) -> str:
    if not profile.has_registers:
        return f"describes itself: {identity.manufacturer} {identity.model}".rstrip()
    if _has_code(profile):
        return "its type code is one of this family's"
    assert profile.file.identity is not None
    text = f"its {profile.file.identity.quantity} makes sense by this map"
    return f"{text} with words in the order {order}" if order else text
