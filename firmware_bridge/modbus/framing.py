"""Bytes <-> registers for the two Modbus framings. Pure: no socket, no clock, no state.

pymodbus encodes the requests and decodes the bodies of replies. It does not check a reply against
its request (3.16.1 hands a late reply to the next request and accepts any function and count), so
each field is checked here first and a reply counts only if all of them match and nothing follows
it.

``check`` returns None while bytes are missing, the registers when the reply is whole and right, and
raises otherwise: ``TransientDeviceError`` for what cannot be believed, and for an exception reply
the error that its code stands for.
"""

from __future__ import annotations

from typing import Protocol

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from ..errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from .request import READ_HOLDING, ReadRequest

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


class Framing(Protocol):
    """One way to put requests and replies on a wire."""

    def encode(self, request: ReadRequest) -> bytes:
        """The frame that asks for ``request``."""
        ...

    def check(self, request: ReadRequest, received: bytes) -> tuple[int, ...] | None:
        """Registers of the reply, or None while it is incomplete. Raises ``DeviceError``."""
        ...

    def airtime_s(self, request: ReadRequest) -> float:
        """Seconds that request and reply need on the wire by themselves."""
        ...


class TcpFraming:
    """Modbus TCP: a header with transaction and length, no checksum."""

    def encode(self, request: ReadRequest) -> bytes:
        return bytes(_TCP.buildFrame(_pymodbus_request(request)))

    def check(self, request: ReadRequest, received: bytes) -> tuple[int, ...] | None:
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
        return _check_body(request, received[6], received[7:size], trailing=len(received) - size)

    def airtime_s(self, request: ReadRequest) -> float:
        return 0.0


class RtuFraming:
    """Modbus RTU: unit, body, CRC-16; the length follows from the body."""

    def __init__(self, baud_rate: int, bits_per_character: int = 11) -> None:
        self.character_s = bits_per_character / baud_rate

    def encode(self, request: ReadRequest) -> bytes:
        return bytes(_RTU.buildFrame(_pymodbus_request(request)))

    def check(self, request: ReadRequest, received: bytes) -> tuple[int, ...] | None:
        size = _rtu_size(received)
        if size is None or len(received) < size:
            return None
        # The checksum first: without it no other field says anything about the sender.
        checksum = int.from_bytes(received[size - 2 : size], "big")
        if not FramerRTU.check_CRC(received[: size - 2], checksum):
            raise TransientDeviceError("reply damaged: its checksum does not hold", fault=Fault.CRC)
        body, trailing = received[1 : size - 2], len(received) - size
        return _check_body(request, received[0], body, trailing=trailing)

    def airtime_s(self, request: ReadRequest) -> float:
        request_size, reply_size = 8, 5 + 2 * request.count
        return (request_size + reply_size) * self.character_s


def _pymodbus_request(request: ReadRequest) -> ReadHoldingRegistersRequest:
    holding = request.function == READ_HOLDING
    kind = ReadHoldingRegistersRequest if holding else ReadInputRegistersRequest
    return kind(
        dev_id=request.unit,
        transaction_id=request.transaction,
        address=request.address,
        count=request.count,
    )


def _rtu_size(received: bytes) -> int | None:
    """Length of the frame that ``received`` begins with; None while it cannot be told yet."""
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


def _check_body(request: ReadRequest, unit: int, body: bytes, *, trailing: int) -> tuple[int, ...]:
    """Registers of a whole frame's ``body`` (function code first). Raises ``DeviceError``."""
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
    expected = 2 if is_exception else 2 + 2 * request.count
    if len(body) != expected or (not is_exception and body[1] != 2 * request.count):
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
    pdu = _DECODER.decode(body)
    registers = tuple(pdu.registers) if pdu is not None else ()
    if len(registers) != request.count:
        raise TransientDeviceError(
            f"{len(registers)} registers decoded, not {request.count}", fault=Fault.MALFORMED
        )
    return registers
