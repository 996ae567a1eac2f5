"""Consistent Overhead Byte Stuffing: any bytes as bytes without 0x00, so that 0x00 can end a frame.

Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2),
1999. Each block begins with the distance to the place of the next zero.
"""

from __future__ import annotations

_LONGEST_BLOCK = 254


def cobs_encode(data: bytes) -> bytes:
    """``data`` without zeros, one byte longer for each 254 that are begun."""
    encoded = bytearray()
    for piece in data.split(b"\0"):
        rest = piece
        while len(rest) >= _LONGEST_BLOCK:
            encoded.append(_LONGEST_BLOCK + 1)
            encoded += rest[:_LONGEST_BLOCK]
            rest = rest[_LONGEST_BLOCK:]
        encoded.append(len(rest) + 1)
        encoded += rest
    return bytes(encoded)


def cobs_decode(encoded: bytes) -> bytes:
    """Inverse of :func:`cobs_encode`. Raises ``ValueError`` for bytes that it does not make."""
    data = bytearray()
    at = 0
    while at < len(encoded):
        block = encoded[at]
        if block == 0:
            raise ValueError("a zero within the frame")
        stop = at + block
        if stop > len(encoded):
            raise ValueError("ends within a block")
        piece = encoded[at + 1 : stop]
        if 0 in piece:
            raise ValueError("a zero within the frame")
        data += piece
        at = stop
        if block <= _LONGEST_BLOCK and at < len(encoded):
            data.append(0)
    return bytes(data)
