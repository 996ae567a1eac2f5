"""Fuzz of the bus on real sockets and terminals, and of bare pymodbus on the same lines.

Both ask the same questions of the same devices with the same seeds of faults. The bus's askers
also give up now and then in the middle of an exchange, as a caller that is stopped does; pymodbus
is spared that.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from benchmarks._fuzz_lines import (
    CALM_EXCHANGES,
    TIMEOUT_S,
    Line,
    LiveResult,
    open_line,
    questions,
)
from firmware_bridge.errors import DeviceError, PermanentDeviceError
from firmware_bridge.modbus.bus import Bus
from firmware_bridge.modbus.framing import RtuFraming, TcpFraming
from firmware_bridge.modbus.links import SerialLink, TcpLink

_GIVEN_UP = 0.02
"""Share of the exchanges that the asker cancels."""
_HISTORY_LINES = 30


async def fuzz_bus(lane: str, seed: int, count: int, tick: Callable[[int], None]) -> LiveResult:
    """``count`` exchanges of our bus on one line."""
    result, impatience = LiveResult(lines=1), random.Random(seed + 1)
    async with open_line(lane, seed) as line:
        bus = make_bus(line)
        for number, question in enumerate(questions(seed, count)):
            if number == CALM_EXCHANGES:
                line.begin()
            flaw = ""
            device = line.devices[question.unit]
            since = device.generation
            result.exchanges += 1
            patience_s = None
            if impatience.random() < _GIVEN_UP:
                patience_s = impatience.uniform(0.0, 2 * TIMEOUT_S)
            try:
                async with asyncio.timeout(patience_s):
                    data = await bus.read(*question, timeout_s=TIMEOUT_S)
            except PermanentDeviceError:
                result.false_refusals += 1  # all questions are legal
                flaw = "refused"
            except DeviceError as error:
                result.refused[str(error.fault)] += 1
            except Exception as error:
                if isinstance(error, TimeoutError) and patience_s is not None:
                    result.cancelled += 1
                else:
                    result.unforeseen[type(error).__name__] += 1
                    flaw = type(error).__name__
            else:
                flaw = result.judge(device, question, data, since=since)
            if flaw:
                where = f"{lane}, seed {seed}, exchange {number}, {question}"
                result.examples.append(_history(bus, f"{flaw}: {where}"))
            tick(1)
        line.end(result)
        result.faults_counted.update({str(f): n for f, n in bus.counters.faults.items()})
        result.works_at_the_end = await _works(bus)
        await bus.close()
    return result


def make_bus(line: Line) -> Bus:
    """Our bus on ``line``."""
    if line.lane == "tcp":
        return Bus(TcpLink(line.where, line.port), TcpFraming())
    if line.lane == "rtu-tcp":
        return Bus(TcpLink(line.where, line.port, cuts_late_replies=False), RtuFraming(115_200))
    return Bus(SerialLink(line.where, 115_200), RtuFraming(115_200))


async def _works(bus: Bus) -> bool:
    for _ in range(10):  # out of step at first, perhaps
        with suppress(DeviceError):
            await bus.read(2, 3, 5, 7, timeout_s=0.5)
            return True
    return False


def _history(bus: Bus, exchange: str) -> str:
    """Which exchange it was, and what went over the line last."""
    recording = bus.recorder.to_text("fuzz", 0).splitlines()
    return "\n".join((exchange, *recording[-_HISTORY_LINES:]))


async def fuzz_pymodbus(
    lane: str, seed: int, count: int, tick: Callable[[int], None]
) -> LiveResult:
    """The same with pymodbus' own client, as its documents use it."""
    result = LiveResult(lines=1)
    async with open_line(lane, seed) as line:
        client = make_client(line)
        for number, question in enumerate(questions(seed, count)):
            if number == CALM_EXCHANGES:
                line.begin()
            device = line.devices[question.unit]
            since = device.generation
            result.exchanges += 1
            tick(1)
            try:
                if not client.connected:
                    await client.connect()
                holding = question.function == 3
                read = client.read_holding_registers if holding else client.read_input_registers
                reply = await read(
                    question.address, count=question.registers, device_id=question.unit
                )
            except (TimeoutError, ModbusException) as error:
                result.refused[type(error).__name__] += 1
                continue
            except Exception as error:
                result.unforeseen[type(error).__name__] += 1
                continue
            if reply.isError():
                result.refused["isError"] += 1
                continue
            data = b"".join(word.to_bytes(2, "big") for word in reply.registers)
            result.judge(device, question, data, since=since)
        line.end(result)
        client.close()
    return result


def make_client(line: Line) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
    """pymodbus' client on ``line``; it asks up to three times more by itself."""
    if line.lane == "pty":
        return AsyncModbusSerialClient(
            line.where, framer=FramerType.RTU, baudrate=115_200, timeout=TIMEOUT_S
        )
    framer = FramerType.RTU if line.lane == "rtu-tcp" else FramerType.SOCKET
    return AsyncModbusTcpClient(line.where, port=line.port, framer=framer, timeout=TIMEOUT_S)
