"""A Modbus server for simulated devices, on TCP and on a serial descriptor, with faults on request.

Requests on one connection are answered one after the other, as a device with one processor does: a
late reply delays those behind it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
)

from .faults import FaultKind, Faults, PlannedFault
from .inverter import IllegalRead

_ILLEGAL_FUNCTION = 1
_READ_SIZE = 1024
_Write = Callable[[bytes], Awaitable[None]]


class SimulatedDevice(Protocol):
    """What stands behind one unit address."""

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        """Registers now; values that are not there if ``nonsense``. Raises ``IllegalRead``."""
        ...


class ModbusServer:
    """Answers for ``devices`` by unit address, and for nobody else."""

    def __init__(
        self, devices: Mapping[int, SimulatedDevice], faults: Faults | None = None
    ) -> None:
        self.devices = dict(devices)
        self.faults = faults if faults is not None else Faults()
        self.requests = 0
        """Requests answered or ignored so far."""
        self.connections = 0
        """TCP connections accepted so far."""
        self.busy = 0
        """Exchanges under way; a late reply counts until it is sent."""

    @asynccontextmanager
    async def serve_tcp(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen while the block runs; gives the port (a free one for ``port`` 0)."""
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            self.connections += 1

            async def write(data: bytes) -> None:
                writer.write(data)
                await writer.drain()

            try:
                await self._answer_all(FramerSocket(DecodePDU(is_server=True)), reader, write)
            except (ConnectionError, asyncio.CancelledError):
                pass  # the client went away, or the server is being closed: both end this task
            finally:
                tasks.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(connected, host, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

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
            os.write(descriptor, data)  # a frame always fits into the terminal's buffer

        loop.add_reader(descriptor, readable)
        task = asyncio.create_task(
            self._answer_all(FramerRTU(DecodePDU(is_server=True)), reader, write)
        )
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
                self.busy += 1
                try:
                    await self._answer(framer, request, write)
                finally:
                    self.busy -= 1

    async def _answer(self, framer: FramerBase, request: ModbusPDU, write: _Write) -> None:
        self.requests += 1
        device = self.devices.get(request.dev_id)
        if device is None:
            return  # somebody else's
        fault = self.faults.take(request.dev_id)
        reply = _reply(device, request, fault)
        frame = framer.buildFrame(reply)
        match fault.kind if fault else None:
            case FaultKind.SILENT:
                return
            case FaultKind.LATE if fault:
                await asyncio.sleep(fault.delay_s)
            case FaultKind.TWICE if fault:
                await write(frame)
                await asyncio.sleep(fault.delay_s)
            case FaultKind.CUT:
                frame = frame[: len(frame) // 2]
            case FaultKind.GARBLED:
                frame = bytes(byte ^ 0xFF for byte in frame)
        await write(frame)


def _reply(device: SimulatedDevice, request: ModbusPDU, fault: PlannedFault | None) -> ModbusPDU:
    """The reply to ``request``, wrong in the way of ``fault``."""
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
