"""Real lines for device tests: a bus of ours at one end, simulated devices at the other."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from firmware_bridge.modbus.bus import Bus
from firmware_bridge.modbus.framing import RtuFraming, TcpFraming
from firmware_bridge.modbus.links import SerialLink, TcpLink
from firmware_bridge.simulator import ModbusServer, SimulatedDevice, open_pty_pair
from firmware_bridge.simulator.server import IllegalRead
from models.contract.clock import Clock
from models.contract.timestamps import Instant

TIMEOUT_S = 0.1
"""For replies that never come."""
PATIENT_S = 5.0
"""For replies that do come, on a machine that is busy."""


class FixedClock(Clock):
    """Domain time that a test sets by hand."""

    def __init__(self, instant: Instant) -> None:
        self.instant = instant

    def now(self) -> Instant:
        return self.instant

    def monotonic(self) -> float:
        raise AssertionError("devices are simulated in domain time only")

    async def sleep_until(self, instant: Instant) -> None:
        self.instant = max(self.instant, instant)


class TellingDevice:
    """Each register tells unit, function and address it was read from: no wrong one looks right."""

    def __init__(self, unit: int, size: int = 10_000) -> None:
        self.unit, self.size = unit, size

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        if address + count > self.size:
            raise IllegalRead(2)
        if nonsense:
            return [0xFFFF] * count
        data = self.truth(function, address, count)
        return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]

    def truth(self, function: int, address: int, count: int) -> bytes:
        """What a right reply holds."""
        key = self.unit * 4099 + function * 257
        words = ((key + 31 * (address + i)) & 0xFFFF for i in range(count))
        return struct.pack(f">{count}H", *words)


@asynccontextmanager
async def tcp_line(
    devices: Mapping[int, SimulatedDevice],
) -> AsyncIterator[tuple[Bus, ModbusServer]]:
    """A bus and a server on a real TCP connection."""
    server = ModbusServer(devices)
    async with server.serve_tcp("127.0.0.1", 0) as port:
        bus = Bus(TcpLink("127.0.0.1", port), TcpFraming())
        try:
            yield bus, server
        finally:
            await bus.close()


@asynccontextmanager
async def serial_line(
    devices: Mapping[int, SimulatedDevice],
) -> AsyncIterator[tuple[Bus, ModbusServer]]:
    """A bus and a server on a real pseudo terminal."""
    server = ModbusServer(devices)
    with open_pty_pair() as pair:
        async with server.serve_serial(pair.descriptor):
            link = SerialLink(pair.device_path, 115_200)
            bus = Bus(link, RtuFraming(115_200))
            try:
                yield bus, server
            finally:
                await bus.close()


LINES = {"tcp": tcp_line, "serial": serial_line}
