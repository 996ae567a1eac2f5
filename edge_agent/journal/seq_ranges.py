"""A set of sequence numbers held as disjoint ranges: a million acknowledged entries are a few rows.

Pure bookkeeping; the journal keeps what is acknowledged in one, the uplink what is under way.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from models.contract.messages import SeqRange


class SeqRanges:
    """A mutable set of whole numbers, iterated as ascending, disjoint, never touching ranges."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[SeqRange] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add ``first..last``, both included. Nothing happens when ``last < first``."""
        if last < first:
            return
        # Every range that overlaps or touches the new one is swallowed by it.
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        """Remove ``first..last``, both included."""
        low, high = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        if last < first or low >= high:
            return
        kept = [(self._firsts[low], first - 1), (last + 1, self._lasts[high - 1])]
        kept = [pair for pair in kept if pair[0] <= pair[1]]
        self._firsts[low:high] = [pair[0] for pair in kept]
        self._lasts[low:high] = [pair[1] for pair in kept]

    def gaps(self, first: int, last: int) -> Iterator[SeqRange]:
        """The ranges within ``first..last`` that are not in the set, ascending."""
        position = bisect_left(self._lasts, first)
        while first <= last:
            if position == len(self._firsts) or self._firsts[position] > last:
                yield first, last
                return
            if first < self._firsts[position]:
                yield first, self._firsts[position] - 1
            first = self._lasts[position] + 1
            position += 1

    def within(self, first: int, last: int) -> Iterator[SeqRange]:
        """The parts of the set within ``first..last``, ascending."""
        position = bisect_left(self._lasts, first)
        while position < len(self._firsts) and self._firsts[position] <= last:
            yield max(first, self._firsts[position]), min(last, self._lasts[position])
            position += 1

    def covers(self, first: int, last: int) -> bool:
        """Whether all of ``first..last`` is in the set."""
        return next(self.gaps(first, last), None) is None

    def count(self) -> int:
        """How many numbers are in the set."""
        return sum(last - first + 1 for first, last in self)

    def copy(self) -> SeqRanges:
        """An independent copy."""
        other = SeqRanges()
        other._firsts, other._lasts = self._firsts[:], self._lasts[:]
        return other

    def update(self, ranges: Iterable[SeqRange]) -> None:
        """Add every range of ``ranges``."""
        for first, last in ranges:
            self.add(first, last)

    def __contains__(self, seq: int) -> bool:
        position = bisect_left(self._lasts, seq)
        return position < len(self._firsts) and self._firsts[position] <= seq

    def __iter__(self) -> Iterator[SeqRange]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __repr__(self) -> str:
        return f"SeqRanges({list(self)})"
