"""Runs simulated devices where they were asked for: real sockets, real terminals, until cancelled.

Any profile can be simulated. Values come from a power series at the present moment of the clock
that is given, or from a recording.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import serial

from models.contract.clock import Clock
from models.contract.timestamps import format_iso8601

from ..errors import PermanentDeviceError
from ..flight import parse_recording
from ..profile import Profile, load_profile
from ..profile.schema import AA55, MODBUS, P1, SENSOR_NODE, SUNSPEC
from ..recorded import replies_of
from .dongle import serve_dongle
from .faults import FaultKind, Faults
from .inverter import SunSpecInverter
from .map_device import MapDevice
from .pushing import Pusher, node_pieces, telegram_pieces
from .replay import replay_units
from .series import PowerSeries, SiteState, load_series
from .server import Habits, ModbusServer, SimulatedDevice
from .site_values import meter_values, site_values
from .spec import Place, SimulatedSpec
from .sunspec_meter import SunSpecMeter
from .terminal import open_pty_pair


@dataclass(frozen=True)
class SimulationSettings:
    """What :func:`simulate` runs."""

    devices: tuple[SimulatedSpec, ...]
    series: Path | None = None
    """Needed unless everything is replayed."""
    phases: int = 3
    fault_rates: Mapping[FaultKind, float] = field(default_factory=dict)
    fault_delay_s: tuple[float, float] = (0.0, 1.0)
    seed: int = 1
    habits: Habits = Habits()
    baud_rate: int = 9600
    """Of real serial ports."""


class SimulatedSite:
    """The values of one site at the present moment, and devices that show them."""

    def __init__(self, series: PowerSeries, clock: Clock, *, phases: int = 3) -> None:
        self.series, self.clock, self.phases = series, clock, phases

    def state(self) -> SiteState:
        """The site now."""
        return self.series.at(self.clock.now())

    def values(self, profile: Profile) -> dict[str, float]:
        """Every quantity now, as a device of this kind sees it."""
        inputs = sum(r.quantity.startswith("dc_power_") for r in profile.file.registers)
        values = site_values(
            self.state(),
            rated_power=self.series.rated_power,
            phases=self.phases,
            inputs=max(1, inputs),
        )
        return meter_values(values) if profile.file.kind == "meter" else values

    def device(self, profile: Profile) -> SimulatedDevice:
        """A device of the kind ``profile``."""
        if profile.file.protocol == SUNSPEC:
            if profile.file.sunspec.role == "meter":
                return SunSpecMeter(partial(self.values, profile), phases=self.phases)
            inverter = SunSpecInverter(
                rated_power=self.series.rated_power, phases=1 if self.phases == 1 else 3
            )
            return ReplayingInverter(inverter, self)
        return MapDevice(profile, partial(self.values, profile))


@dataclass(frozen=True)
class ReplayingInverter:
    """A ``SimulatedDevice``: the registers of ``inverter`` at the present moment of ``site``."""

    inverter: SunSpecInverter
    site: SimulatedSite

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        return self.inverter.read(self.site.state(), function, address, count, nonsense=nonsense)


async def simulate(
    settings: SimulationSettings, clock: Clock, announce: Callable[[str], None]
) -> None:
    """Run simulated devices until cancelled; ``announce`` gets a line for each that is ready.

    Raises:
        SeriesError: The series cannot be replayed.
        PermanentDeviceError: A profile or recording that cannot be simulated.
        OSError: A port or terminal cannot be opened.
    """
    site = None
    if settings.series is not None:
        series = load_series(settings.series)
        site = SimulatedSite(series, clock, phases=settings.phases)
        span = f"{format_iso8601(series.start)} to {format_iso8601(series.end)}"
        announce(f"series {settings.series}: {span}, now {format_iso8601(clock.now())}")
    async with contextlib.AsyncExitStack() as stack:
        for number, spec in enumerate(settings.devices):
            faults = Faults(settings.seed + number)
            if settings.fault_rates:
                faults.at_random(settings.fault_rates, delay_s=settings.fault_delay_s)
            place = await stack.enter_async_context(_serve(spec, site, settings, faults))
            units = ", ".join(map(str, spec.units))
            announce(f"{spec.profile or spec.recording}: {place} unit {units}")
        await asyncio.Event().wait()


@asynccontextmanager
async def _serve(
    spec: SimulatedSpec,
    site: SimulatedSite | None,
    settings: SimulationSettings,
    faults: Faults,
) -> AsyncIterator[str]:
    if spec.recording:
        text = Path(spec.recording).read_text(encoding="utf-8")
        replies = replies_of(parse_recording(text, spec.recording))
        devices: Mapping[int, SimulatedDevice] = replay_units(replies.blocks)
        async with _serve_modbus(spec.place, devices, settings, faults) as where:
            yield where
        return
    profile = load_profile(spec.profile)
    if site is None:
        raise PermanentDeviceError(f"{spec.profile}: needs a power series to show (--series)")
    protocol = profile.file.protocol
    if protocol in (P1, SENSOR_NODE):
        make = telegram_pieces if protocol == P1 else node_pieces
        pusher = Pusher(partial(make, partial(site.values, profile), site.clock), faults)
        async with _serve_pushing(spec.place, pusher, settings) as where:
            yield where
    elif protocol == AA55 or spec.place.kind == "udp":
        if spec.place.kind != "udp":
            raise PermanentDeviceError(f"{spec.profile}: is simulated as NAME@udp:PORT")
        values = partial(site.values, profile)
        async with serve_dongle(
            spec.place.host, spec.place.port, MapDevice(profile, values), faults, spec.units[0]
        ) as port:
            yield f"goodwe-udp {spec.place.host}:{port}"
    elif protocol in (MODBUS, SUNSPEC):
        devices = {unit: site.device(profile) for unit in spec.units}
        async with _serve_modbus(spec.place, devices, settings, faults) as where:
            yield where


@asynccontextmanager
async def _serve_modbus(
    place: Place,
    devices: Mapping[int, SimulatedDevice],
    settings: SimulationSettings,
    faults: Faults,
) -> AsyncIterator[str]:
    server = ModbusServer(devices, faults, settings.habits)
    if place.kind in ("tcp", "rtu-tcp"):
        async with server.serve_tcp(place.host, place.port, rtu=place.kind == "rtu-tcp") as port:
            yield f"modbus-{place.kind} {place.host}:{port}"
        return
    async with (
        _serial_line(place, settings) as (descriptor, path),
        server.serve_serial(descriptor),
    ):
        yield f"modbus-rtu {path}"


@asynccontextmanager
async def _serve_pushing(
    place: Place, pusher: Pusher, settings: SimulationSettings
) -> AsyncIterator[str]:
    if place.kind == "tcp":
        async with pusher.serve_tcp(place.host, place.port) as port:
            yield f"tcp {place.host}:{port}"
        return
    async with (
        _serial_line(place, settings) as (descriptor, path),
        pusher.serve_serial(descriptor),
    ):
        yield f"serial {path}"


@asynccontextmanager
async def _serial_line(
    place: Place, settings: SimulationSettings
) -> AsyncIterator[tuple[int, str]]:
    if place.kind == "serial":
        with serial.Serial(place.path, settings.baud_rate, timeout=0, exclusive=True) as opened:
            yield opened.fileno(), place.path
    elif place.kind == "pty":
        with open_pty_pair(Path(place.path)) as pair:
            yield pair.descriptor, pair.device_path
    else:
        raise PermanentDeviceError(f"{place}: this device is simulated on tcp, pty or serial")
