"""Numbers in registers: the types that devices use, and the orders they send bytes in.

Pure. Knows no device: sentinels that mean "not there" belong to whoever defines the registers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
"""How the bytes of a number of two registers travel: ``ABCD`` most significant first (the Modbus
way), ``CDAB`` words swapped, ``BADC`` bytes swapped within words, ``DCBA`` least significant first.
Longer numbers follow the same two rules."""


@dataclass(frozen=True, slots=True)
class RegisterType:
    """How a number lies in the data of a reply."""

    name: str
    size: int
    """Bytes it takes."""
    code: str
    """``struct`` code, without byte order."""

    @property
    def count(self) -> int:
        """Registers it takes (a type of one byte takes a part of one)."""
        return (self.size + 1) // 2

    @property
    def is_integer(self) -> bool:
        return self.code not in "fd"

    @property
    def span(self) -> float:
        """How many different integers it holds; where a counter starts again from 0."""
        return float(2 ** (8 * self.size))


REGISTER_TYPES: dict[str, RegisterType] = {
    kind.name: kind
    for kind in (
        RegisterType("uint8", 1, "B"),  # byte-oriented protocols only
        RegisterType("int8", 1, "b"),
        RegisterType("uint16", 2, "H"),
        RegisterType("int16", 2, "h"),
        RegisterType("uint32", 4, "I"),
        RegisterType("int32", 4, "i"),
        RegisterType("uint64", 8, "Q"),
        RegisterType("int64", 8, "q"),
        RegisterType("float32", 4, "f"),
        RegisterType("float64", 8, "d"),
    )
}


def in_order(raw: bytes, order: str) -> bytes:
    """``raw`` as it travels, or back: most significant byte first <-> ``order``."""
    if order == "ABCD" or len(raw) < 2:
        return raw
    words = [raw[i : i + 2] for i in range(0, len(raw), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return b"".join(words)


def decode_number(raw: bytes, kind: RegisterType, order: str = "ABCD") -> float:
    """The number of type ``kind`` in ``raw``, which is just as long; a float may be NaN."""
    number: float = struct.unpack(">" + kind.code, in_order(raw, order))[0]
    return number


def encode_number(number: float, kind: RegisterType, order: str = "ABCD") -> bytes:
    """Inverse of :func:`decode_number`. Raises ``struct.error`` when it does not fit."""
    value = int(number) if kind.is_integer else number
    return in_order(struct.pack(">" + kind.code, value), order)


def decode_text(raw: bytes) -> str:
    """Text, up to the first NUL; ``?`` for what cannot be shown.

    Some devices send two bytes for each character: such a text begins with a zero byte.
    """
    if len(raw) > 1 and not raw[0] and raw[1]:
        raw = raw[1::2] if not any(raw[0::2]) else b"?"
    text = raw.split(b"\0", 1)[0].decode("ascii", errors="replace").replace("\ufffd", "?")
    return "".join(c if c.isprintable() else "?" for c in text).strip()


def decode_clock(raw: bytes) -> str | None:
    """Six bytes (year of 2000, month, day, hour, minute, second) as text; None if no such time."""
    year, month, day, hour, minute, second = raw
    try:
        time = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001  # its own
    except ValueError:
        return None
    return time.isoformat(" ")


def encode_text(text: str, size: int) -> bytes:
    """Inverse of :func:`decode_text`: ``size`` bytes, cut or filled with NUL."""
    return text.encode("ascii", errors="replace")[:size].ljust(size, b"\0")
