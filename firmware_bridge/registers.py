"""Registers to numbers: the types that devices use, most significant word and byte first.

Pure. Knows no device: sentinels that mean "not there" belong to whoever defines the registers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RegisterType:
    """How a number lies in one or more 16-bit registers."""

    name: str
    count: int
    """Registers it takes."""
    layout: str
    """``struct`` code of the whole."""


REGISTER_TYPES: dict[str, RegisterType] = {
    kind.name: kind
    for kind in (
        RegisterType("uint16", 1, ">H"),
        RegisterType("int16", 1, ">h"),
        RegisterType("uint32", 2, ">I"),
        RegisterType("int32", 2, ">i"),
        RegisterType("float32", 2, ">f"),
    )
}


def decode_number(registers: Sequence[int], offset: int, kind: RegisterType) -> float:
    """The number of type ``kind`` that starts at ``registers[offset]``; a float may be NaN.

    Raises:
        IndexError: ``registers`` ends before the number does.
    """
    words = registers[offset : offset + kind.count]
    if offset < 0 or len(words) != kind.count:
        raise IndexError(f"{kind.name} at {offset} does not fit into {len(registers)} registers")
    number: float = struct.unpack(kind.layout, struct.pack(f">{kind.count}H", *words))[0]
    return number


def decode_text(registers: Sequence[int]) -> str:
    """Text, two characters to a register, up to the first NUL; ``?`` for what cannot be shown."""
    raw = struct.pack(f">{len(registers)}H", *registers).split(b"\0", 1)[0]
    text = raw.decode("ascii", errors="replace").replace("\ufffd", "?")
    return "".join(c if c.isprintable() else "?" for c in text).strip()
