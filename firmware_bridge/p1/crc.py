"""The two checks of a telegram's bytes: its CRC-16, and the parity bit of each character."""

from __future__ import annotations

_REFLECTED_POLYNOMIAL = 0xA001  # x^16 + x^15 + x^2 + 1


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ (_REFLECTED_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _table()
_EVEN = bytes(value.bit_count() & 1 for value in range(256))
_WITHOUT_PARITY = bytes(value & 0x7F for value in range(256))


def crc16(data: bytes) -> int:
    """CRC-16 of DSMR P1 companion standard 5.0.2, section 6.2: start value 0, nothing inverted."""
    crc = 0
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def without_even_parity(data: bytes) -> bytes | None:
    """``data`` without its bit 7, which makes the ones of each byte even; None if one is odd."""
    if any(data.translate(_EVEN)):
        return None
    return data.translate(_WITHOUT_PARITY)
