"""When to connect again: a state machine written as a table, without I/O, clock or thread.

    IDLE --start--> CONNECTING --accepted--> CONNECTED --lost--> WAITING --waited--> CONNECTING
                        |failed, refused                          ^
                        +-----------------------------------------+

The pause is drawn evenly from 0 to a bound that doubles with each failure ("full jitter": a fleet
that lost its broker together does not come back together; M. Brooker, Exponential Backoff and
Jitter, AWS Architecture Blog 2015). A connection must hold for ``stable_s`` before its failures are
forgotten, so a broker that accepts and drops at once is not hammered. A refusal (wrong password,
same name used twice) goes straight to the longest bound: only a person can change it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto


class State(Enum):
    """Where the connection stands."""

    IDLE = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    WAITING = auto()
    STOPPED = auto()


class Event(Enum):
    """What happened."""

    START = auto()
    ACCEPTED = auto()
    FAILED = auto()
    """No connection came about: no network, no broker, no answer."""
    REFUSED = auto()
    """The broker answered and does not want us."""
    LOST = auto()
    WAITED = auto()
    STOP = auto()


TABLE: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.START): State.CONNECTING,
    (State.CONNECTING, Event.ACCEPTED): State.CONNECTED,
    (State.CONNECTING, Event.FAILED): State.WAITING,
    (State.CONNECTING, Event.REFUSED): State.WAITING,
    (State.CONNECTED, Event.LOST): State.WAITING,
    (State.CONNECTED, Event.REFUSED): State.WAITING,
    (State.WAITING, Event.WAITED): State.CONNECTING,
    **{(state, Event.STOP): State.STOPPED for state in State},
}
"""Every allowed step. An event that has no row here is a mistake of the caller."""


@dataclass(frozen=True)
class ReconnectSettings:
    """Pauses between attempts, real seconds."""

    first_s: float = 1.0
    """Upper bound of the first pause."""
    longest_s: float = 120.0
    """Upper bound of every pause."""
    stable_s: float = 60.0
    """A connection that held this long wipes out earlier failures."""

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.longest_s:
            raise ValueError("first_s: must be above 0 and at most longest_s")
        if self.stable_s < 0:
            raise ValueError("stable_s: must not be negative")


class Backoff:
    """Pauses drawn with full jitter from a bound that doubles."""

    def __init__(self, settings: ReconnectSettings, rng: random.Random) -> None:
        self._settings, self._rng = settings, rng
        self.failures = 0

    @property
    def bound_s(self) -> float:
        """Upper bound of the next pause."""
        doublings = min(self.failures, 60)  # beyond that the power only costs digits
        return float(min(self._settings.longest_s, self._settings.first_s * 2.0**doublings))

    def next_s(self) -> float:
        """Draw a pause and count one more failure."""
        pause = self._rng.uniform(0.0, self.bound_s)
        self.failures += 1
        return pause

    def exhaust(self) -> None:
        """Go straight to the longest bound."""
        while self.bound_s < self._settings.longest_s:
            self.failures += 1

    def reset(self) -> None:
        """Forget the failures."""
        self.failures = 0


class Reconnect:
    """The machine: tell it what happened, it says the new state and, in WAITING, for how long."""

    def __init__(self, settings: ReconnectSettings, rng: random.Random) -> None:
        self._settings = settings
        self.backoff = Backoff(settings, rng)
        self.state = State.IDLE
        self.pause_s = 0.0
        """How long to wait; set on every step into WAITING."""
        self._connected_at = 0.0

    def begin_again(self) -> None:
        """Whatever happened before, START is the next event; pauses go on where they were."""
        self.state = State.IDLE

    def handle(self, event: Event, now: float) -> State:
        """Take one step; ``now`` is monotonic real seconds.

        Raises:
            ValueError: the event cannot happen in this state.
        """
        try:
            target = TABLE[self.state, event]
        except KeyError:
            raise ValueError(f"{event.name} cannot happen while {self.state.name}") from None
        if self.state is State.CONNECTED and now - self._connected_at >= self._settings.stable_s:
            self.backoff.reset()
        if event is Event.ACCEPTED:
            self._connected_at = now
        if event is Event.REFUSED:
            self.backoff.exhaust()
        if target is State.WAITING:
            self.pause_s = self.backoff.next_s()
        self.state = target
        return target
