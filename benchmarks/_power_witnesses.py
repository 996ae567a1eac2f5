"""What a card must hold, by what the workload said before the power was cut.

Keeps account, decides nothing: ``_power_recovery`` compares it with what is found. Lines come as
``_power_workload`` sends them. Promises count from the moment they were given (``commit``, ``put``,
``flushed``); what may have happened counts from the moment it was begun (``acknowledging``,
``voiding``).
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.journal.seq_ranges import SeqRanges

_WAKES_KEPT = 100
_STARTS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Content:
    """What stands under a key."""

    epoch: str
    digest: str


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry that the journal took, and has not yet said to be committed."""

    at: float
    urgent: bool
    digest: str


class Pauses:
    """When the harness held the workload or its card: that time is no delay of the journal's."""

    def __init__(self) -> None:
        self._held: deque[tuple[float, float]] = deque(maxlen=20_000)

    def add(self, begin: float, end: float) -> None:
        """From ``begin`` to ``end`` nothing could move."""
        self._held.append((begin, end))

    def between(self, begin: float, end: float) -> float:
        """Seconds held in this time."""
        total = 0.0
        for first, last in reversed(self._held):
            if last <= begin:
                break
            total += max(0.0, min(last, end) - max(first, begin))
        return total


class Witnesses:
    """The account of one card, from its first start over all its power cuts."""

    def __init__(self, keys: dict[tuple[str, int], str]) -> None:
        """``keys``: content of every key ever seen, on this card and on all others."""
        self.keys = keys
        self.pauses = Pauses()
        self.epochs: set[str] = set()
        self.newest_seq = 0
        self.entries: dict[int, Content] = {}
        self.waiting: dict[tuple[str, int], Appended] = {}
        self.perhaps_acknowledged, self.surely_acknowledged = SeqRanges(), SeqRanges()
        self._sure_before: SeqRanges | None = None
        """Within a rewind: what was acknowledged for sure when it began, or when it was flushed."""
        self._voids_begun, self.surely_void = SeqRanges(), SeqRanges()
        self.put_begun: dict[str, int] = {}
        self.put: dict[str, int] = {}
        self.upsert_begun: dict[int, int] = {}
        self.upserted: dict[int, int] = {}
        self.errors: list[str] = []
        self.failing = False
        """The file is full of what may not be deleted: the journal holds entries in memory."""
        self.commits = self.heard = 0
        self.refused = 0
        self._writing: float | None = None
        self._last_write_s = 0.0
        self._wakes: deque[float] = deque(maxlen=_WAKES_KEPT)
        self._rest = b""
        self._hear: dict[str, Callable[..., None]] = {
            name.removeprefix("_on_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("_on_")
        }

    def drain(self, source: socket.socket) -> None:
        """Hear everything sent so far, without waiting."""
        while True:
            try:
                data = source.recv(1 << 20)
            except BlockingIOError:
                return
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.heard += len(lines)
            for line in lines:
                tag, *values = json.loads(line)
                self._hear[tag](*values)

    def forget_process(self) -> None:
        """The workload was ended by kill -9: what it held in memory is no promise any more."""
        self.waiting.clear()
        self.failing, self._writing, self._last_write_s, self._rest = False, None, 0.0, b""
        self._wakes.clear()

    def stall(self, at: float) -> float:
        """How long the journal's writer has been at work on this write and the one before it.

        An entry that is due meanwhile waits as long: for a slow card, or until there is room.
        """
        writing = 0.0 if self._writing is None else self.age(self._writing, at)
        return max(0.0, writing) + self._last_write_s

    def lateness(self) -> float:
        """How late the workload was woken up at most, lately: the machine had other work."""
        return max(self._wakes, default=0.0)

    def age(self, since: float, at: float) -> float:
        """Seconds from ``since`` to ``at`` in which the workload could move."""
        return at - since - self.pauses.between(since, at)

    def know(self, epoch: str, seq: int, digest: str) -> bool:
        """Note a key's content; False when the key stood for something else before."""
        return self.keys.setdefault((epoch, seq), digest) == digest

    # --- what the workload says ------------------------------------------------------------------

    def _on_open(self, epoch: str, first_seq: int) -> None:
        if epoch in self.epochs:
            self.errors.append(f"epoch {epoch} was used twice")
        if first_seq <= self.newest_seq:
            self.errors.append(f"epoch {epoch} begins at {first_seq}, at most {self.newest_seq}")
        self.epochs.add(epoch)

    def _on_append(self, at: float, kind: str, device: str, measured_at: int, digest: str) -> None:
        self.waiting[device, measured_at] = Appended(at, kind == "alert", digest)

    def _on_refused(self, device: str, measured_at: int) -> None:
        self.waiting.pop((device, measured_at), None)
        self.refused += 1

    def _on_commit(
        self, at: float, epoch: str, seq: int, device: str, measured_at: int, digest: str
    ) -> None:
        appended = self.waiting.pop((device, measured_at), None)
        if appended and appended.digest != digest:
            self.errors.append(f"entry {seq} was committed with another content than appended")
        if not self.know(epoch, seq, digest):
            self.errors.append(f"key {epoch} {seq} was used twice")
        self.entries[seq] = Content(epoch, digest)
        self.newest_seq = max(self.newest_seq, seq)
        self.commits += 1

    def _on_writing(self, since: float) -> None:
        self._writing = since

    def _on_written(self, begin: float, end: float) -> None:
        self._last_write_s = self.age(begin, end)
        self._writing, self.failing = None, False

    def _on_write_failed(self) -> None:
        self._writing, self.failing = None, True

    def _on_woke(self, late: float) -> None:
        self._wakes.append(late)

    def _on_acknowledging(self, first: int, last: int) -> None:
        self.perhaps_acknowledged.add(first, last)

    def _on_voiding(self, first: int, last: int) -> None:
        self._voids_begun.add(first, last)

    def _on_flushed(self) -> None:
        if self._sure_before is None:
            self.surely_acknowledged = self.perhaps_acknowledged.copy()
        else:  # in the middle of a rewind; what it took back is told next
            self._sure_before = self.perhaps_acknowledged.copy()
        self.surely_void = self._voids_begun.copy()

    def _on_rewinding(self) -> None:
        self._sure_before, self.surely_acknowledged = self.surely_acknowledged, SeqRanges()

    def _on_rewound(self, held: list[list[int]]) -> None:
        self.surely_acknowledged = self._sure_before or SeqRanges()
        self._sure_before = None
        for first, last in held:
            self.perhaps_acknowledged.remove(first, last)
            self.surely_acknowledged.remove(first, last)

    def _on_putting(self, key: str, number: int) -> None:
        self.put_begun[key] = number

    def _on_put(self, key: str, number: int) -> None:
        self.put[key] = number

    def _on_upserting(self, start: int, number: int) -> None:
        self.upsert_begun[start] = number
        for old in sorted(self.upsert_begun)[:-_STARTS_KEPT]:
            del self.upsert_begun[old]
            self.upserted.pop(old, None)

    def _on_upserted(self, start: int, number: int) -> None:
        self.upserted[start] = number

    # --- going on from a recovered card ----------------------------------------------------------

    def adopt(self, found: Any) -> None:
        """From now on the card holds what was found on the copy, and nothing else."""
        self.epochs |= found.epochs
        self.newest_seq = max([self.newest_seq, *found.entries])
        self.entries = {seq: Content(e.epoch, e.digest) for seq, e in found.entries.items()}
        acknowledged = found.acknowledged_since or found.acknowledged
        self.perhaps_acknowledged = acknowledged.copy()
        self.surely_acknowledged = acknowledged.copy()
        self._sure_before = None
        self._voids_begun, self.surely_void = found.void.copy(), found.void.copy()
        self.put, self.put_begun = dict(found.state), dict(found.state)
        self.upserted, self.upsert_begun = dict(found.upserts), dict(found.upserts)
        self.forget_process()
