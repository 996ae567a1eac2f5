"""A whole simulated site: an inverter on TCP and a meter on a serial line, replaying one series."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import serial

from models.contract.clock import Clock
from models.contract.timestamps import format_iso8601

from .faults import Faults
from .inverter import SunSpecInverter
from .meter import EastronMeter
from .series import PowerSeries, SiteState, load_series
from .server import ModbusServer
from .terminal import open_pty_pair


class _Registers(Protocol):
    def read(
        self, state: SiteState, function: int, address: int, count: int, *, nonsense: bool
    ) -> list[int]: ...


@dataclass(frozen=True)
class ReplayingDevice:
    """A ``SimulatedDevice``: ``registers`` at the present moment of ``series``."""

    registers: _Registers
    series: PowerSeries
    clock: Clock

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        state = self.series.at(self.clock.now())
        return self.registers.read(state, function, address, count, nonsense=nonsense)


class SimulatedSite:
    """Inverter and meter of one site. ``faults`` of each can be planned at any time."""

    def __init__(self, series: PowerSeries, clock: Clock, *, phases: Literal[1, 3] = 3) -> None:
        registers = SunSpecInverter(rated_power=series.rated_power, phases=phases)
        self.inverter = ReplayingDevice(registers, series, clock)
        self.meter = ReplayingDevice(EastronMeter(), series, clock)
        self.inverter_faults = Faults()
        self.meter_faults = Faults()

    def serve_tcp(
        self, host: str = "127.0.0.1", port: int = 0, unit: int = 1
    ) -> AbstractAsyncContextManager[int]:
        """The inverter on Modbus TCP while the block runs; gives the port."""
        return ModbusServer({unit: self.inverter}, self.inverter_faults).serve_tcp(host, port)

    def serve_serial(self, descriptor: int, unit: int = 1) -> AbstractAsyncContextManager[None]:
        """The meter on Modbus RTU, on an open serial port or pseudo terminal."""
        return ModbusServer({unit: self.meter}, self.meter_faults).serve_serial(descriptor)


@dataclass(frozen=True)
class SimulationSettings:
    """What ``simulate`` runs. Leave both serial fields empty for a site without a meter."""

    series: Path
    host: str = "127.0.0.1"
    port: int = 1502
    inverter_unit: int = 1
    phases: Literal[1, 3] = 3
    serial_link: Path | None = None
    """Make a pseudo terminal and publish it under this path."""
    serial_port: str = ""
    """Answer on this real serial port instead."""
    baud_rate: int = 9600
    """Of ``serial_port``; a pseudo terminal has none."""
    meter_unit: int = 1


async def simulate(
    settings: SimulationSettings, clock: Clock, announce: Callable[[str], None]
) -> None:
    """Run a simulated site until cancelled; ``announce`` gets a line for each device that is ready.

    Raises:
        SeriesError: The series cannot be replayed.
        OSError: A port or terminal cannot be opened.
    """
    series = load_series(settings.series)
    site = SimulatedSite(series, clock, phases=settings.phases)
    span = f"{format_iso8601(series.start)} to {format_iso8601(series.end)}"
    announce(f"series {settings.series}: {span}, now {format_iso8601(clock.now())}")
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(
            site.serve_tcp(settings.host, settings.port, settings.inverter_unit)
        )
        announce(f"inverter: modbus-tcp {settings.host}:{port} unit {settings.inverter_unit}")
        line = await stack.enter_async_context(_serial_line(settings))
        if line is not None:
            descriptor, path = line
            await stack.enter_async_context(site.serve_serial(descriptor, settings.meter_unit))
            announce(f"meter: modbus-rtu {path} unit {settings.meter_unit}")
        await asyncio.Event().wait()


@asynccontextmanager
async def _serial_line(settings: SimulationSettings) -> AsyncIterator[tuple[int, str] | None]:
    if settings.serial_port:
        with serial.Serial(
            settings.serial_port, settings.baud_rate, timeout=0, exclusive=True
        ) as opened:
            yield opened.fileno(), settings.serial_port
    elif settings.serial_link is not None:
        with open_pty_pair(settings.serial_link) as pair:
            yield pair.descriptor, pair.device_path
    else:
        yield None
