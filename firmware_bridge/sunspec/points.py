"""SunSpec points in registers: decoding, with each type's way to say "not implemented", and
encoding.

A value and its scale factor come from the same registers: inverters change factors while they run.
An accumulator at 0 counts as not implemented, as the specification says: a counter is missing until
its first unit, which is harmless; a 0 among millions is not.
"""

from __future__ import annotations

import ipaddress
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..registers import decode_text, encode_text
from .definitions import Definition, Point
from .layout import HEADER_SIZE, Placed, lay_out, size_of

MAX_FACTOR = 10
"""Scale factors are powers of ten from -10 to 10."""
_WIDTH = 2  # bytes of a register

Value = float | str | None


@dataclass(frozen=True, slots=True)
class _Kind:
    code: str
    absent: float
    """NaN where nothing stands for "not implemented"."""


_NUMBERS: dict[str, _Kind] = {
    "int16": _Kind("h", -0x8000),
    "uint16": _Kind("H", 0xFFFF),
    "count": _Kind("H", 0xFFFF),
    "acc16": _Kind("H", 0),
    "enum16": _Kind("H", 0xFFFF),
    "bitfield16": _Kind("H", 0xFFFF),
    "sunssf": _Kind("h", -0x8000),
    "pad": _Kind("H", math.nan),
    "int32": _Kind("i", -0x8000_0000),
    "uint32": _Kind("I", 0xFFFF_FFFF),
    "acc32": _Kind("I", 0),
    "enum32": _Kind("I", 0xFFFF_FFFF),
    "bitfield32": _Kind("I", 0xFFFF_FFFF),
    "float32": _Kind("f", math.nan),
    "int64": _Kind("q", -(2**63)),
    "uint64": _Kind("Q", 2**64 - 1),
    "acc64": _Kind("Q", 0),
    "float64": _Kind("d", math.nan),
}
_STRUCTS = {name: struct.Struct(">" + kind.code) for name, kind in _NUMBERS.items()}


def raw_number(image: bytes, placed: Placed) -> float | None:
    """The number at ``placed`` without its factor; None if it is not implemented or not there."""
    kind = _NUMBERS.get(placed.point.type)
    at = placed.offset * _WIDTH
    if kind is None or at + placed.point.size * _WIDTH > len(image):
        return None
    number: float = _STRUCTS[placed.point.type].unpack_from(image, at)[0]
    return None if number == kind.absent or not math.isfinite(number) else number


def factor_of(image: bytes, placed: Placed) -> int | None:
    """The power of ten of ``placed``; 0 without one, None if its factor makes no sense."""
    factor = placed.factor
    if isinstance(factor, Placed):
        number = raw_number(image, factor)
        factor = None if number is None else int(number)
        return factor if factor is not None and abs(factor) <= MAX_FACTOR else None
    if factor is None and placed.point.factor is not None:
        return None  # the model ends before the factor
    return factor or 0


def scaled(number: float, power: int) -> float:
    """``number`` times ten to ``power``; dividing keeps 2357 * 10^-1 at 235.7."""
    if power < 0:
        return number / float(10**-power)
    return number * float(10**power)


def decode_point(image: bytes, placed: Placed) -> tuple[Value, str]:
    """The value at ``placed`` and, where there is none, why. ``image`` begins with the header."""
    kind = placed.point.type
    if placed.end * _WIDTH > len(image):
        return None, "the model ends before it"
    if kind not in _NUMBERS:
        return _decode_other(image[placed.offset * _WIDTH : placed.end * _WIDTH], kind)
    number = raw_number(image, placed)
    if number is None:
        return None, "not implemented by the device"
    power = factor_of(image, placed)
    if power is None:
        return None, "its scale factor is missing or out of range"
    return scaled(float(number), power), ""


def _decode_other(raw: bytes, kind: str) -> tuple[Value, str]:
    absent = (None, "not implemented by the device")
    if not any(raw):
        return absent
    if kind == "string":
        text = decode_text(raw)
        return (text, "") if text else absent
    if kind in ("ipaddr", "ipv6addr"):
        return str(ipaddress.ip_address(raw)), ""
    if kind == "eui48":
        address = raw[2:8]
        return (address.hex(":"), "") if address != b"\xff" * 6 else absent
    return None, f"type {kind} is unknown"


# -- whole models


def model_layout(definition: Definition, image: bytes) -> list[Placed]:
    """The layout of the model in ``image``: header, and as much of the body as there is."""
    length = int.from_bytes(image[_WIDTH : 2 * _WIDTH], "big")
    there = len(image) // _WIDTH - HEADER_SIZE

    def count_of(placed: Placed) -> int:
        return int(raw_number(image, placed) or 0)

    return lay_out(definition, min(length, max(0, there)), count_of)


def decode_model(definition: Definition, image: bytes) -> dict[str, Value]:
    """All values of a model by path, factors applied; None for what is not implemented."""
    return {
        placed.path: decode_point(image, placed)[0]
        for placed in model_layout(definition, image)
        if placed.point.type != "pad"
    }


def encode_model(
    definition: Definition, values: Mapping[str, Value], *, instances: Mapping[str, int] = {}
) -> bytes:
    """A model from its values by path: the inverse of :func:`decode_model`.

    Factors stand among the values under their own names. ``instances`` says how often a group
    repeats whose number the definition leaves to the length. What has no value is not implemented.

    Raises:
        ValueError: A value that does not fit its point.
    """

    def count(name: str) -> int:
        if name in instances:
            return instances[name]
        found = next((v for path, v in values.items() if path.split(".")[-1] == name), None)
        return int(found) if isinstance(found, (int, float)) else 0

    length = size_of(definition, count)
    placed = lay_out(definition, length, lambda counter: count(counter.point.name))
    image = bytearray((HEADER_SIZE + length) * _WIDTH)
    given = {**values, "ID": float(definition.number), "L": float(length)}
    for one in placed:
        raw = _encode(one, given)
        image[one.offset * _WIDTH : one.end * _WIDTH] = raw
    return bytes(image)


def _encode(placed: Placed, values: Mapping[str, Value]) -> bytes:
    point = placed.point
    value = values.get(placed.path)
    if point.type not in _NUMBERS:
        return _encode_other(point, value)
    packer = _STRUCTS[point.type]
    kind = _NUMBERS[point.type]
    if value is None or isinstance(value, str):
        if point.type == "pad":
            return b"\x80\x00"
        return packer.pack(kind.absent if kind.code in "fd" else int(kind.absent))
    power = placed.factor
    if isinstance(power, Placed):
        named = values.get(power.path)
        power = int(named) if isinstance(named, (int, float)) else 0
    number = value if not power else scaled(value, -power)
    try:
        return packer.pack(number if kind.code in "fd" else round(number))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{placed.path}: {value} does not fit into {point.type}") from error


def _encode_other(point: Point, value: Value) -> bytes:
    size = point.size * _WIDTH
    if not isinstance(value, str):
        return b"\xff" * size if point.type == "eui48" else b"\0" * size
    if point.type == "string":
        return encode_text(value, size)
    if point.type == "eui48":
        return bytes.fromhex(value.replace(":", "")).rjust(size, b"\0")
    return ipaddress.ip_address(value).packed


def build_map(models: Sequence[bytes]) -> bytes:
    """A whole SunSpec map: marker, ``models`` (headers included), end."""
    return b"SunS" + b"".join(models) + b"\xff\xff\x00\x00"
