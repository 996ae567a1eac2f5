"""Puts the power back: mounts the copy of a card, opens what is on it, and compares.

Decides what a loss is. A *violation* is what must never happen; that entries younger than the
commit window are gone, or that acknowledgements must be sent again, is counted and no violation.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks._power_card import mounted
from benchmarks._power_instruments import digest, identity
from benchmarks._power_witnesses import Witnesses
from benchmarks._power_workload import SITE, STATE_KEYS, WINDOW_S, open_journal
from edge_agent.errors import StorageError
from edge_agent.forecasting.interval_store import IntervalStore
from edge_agent.journal.journal import Journal
from edge_agent.journal.seq_ranges import SeqRanges
from edge_agent.storage.database import read_only
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.clock import ScaledClock
from models.contract.messages import Alert, Kind, Severity
from models.contract.payload import alert_to_json, canonical
from models.contract.timestamps import STEP_MS

T = TypeVar("T", str, int)

SLACK_S = 0.1
"""For the scheduling of two processes on a shared machine."""
_SOON_S = 3.0
_NO_EXCUSE = "missing from the journal"
"""Reason of a void that the journal declares when it finds that rows are gone."""
_EXAMPLES = 4
"""Of each sort of violation."""


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry on the copy."""

    epoch: str
    device: str
    measured_at: int
    digest: str


@dataclass
class Found:
    """What was on a copy when the power was back."""

    epochs: set[str]
    entries: dict[int, FoundEntry]
    acknowledged: SeqRanges
    void: SeqRanges
    state: dict[str, int]
    upserts: dict[int, int]
    acknowledged_since: SeqRanges | None = None
    """What is acknowledged after going on, when a full file needed it."""


@dataclass
class Tally:
    """Sums over all cuts."""

    cuts: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    """Of them: the card was, byte for byte, and the account too, as at the cut before."""
    violations: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    entries_checked: int = 0
    puts_checked: int = 0
    lost_in_window: int = 0
    worst_loss_s: float = 0.0
    worst_alert_loss_s: float = 0.0
    worst_beyond_s: float = 0.0
    """Of a loss: what neither the window nor a write under way explains."""
    longest_stall_s: float = 0.0
    sent_again: int = 0
    deleted: int = 0
    thinned: int = 0
    held_back: int = 0
    """Cuts while the file was full of what may not be given up."""
    lost_held_back: int = 0
    mount_s: list[float] = field(default_factory=list)
    open_s: list[float] = field(default_factory=list)
    both_s: list[float] = field(default_factory=list)
    """Mounting and opening."""
    first_open_s: list[float] = field(default_factory=list)
    """The same where the schema had to be made or brought up to date, in a process of its own."""

    def blame(self, what: str, example: str) -> None:
        """Count a violation."""
        self.violations[what] += 1
        if self.violations[what] <= _EXAMPLES:
            self.examples.append(f"{what}: {example}")


