"""A run of the backlog becomes one message of bounded size. Pure.

Nothing in a batch may make the centre refuse it as a whole, so every body is checked on the way,
and what could never be accepted is declared void with the reason instead of being tried for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.contract.errors import PayloadError
from models.contract.messages import Batch, Entry, SeqRange, Void, to_ranges
from models.contract.payload import encode_batch, parse_json

from ..journal.journal import Backlog

TEXT_PER_BYTE = 5
"""Text read for each byte allowed on the wire: JSON of readings shrinks to a seventh and less."""
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch ready to be sent; ``payload`` is None when nothing was left to send."""

    payload: bytes | None
    epoch: str
    ranges: tuple[SeqRange, ...]
    """What the centre acknowledges when it has committed the batch: entries and voids."""
    entries: int
    last: int
    """The search for the next batch goes on behind this sequence number."""
    unsendable: tuple[Void, ...] = ()
    """Entries that can never be sent; already declared void in this batch."""
    oversize: tuple[int, ...] = ()
    """Entries that this broker does not take, alone and compressed."""


def pack(backlog: Backlog, limit: int) -> Packed:
    """Compress as much of ``backlog``, from its start, as fits into ``limit`` bytes."""
    entries: list[Entry] = []
    unsendable: list[Void] = []
    for entry in backlog.entries:
        try:
            parse_json(entry.body.encode())
            entries.append(entry)
        except (PayloadError, UnicodeEncodeError) as error:
            reason = f"cannot be sent: {error}"[:_LONGEST_REASON]
            unsendable.append(Void(entry.key.seq, entry.key.seq, reason))
    oversize: list[int] = []
    last = backlog.last
    while True:
        voids = tuple(void for void in (*backlog.voids, *unsendable) if void.first <= last)
        payload = None
        if entries or voids:
            payload = encode_batch(Batch(backlog.epoch, backlog.first_seq, tuple(entries), voids))
        if payload is None or len(payload) <= limit or not entries:
            break
        if len(entries) == 1:
            oversize.append(entries.pop().key.seq)
            continue
        entries = entries[: len(entries) // 2]
        last = entries[-1].key.seq
    seqs = [seq for entry in entries for seq in (entry.key.seq,)]
    ranges = (*to_ranges(seqs), *((void.first, void.last) for void in voids))
    return Packed(
        payload,
        backlog.epoch,
        ranges,
        len(entries),
        last,
        tuple(void for void in unsendable if void.first <= last),
        tuple(oversize),
    )
