"""A run of the backlog becomes one message of bounded size. Pure.

Nothing in a batch may make the centre refuse it as a whole, so every body is checked on the way,
and what could never be accepted is declared void with the reason instead of being tried for ever.
Records of a known form were checked when their form was made.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from edge_agent.journal.backlog import Backlog
from models.contract.errors import PayloadError
from models.contract.messages import Batch, Entry, SeqRange, Void, to_ranges
from models.contract.payload import encode_batch, parse_json

TEXT_PER_BYTE = 4
"""Text read for each byte allowed on the wire: noisy values shrink to a quarter, others further."""
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
    blocks = backlog.blocks
    oversize: list[int] = []
    last = backlog.last
    while True:
        voids = tuple(void for void in (*backlog.voids, *unsendable) if void.first <= last)
        seqs = sorted((*(e.key.seq for e in entries), *(s for block in blocks for s in block.seqs)))
        payload = None
        if seqs or voids:
            payload = _encoded(
                Batch(backlog.epoch, backlog.first_seq, tuple(entries), voids, blocks)
            )
        if not seqs or (payload is not None and len(payload) <= limit):
            break
        if len(seqs) == 1:
            oversize.append(seqs[0])
            entries, blocks = [], ()
            continue
        last = seqs[len(seqs) // 2 - 1]
        entries = [entry for entry in entries if entry.key.seq <= last]
        blocks = tuple(
            block.head(bisect_right(block.seqs, last)) for block in blocks if block.seqs[0] <= last
        )
    return Packed(
        payload,
        backlog.epoch,
        (*to_ranges(seqs), *((void.first, void.last) for void in voids)),
        len(seqs),
        last,
        tuple(void for void in unsendable if void.first <= last),
        tuple(oversize),
    )


def _encoded(batch: Batch) -> bytes | None:
    """The batch, or None when nobody would inflate so much."""
    try:
        return encode_batch(batch)
    except PayloadError:
        return None
