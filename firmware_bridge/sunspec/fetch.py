"""Reading models so that each value meets the scale factor it was made with.

Models that lie next to each other are fetched together; a model that fits into one request is
believed because values, factors and header come in the same reply. A longer one takes several
requests; its factors are read before and behind them, and if one has changed, the values are
thrown away: nobody knows which they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import TransientDeviceError
from ..modbus.request import MAX_REGISTERS
from ..poll_plan import Block, plan
from .definitions import Definition
from .layout import HEADER_SIZE, Placed
from .points import model_layout
from .walk import Found, Read


def requests_for(models: Sequence[Found]) -> tuple[Block, ...]:
    """The requests that fetch ``models``, each of which fits into one; neighbours together."""
    spans = [Block(0, model.address, model.size) for model in models]
    return plan(spans, longest=MAX_REGISTERS, bridge=MAX_REGISTERS)


class Fetcher:
    """Reads models through ``read``; remembers how long ones are cut."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._cuts: dict[Found, _Cuts] = {}

    async def fetch(self, models: Sequence[tuple[Found, Definition]]) -> list[bytes]:
        """The registers of each of ``models``, header included, in their order.

        Raises:
            TransientDeviceError: A read failed, a model is not where it was, or factors changed.
        """
        short = [found for found, _ in models if found.size <= MAX_REGISTERS]
        blocks: list[tuple[Block, bytes]] = []
        for block in requests_for(short):
            blocks.append((block, await self._read(block.address, block.count)))
        images = []
        for found, definition in models:
            image = _cut_out(blocks, found)
            if image is None:
                image = await self._fetch_long(found, definition)
            _check_header(found, image)
            images.append(image)
        return images

    async def _fetch_long(self, found: Found, definition: Definition) -> bytes:
        cuts = self._cuts.get(found)
        if cuts is None:
            # Its count points tell how it is laid out: read once to know where it may be cut.
            image = await self._in_pieces(found, _even_cuts(found))
            _check_header(found, image)
            cuts = self._cuts[found] = _cuts_of(found, definition, image)
        factors = cuts.factors
        before = await self._factors(found, factors)
        image = await self._in_pieces(found, cuts.places)
        after = await self._factors(found, factors)
        if factors is not None and not before == after == image[2 * factors[0] : 2 * factors[1]]:
            raise TransientDeviceError(
                f"the scale factors of model {found.number} changed while it was read; its values "
                "are thrown away"
            )
        if _cuts_of(found, definition, image) != cuts:
            del self._cuts[found]
            raise TransientDeviceError(f"model {found.number} has changed its layout; read again")
        return image

    async def _factors(self, found: Found, span: tuple[int, int] | None) -> bytes:
        if span is None:
            return b""
        return await self._read(found.address + span[0], span[1] - span[0])

    async def _in_pieces(self, found: Found, places: Sequence[int]) -> bytes:
        pieces = []
        for start, end in pairwise(places):
            pieces.append(await self._read(found.address + start, end - start))
        return b"".join(pieces)


@dataclass(frozen=True)
class _Cuts:
    """How a long model is read."""

    places: tuple[int, ...]
    """Offsets of the requests, and the end."""
    factors: tuple[int, int] | None
    """First and end offset of the registers that hold factors; None without any."""


def _cut_out(blocks: Sequence[tuple[Block, bytes]], found: Found) -> bytes | None:
    span = Block(0, found.address, found.size)
    for block, data in blocks:
        if block.holds(span):
            start = 2 * (found.address - block.address)
            return data[start : start + 2 * found.size]
    return None


def _cuts_of(found: Found, definition: Definition, image: bytes) -> _Cuts:
    layout = model_layout(definition, image)
    return _Cuts(_point_cuts(found, layout), _factor_span(layout))


def _even_cuts(found: Found) -> tuple[int, ...]:
    return (*range(0, found.size, MAX_REGISTERS), found.size)


def _point_cuts(found: Found, layout: Sequence[Placed]) -> tuple[int, ...]:
    """Where to cut the model into requests: never within a number."""
    cuts, end = [0], HEADER_SIZE
    for placed in layout:
        if placed.end - cuts[-1] > MAX_REGISTERS:
            cuts.append(end)
        end = placed.end
    while found.size - cuts[-1] > MAX_REGISTERS:
        cuts.append(cuts[-1] + MAX_REGISTERS)
    return (*cuts, found.size)


def _factor_span(layout: Sequence[Placed]) -> tuple[int, int] | None:
    places = [placed.offset for placed in layout if placed.point.type == "sunssf"]
    if not places:
        return None
    first, end = min(places), max(places) + 1
    return first, min(end, first + MAX_REGISTERS)


def _check_header(found: Found, image: bytes) -> None:
    number, length = int.from_bytes(image[:2], "big"), int.from_bytes(image[2:4], "big")
    if (number, length) != (found.number, found.length):
        raise TransientDeviceError(
            f"model {found.number} is not at {found.address} any more (found {number}, length "
            f"{length}); will look for it again"
        )
