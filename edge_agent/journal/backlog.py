"""A run of what the centre does not have yet, read from the file for the next batch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from models.contract.errors import ContractError
from models.contract.messages import Entry, EntryKey, Void
from models.contract.payload import RecordBlock, RecordForm
from models.contract.timestamps import Instant

from .outbox import Span
from .reader import JournalReader, Row
from .seq_ranges import SeqRanges

_LONGEST_REASON = 200
_ROW_BYTES = 12
"""Text of a record beside its values: number and time, as differences."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """A run of what is not acknowledged, of one epoch; the next search goes on behind ``last``."""

    epoch: str
    first_seq: int
    entries: tuple[Entry, ...]
    """All but records of a known form."""
    voids: tuple[Void, ...]
    last: int
    blocks: tuple[RecordBlock, ...] = ()
    missing: tuple[Void, ...] = ()
    """Those of ``voids`` that the file does not explain."""


def gather(
    reader: JournalReader, spans: Iterable[Span], max_entries: int, max_bytes: int
) -> Backlog | None:
    """The entries of ``spans`` up to a change of epoch or a limit; None when there are none."""
    head: Span | None = None
    collected = _Collected()
    voids: list[Void] = []
    missing: list[Void] = []
    last, room = 0, max_bytes
    for span in spans:
        head = head or span
        if span.epoch != head.epoch or collected.count + len(voids) >= max_entries or room <= 0:
            break
        if span.reason is not None:
            room -= len(span.reason) + _ROW_BYTES
            voids.append(Void(span.first, span.last, span.reason))
            last = span.last
            continue
        wanted = max_entries - collected.count
        found = reader.rows(span.first, span.last, wanted)
        stop = span.last if len(found) < wanted else found[-1].seq
        taken: list[Row] = []
        for row in found:
            room -= len(row.body) + _ROW_BYTES
            if room < 0 and (collected.count or taken or voids):
                stop = row.seq - 1
                break
            taken.append(row)
        collected.add(taken)
        gaps = SeqRanges((row.seq, row.seq) for row in taken).gaps(span.first, stop)
        missing += [Void(*gap, "missing from the journal") for gap in gaps]
        last = stop
    if head is None:
        return None
    blocks, damaged = collected.blocks()
    return Backlog(
        head.epoch,
        head.first_seq,
        tuple(collected.entries),
        (*voids, *missing, *damaged),
        last,
        blocks,
        (*missing, *damaged),
    )


@dataclass
class _Collected:
    """Rows, sorted by what they become."""

    entries: list[Entry] = field(default_factory=list)
    rows: dict[RecordForm, list[Row]] = field(default_factory=dict)
    count: int = 0

    def add(self, rows: list[Row]) -> None:
        self.count += len(rows)
        for row in rows:
            if row.form is None:
                self.entries.append(Entry(EntryKey(row.epoch, row.seq), row.kind, row.body))
            else:
                self.rows.setdefault(row.form, []).append(row)

    def blocks(self) -> tuple[tuple[RecordBlock, ...], tuple[Void, ...]]:
        """Blocks, and what no block can be made of because the file is damaged."""
        blocks: list[RecordBlock] = []
        damaged: list[Void] = []
        for form, rows in self.rows.items():
            try:
                blocks.append(_block(form, rows))
            except (ContractError, ValueError, TypeError, RecursionError):
                for row in rows:
                    try:
                        blocks.append(_block(form, [row]))
                    except (ContractError, ValueError, TypeError, RecursionError) as error:
                        reason = f"damaged in the journal: {error}"[:_LONGEST_REASON]
                        damaged.append(Void(row.seq, row.seq, reason))
        return tuple(blocks), tuple(damaged)


def _block(form: RecordForm, rows: list[Row]) -> RecordBlock:
    values: list[list[float]] = json.loads(f"[{','.join(row.body for row in rows)}]")
    times: list[Instant] = [row.measured_at for row in rows]
    columns = [list(column) for column in zip(*values, strict=True)]
    if any(type(v) is not float or not math.isfinite(v) for column in columns for v in column):
        raise ValueError("holds something that is no number")
    return RecordBlock(form, [row.seq for row in rows], times, columns)
