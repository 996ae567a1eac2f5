"""What stands in a frame of a sensor node, version 1, and its way into bytes and back. Pure.

Content, little-endian: version (1 byte), node (2), sequence (2), uptime (4), status (2); then
fields of number (1), size (1) and value; then the CRC (2) of all before it. A field that a node
does not measure is left out; one of an unknown number is stepped over, so that later firmware may
add fields. What changes the meaning of the rest gets another version, and version and CRC stay
where they are for ever: a decoder can always say that it does not know one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag

from .cobs import cobs_encode

VERSION = 1
LONGEST_CONTENT = 128
"""Bytes; version 1 needs 33, the rest is room for later fields."""
DELIMITER = b"\0"
_HEAD = struct.Struct("<BHHIH")
_CRC_SIZE = 2
_CRC_POLYNOMIAL, _CRC_START = 0x1021, 0xFFFF


class Status(IntFlag):
    """What a node knows to be wrong with itself."""

    IRRADIANCE_FAULT = 1
    MODULE_FAULT = 2
    AIR_FAULT = 4
    SUPPLY_LOW = 8
    WATCHDOG_RESTART = 16
    """It was started anew by its watchdog."""
    GHI_FAULT = 32


@dataclass(frozen=True, slots=True)
class FieldKind:
    """One field: its number on the wire, and how its value lies there."""

    number: int
    name: str
    """Of the quantity or detail."""
    code: str
    """``struct`` code; all fields of version 1 take two bytes."""
    per_unit: int
    """Steps of the value to one base unit."""
    fault: Status = Status(0)
    """What says that the value cannot be believed."""

    @property
    def layout(self) -> struct.Struct:
        return struct.Struct("<" + self.code)


FIELDS: dict[int, FieldKind] = {
    kind.number: kind
    for kind in (
        FieldKind(1, "poa_global", "h", 10, Status.IRRADIANCE_FAULT),
        FieldKind(2, "temp_module", "h", 100, Status.MODULE_FAULT),
        FieldKind(3, "temp_air", "h", 100, Status.AIR_FAULT),
        FieldKind(4, "supply_voltage", "H", 1000),
        FieldKind(5, "ghi", "h", 10, Status.GHI_FAULT),
    )
}


@dataclass(frozen=True)
class NodeFrame:
    """What a node said at one moment; values as on the wire, by field name."""

    node: int
    sequence: int
    """Counts frames, starts again from 0 after 65535."""
    uptime_s: int
    status: int = 0
    values: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[int, bytes] = field(default_factory=dict)
    """Fields that this version has no name for."""


class OtherVersion(ValueError):
    """A whole frame of a version that is not known here."""


def crc16_ccitt(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: x^16 + x^12 + x^5 + 1, start value 0xFFFF, nothing reflected."""
    crc = _CRC_START
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _CRC_TABLE[crc >> 8 ^ byte]
    return crc


def encode_frame(frame: NodeFrame) -> bytes:
    """``frame`` as it goes over the wire, delimiters included.

    The delimiter in front ends what noise may have begun. Fields go in the order of their numbers.

    Raises:
        ValueError: A value does not fit, or has no field.
    """
    try:
        content = _HEAD.pack(VERSION, frame.node, frame.sequence, frame.uptime_s, frame.status)
        pieces = dict(frame.unknown)
        for name, value in frame.values.items():
            kind = next((kind for kind in FIELDS.values() if kind.name == name), None)
            if kind is None:
                raise ValueError(f"{name}: a frame of version {VERSION} has no such field")
            pieces[kind.number] = kind.layout.pack(value)
        for number, piece in sorted(pieces.items()):
            content += bytes((number, len(piece))) + piece
    except struct.error as error:
        raise ValueError(f"does not fit into a frame: {error}") from error
    if len(content) + _CRC_SIZE > LONGEST_CONTENT:
        raise ValueError(f"longer than {LONGEST_CONTENT} bytes")
    return wrap(content)


def wrap(content: bytes) -> bytes:
    """``content`` with CRC, stuffed, between delimiters."""
    return DELIMITER + cobs_encode(content + crc16_ccitt(content).to_bytes(2, "little")) + DELIMITER


def has_right_crc(content: bytes) -> bool:
    """Whether ``content`` ends in the CRC of what stands before."""
    body, sent = content[:-_CRC_SIZE], content[-_CRC_SIZE:]
    return len(content) > _CRC_SIZE and crc16_ccitt(body).to_bytes(2, "little") == sent


def parse_frame(content: bytes) -> NodeFrame:
    """The frame in ``content``, whose CRC is right.

    Raises:
        OtherVersion: It must be read by other rules than these.
        ValueError: Its parts do not fit together.
    """
    body = content[:-_CRC_SIZE]
    if body[0] != VERSION:
        raise OtherVersion(
            f"frame of version {body[0]}; this program knows version {VERSION} only: update it"
        )
    if len(body) < _HEAD.size:
        raise ValueError(f"only {len(body)} bytes, a head has {_HEAD.size}")
    _, node, sequence, uptime_s, status = _HEAD.unpack_from(body)
    values: dict[str, int] = {}
    unknown: dict[int, bytes] = {}
    at = _HEAD.size
    while at < len(body):
        number, size = body[at], body[at + 1] if at + 1 < len(body) else 0
        piece = body[at + 2 : at + 2 + size]
        if at + 2 + size > len(body):
            raise ValueError(f"field {number} goes beyond the end")
        kind = FIELDS.get(number)
        if number in unknown or (kind is not None and kind.name in values):
            raise ValueError(f"field {number} stands there twice")
        if kind is None:
            unknown[number] = piece
        elif size != kind.layout.size:
            raise ValueError(f"field {number} has {size} bytes, not {kind.layout.size}")
        else:
            values[kind.name] = kind.layout.unpack(piece)[0]
        at += 2 + size
    return NodeFrame(node, sequence, uptime_s, status, values, unknown)


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value << 8
        for _ in range(8):
            crc = (crc << 1 & 0xFFFF) ^ (_CRC_POLYNOMIAL if crc & 0x8000 else 0)
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()
