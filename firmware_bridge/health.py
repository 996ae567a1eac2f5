"""How one device is doing: well, failing, dead, or asleep because it is night. Pure.

A circuit breaker with memory of the sun. A device that does not answer is asked less and less often
so that it leaves the line to the living; one that sleeps at night is asked now and then, is
expected at dawn, and is news only if it is not there in daylight. Decides when to ask next and what
is worth telling; asking, logging and alerts are the caller's.

Pauses are real seconds; whether it is day is a matter of domain time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from models.contract.timestamps import MINUTE_MS, Instant

IsDaylight = Callable[[Instant], bool]

DEAD_AFTER = 3
"""Failures in a row after which a device counts as dead."""
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0
_JITTER = 0.1  # so that devices that died together are not asked together for ever
_LATE_AT_DAWN_MS = 60 * MINUTE_MS
"""Inverters need some light to start: so long after computed dawn a sleeper is missed."""
_DUSK_MS = 20 * MINUTE_MS
_LOOK_AT_NIGHT_MS = 5 * MINUTE_MS


class State(StrEnum):
    """See the module docstring."""

    UNKNOWN = "unknown"
    WELL = "well"
    FAILING = "failing"
    """Has missed a poll or two."""
    DEAD = "dead"
    ASLEEP = "asleep"
    """Silent at night, as it should be."""
    OVERSLEPT = "overslept"
    """Silent in daylight after a night's sleep."""


_PAUSES_BY_DAY = {State.ASLEEP: 15.0, State.OVERSLEPT: 60.0}
"""Around dawn a sleeper costs the line one timeout at each try."""


@dataclass(frozen=True)
class News:
    """A change of state that people want to know of."""

    state: State
    before: State
    is_alarm: bool
    """Whether something has to be looked at; otherwise one line in the log is enough."""
    ends_alarm: bool
    text: str


class Health:
    """The state of one device. Not thread-safe."""

    def __init__(
        self,
        *,
        sleeps: bool = False,
        is_daylight: IsDaylight | None = None,
        random_source: random.Random | None = None,
    ) -> None:
        """``sleeps``: the device is off at night; ``is_daylight`` tells when that is."""
        self.state = State.UNKNOWN
        self.failed_in_a_row = 0
        self._sleeps = sleeps and is_daylight is not None
        self._is_daylight = is_daylight
        self._random = random_source or random.Random()
        self._alarmed = False

    def pause_s(self, poll_s: float) -> float:
        """Real seconds to leave the device alone before it is asked again, beyond its schedule."""
        if self.state in _PAUSES_BY_DAY:
            pause_s = _PAUSES_BY_DAY[self.state]
        elif self.failed_in_a_row < DEAD_AFTER:
            return 0.0
        else:
            doublings = min(self.failed_in_a_row - DEAD_AFTER, 16)
            pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, poll_s) * 2.0**doublings)
        return pause_s * (1.0 + _JITTER * (2.0 * self._random.random() - 1.0))

    def sleeps_until(self, now: Instant) -> Instant | None:
        """Domain time before which a sleeping device is not asked: dawn, or a look in between."""
        if self.state is not State.ASLEEP or self._is_day(now):
            return None
        assert self._is_daylight is not None
        for ahead in range(MINUTE_MS, _LOOK_AT_NIGHT_MS, MINUTE_MS):
            if self._is_daylight(now + ahead):
                return now + ahead
        return now + _LOOK_AT_NIGHT_MS

    def answered(self, now: Instant) -> News | None:
        """A poll was answered."""
        before, self.state = self.state, State.WELL
        self.failed_in_a_row = 0
        woke = before in (State.ASLEEP, State.OVERSLEPT)
        if before in (State.WELL, State.UNKNOWN):
            return None
        if before is State.FAILING and not self._alarmed:
            return None
        return self._news(before, alarm=False, text="woke up" if woke else "answers again")

    def failed(self, now: Instant, reason: str, *, silent: bool) -> News | None:
        """A poll failed; ``silent`` if nothing answered at all."""
        self.failed_in_a_row += 1
        before = self.state
        if self._sleeps and silent and not self._is_day(now):
            # A device that was dead by day is not well because night falls.
            if before is State.DEAD:
                return None
            self.state = State.ASLEEP
            if before is State.ASLEEP:
                return None
            return self._news(before, alarm=False, text="asleep until dawn")
        if before in (State.ASLEEP, State.OVERSLEPT) and silent:
            return self._missed_at_dawn(now, before)
        if before is State.ASLEEP:
            self.failed_in_a_row = 1  # it stirs: waking up is not dying
        self.state = State.FAILING if self.failed_in_a_row < DEAD_AFTER else State.DEAD
        if self.state is State.DEAD and before is not State.DEAD:
            return self._news(before, alarm=True, text=f"gives nothing to believe: {reason}")
        return None

    def _missed_at_dawn(self, now: Instant, before: State) -> News | None:
        assert self._is_daylight is not None
        if before is State.OVERSLEPT or not self._is_daylight(now - _LATE_AT_DAWN_MS):
            return None
        self.state = State.OVERSLEPT
        return self._news(before, alarm=True, text="still silent an hour after dawn")

    def _is_day(self, now: Instant) -> bool:
        """Day, with a margin at dusk: inverters stop before the sun has quite gone."""
        assert self._is_daylight is not None
        return self._is_daylight(now) and self._is_daylight(now + _DUSK_MS)

    def _news(self, before: State, *, alarm: bool, text: str) -> News:
        ends_alarm = self._alarmed and not alarm and self.state is State.WELL
        self._alarmed = alarm or (self._alarmed and not ends_alarm)
        return News(self.state, before, alarm, ends_alarm, text)
