"""Fuzz of the bus on real sockets and terminals, and of bare pymodbus against the same devices.

Each answer of a device is different from all others (unit, function, address and a generation that
counts its answers), so a stale one cannot look right. An answer is right if the device made it for
this very request, after it was asked.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from firmware_bridge.errors import DeviceError
from firmware_bridge.modbus.bus import Bus
from firmware_bridge.modbus.framing import RtuFraming, TcpFraming
from firmware_bridge.modbus.links import SerialLink, TcpLink
from firmware_bridge.simulator import FaultKind, Faults, ModbusServer, open_pty_pair

TIMEOUT_S = 0.04
UNITS = (1, 2, 3)
RATES = {
    FaultKind.SILENT: 0.03, FaultKind.LATE: 0.06, FaultKind.TWICE: 0.04, FaultKind.SWAPPED: 0.04,
    FaultKind.CUT: 0.02, FaultKind.WRONG_UNIT: 0.02, FaultKind.WRONG_FUNCTION: 0.02,
    FaultKind.WRONG_COUNT: 0.02, FaultKind.WRONG_TRANSACTION: 0.02, FaultKind.GARBLED: 0.01,
    FaultKind.DAMAGED: 0.02, FaultKind.STRAY: 0.02, FaultKind.EXCEPTION: 0.01,
}  # fmt: skip
DELAYS_S = (0.0, 4 * TIMEOUT_S)
LANES = ("tcp", "rtu-tcp", "pty")


class TellingDevice:
    """Registers that tell where and when they were read."""

    def __init__(self, unit: int) -> None:
        self.unit, self.generation = unit, 0
        self.answers: list[tuple[int, int, int, bytes]] = []
        """Generation, function, address and data of the answers not yet forgotten."""

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        self.generation += 1
        key = f"{self.unit} {function} {address} {self.generation}".encode()
        data = hashlib.shake_128(key).digest(2 * count)
        self.answers = [*self.answers[-40:], (self.generation, function, address, data)]
        return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]

    def made(self, since: int, function: int, address: int, data: bytes) -> bool:
        """Whether ``data`` is (the beginning of) an answer made after generation ``since``."""
        return any(
            generation > since and (f, a) == (function, address) and whole.startswith(data)
            for generation, f, a, whole in self.answers
        )


@dataclass
class LiveResult:
    """What became of the exchanges of one lane."""

    exchanges: int = 0
    right: int = 0
    refused: int = 0
    stale: int = 0
    """Answers of an earlier time to the very same question that were believed."""
    wrong: int = 0
    unforeseen: Counter[str] = field(default_factory=Counter)
    faults_made: Counter[str] = field(default_factory=Counter)
    faults_counted: Counter[str] = field(default_factory=Counter)
    works_at_the_end: int = 0

    def add(self, other: LiveResult) -> None:
        """Sum up."""
        for name in ("exchanges", "right", "refused", "stale", "wrong", "works_at_the_end"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unforeseen += other.unforeseen
        self.faults_made += other.faults_made
        self.faults_counted += other.faults_counted


@dataclass(frozen=True)
class Line:
    """One simulated line: where it is, and who answers on it."""

    lane: str
    where: str
    port: int
    server: ModbusServer
    devices: dict[int, TellingDevice]


@asynccontextmanager
async def open_line(lane: str, seed: int) -> AsyncIterator[Line]:
    """A line of ``lane`` with faults at random."""
    devices = {unit: TellingDevice(unit) for unit in UNITS}
    faults = Faults(seed)
    faults.at_random(RATES, delay_s=DELAYS_S)
    server = ModbusServer(devices, faults)
    async with AsyncExitStack() as stack:
        if lane == "pty":
            pair = stack.enter_context(open_pty_pair())
            await stack.enter_async_context(server.serve_serial(pair.descriptor))
            yield Line(lane, pair.device_path, 0, server, devices)
        else:
            port = await stack.enter_async_context(
                server.serve_tcp("127.0.0.1", 0, rtu=lane == "rtu-tcp")
            )
            yield Line(lane, "127.0.0.1", port, server, devices)


def questions(chance: random.Random, count: int) -> list[tuple[int, int, int, int]]:
    """Unit, function, address, count: half of them the same again, as a poller asks."""
    asked = [(1, 3, 100, 10)]
    while len(asked) < count:
        if chance.random() < 0.5:
            asked.append(asked[-1])
        else:
            asked.append(
                (
                    chance.choice(UNITS),
                    chance.choice((3, 4)),
                    chance.randrange(0, 9000),
                    chance.choice((2, 10, 10, 10, 34)),
                )
            )
    return asked


async def fuzz_bus(lane: str, seed: int, count: int, tick: Callable[[int], None]) -> LiveResult:
    """``count`` exchanges of our bus on one line."""
    result, chance = LiveResult(), random.Random(seed)
    async with open_line(lane, seed) as line:
        bus = make_bus(line)
        for unit, function, address, size in questions(chance, count):
            device = line.devices[unit]
            since = device.generation
            result.exchanges += 1
            try:
                data = await bus.read(unit, function, address, size, timeout_s=TIMEOUT_S)
            except DeviceError:
                result.refused += 1
            except Exception as error:
                result.unforeseen[type(error).__name__] += 1
            else:
                judge(result, device, since, function, address, data, size)
            tick(1)
        result.faults_made.update({str(kind): n for kind, n in line.server.faults.made.items()})
        result.faults_counted.update({str(f): n for f, n in bus.counters.faults.items()})
        line.server.faults.clear()
        for _ in range(10):  # out of step at first, perhaps
            with suppress(DeviceError):
                await bus.read(2, 3, 5, 7, timeout_s=0.5)
                result.works_at_the_end += 1
                break
        await bus.close()
    return result


def make_bus(line: Line) -> Bus:
    """Our bus on ``line``."""
    if line.lane == "tcp":
        return Bus(TcpLink(line.where, line.port), TcpFraming())
    if line.lane == "rtu-tcp":
        return Bus(TcpLink(line.where, line.port, cuts_late_replies=False), RtuFraming(115_200))
    return Bus(SerialLink(line.where, 115_200), RtuFraming(115_200))


async def fuzz_pymodbus(
    lane: str, seed: int, count: int, tick: Callable[[int], None]
) -> LiveResult:
    """The same with pymodbus' own client, as its documents use it."""
    result, chance = LiveResult(), random.Random(seed)
    async with open_line(lane, seed) as line:
        client: AsyncModbusTcpClient | AsyncModbusSerialClient
        if lane == "pty":
            client = AsyncModbusSerialClient(
                line.where, framer=FramerType.RTU, baudrate=115_200, timeout=TIMEOUT_S
            )
        else:
            framer = FramerType.RTU if lane == "rtu-tcp" else FramerType.SOCKET
            client = AsyncModbusTcpClient(
                line.where, port=line.port, framer=framer, timeout=TIMEOUT_S
            )
        for unit, function, address, size in questions(chance, count):
            device = line.devices[unit]
            since = device.generation
            result.exchanges += 1
            tick(1)
            try:
                if not client.connected:
                    await client.connect()
                read = (
                    client.read_holding_registers if function == 3 else client.read_input_registers
                )
                reply = await read(address, count=size, device_id=unit)
            except (TimeoutError, ModbusException):
                result.refused += 1
                continue
            except Exception as error:
                result.unforeseen[type(error).__name__] += 1
                continue
            if reply.isError():
                result.refused += 1
                continue
            data = b"".join(word.to_bytes(2, "big") for word in reply.registers)
            judge(result, device, since, function, address, data, size)
        result.faults_made.update({str(kind): n for kind, n in line.server.faults.made.items()})
        client.close()
    return result


def judge(
    result: LiveResult,
    device: TellingDevice,
    since: int,
    function: int,
    address: int,
    data: bytes,
    size: int,
) -> None:
    """Count ``data`` as right, stale or wrong."""
    if len(data) == 2 * size and device.made(since, function, address, data):
        result.right += 1
    elif len(data) == 2 * size and device.made(-1, function, address, data):
        result.stale += 1
    else:
        result.wrong += 1