class Recovery:
    """Recovers copies one after the other, all against the account of their card."""

    def __init__(self, place: Path, clock: ScaledClock, tally: Tally) -> None:
        self._place, self._clock, self._tally = place, clock, tally
        self._number = 0

    def check(self, copy: Path, told: Witnesses, at: float, label: str) -> Found | None:
        """Recover ``copy``, cut at ``at``, and count; None when it could not even be opened.

        Afterwards the copy is a card on which the agent was started once more.
        """
        self._number += 1
        tally, where = self._tally, f"cut {self._number} ({label})"
        for error in told.errors:
            tally.blame("key_reused", f"before {where}: {error}")
        told.errors.clear()
        began = time.monotonic()
        with mounted(copy, self._place):
            tally.mount_s.append(time.monotonic() - began)
            try:
                found = self._open(told, label, where)
            except (StorageError, sqlite3.Error, OSError) as error:
                tally.blame("not_opened", f"{where}: {type(error).__name__}: {error}")
                return None
        self._compare(found, told, at, where)
        return found

    def _open(self, told: Witnesses, label: str, where: str) -> Found:
        tally, began = self._tally, time.monotonic()
        with ExitStack() as stack:
            journal = open_journal(self._place, self._clock)
            stack.callback(journal.close)
            database = StateDatabase(self._place / "state.sqlite")
            stack.callback(database.close)
            took = time.monotonic() - began
            if label.startswith(("start_empty", "start_old")):
                tally.first_open_s.append(took)
            else:
                tally.open_s.append(took)
                tally.both_s.append(tally.mount_s[-1] + took)
            self._look(journal, where)
            self._look(database, where)
            found = self._read(journal, database, told)
            if journal.epoch in told.epochs or journal.epoch in found.epochs:
                tally.blame("key_reused", f"{where}: epoch {journal.epoch} was used before")
            given = max([told.newest_seq, *found.entries])
            if journal.first_seq <= given:
                tally.blame("key_reused", f"{where}: begins at {journal.first_seq}, after {given}")
            self._go_on(journal, found, told, where)
        return found

    def _look(self, opened: Journal | StateDatabase, where: str) -> None:
        if opened.set_aside is not None:
            self._tally.blame("set_aside", f"{where}: {opened.set_aside.name}")
        with read_only(opened.path) as connection:
            flaws = connection.execute("PRAGMA integrity_check").fetchall()
        if flaws != [("ok",)]:
            self._tally.blame("integrity", f"{where}: {opened.path.name}: {flaws[:3]}")

    def _read(self, journal: Journal, database: StateDatabase, told: Witnesses) -> Found:
        entries = {}
        for stored in journal.reader.entries():
            epoch, seq, device, measured_at, mark = identity(stored)
            entries[seq] = FoundEntry(epoch, device, measured_at, mark)
        with read_only(journal.path) as connection:
            voids = connection.execute("SELECT first, last, reason FROM voids").fetchall()
        state, intervals = StateStore(database, self._clock), IntervalStore(database)
        keys = [f"key-{n}" for n in range(STATE_KEYS)]
        upserts = {}
        for start in told.upsert_begun:
            series = (intervals.series(SITE, f"q{n}", start, start + STEP_MS) for n in range(4))
            values = {int(np.nan_to_num(one)[0]) for one in series}
            # Four rows of one transaction: other than all alike is one that was torn.
            upserts[start] = values.pop() if len(values) == 1 else -1
        return Found(
            {row.epoch for row in journal.reader.epochs()} - {journal.epoch},
            entries,
            SeqRanges(journal.reader.acknowledged()),
            SeqRanges((first, last) for first, last, reason in voids if reason != _NO_EXCUSE),
            {key: int(state.get(key, {"n": 0})["n"]) for key in keys},
            upserts,
        )

    def _go_on(self, journal: Journal, found: Found, told: Witnesses, where: str) -> None:
        """The recovered journal takes an entry, under a key that nobody had."""
        now = self._clock.now()
        alert = Alert("unit-0", now, "power-back", Severity.INFO, where)
        body = alert_to_json(alert)
        journal.append(Kind.ALERT, "unit-0", now, body)
        if not journal.flush(_SOON_S):
            # Full of what may not be given up: the centre's acknowledgements must free it.
            for row in journal.reader.epochs():
                journal.acknowledge(row.epoch, (), journal.last_seq)
            if not journal.flush():
                self._tally.blame("not_opened", f"{where}: takes no entries")
            found.acknowledged_since = SeqRanges(journal.reader.acknowledged())
        mark = digest(Kind.ALERT.value, canonical(body))
        for stored in journal.reader.entries(journal.first_seq):
            epoch, seq, device, measured_at, seen = identity(stored)
            if measured_at == now and seen != mark:
                self._tally.blame("changed", f"{where}: the first entry after it")
            if not told.know(epoch, seq, seen):
                self._tally.blame("key_reused", f"{where}: {epoch} {seq}")
            found.entries[seq] = FoundEntry(epoch, device, measured_at, seen)
        found.epochs.add(journal.epoch)

    # --- comparison ------------------------------------------------------------------------------

    def _compare(self, found: Found, told: Witnesses, at: float, where: str) -> None:
        self._committed(found, told, where)
        self._appended(found, told, at, where)
        self._marks(found, told, where)
        self._stored(found, told, where)

    def _committed(self, found: Found, told: Witnesses, where: str) -> None:
        tally, gone = self._tally, []
        for seq, content in told.entries.items():
            here = found.entries.get(seq)
            if here is not None:
                if (here.epoch, here.digest) != (content.epoch, content.digest):
                    tally.blame("changed", f"{where}: entry {seq}")
            elif seq in found.void:
                tally.thinned += 1
                gone.append(seq)
            elif seq in told.perhaps_acknowledged:
                tally.deleted += 1
                gone.append(seq)
            else:
                tally.blame("lost", f"{where}: entry {seq} of {content.epoch} was committed")
        tally.entries_checked += len(told.entries)
        for seq in gone:  # gone from the copy is gone from the card: it was written
            del told.entries[seq]

    def _appended(self, found: Found, told: Witnesses, at: float, where: str) -> None:
        tally = self._tally
        stall = told.stall(at)
        tally.longest_stall_s = max(tally.longest_stall_s, stall)
        tally.held_back += told.failing
        known = {(e.device, e.measured_at): e for e in found.entries.values()}
        for name, appended in told.waiting.items():
            here = known.get(name)
            if here is not None:
                if here.digest != appended.digest:
                    tally.blame("changed", f"{where}: what {name[0]} measured at {name[1]}")
                continue
            if appended.at > at:
                continue
            age = told.age(appended.at, at)
            if told.failing:
                tally.lost_held_back += 1
                continue
            tally.lost_in_window += 1
            if appended.urgent:
                tally.worst_alert_loss_s = max(tally.worst_alert_loss_s, age)
            else:
                tally.worst_loss_s = max(tally.worst_loss_s, age)
            beyond = age - stall - (0.0 if appended.urgent else WINDOW_S)
            tally.worst_beyond_s = max(tally.worst_beyond_s, beyond)
            if beyond > told.lateness() + SLACK_S:
                what = f"{name[0]} appended {age:.3f} s ago, writing took {stall:.3f} of it"
                tally.blame("late", f"{where}: {what}")

    def _marks(self, found: Found, told: Witnesses, where: str) -> None:
        tally = self._tally
        for first, last in told.surely_acknowledged:
            missing = SeqRanges(found.acknowledged.gaps(first, last))
            if any(seq not in found.void for low, high in missing for seq in range(low, high + 1)):
                kept = sum(seq in missing for seq in found.entries)
                what = f"{list(missing)}, {kept} of them still in the file"
                tally.blame("acknowledgement_lost", f"{where}: {what}")
        for first, last in found.acknowledged:
            for gap in told.perhaps_acknowledged.gaps(first, last):
                if any(seq not in found.void for seq in range(gap[0], gap[1] + 1)):
                    tally.blame("acknowledged_falsely", f"{where}: {gap}")
        for first, last in told.surely_void:
            if gaps := list(found.void.gaps(first, last)):
                tally.blame("void_lost", f"{where}: {gaps} of {first} to {last}")
        again = told.perhaps_acknowledged.copy()
        for first, last in found.acknowledged:
            again.remove(first, last)
        tally.sent_again += sum(seq in again for seq in found.entries)

    def _stored(self, found: Found, told: Witnesses, where: str) -> None:
        self._values("state", found.state, told.put, told.put_begun, where)
        self._values("intervals", found.upserts, told.upserted, told.upsert_begun, where)

    def _values(
        self, name: str, here: dict[T, int], done: dict[T, int], begun: dict[T, int], where: str
    ) -> None:
        for key, most in begun.items():
            value, least = here.get(key, 0), done.get(key, 0)
            self._tally.puts_checked += 1
            if not least <= value <= most:
                self._tally.blame(f"{name}_lost", f"{where}: {key} is {value}, put was {least}")
