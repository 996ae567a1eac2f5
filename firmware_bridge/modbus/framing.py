"""Requests to bytes and replies to register data, for the two Modbus framings. Pure.

No socket, no clock. pymodbus encodes the requests and computes the CRC. It does not check a reply
against its request (3.16.1 hands a late reply to the next request and accepts any function and
count), so each field is checked here first and a reply counts only if all of them match and nothing
follows it.

``check`` returns None while bytes are missing, the register data (two bytes each, as they came)
when the reply is whole and right, and raises otherwise: ``TransientDeviceError`` for what cannot be
believed, and for an exception reply the error that its code stands for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, TypeVar

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
)

from ..errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from .request import READ_FUNCTIONS, READ_HOLDING, ReadRequest, WriteRequest

_DECODER = DecodePDU(is_server=False)
_RTU = FramerRTU(_DECODER)
_TCP = FramerSocket(_DECODER)

_MBAP_SIZE = 7  # transaction (2), protocol (2), length (2), unit (1)
_LONGEST_TCP_LENGTH = 254  # unit, and a PDU of at most 253 bytes
_EXCEPTION_BIT = 0x80
_COUNTED_FUNCTIONS = frozenset({1, 2, 3, 4})  # replies that carry a byte count
_ECHO_FUNCTIONS = frozenset({5, 6, 15, 16})  # replies of eight bytes

_EXCEPTIONS: dict[int, tuple[type[DeviceError], str]] = {
    1: (PermanentDeviceError, "illegal function"),
    2: (PermanentDeviceError, "illegal data address"),
    3: (PermanentDeviceError, "illegal data value"),
    4: (TransientDeviceError, "device failure"),
    5: (TransientDeviceError, "acknowledged, still working"),
    6: (TransientDeviceError, "busy"),
    8: (TransientDeviceError, "memory parity error"),
    10: (TransientDeviceError, "gateway: path unavailable"),
    11: (TransientDeviceError, "gateway: device behind it does not respond"),
}

Request_contra = TypeVar("Request_contra", contravariant=True)
ModbusRequest = ReadRequest | WriteRequest


class Framing(Protocol[Request_contra]):
    """One way to put requests and replies on a wire."""

    def encode(self, request: Request_contra) -> bytes:
        """The frame that asks for ``request``."""
        ...

    def check(self, request: Request_contra, received: bytes) -> bytes | None:
        """Data of the reply, or None while it is incomplete. Raises ``DeviceError``."""
        ...

    def airtime_s(self, request: Request_contra) -> float:
        """Seconds that request and reply need on the wire by themselves."""
        ...

    def is_write(self, frame: bytes) -> bool:
        """Whether ``frame`` is anything but a read. Looks at the bytes alone."""
        ...

    def peek(self, received: bytes) -> tuple[int, int] | None:
        """Unit and registers of the reply that ``received`` seems to begin with; None where that
        does not matter, because a fresh link cuts off what is late."""
        ...


class TcpFraming:
    """Modbus TCP: a header with transaction and length, no checksum."""

    def encode(self, request: ModbusRequest) -> bytes:
        if isinstance(request, ReadRequest):
            frame = _tcp_read(request.unit, request.function, request.address, request.count)
        else:
            frame = bytes(_TCP.buildFrame(_write_pdu(request)))
        return request.transaction.to_bytes(2, "big") + frame[2:]

    def check(self, request: ModbusRequest, received: bytes) -> bytes | None:
        if len(received) < _MBAP_SIZE:
            return None
        protocol = int.from_bytes(received[2:4], "big")
        length = int.from_bytes(received[4:6], "big")
        if protocol != 0 or not 3 <= length <= _LONGEST_TCP_LENGTH:
            raise TransientDeviceError(
                f"no Modbus TCP frame (protocol {protocol}, length {length}); is the port right?",
                fault=Fault.MALFORMED,
            )
        size = 6 + length
        if len(received) < size:
            return None
        transaction = int.from_bytes(received[0:2], "big")
        if transaction != request.transaction:
            raise TransientDeviceError(
                f"reply to request {transaction}, not to {request.transaction}",
                fault=Fault.WRONG_TRANSACTION,
            )
        return check_body(request, received[6], received[7:size], trailing=len(received) - size)

    def airtime_s(self, request: ModbusRequest) -> float:
        return 0.0

    def is_write(self, frame: bytes) -> bool:
        return len(frame) != _MBAP_SIZE + 5 or frame[_MBAP_SIZE] not in READ_FUNCTIONS

    def peek(self, received: bytes) -> tuple[int, int] | None:
        return None


class RtuFraming:
    """Modbus RTU: unit, body, CRC-16; the length follows from the body."""

    def __init__(self, baud_rate: int, bits_per_character: int = 11) -> None:
        self.character_s = bits_per_character / baud_rate

    def encode(self, request: ModbusRequest) -> bytes:
        if isinstance(request, ReadRequest):
            return _rtu_read(request.unit, request.function, request.address, request.count)
        return bytes(_RTU.buildFrame(_write_pdu(request)))

    def check(self, request: ModbusRequest, received: bytes) -> bytes | None:
        size = rtu_size(received)
        if size is None or len(received) < size:
            return None
        # The checksum first: without it no other field says anything about the sender.
        check_crc(received[:size])
        body, trailing = received[1 : size - 2], len(received) - size
        return check_body(request, received[0], body, trailing=trailing)

    def airtime_s(self, request: ModbusRequest) -> float:
        request_size, reply_size = 8, 5 + 2 * request.count
        if isinstance(request, WriteRequest):
            request_size, reply_size = reply_size + 4, request_size
        return (request_size + reply_size) * self.character_s

    def is_write(self, frame: bytes) -> bool:
        return len(frame) != 8 or frame[1] not in READ_FUNCTIONS

    def peek(self, received: bytes) -> tuple[int, int] | None:
        if len(received) < 3 or received[1] not in READ_FUNCTIONS:
            return None
        return received[0], received[2] // 2


def rtu_size(received: bytes) -> int | None:
    """Length of the RTU frame that ``received`` begins with; None while it cannot be told yet.

    Raises:
        TransientDeviceError: It is no reply to a read or a write.
    """
    if len(received) < 3:
        return None
    function = received[1]
    if function & _EXCEPTION_BIT:
        return 5
    if function in _COUNTED_FUNCTIONS:
        return 5 + received[2]
    if function in _ECHO_FUNCTIONS:
        return 8
    raise TransientDeviceError(
        f"not a reply to a read (begins {received[:3].hex(' ')}); noise, or other line settings?",
        fault=Fault.MALFORMED,
    )


def check_crc(frame: bytes) -> None:
    """Raise ``TransientDeviceError`` unless the last two bytes are the CRC of those before."""
    if not FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big")):
        raise TransientDeviceError("reply damaged: its checksum does not hold", fault=Fault.CRC)


def check_body(request: ModbusRequest, unit: int, body: bytes, *, trailing: int) -> bytes:
    """Data of a whole frame's ``body`` (function code first). Raises ``DeviceError``."""
    if unit != request.unit:
        raise TransientDeviceError(
            f"reply of unit {unit}, not of unit {request.unit}", fault=Fault.WRONG_UNIT
        )
    function = body[0]
    if function & ~_EXCEPTION_BIT != request.function:
        raise TransientDeviceError(
            f"reply to function {function & ~_EXCEPTION_BIT}, not to {request.function}",
            fault=Fault.WRONG_FUNCTION,
        )
    is_exception = bool(function & _EXCEPTION_BIT)
    if is_exception:
        expected = 2
    else:
        expected = 5 if isinstance(request, WriteRequest) else 2 + 2 * request.count
    if len(body) != expected or (not is_exception and not _is_counted_right(request, body)):
        raise TransientDeviceError(
            f"reply of {len(body) - 2} data bytes, not of {expected - 2}", fault=Fault.WRONG_COUNT
        )
    if trailing:
        # The first of two frames may be the late answer to an older request: believe neither.
        raise TransientDeviceError(f"{trailing} bytes follow the reply", fault=Fault.STRAY)
    if is_exception:
        kind, meaning = _EXCEPTIONS.get(body[1], (TransientDeviceError, "unknown code"))
        raise kind(
            f"device refuses with exception {body[1]} ({meaning})",
            fault=Fault.EXCEPTION,
            exception_code=body[1],
        )
    return body[2:] if isinstance(request, ReadRequest) else b""


def _is_counted_right(request: ModbusRequest, body: bytes) -> bool:
    if isinstance(request, ReadRequest):
        return body[1] == 2 * request.count
    # The reply to a write tells again where and how much was written.
    return body[1:] == request.address.to_bytes(2, "big") + request.count.to_bytes(2, "big")


@lru_cache(maxsize=1024)
def _tcp_read(unit: int, function: int, address: int, count: int) -> bytes:
    """The request's frame; the caller puts in the transaction."""
    return bytes(_TCP.buildFrame(_read_pdu(unit, function, address, count)))


@lru_cache(maxsize=1024)
def _rtu_read(unit: int, function: int, address: int, count: int) -> bytes:
    return bytes(_RTU.buildFrame(_read_pdu(unit, function, address, count)))


def _read_pdu(unit: int, function: int, address: int, count: int) -> ModbusPDU:
    holding = function == READ_HOLDING
    kind = ReadHoldingRegistersRequest if holding else ReadInputRegistersRequest
    return kind(dev_id=unit, address=address, count=count)


def _write_pdu(request: WriteRequest) -> ModbusPDU:
    data = request.data
    words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    return WriteMultipleRegistersRequest(
        dev_id=request.unit, address=request.address, registers=words
    )
