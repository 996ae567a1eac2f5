"""A simulated dongle: request frames to reply frames (pure), and a UDP server around them.

Misbehaves on request (``faults``). RTU requests are decoded and replies encoded by
pymodbus, AA55 requests by hand here: nothing is shared with the side that reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from .faults import FaultKind, Faults, PlannedFault
from .server import SimulatedDevice, damaged, make_reply

_RTU_FAULTS = frozenset(
    {
        FaultKind.EXCEPTION,
        FaultKind.NONSENSE,
        FaultKind.WRONG_COUNT,
        FaultKind.WRONG_FUNCTION,
        FaultKind.WRONG_UNIT,
    }
)


class DongleDevice(SimulatedDevice, Protocol):
    """What stands behind a dongle: registers, or payloads of bytes."""

    def image(
        self, function: int, address: int, count: int, *, nonsense: bool = False
    ) -> tuple[bytes, list[bool]]:
        """``count`` addresses from ``address``, and which of them the device knows."""
        ...


def rtu_reply(
    request: bytes, device: SimulatedDevice, unit: int, fault: PlannedFault | None = None
) -> bytes | None:
    """Reply of a dongle to an RTU request; None where it stays silent."""
    framer = FramerRTU(DecodePDU(is_server=True))
    try:
        used, parsed = framer.handleFrame(request, 0, 0)
    except ModbusException:
        return None
    if parsed is None or used != len(request) or parsed.dev_id != unit:
        return None
    reply = make_reply(device, parsed, fault)
    return b"\xaa\x55" + bytes(framer.buildFrame(reply))


def aa55_reply_to(
    request: bytes, device: DongleDevice, fault: PlannedFault | None = None
) -> bytes | None:
    """Reply of a dongle to an AA55 request; None where it stays silent."""
    if len(request) < 9 or request[:4] != b"\xaa\x55\xc0\x7f":
        return None
    head, total = request[:-2], int.from_bytes(request[-2:], "big")
    if request[6] != len(request) - 9 or sum(head) & 0xFFFF != total:
        return None
    command = int.from_bytes(request[4:6], "big")
    kind = fault.kind if fault is not None else None
    data, known = device.image(command, 0, 255, nonsense=kind is FaultKind.NONSENSE)
    if not any(known):
        return None  # devices do not answer commands that they do not know
    payload = data[: max(i for i, place in enumerate(known) if place) + 1]
    if kind is FaultKind.WRONG_FUNCTION:
        command += 1
    if kind is FaultKind.WRONG_COUNT:
        payload = payload[:-1]
    sender = 0x7F + (kind is FaultKind.WRONG_UNIT)
    reply = bytes((0xAA, 0x55, sender, 0xC0)) + (command | 0x80).to_bytes(2, "big")
    reply += bytes((len(payload),)) + payload
    return reply + (sum(reply) & 0xFFFF).to_bytes(2, "big")


class SimulatedDongle(asyncio.DatagramProtocol):
    """Answers for one device, both protocols, datagram by datagram."""

    def __init__(self, device: DongleDevice, faults: Faults, unit: int) -> None:
        self.device, self.faults, self.unit = device, faults, unit
        self.requests = 0
        """Requests that were for this device."""
        self._transport: asyncio.DatagramTransport | None = None
        self._previous = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        right = self._reply(data, None)
        if right is None:
            return
        self.requests += 1
        fault = self.faults.take(self.unit)
        if fault is None:
            self._send(right, addr)
        else:
            self._misbehave(fault, data, right, addr)
        self._previous = right

    def _reply(self, request: bytes, fault: PlannedFault | None) -> bytes | None:
        if request[:2] == b"\xaa\x55":
            return aa55_reply_to(request, self.device, fault)
        wanted = fault if fault is not None and fault.kind in _RTU_FAULTS else None
        return rtu_reply(request, self.device, self.unit, wanted)

    def _misbehave(
        self, fault: PlannedFault, request: bytes, right: bytes, to: tuple[str | Any, int]
    ) -> None:
        random = self.faults.random
        match fault.kind:
            case FaultKind.SILENT:
                return
            case FaultKind.EXCEPTION if request[:2] == b"\xaa\x55":
                return  # this protocol knows no refusal
            case FaultKind.LATE:
                self._send_later(fault.delay_s, right, to)
            case FaultKind.TWICE:
                self._send(right, to)
                self._send_later(fault.delay_s, right, to)
            case FaultKind.SWAPPED:
                self._send(self._previous or right, to)
                self._send_later(fault.delay_s, right, to)
            case FaultKind.CUT:
                self._send(right[: random.randrange(1, len(right))], to)
            case FaultKind.GARBLED:
                self._send(bytes(byte ^ 0xFF for byte in right), to)
            case FaultKind.DAMAGED:
                bits = random.sample(range(len(right) * 8), random.randint(1, 3))
                self._send(damaged(right, bits), to)
            case FaultKind.STRAY:
                self._send(random.randbytes(random.randint(1, 12)) + right, to)
            case _:
                self._send(self._reply(request, fault) or right, to)

    def _send_later(self, delay_s: float, data: bytes, to: tuple[str | Any, int]) -> None:
        asyncio.get_running_loop().call_later(delay_s, self._send, data, to)

    def _send(self, data: bytes, to: tuple[str | Any, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, to)


@asynccontextmanager
async def serve_dongle(
    host: str, port: int, device: DongleDevice, faults: Faults | None = None, unit: int = 0xF7
) -> AsyncIterator[int]:
    """Be a dongle while the block runs; gives the port (a free one for ``port`` 0)."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: SimulatedDongle(device, faults if faults is not None else Faults(), unit),
        local_addr=(host, port),
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
