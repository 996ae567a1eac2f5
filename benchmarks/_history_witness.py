"""What was committed and what was acknowledged, as told from outside the disks that fail.

The agent's process tells each commit and each acknowledgement over a pipe. What it had no time to
tell before a kill -9 is read from its file before it is started again, so that the committed set is
known exactly.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.journal.reader import JournalReader, StoredEntry
from edge_agent.journal.seq_ranges import SeqRanges

COUNTERS = ("sent", "refused", "write_errors", "thinned")
"""What a life's reports count from its start."""
Key = tuple[str, int]
"""Epoch and sequence number."""


class Fact(NamedTuple):
    """A committed entry."""

    kind: str
    device: str
    measured_at: int
    digest: bytes
    waits: bool
    """Not sent yet, because its time may still be corrected: only then may it change."""


class Witness:
    """Knows everything about one schedule's agent over all its lives."""

    def __init__(self) -> None:
        self.committed: dict[Key, Fact] = {}
        self.epochs: list[str] = []
        """In their order; also such as have committed nothing."""
        self.first_seqs: dict[str, int] = {}
        self.life_of: dict[str, int] = {}
        self._acknowledged: dict[str, SeqRanges] = defaultdict(SeqRanges)
        self.acknowledgements = self.corrected = 0
        self.flaws: list[str] = []
        """Contradictions within what was told."""
        self.state: dict[str, Any] = {}
        """The last report of the present life."""
        self.void: int | None = None
        """How many entries the journal has declared void, if it tells."""
        self._life = 0
        self._earlier: dict[str, int] = defaultdict(int)
        self._reading: threading.Thread | None = None
        self._lock = threading.Lock()  # guards the acknowledgements, read while more come

    def listen(self, descriptor: int, life: int) -> None:
        """A new life tells on this pipe, which is closed at its end."""
        self.end_of_life()
        self._life = life
        self._reading = threading.Thread(target=self._read, args=(descriptor,), name="witness")
        self._reading.start()

    def end_of_life(self) -> None:
        """Return once everything that the ended process had told is known."""
        if self._reading is not None:
            self._reading.join()
            self._reading = None
            for name in COUNTERS:
                self._earlier[name] += int(self.state.get(name, 0))
            self.state = {}

    def total(self, name: str) -> int:
        """A counter over all lives."""
        return self._earlier[name] + int(self.state.get(name, 0))

    def acknowledged(self) -> dict[str, SeqRanges]:
        """Per epoch what the agent was told until now that the centre has."""
        with self._lock:
            return {epoch: ranges.copy() for epoch, ranges in self._acknowledged.items()}

    def read_file(self, journal: Path) -> None:
        """Take up what the file of an agent that does not run holds, and was not told."""
        if not journal.exists():
            return
        reader = JournalReader(journal)
        try:
            epochs = reader.epochs()
        except sqlite3.OperationalError:
            if self.epochs:
                raise
            return  # ended in the midst of making it
        for epoch in epochs:
            if epoch.epoch not in self.epochs:
                self._begun(epoch.epoch, epoch.first_seq)
        for stored in reader.entries():
            key = (stored.entry.key.epoch, stored.seq)
            if key in self.committed:
                self._correct(key, fact_of(stored))
            else:
                self._commit(key, fact_of(stored))

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as pipe:
            for line in pipe:
                if line.endswith(b"\n"):  # else it was killed in mid-word
                    self._take(json.loads(line))

    def _take(self, told: list[Any]) -> None:
        match told:
            case ["begun", epoch, first_seq]:
                self._begun(epoch, first_seq)
            case ["committed", rows]:
                for row in rows:
                    self._commit(*_told(row))
            case ["corrected", rows]:
                self.corrected += len(rows)
                for row in rows:
                    self._correct(*_told(row))
            case ["acknowledged", epoch, ranges, through]:
                self.acknowledgements += 1
                with self._lock:
                    self._acknowledged[epoch].update(ranges)
                    if epoch in self.first_seqs:
                        self._acknowledged[epoch].add(self.first_seqs[epoch], through)
            case ["state", state]:
                self.state, self.void = state, int(state["void"])

    def _begun(self, epoch: str, first_seq: int) -> None:
        if epoch in self.epochs:
            self.flaws.append(f"epoch {epoch} was begun twice")
            return
        self.epochs.append(epoch)
        self.life_of[epoch] = self._life
        self.first_seqs[epoch] = first_seq

    def _commit(self, key: Key, fact: Fact) -> None:
        if key in self.committed:
            self.flaws.append(f"key {key[0]}:{key[1]} was given twice")
            return
        self.committed[key] = fact

    def _correct(self, key: Key, fact: Fact) -> None:
        known = self.committed.get(key)
        if known is None or (known.digest != fact.digest and not known.waits):
            self.flaws.append(f"entry {key[0]}:{key[1]} has changed after its commit")
            return
        self.committed[key] = fact


def fact_of(stored: StoredEntry) -> Fact:
    """What is known of an entry read from the file."""
    kind, digest = stored.entry.kind.value, stored.entry.digest
    return Fact(kind, stored.device, stored.measured_at, digest, waits=True)


def _told(row: list[Any]) -> tuple[Key, Fact]:
    epoch, seq, kind, device, measured_at, digest, waits = row
    return (epoch, seq), Fact(kind, device, measured_at, bytes.fromhex(digest), waits)
