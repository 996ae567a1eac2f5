"""What is acknowledged, void or still to be sent: the bookkeeping of the journal, without I/O.

Sequence numbers are unique within a journal file and every epoch owns one unbroken stretch of them,
so one set of ranges tells the state of all entries. Not thread-safe; the journal holds the lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import accumulate, islice

from models.contract.messages import SeqRange, Void

from .seq_ranges import SeqRanges


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one epoch that the centre has not acknowledged; void when ``reason`` stands."""

    epoch: str
    first_seq: int
    """First sequence number of the epoch."""
    first: int
    last: int
    reason: str | None = None


class Outbox:
    """The state of every sequence number from the file's first epoch to ``last_seq``."""

    def __init__(
        self,
        epochs: Sequence[tuple[int, str]],
        last_seq: int,
        done: SeqRanges,
        voids: Iterable[Void] = (),
    ) -> None:
        """``epochs``: first sequence number and name of each, ascending, the running one last."""
        self._epochs = list(epochs)
        self.last_seq = last_seq
        self.done = done
        self.voids = {void.first: void for void in voids}
        self.held = SeqRanges()
        """Entries whose time is not known yet: not to be sent now."""
        self.under_way = SeqRanges()
        """What the uplink has sent and not heard of yet."""

    def copy(self) -> Outbox:
        """An independent copy, to look at without the lock."""
        other = Outbox(self._epochs, self.last_seq, self.done.copy(), self.voids.values())
        other.held = self.held.copy()
        return other

    def declare(self, void: Void) -> None:
        """``void`` will never be sent; of two with one beginning the longer holds."""
        known = self.voids.get(void.first)
        if known is None or known.last < void.last:
            self.voids[void.first] = void

    def acknowledge(self, epoch: str, ranges: Iterable[SeqRange], through: int = 0) -> int:
        """Mark ``ranges`` of ``epoch`` and all of it up to ``through``; how many were new.

        Whatever lies outside the epoch or was never committed is ignored.
        """
        span = self.epoch_range(epoch)
        if span is None:
            return 0
        before = self.done.count()
        for first, last in (*ranges, (span[0], through)):
            self.done.add(max(first, span[0]), min(last, span[1]))
        return self.done.count() - before

    def rewind(self, ranges: Iterable[SeqRange]) -> int:
        """Unmark ``ranges``, and what is void since; how many were marked."""
        before = self.done.count()
        since = self.last_seq + 1
        for first, last in ranges:
            since = min(since, first)
            self.done.remove(first, last)
        for void in self.voids.values():  # whoever lost the entries does not know of these either
            if void.last >= since:
                self.done.remove(void.first, void.last)
        return before - self.done.count()

    def settled_voids(self) -> list[Void]:
        """What is void, and known to be so at the centre."""
        return [one for one in self.voids.values() if self.done.covers(one.first, one.last)]

    def pending(self) -> int:
        """How many sequence numbers are not acknowledged."""
        return sum(last - first + 1 for first, last in self.done.gaps(self.lowest, self.last_seq))

    def spans(self, after: int, upto: int, under_way: SeqRanges) -> Iterator[Span]:
        """What is neither acknowledged, held nor ``under_way`` in ``after < seq <= upto``."""
        covered = self.done.copy()
        covered.update(under_way)
        covered.update(self.held)
        void = self.void_ranges()
        voids = sorted(self.voids.values(), key=lambda one: one.first)
        ends_by = list(accumulate((one.last for one in voids), max))
        for gap_first, gap_last in covered.gaps(after + 1, min(upto, self.last_seq)):
            for index, (first_seq, epoch) in enumerate(self._epochs):
                first, last = max(gap_first, first_seq), min(gap_last, self._end_of(index))
                if last < first:
                    continue
                sendable = (Span(epoch, first_seq, *part) for part in void.gaps(first, last))
                gone = _overlapping(voids, bisect_left(ends_by, first), first, last)
                told = (Span(epoch, first_seq, *ends, reason) for ends, reason in gone)
                yield from merge(sendable, told, key=lambda part: part.first)

    def void_ranges(self) -> SeqRanges:
        """Everything that will never be sent."""
        return SeqRanges((one.first, one.last) for one in self.voids.values())

    def epoch_range(self, epoch: str) -> SeqRange | None:
        """First and last committed sequence number of ``epoch`` (last below first: none yet)."""
        for index, (first, name) in enumerate(self._epochs):
            if name == epoch:
                return first, self._end_of(index)
        return None

    @property
    def lowest(self) -> int:
        """First sequence number of the file."""
        return self._epochs[0][0]

    def _end_of(self, index: int) -> int:
        following = self._epochs[index + 1 : index + 2]
        return following[0][0] - 1 if following else self.last_seq


def _overlapping(
    voids: Sequence[Void], begin: int, first: int, last: int
) -> Iterator[tuple[SeqRange, str]]:
    """The parts of ``voids`` (ascending, looked at from ``begin`` on) within ``first..last``."""
    for one in islice(voids, begin, None):
        if one.first > last:
            return
        if one.last >= first:
            yield (max(one.first, first), min(one.last, last)), one.reason
