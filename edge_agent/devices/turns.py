"""The poll grid of one device: which turn is next, and why turns in between were missed. Pure.

The grid begins anew at each UTC day, so that the turn of a record always lies in the day of its
time. A turn that passed is put down to the clock as far as the clock ran ahead of real time, and
otherwise to what held the device up meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

from models.contract.clock import Clock, ScaledClock
from models.contract.ledger import Reason, turn_after, turn_at, turns_between
from models.contract.timestamps import Instant


class Missed(NamedTuple):
    """Turns in a row that passed without a poll."""

    first: Instant
    reason: Reason
    turns: int


class Turns:
    """Keeps the last turn that has an outcome."""

    def __init__(self, poll_ms: int, clock: Clock, *, speed: float | None = None) -> None:
        """``speed``: domain seconds in a real one, when the clock does not say so itself."""
        self._poll_ms, self._clock = poll_ms, clock
        self._speed = speed or (clock.anchor.speed if isinstance(clock, ScaledClock) else 1.0)
        self.begin()

    def begin(self) -> None:
        """Start from now: the turn under way was not ours."""
        self._seen, self._seen_at = self._clock.now(), self._clock.monotonic()
        self._judged = turn_at(self._seen, self._poll_ms)

    def due(self) -> Instant:
        """When to poll next: at once if a turn has come that has no outcome."""
        newest = turn_at(self._clock.now(), self._poll_ms)
        return newest if newest > self._judged else turn_after(self._judged, self._poll_ms)

    def take(self, held_by: Reason) -> tuple[Instant, list[Missed]]:
        """The time of the poll that is made now, and what was missed since the one before.

        ``held_by``: why turns pass while nobody touches the clock.
        """
        now, real = self._clock.now(), self._clock.monotonic()
        turn = turn_at(now, self._poll_ms)
        missed = max(0, turns_between(self._judged, turn, self._poll_ms) - 1)
        ahead_ms = now - self._seen - (real - self._seen_at) * 1000 * self._speed
        jumped = min(missed, max(0, int(ahead_ms // self._poll_ms)))
        first = turn_after(self._judged, self._poll_ms)
        parts = [Missed(first, held_by, missed - jumped)]
        if jumped:
            # Which of them the clock jumped over is not known; what held up came first.
            over = turn_after(first, self._poll_ms, missed - jumped)
            parts.append(Missed(over, Reason.CLOCK, jumped))
        self._judged, self._seen, self._seen_at = turn, now, real
        return now, [part for part in parts if part.turns]
