"""Which registers to ask for together: few requests, none longer than the device allows. Pure.

Decides the requests of a poll; when to poll is decided elsewhere, how long the requests take on a
line is told by ``airtime``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """``count`` registers from ``address``, fetched by one request with ``function``."""

    function: int
    address: int
    count: int

    @property
    def end(self) -> int:
        return self.address + self.count

    def holds(self, other: Block) -> bool:
        """Whether ``other`` lies inside."""
        return (
            self.function == other.function
            and self.address <= other.address
            and other.end <= self.end
        )


def plan(
    wanted: Iterable[Block], *, longest: int, bridge: int, barriers: Iterable[int] = ()
) -> tuple[Block, ...]:
    """Fewest requests that cover ``wanted``, in order of function and address.

    Taking up each value while it fits is optimal: values have an order, none is split, and a
    request that ends later leaves the next ones nothing more to cover
    (``benchmarks/poll_plans.py`` compares with an exhaustive search for every profile).

    Args:
        wanted: Values, in any order; one value is never split.
        longest: Most registers of one request.
        bridge: Most unwanted registers between two values of one request; 0 where the device
            refuses addresses that are not in its map.
        barriers: Addresses that no request may reach across.

    Raises:
        ValueError: A value is longer than ``longest``.
    """
    barriers = tuple(barriers)
    blocks: list[Block] = []
    for value in sorted(set(wanted)):
        if value.count > longest:
            raise ValueError(
                f"{value.count} registers at {value.address}; a request takes {longest}"
            )
        if blocks:
            last = blocks[-1]
            end = max(last.end, value.end)
            joined = Block(last.function, last.address, end - last.address)
            if (
                value.function == last.function
                and value.address - last.end <= bridge
                and joined.count <= longest
                and not any(joined.address < barrier < joined.end for barrier in barriers)
            ):
                blocks[-1] = joined
                continue
        blocks.append(value)
    return tuple(blocks)
