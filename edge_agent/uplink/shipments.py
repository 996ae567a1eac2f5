"""What was handed to the broker and is not yet acknowledged by the centre. Pure; time is handed in.

A shipment leaves this list in four ways: acknowledged; not passed on by the broker; connection lost
before the broker had it; or no acknowledgement in time. Only the first means delivered; after the
others its entries are backlog again. So nothing that is under way is sent a second time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.journal.seq_ranges import SeqRanges
from models.contract.messages import SeqRange


@dataclass(slots=True)
class Shipment:
    """One message under way."""

    mid: int
    epoch: str
    seqs: SeqRanges
    deadline: float
    """Monotonic time by which the centre must have acknowledged."""
    batch: bool
    at_broker: bool = False
    """The broker has answered: it survives a lost connection."""


class Shipments:
    """Everything under way."""

    def __init__(self) -> None:
        self._all: list[Shipment] = []

    def add(
        self, mid: int, epoch: str, seqs: Iterable[SeqRange], deadline: float, *, batch: bool
    ) -> None:
        """A message was handed to the broker."""
        self._all.append(Shipment(mid, epoch, SeqRanges(seqs), deadline, batch))

    def passed_on(self, mid: int) -> None:
        """The broker has the message and somebody listens."""
        for one in self._all:
            if one.mid == mid and not one.at_broker:
                one.at_broker = True

    def take_back(self, mid: int) -> Shipment | None:
        """The broker did not pass the message on. Returns what it carried, if anything."""
        for one in self._all:
            if one.mid == mid and not one.at_broker:
                self._all.remove(one)
                return one
        return None

    def connection_lost(self) -> None:
        """What the broker had not answered yet is lost; the rest may still be acknowledged."""
        self._all = [one for one in self._all if one.at_broker]

    def acknowledge(self, epoch: str, ranges: Iterable[SeqRange]) -> int:
        """The centre has ``ranges`` of ``epoch``. Returns how many batches that completed."""
        ranges, completed = list(ranges), 0
        for one in self._all:
            if one.epoch == epoch:
                for first, last in ranges:
                    one.seqs.remove(first, last)
                completed += one.batch and not one.seqs
        self._all = [one for one in self._all if one.seqs]
        return completed

    def expire(self, now: float) -> list[Shipment]:
        """Remove and return what was not acknowledged in time."""
        late = [one for one in self._all if one.deadline <= now]
        self._all = [one for one in self._all if one.deadline > now]
        return late

    def under_way(self) -> SeqRanges:
        """Every sequence number under way."""
        return SeqRanges(pair for one in self._all for pair in one.seqs)

    def count(self, *, batch: bool) -> int:
        """How many batches, or single entries, are under way."""
        return sum(one.batch == batch for one in self._all)
