"""A Modbus server for simulated devices: TCP, RTU over TCP, and RTU on a serial descriptor.

Requests on one connection are answered one after the other, as a device with one processor does: a
late reply delays those behind it. Misbehaves on request (``faults``), and can be a real line: slow
(``LineModel``), slow to start, or open to one client only. Requests are decoded and replies encoded
by pymodbus: no code is shared with the side that reads them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
)

from .clients import serve_clients
from .faults import FaultKind, Faults, PlannedFault

_ILLEGAL_FUNCTION = 1
_READ_SIZE = 1024
_Write = Callable[[bytes], Awaitable[None]]


class IllegalRead(Exception):
    """The device refuses a read with the Modbus exception ``code``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class SimulatedDevice(Protocol):
    """What stands behind one unit address."""

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        """Registers now; values that are not there if ``nonsense``. Raises ``IllegalRead``."""
        ...


@dataclass(frozen=True)
class LineModel:
    """What a serial line costs in time; a pseudo terminal by itself costs none."""

    baud_rate: int = 9600
    bits_per_character: int = 10
    turnaround_s: float = 0.02

    def airtime_s(self, size: int) -> float:
        """Seconds that ``size`` bytes take."""
        return size * self.bits_per_character / self.baud_rate


@dataclass(frozen=True)
class Habits:
    """How a device treats its clients."""

    slow_start_s: float = 0.0
    """Real seconds after a connection (or the start of a line) in which it does not answer."""
    one_connection: bool = False
    """A second client is turned away while the first is there."""
    line: LineModel | None = None


