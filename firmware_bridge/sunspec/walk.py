"""Finding the models of a device: from the marker along the chain to its end.

A chain may hold several devices behind one unit address: each begins with a common model (an
inverter, then its meters). Models without a definition are kept and passed over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ..errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from .layout import HEADER_SIZE

Read = Callable[[int, int], Awaitable[bytes]]
"""Registers from an address: ``read(address, count)`` gives two bytes each. Raises
``DeviceError``."""

BASES = (40_000, 0, 50_000)
"""Where a map may begin, most usual first (SunSpec information model specification)."""
MARKER = b"SunS"
END = 0xFFFF
COMMON = 1
MOST_MODELS = 128
"""A chain ends here: a longer one is a device gone wrong."""


@dataclass(frozen=True)
class Found:
    """One model of a device."""

    number: int
    address: int
    """Of its header."""
    length: int
    """Registers behind the header."""
    device: int
    """Which device of the chain it belongs to, from 0."""

    @property
    def size(self) -> int:
        """Registers, header included."""
        return HEADER_SIZE + self.length


async def find_base(read: Read, bases: Sequence[int] = BASES) -> int:
    """Address of the marker.

    Raises:
        TransientDeviceError: Silence or noise: says nothing about the map.
        PermanentDeviceError: The device answers, and has no map.
    """
    refusal: DeviceError | None = None
    for base in bases:
        try:
            marker = await read(base, len(MARKER) // 2)
        except PermanentDeviceError as error:
            # A refused address is an answer: look elsewhere.
            if error.fault is not Fault.EXCEPTION:
                raise
            refusal = error
            continue
        if marker == MARKER:
            return base
    raise PermanentDeviceError(
        f"answers, but has no SunSpec map at {', '.join(map(str, bases))}; is SunSpec enabled in "
        "the device, and is the unit address right?"
    ) from refusal


async def walk(read: Read, base: int) -> list[Found]:
    """All models behind the marker at ``base``.

    Raises:
        TransientDeviceError: A read failed, or the chain makes no sense; says where.
    """
    models: list[Found] = []
    address = base + len(MARKER) // 2
    device = 0
    while address + HEADER_SIZE <= 65_536:
        header = await _header(read, address, models)
        if header is None:
            return models
        number, length = header
        if number == COMMON and models:
            device += 1
        models.append(Found(number, address, length, device))
        address += HEADER_SIZE + length
        if len(models) >= MOST_MODELS:
            raise TransientDeviceError(
                f"its SunSpec chain has no end: {MOST_MODELS} models up to {address}"
            )
    raise TransientDeviceError(f"its SunSpec chain runs beyond the last register ({address})")


async def _header(read: Read, address: int, before: Sequence[Found]) -> tuple[int, int] | None:
    """Number and length of the model at ``address``; None at the chain's end."""
    try:
        raw = await read(address, HEADER_SIZE)
    except PermanentDeviceError as error:
        if error.fault is Fault.EXCEPTION and before:
            # Some devices refuse what lies behind their last model instead of marking the end.
            return None
        raise
    number, length = int.from_bytes(raw[:2], "big"), int.from_bytes(raw[2:], "big")
    if number == END or (number == 0 and length == 0):
        return None
    if address + HEADER_SIZE + length > 65_536:
        raise TransientDeviceError(
            f"its SunSpec chain makes no sense at {address}: model {number} of {length} registers"
        )
    return number, length
