"""Which registers to ask for together: few requests, none longer than the device allows. Pure.

Decides the requests of a poll; when to poll is decided elsewhere, how long the requests take on a
line is told by ``airtime``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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


def arranged(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """``blocks`` in an order in which as few as possible of equal length follow each other.

    On a wire the answer to one request could be taken for that to the next of equal length, so the
    bus puts a fence between them (``modbus.bus``): an order that needs none saves exchanges.
    """
    left = list(blocks)
    order: list[Block] = []
    while left:
        lengths = Counter(block.count for block in left)
        last = order[-1].count if order else 0
        # The most frequent length goes first wherever it may, lest it remain for the end.
        best = max(left, key=lambda block: (block.count != last, lengths[block.count]))
        left.remove(best)
        order.append(best)
    return tuple(order)


def fences(blocks: Sequence[Block]) -> int:
    """How many fences a round of ``blocks``, asked again and again, needs on a wire."""
    if len(blocks) < 2:
        return 0  # a copy of the answer to the same question does no harm
    return sum(a.count == b.count for a, b in zip(blocks, (*blocks[1:], blocks[0]), strict=True))
