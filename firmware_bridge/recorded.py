"""Recorded frames to register blocks: what a reply in a file says about which registers. Pure.

A recording is held to the same checks as a live reply: checksum, unit, function, count,
transaction. What fails them is refused with its reason and decodes to nothing. Where only the reply
is known, its address must be given, or follow from its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import DeviceError, PermanentDeviceError, TransientDeviceError
from .flight import EVENT, SEND, Recording
from .goodwe.framing import Aa55RtuFraming
from .modbus.framing import Framing, RtuFraming, TcpFraming, rtu_size
from .modbus.request import READ_FUNCTIONS, ReadRequest
from .poll_plan import Block

_NOT_HEX = re.compile(r"[^0-9a-fA-F]")
_PREFIX = re.compile(r"0[xX]|\\x")
_RTU = RtuFraming(9600)
_TCP = TcpFraming()
_AA55_RTU = Aa55RtuFraming()
_AA55 = b"\xaa\x55"
_TCP_REQUEST = 12  # bytes of a read


@dataclass(frozen=True)
class RecordedBlock:
    """Registers of one believed reply."""

    unit: int
    block: Block
    data: bytes
    time_s: float | None = None


@dataclass(frozen=True)
class Refused:
    """Something in a file that is not believed."""

    what: str
    reason: str


@dataclass
class Replies:
    """What a recording holds."""

    blocks: list[RecordedBlock] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def hex_bytes(text: str, place: str) -> bytes:
    """Bytes written as hexadecimal, with any blanks, commas or ``0x`` between.

    Raises:
        PermanentDeviceError: Something else stands there.
    """
    bare = re.sub(r"[\s,;:]", "", _PREFIX.sub("", text))
    if _NOT_HEX.search(bare) or len(bare) % 2 or not bare:
        raise PermanentDeviceError(
            f"{place}: not the bytes of a frame in hexadecimal: {text.strip()[:60]!r}"
        )
    return bytes.fromhex(bare)


def read_request(frame: bytes, place: str = "--request") -> ReadRequest:
    """The read that ``frame`` (RTU or TCP) asks for. Raises ``PermanentDeviceError``."""
    if len(frame) == _TCP_REQUEST and frame[2:4] == b"\0\0" and frame[4:6] == b"\0\x06":
        transaction, body = int.from_bytes(frame[:2], "big"), frame[6:12]
    elif len(frame) in (6, 8):
        transaction, body = 0, frame[:6]
    else:
        raise PermanentDeviceError(
            f"{place}: {frame.hex(' ')} is no Modbus read; give the RTU request (8 bytes) or the "
            "TCP request (12 bytes)"
        )
    address, count = int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
    try:
        return ReadRequest(body[0], body[1], address, count, transaction)
    except PermanentDeviceError as error:
        raise PermanentDeviceError(f"{place}: {error}") from error


def framing_of(reply: bytes) -> Framing[Any]:
    """The framing that ``reply`` is written in. Raises ``TransientDeviceError`` if in none."""
    if reply.startswith(_AA55):
        return _AA55_RTU
    if (
        len(reply) >= 9
        and reply[2:4] == b"\0\0"
        and int.from_bytes(reply[4:6], "big") + 6 == len(reply)
    ):
        return _TCP
    return _RTU


def reply_to(request: ReadRequest, reply: bytes) -> RecordedBlock:
    """``reply`` if it is the whole answer to ``request``. Raises ``DeviceError``."""
    framing = framing_of(reply)
    data = framing.check(request, reply)
    if data is None:
        raise TransientDeviceError(f"only {len(reply)} bytes of a reply")
    block = Block(request.function, request.address, request.count)
    return RecordedBlock(request.unit, block, data)


def lone_reply(reply: bytes, address: int | Callable[[int, int], int]) -> RecordedBlock:
    """A reply whose request is not known; ``address`` may follow from (function, count).

    Raises:
        DeviceError: Damaged, cut, an exception, or nothing that was read.
    """
    head = _head(reply)
    if head is None:
        raise TransientDeviceError(f"only {len(reply)} bytes of a reply")
    transaction, unit, function, count = head
    if function & 0x80:
        count = 1
    if function & 0x7F not in READ_FUNCTIONS or not 1 <= count <= 125:
        raise TransientDeviceError(
            f"not a reply to a read (unit {unit}, function {function}, {count} registers)"
        )
    function &= 0x7F
    start = address if isinstance(address, int) else address(function, count)
    return reply_to(ReadRequest(unit, function, start, count, transaction), reply)


def _head(reply: bytes) -> tuple[int, int, int, int] | None:
    """Transaction, unit, function and registers as the reply itself tells them."""
    framing = framing_of(reply)
    if framing is _TCP:
        transaction, body = int.from_bytes(reply[:2], "big"), reply[6:]
    else:
        transaction, body = 0, reply[2:] if framing is _AA55_RTU else reply
    if len(body) < 3:
        return None
    return transaction, body[0], body[1], body[2] // 2


def replies_of(recording: Recording) -> Replies:
    """All believed replies of ``recording``, each to the request sent before it."""
    replies = Replies()
    request: ReadRequest | None = None
    framing: Framing[Any] | None = None
    received = b""
    for entry in recording.entries:
        if entry.kind == EVENT:
            continue
        if entry.kind == SEND:
            _end_of(request, received, replies)
            received = b""
            request = _request_of(entry.data, replies)
            framing = _TCP if len(entry.data) == _TCP_REQUEST else None
            continue
        received += entry.data
        if request is None:
            replies.refused.append(Refused(entry.data.hex(" "), "nobody asked for it"))
            received = b""
            continue
        try:
            found = _answer(request, received, framing or framing_of(received))
        except DeviceError as error:
            replies.refused.append(Refused(f"{request}: {received.hex(' ')}", error.reason))
            request, received = None, b""
            continue
        if found is not None:
            replies.blocks.append(RecordedBlock(found.unit, found.block, found.data, entry.time_s))
            request, received = None, b""
    _end_of(request, received, replies)
    return replies


def rounds(blocks: Sequence[RecordedBlock]) -> list[list[RecordedBlock]]:
    """``blocks`` cut where a unit is asked for the same again: one list a poll of one unit."""
    finished: list[list[RecordedBlock]] = []
    open_rounds: dict[int, list[RecordedBlock]] = {}
    for one in blocks:
        current = open_rounds.get(one.unit)
        if current is None or any(other.block == one.block for other in current):
            current = open_rounds[one.unit] = []
            finished.append(current)
        current.append(one)
    return finished


def _request_of(frame: bytes, replies: Replies) -> ReadRequest | None:
    try:
        return read_request(frame, "sent")
    except PermanentDeviceError as error:
        replies.refused.append(Refused(frame.hex(" "), error.reason))
        return None


def _answer(request: ReadRequest, received: bytes, framing: Framing[Any]) -> RecordedBlock | None:
    data = framing.check(request, received)
    if data is None:
        return None
    return RecordedBlock(
        request.unit, Block(request.function, request.address, request.count), data
    )


def _end_of(request: ReadRequest | None, received: bytes, replies: Replies) -> None:
    if request is not None and received:
        reason = f"only {len(received)} bytes of a reply"
        replies.refused.append(Refused(f"{request}: {received.hex(' ')}", reason))


def split_frames(data: bytes) -> list[bytes]:
    """``data`` cut where one whole frame follows another; in one piece where that does not work
    out to the last byte."""
    frames, left = [], data
    while left:
        size = _frame_size(left)
        if size is None or size > len(left):
            return [data]
        frames.append(left[:size])
        left = left[size:]
    return frames


def _frame_size(data: bytes) -> int | None:
    """Length of the frame that ``data`` begins with, by its own account."""
    try:
        if data.startswith(b"\xaa\x55\x7f\xc0"):
            return 9 + data[6] if len(data) > 6 else None
        if data.startswith(_AA55):
            size = rtu_size(data[2:])
            return None if size is None else 2 + size
        if len(data) >= 9 and data[2:4] == b"\0\0" and data[4] == 0 and data[7] & 0x7F in (3, 4):
            return 6 + data[5]
        return rtu_size(data)
    except DeviceError:
        return None
