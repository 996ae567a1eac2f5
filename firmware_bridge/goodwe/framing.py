"""Frames of a GoodWe dongle: Modbus RTU behind ``AA 55``, and the older AA55. Pure.

- **RTU behind AA55** (ET, DT families): the request is a plain RTU frame; the reply is an RTU frame
  with ``AA 55`` before it. The CRC covers the RTU frame alone, without those two bytes.
- **AA55** (ES, EM, BP families): ``AA 55``, sender, receiver, command, length, payload, and the sum
  of all bytes before it, 16 bits. A command brings a whole payload; its reply has the same command
  with bit 7 set.

Held to the same rules as any Modbus reply (``modbus.framing``): every field is compared with the
request, and nothing may follow. ``check`` returns None while a frame is incomplete: some dongles
pass on a long reply in two datagrams. What the sum of AA55 cannot see: docs/protocol/goodwe.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Fault, PermanentDeviceError, TransientDeviceError
from ..modbus.framing import ModbusRequest, RtuFraming, check_body, check_crc, rtu_size

PREFIX = b"\xaa\x55"
_MASTER, _INVERTER = 0xC0, 0x7F
_READ_CONTROL = 0x01
"""First byte of a command: 1 reads, 2 and 3 change something."""
_REPLY_BIT = 0x0080
_HEAD_SIZE = 7  # prefix (2), sender, receiver, command (2), length
_SUM_SIZE = 2


class Aa55RtuFraming:
    """Modbus RTU as a dongle speaks it: plain requests, replies behind ``AA 55``."""

    def __init__(self) -> None:
        self._rtu = RtuFraming(9600)

    def encode(self, request: ModbusRequest) -> bytes:
        return self._rtu.encode(request)

    def check(self, request: ModbusRequest, received: bytes) -> bytes | None:
        """See ``Framing.check``."""
        check_prefix(received)
        frame = received[len(PREFIX) :]
        size = rtu_size(frame)
        if size is None or len(frame) < size:
            return None
        check_crc(frame[:size])
        return check_body(request, frame[0], frame[1 : size - 2], trailing=len(frame) - size)

    def airtime_s(self, request: ModbusRequest) -> float:
        """None of its own: the serial line behind the dongle is the dongle's affair."""
        return 0.0

    def is_write(self, frame: bytes) -> bool:
        return self._rtu.is_write(frame)

    def peek(self, received: bytes) -> tuple[int, int] | None:
        return None


@dataclass(frozen=True, slots=True)
class Aa55Request:
    """One read of a whole payload. Raises ``PermanentDeviceError`` for what is not a read."""

    command: int
    """Such as 0x0106, the running data."""

    def __post_init__(self) -> None:
        if not 0 <= self.command <= 0xFFFF or self.command & _REPLY_BIT:
            raise PermanentDeviceError(f"AA55 command {self.command:#06x} is none")
        if self.command >> 8 != _READ_CONTROL:
            raise PermanentDeviceError(
                f"AA55 command {self.command:#06x} refused: only 0x01.. (reads) may be sent"
            )

    @classmethod
    def of(cls, command: int) -> Aa55Request:
        """The read that ``command`` stands for. Raises ``PermanentDeviceError``."""
        return cls(command)

    @property
    def reply_command(self) -> int:
        return self.command | _REPLY_BIT

    @property
    def unit(self) -> int:
        """Fixed in this protocol: a dongle has one inverter."""
        return _INVERTER

    @property
    def count(self) -> int:
        """0: the device decides how long its payload is."""
        return 0

    def __str__(self) -> str:
        return f"AA55 {self.command:04x}"


