"""What must be true after a schedule, whatever went wrong in it.

The centre is asked through its own queries, the truth is the witness'. Every sentence returned is a
violation; an empty list is what everybody hopes for.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from central.compare import Comparison, compare_journal
from central.store import Store, open_store
from edge_agent.journal.reader import JournalReader
from edge_agent.journal.seq_ranges import SeqRanges
from edge_agent.storage.database import back_up
from models.contract.messages import Entry, EntryKey, to_ranges
from models.contract.messages import Kind as EntryKind
from models.contract.payload import canonical, record_to_json

from ._history_agent import AGENT
from ._history_witness import Key, Witness

_FAR = 2**62


@dataclass(frozen=True)
class Truth:
    """What the outside knows when everything has ended."""

    witness: Witness
    journal: Path
    jumped_lives: frozenset[int] = frozenset()
    late_epoch: str = ""
    """An epoch that need not be complete at the centre."""
    told: bool = True
    """Whether the agent is the schedule's own: it tells everything, and its records count
    themselves. Of the whole agent only its file is known."""


@dataclass
class Held:
    """What a store holds of the agent."""

    entries: dict[Key, bytes] = field(default_factory=dict)
    duplicates: list[Key] = field(default_factory=list)
    voids: dict[str, SeqRanges] = field(default_factory=dict)

    def has(self, key: Key) -> bool:
        """Whether the entry is there, or is known to be void."""
        return key in self.entries or self.is_void(key)

    def is_void(self, key: Key) -> bool:
        """Whether the centre was told that it will never come."""
        return key[1] in self.voids.get(key[0], SeqRanges())


def check(store_file: Path, truth: Truth) -> list[str]:
    """Every invariant at the end of a schedule."""
    with _opened(store_file) as store:
        held = read_store(store, store_file)
        return [
            *truth.witness.flaws,
            *_exactly_the_committed(held, truth),
            *_nothing_suspicious(store),
            *_every_acknowledgement_true(held, truth.witness.acknowledged()),
            *_through(store, truth),
            *_order(store, held, truth),
            *_journal_kept(held, truth),
            *_journal_agrees(store, truth),
        ]


def check_acknowledged(store_file: Path, acknowledged: Mapping[str, SeqRanges]) -> list[str]:
    """Whether a store that was just killed holds everything that was acknowledged before."""
    with _opened(store_file) as store:
        found = _every_acknowledgement_true(read_store(store, store_file), acknowledged)
        return [f"right after its kill: {flaw}" for flaw in found]


def check_file(store_file: Path, journal: Path) -> list[str]:
    """The same for what the box's file holds as acknowledged."""
    with _opened(store_file) as store:
        lost = _compared(store, journal).lost
        return [f"right after its kill: acknowledged and not at the centre: {lost[:5]}"] * bool(
            lost
        )


def read_store(store: Store, file: Path) -> Held:
    """Everything that the store holds of the agent."""
    held = Held()
    with store.read() as ask:
        for row in ask.keys_and_digests(AGENT):
            key = (row.epoch, row.seq)
            if key in held.entries:
                held.duplicates.append(key)
            held.entries[key] = row.digest
    # No query tells the void ranges.
    with closing(sqlite3.connect(file)) as connection:
        for epoch, first, last in connection.execute(
            "SELECT epoch, first_seq, last_seq FROM voids WHERE agent = ?", (AGENT,)
        ):
            held.voids.setdefault(epoch, SeqRanges()).add(first, last)
    return held


