"""Which registers to ask for together: few requests, none longer than the device allows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """``count`` registers from ``address``, fetched by one request."""

    address: int
    count: int

    @property
    def end(self) -> int:
        return self.address + self.count


def plan(wanted: Iterable[Block], *, longest: int, bridge: int) -> tuple[Block, ...]:
    """Fewest requests that cover ``wanted``, in order of address.

    Args:
        wanted: Values, in any order; one value is never split.
        longest: Most registers of one request.
        bridge: Most unwanted registers between two values of one request; 0 where the device
            refuses addresses that are not in its map.

    Raises:
        ValueError: A value is longer than ``longest``.
    """
    blocks: list[Block] = []
    for value in sorted(set(wanted)):
        if value.count > longest:
            raise ValueError(
                f"{value.count} registers at {value.address}; a request takes {longest}"
            )
        if blocks:
            last = blocks[-1]
            joined = Block(last.address, max(last.end, value.end) - last.address)
            if value.address - last.end <= bridge and joined.count <= longest:
                blocks[-1] = joined
                continue
        blocks.append(value)
    return tuple(blocks)