class ModbusServer:
    """Answers for ``devices`` by unit address, and for nobody else."""

    def __init__(
        self,
        devices: Mapping[int, SimulatedDevice],
        faults: Faults | None = None,
        habits: Habits = Habits(),
    ) -> None:
        self.devices = dict(devices)
        self.faults = faults if faults is not None else Faults()
        self.habits = habits
        self.requests = 0
        """Requests answered or ignored so far."""
        self.connections = 0
        """TCP connections accepted so far."""
        self.turned_away = 0
        """TCP connections refused because another client was there."""
        self.busy = 0
        """Exchanges under way; a late reply counts until it is sent."""
        self.line_busy_s = 0.0
        """Seconds that the modelled line was taken."""
        self._clients = 0

    @asynccontextmanager
    async def serve_tcp(self, host: str, port: int, *, rtu: bool = False) -> AsyncIterator[int]:
        """Listen while the block runs; gives the port (a free one for ``port`` 0).

        ``rtu``: speak RTU frames, as a serial device server does.
        """

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.habits.one_connection and self._clients:
                self.turned_away += 1
                return
            self.connections += 1
            self._clients += 1

            async def write(data: bytes) -> None:
                writer.write(data)
                await writer.drain()

            try:
                await self._answer_all(_framer(rtu=rtu), reader, write)
            finally:
                self._clients -= 1

        async with serve_clients(host, port, handle) as bound:
            yield bound

    @asynccontextmanager
    async def serve_serial(self, descriptor: int) -> AsyncIterator[None]:
        """Answer on an open serial port or pseudo terminal while the block runs."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        os.set_blocking(descriptor, False)

        def readable() -> None:
            try:
                data = os.read(descriptor, _READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                reader.feed_data(data)
            else:
                loop.remove_reader(descriptor)
                reader.feed_eof()

        async def write(data: bytes) -> None:
            with suppress(BlockingIOError):  # nobody reads at the other end: as on a real line
                os.write(descriptor, data)

        loop.add_reader(descriptor, readable)
        task = asyncio.create_task(self._answer_all(_framer(rtu=True), reader, write))
        try:
            yield
        finally:
            loop.remove_reader(descriptor)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _answer_all(
        self, framer: FramerBase, reader: asyncio.StreamReader, write: _Write
    ) -> None:
        received = bytearray()
        awake_from = time.monotonic() + self.habits.slow_start_s
        previous = b""
        while data := await reader.read(_READ_SIZE):
            received += data
            while received:
                try:
                    used, request = framer.handleFrame(bytes(received), 0, 0)
                except ModbusException:
                    received.clear()  # no request: be silent, as devices are
                    break
                del received[:used]
                if request is None:
                    break
                if time.monotonic() < awake_from:
                    continue
                self.busy += 1
                try:
                    previous = await self._answer(framer, request, write, previous)
                finally:
                    self.busy -= 1

    async def _answer(
        self, framer: FramerBase, request: ModbusPDU, write: _Write, previous: bytes
    ) -> bytes:
        """Answer ``request``; returns the frame that would have been right."""
        self.requests += 1
        device = self.devices.get(request.dev_id)
        if device is None:
            return previous  # somebody else's
        fault = self.faults.take(request.dev_id)
        frame = framer.buildFrame(make_reply(device, request, fault))
        await self._take_time(len(frame))
        if fault is None:
            await write(frame)
        else:
            on_wire = isinstance(framer, FramerRTU)
            await self._misbehave(fault, frame, previous, write, on_wire=on_wire)
        return frame

    async def _take_time(self, reply_size: int) -> None:
        line = self.habits.line
        if line is None:
            return
        seconds = line.airtime_s(8 + reply_size) + line.turnaround_s
        self.line_busy_s += seconds
        await asyncio.sleep(seconds)

    async def _misbehave(
        self,
        fault: PlannedFault,
        frame: bytes,
        previous: bytes,
        write: _Write,
        *,
        on_wire: bool,
    ) -> None:
        random = self.faults.random
        match fault.kind:
            case FaultKind.SILENT:
                return
            case FaultKind.LATE:
                await asyncio.sleep(fault.delay_s)
            case FaultKind.TWICE:
                await write(frame)
                await asyncio.sleep(fault.delay_s)
            case FaultKind.SWAPPED:
                await write(previous or frame)
                await asyncio.sleep(fault.delay_s)
            case FaultKind.CUT:
                frame = frame[: random.randrange(1, len(frame))]
            case FaultKind.GARBLED:
                frame = bytes(byte ^ 0xFF for byte in frame)
            case FaultKind.DAMAGED if on_wire:
                frame = damaged(frame, random.sample(range(len(frame) * 8), random.randint(1, 3)))
            case FaultKind.STRAY:
                frame = random.randbytes(random.randint(1, 12)) + frame
        await write(frame)


def damaged(frame: bytes, bits: list[int]) -> bytes:
    """``frame`` with these bits inverted."""
    spoilt = bytearray(frame)
    for bit in bits:
        spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)


def make_reply(
    device: SimulatedDevice, request: ModbusPDU, fault: PlannedFault | None
) -> ModbusPDU:
    """The reply to ``request``, wrong in the way of ``fault`` where that is a matter of fields."""
    kind = fault.kind if fault else None
    reply: ModbusPDU
    if fault is not None and kind is FaultKind.EXCEPTION:
        reply = ExceptionResponse(request.function_code, fault.code)
    elif not isinstance(request, ReadHoldingRegistersRequest):  # also the base of input registers
        reply = ExceptionResponse(request.function_code, _ILLEGAL_FUNCTION)
    else:
        try:
            registers = device.read(
                request.function_code,
                request.address,
                request.count,
                nonsense=kind is FaultKind.NONSENSE,
            )
            if kind is FaultKind.WRONG_COUNT:
                registers.append(0)
            holding = request.function_code == ReadHoldingRegistersRequest.function_code
            if kind is FaultKind.WRONG_FUNCTION:
                holding = not holding
            response = ReadHoldingRegistersResponse if holding else ReadInputRegistersResponse
            reply = response(registers=registers)
        except IllegalRead as refusal:
            reply = ExceptionResponse(request.function_code, refusal.code)
    reply.dev_id = request.dev_id + (kind is FaultKind.WRONG_UNIT)
    reply.transaction_id = request.transaction_id + (kind is FaultKind.WRONG_TRANSACTION)
    return reply


def _framer(*, rtu: bool) -> FramerBase:
    decoder = DecodePDU(is_server=True)
    return FramerRTU(decoder) if rtu else FramerSocket(decoder)