class Aa55Framing:
    """The older protocol: a command, its payload, and a sum."""

    def encode(self, request: Aa55Request) -> bytes:
        """The frame that asks for ``request``; reads carry no payload."""
        return aa55_frame(_MASTER, _INVERTER, request.command, b"")

    def check(self, request: Aa55Request, received: bytes) -> bytes | None:
        """Payload of the reply, or None while it is incomplete. Raises ``DeviceError``."""
        parsed = parse_aa55(received)
        if parsed is None:
            return None
        command, payload = parsed
        if command != request.reply_command:
            raise TransientDeviceError(
                f"reply {command:04x}, not {request.reply_command:04x}", fault=Fault.WRONG_FUNCTION
            )
        if not payload:
            raise TransientDeviceError("the reply holds nothing", fault=Fault.WRONG_COUNT)
        return payload

    def airtime_s(self, request: Aa55Request) -> float:
        return 0.0

    def is_write(self, frame: bytes) -> bool:
        return (
            len(frame) != _HEAD_SIZE + _SUM_SIZE
            or frame[: len(PREFIX)] != PREFIX
            or frame[4] != _READ_CONTROL
            or bool(frame[5] & _REPLY_BIT)
        )

    def peek(self, received: bytes) -> tuple[int, int] | None:
        return None


def parse_aa55(received: bytes) -> tuple[int, bytes] | None:
    """Command and payload of the AA55 reply in ``received``; None while it is incomplete.

    Raises:
        TransientDeviceError: It is no reply of an inverter, is damaged, or something follows it.
    """
    check_prefix(received)
    ends = bytes((_INVERTER, _MASTER))
    if not ends.startswith(received[2:4]):
        raise TransientDeviceError(
            f"not from an inverter to its master ({received[2:4].hex(' ')})", fault=Fault.WRONG_UNIT
        )
    if len(received) < _HEAD_SIZE:
        return None
    size = _HEAD_SIZE + received[6] + _SUM_SIZE
    if len(received) < size:
        return None
    if _sum_of(received[: size - _SUM_SIZE]) != received[size - _SUM_SIZE : size]:
        raise TransientDeviceError("reply damaged: its sum does not hold", fault=Fault.CRC)
    if len(received) > size:
        raise TransientDeviceError(
            f"{len(received) - size} bytes more than a reply", fault=Fault.STRAY
        )
    return int.from_bytes(received[4:6], "big"), received[_HEAD_SIZE : size - _SUM_SIZE]


def decode_aa55_reply(frame: bytes) -> tuple[int, bytes]:
    """Command (as it was asked for) and payload of a recorded reply, whichever it is.

    Raises:
        TransientDeviceError: Cut, damaged, or no reply to a read.
    """
    parsed = parse_aa55(frame)
    if parsed is None:
        raise TransientDeviceError(f"only {len(frame)} bytes of a reply", fault=Fault.TIMEOUT)
    command, payload = parsed
    if command >> 8 != _READ_CONTROL or not command & _REPLY_BIT or not payload:
        raise TransientDeviceError(f"{command:04x} is no reply to a read", fault=Fault.MALFORMED)
    return command & ~_REPLY_BIT, payload


def aa55_frame(sender: int, receiver: int, command: int, payload: bytes) -> bytes:
    """A whole AA55 frame."""
    head = PREFIX + bytes((sender, receiver)) + command.to_bytes(2, "big")
    frame = head + bytes((len(payload),)) + payload
    return frame + _sum_of(frame)


def aa55_reply(command: int, payload: bytes) -> bytes:
    """The frame in which an inverter answers ``command``."""
    return aa55_frame(_INVERTER, _MASTER, command | _REPLY_BIT, payload)


def check_prefix(received: bytes) -> None:
    """Raise ``TransientDeviceError`` unless ``received`` begins with ``AA 55`` or a part of it."""
    if not PREFIX.startswith(received[: len(PREFIX)]):
        raise TransientDeviceError(
            f"no reply of a GoodWe dongle (begins {received[:4].hex(' ')}); is the port right?",
            fault=Fault.MALFORMED,
        )


def _sum_of(data: bytes) -> bytes:
    return (sum(data) & 0xFFFF).to_bytes(_SUM_SIZE, "big")
