"""What the clock was worth when a record was stamped, and whether any still wait for their time.

Decides which period a record belongs to and when entries may be corrected or given up. It leaves to
others: judging the clock (``edge_agent.clock``), and writing corrections down (``writer``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge_agent.clock.watch import READING_MS, ClockPeriod
from models.contract.timestamps import Instant

_RECENT_PERIODS = 4
"""Periods of the clock that a poll under way may have begun in."""


class RecordTimes:
    """``look``, ``stamp`` and ``believes`` belong to the one thread that may look at the clock."""

    def __init__(
        self, clock_period: Callable[[], ClockPeriod], monotonic: Callable[[], float]
    ) -> None:
        """``monotonic``: the clock that the offsets of the periods are against."""
        self._clock_period, self._monotonic = clock_period, monotonic
        self._recent: list[ClockPeriod] = []
        self._lock = threading.Lock()
        self._trusted: ClockPeriod | None = None
        self._is_trusted = False
        self._some_wait = False
        self._give_up = False

    def look(self) -> bool:
        """Look at the clock; True when entries that wait can be given their true time now."""
        period = self._clock_period()
        if not self._recent or self._recent[0].number != period.number:
            self._recent = [period, *self._recent[: _RECENT_PERIODS - 1]]
        with self._lock:
            self._is_trusted = period.trusted
            if not period.trusted:
                self._some_wait = True
                return False
            is_new = self._trusted is None or self._trusted.number != period.number
            self._trusted = period
            return is_new and self._some_wait

    def monotonic_ms(self) -> int:
        """Milliseconds on the clock that never jumps."""
        return int(self._monotonic() * 1000)

    def period_of(self, measured_at: Instant) -> ClockPeriod:
        """The period whose clock showed ``measured_at`` last: a poll may be under way while the
        clock is set, and its record has the time of before. After a :meth:`look`."""
        now_ms = self.monotonic_ms()
        ages = [(p.offset_ms + now_ms - measured_at, n) for n, p in enumerate(self._recent)]
        fitting = [age for age in ages if age[0] >= -READING_MS]
        return self._recent[min(fitting)[1] if fitting else 0]

    # --- for the writer --------------------------------------------------------------------------

    @property
    def is_trusted(self) -> bool:
        """Whether the clock was trusted at the last look."""
        return self._is_trusted

    @property
    def newest_trusted(self) -> ClockPeriod | None:
        """By which earlier periods are corrected."""
        with self._lock:
            return self._trusted

    def some_wait(self) -> None:
        """There are entries whose time is not known."""
        with self._lock:
            self._some_wait = True

    def wait_no_longer(self) -> None:
        """Entries that wait are to go as they are."""
        with self._lock:
            self._give_up = True

    def to_settle(self) -> tuple[ClockPeriod | None, bool]:
        """By what to correct now, if at all; and whether to give up waiting otherwise."""
        with self._lock:
            return self._trusted if self._some_wait else None, self._give_up

    def corrected(self, *, all_of_them: bool) -> bool:
        """A correction was written. Whether giving up is still wanted."""
        with self._lock:
            self._some_wait = not (self._is_trusted and all_of_them)
            if self._is_trusted:
                self._give_up = False
            return self._give_up

    def gave_up(self) -> None:
        """Nothing waits any more."""
        with self._lock:
            self._give_up = False
