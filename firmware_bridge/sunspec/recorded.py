"""Recorded registers of a SunSpec device to values, as far as they go. Pure.

A recording seldom holds a whole session. Models are found along the chain from the marker where it
was recorded, else wherever a header was recorded in front of a body, and at last by their length:
a body of 50 registers is one of the inverter models 101 to 103, which share their layout.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PermanentDeviceError
from ..poll_plan import Block
from ..profile.schema import SunSpecOptions
from ..values import Decoded
from .definitions import definition
from .layout import HEADER_SIZE
from .meaning import ModelImage, decode_device
from .walk import COMMON, END, MARKER

_USUAL = SunSpecOptions()
_BODIES = {50: 103, 65: COMMON, 66: COMMON}
"""Model by the length of a body whose header was not recorded."""


def decode_recorded(
    blocks: Sequence[tuple[Block, bytes]], options: SunSpecOptions = _USUAL
) -> Decoded:
    """Everything that can be told from recorded ``blocks``.

    Raises:
        PermanentDeviceError: No model can be recognised in them; says what to record.
    """
    registers: dict[int, bytes] = {}
    for block, data in blocks:
        for index in range(block.count):
            registers[block.address + index] = data[2 * index : 2 * index + 2]
    models = _models_along_chains(registers, options)
    if not models:
        models = _models_by_length(blocks)
    if not models and not _only_marker(registers):
        raise PermanentDeviceError(
            "no SunSpec model can be recognised: record its header (number and length), or the "
            "chain from the marker on"
        )
    return decode_device(models, options, details=True, raw=True)


def _models_along_chains(registers: dict[int, bytes], options: SunSpecOptions) -> list[ModelImage]:
    """Models whose header was recorded; a chain is followed, else headers are looked for."""
    found: dict[int, ModelImage] = {}
    starts = [base + 2 for base in options.bases if _bytes(registers, base, 2) == MARKER]
    starts += sorted(registers)
    for start in starts:
        address = start
        while (header := _bytes(registers, address, HEADER_SIZE)) is not None:
            number, length = int.from_bytes(header[:2], "big"), int.from_bytes(header[2:], "big")
            known = definition(number) if number != END else None
            body = _bytes(registers, address + HEADER_SIZE, length) if length else None
            if known is None or address in found or not _fits(number, length):
                break
            if body is not None:
                if any(a < address < a + len(m.image) // 2 for a, m in found.items()):
                    break  # a pair of numbers inside another model that looks like a header
                found[address] = ModelImage(known, header + body)
            address += HEADER_SIZE + length
    return [found[address] for address in sorted(found)]


def _fits(number: int, length: int) -> bool:
    """Whether a model may be so long: within a definition's fixed part and what repeats."""
    known = definition(number)
    if known is None:
        return False
    fixed = sum(point.size for point in known.top.points) - HEADER_SIZE
    return length >= fixed - 1 if known.top.groups else abs(length - fixed) <= 1


def _models_by_length(blocks: Sequence[tuple[Block, bytes]]) -> list[ModelImage]:
    models = []
    for block, data in blocks:
        number = _BODIES.get(block.count)
        known = definition(number) if number is not None else None
        if known is not None and number is not None:
            header = number.to_bytes(2, "big") + block.count.to_bytes(2, "big")
            models.append(ModelImage(known, header + data))
    return models


def _only_marker(registers: dict[int, bytes]) -> bool:
    return (
        len(registers) == len(MARKER) // 2
        and b"".join(registers[address] for address in sorted(registers)) == MARKER
    )


def _bytes(registers: dict[int, bytes], address: int, count: int) -> bytes | None:
    pieces = [registers.get(address + index) for index in range(count)]
    if any(piece is None for piece in pieces):
        return None
    return b"".join(piece for piece in pieces if piece is not None)