@contextmanager
def _opened(file: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{file}")
    try:
        yield store
    finally:
        store.close()


def _exactly_the_committed(held: Held, truth: Truth) -> Iterator[str]:
    committed = truth.witness.committed
    lost = [key for key in committed if not held.has(key) and key[0] != truth.late_epoch]
    deleted = SeqRanges()
    if not truth.told:  # a full box deletes what is acknowledged before anybody has read it
        deleted.update(JournalReader(truth.journal).acknowledged())
    alien = [key for key in held.entries if key not in committed and key[1] not in deleted]
    other = [k for k, fact in committed.items() if held.entries.get(k, fact.digest) != fact.digest]
    yield from _named("committed and not at the centre", lost)
    yield from _named("at the centre and never committed", alien)
    yield from _named("another content at the centre", other)
    yield from _named("twice at the centre", held.duplicates)


def _nothing_suspicious(store: Store) -> Iterator[str]:
    with store.read() as ask:
        for conflict in ask.conflicts():
            yield f"key conflict: {conflict.epoch}:{conflict.seq}"
        for row in ask.quarantined():
            yield f"quarantine: {row.topic}: {row.reason}"


def _every_acknowledgement_true(held: Held, acknowledged: Mapping[str, SeqRanges]) -> Iterator[str]:
    untrue = [
        (epoch, seq)
        for epoch, ranges in acknowledged.items()
        for first, last in ranges
        for seq in range(first, last + 1)
        if not held.has((epoch, seq))
    ]
    yield from _named("acknowledged and not at the centre", untrue)


def _through(store: Store, truth: Truth) -> Iterator[str]:
    last: dict[str, int] = {}
    for epoch, seq in truth.witness.committed:
        last[epoch] = max(seq, last.get(epoch, 0))
    with store.read() as ask:
        known = {row.epoch: row for row in ask.epochs(AGENT)}
        for epoch, seq in last.items():
            if epoch == truth.late_epoch:
                continue
            through = known[epoch].through if epoch in known else None
            if through != seq:
                yield f"epoch {epoch}: complete through {through} at the centre, not {seq}"
            if missing := ask.missing(AGENT, epoch):
                yield f"epoch {epoch}: the centre misses {missing[:5]}"


def _order(store: Store, held: Held, truth: Truth) -> Iterator[str]:
    """Per device and epoch: order by seq is the order of measuring, and of time if it was true."""
    by_content = {fact.digest: key for key, fact in truth.witness.committed.items()}
    lines: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
    unknown, found = 0, set[Key]()
    with store.read() as ask:
        for record in ask.records(AGENT, -_FAR, _FAR):
            text = canonical(record_to_json(record))
            key = by_content.get(Entry(EntryKey("0" * 16, 1), EntryKind.RECORD, text).digest)
            if key is None:
                unknown += 1
                continue
            found.add(key)
            if record.window_ms:  # stands for others, under a later key
                continue
            number = record.value("ac_energy") or 0.0
            line = lines.setdefault((record.device, key[0]), [])
            line.append((key[1], record.measured_at, number))
    yield from _named(
        "stored and found by no query by time",
        (
            key
            for key, fact in truth.witness.committed.items()
            if fact.kind == EntryKind.RECORD and key in held.entries and key not in found
        ),
    )
    if unknown and truth.told:
        yield f"{unknown} records of the centre have a body that nobody has committed"
    for (device, epoch), rows in lines.items():
        rows.sort()
        pairs = list(itertools.pairwise(rows))
        if truth.told and any(after[2] <= before[2] for before, after in pairs):
            yield f"{device} in epoch {epoch}: not in the order in which it was measured"
        jumped = truth.witness.life_of[epoch] in truth.jumped_lives
        if not jumped and any(after[1] < before[1] for before, after in pairs):
            yield f"{device} in epoch {epoch}: time runs backwards"


def _journal_kept(held: Held, truth: Truth) -> Iterator[str]:
    """What was committed leaves the box's file only when it is acknowledged or declared void, and
    what was declared void is known to be, or had arrived before."""
    file = {
        (stored.entry.key.epoch, stored.seq) for stored in JournalReader(truth.journal).entries()
    }
    done = truth.witness.acknowledged() if truth.told else {}
    gone = [
        key
        for key in truth.witness.committed
        if key not in file and key[1] not in done.get(key[0], SeqRanges()) and not held.is_void(key)
    ]
    yield from _named("committed, not acknowledged, and gone from the journal", gone)
    declared = truth.witness.void
    if declared is not None:
        known = sum(ranges.count() for ranges in held.voids.values())
        arrived = sum(key not in file and not held.is_void(key) for key in held.entries)
        if not known <= declared <= known + arrived:
            yield f"the journal has declared {declared} entries void, the centre knows of {known}"


def _journal_agrees(store: Store, truth: Truth) -> Iterator[str]:
    """The centre's own comparison with the box's file."""
    found = _compared(store, truth.journal)
    for what, ranges in (("lost", found.lost), ("different", found.different)):
        if ranges:
            yield f"solar-central compare: {what} {ranges[:5]}"
    if found.journal_duplicates or found.stored_duplicates:
        yield "solar-central compare: duplicates"


def _compared(store: Store, journal: Path) -> Comparison:
    """``solar-central compare`` with a copy of this moment: a running agent has its file alone."""
    copy = journal.with_name("compared.sqlite")
    back_up(journal, copy)
    return compare_journal(store, copy, AGENT)


def _named(what: str, keys: Iterable[Key]) -> Iterator[str]:
    by_epoch: dict[str, list[int]] = {}
    for epoch, seq in keys:
        by_epoch.setdefault(epoch, []).append(seq)
    for epoch, seqs in by_epoch.items():
        ranges = ", ".join(f"{first}-{last}" for first, last in to_ranges(seqs)[:5])
        yield f"{what}: {len(seqs)} of epoch {epoch}: {ranges}"


def tamper(store_file: Path, how: str) -> None:
    """Damage a store as a faulty centre might, so that the check can be seen to find it."""
    with closing(sqlite3.connect(store_file)) as connection, connection:
        some = "rowid = (SELECT rowid FROM entries LIMIT 1 OFFSET 7)"
        if how == "lost-row":
            connection.execute(f"DELETE FROM entries WHERE {some}")
        elif how == "changed-row":
            connection.execute(f"UPDATE entries SET digest = zeroblob(32) WHERE {some}")
        else:
            connection.execute(
                "INSERT INTO entries SELECT agent, 'abad1deaabad1dea', 1, kind, device,"
                f" measured_at, digest, body, received_at FROM entries WHERE {some}"
            )
