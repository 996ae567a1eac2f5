"""Judges the wall clock at every look: did it jump, and is it to be believed. Pure, no I/O.

A *period* is a stretch in which wall clock and monotonic clock ran together. Decides where one ends
and whether its times are trusted; what becomes of records is the journal's matter, what people are
told that of ``alerts``.

Linux slews CLOCK_REALTIME and CLOCK_MONOTONIC together, whoever asks for it and however fast
(clock_gettime(2): the monotonic clock "is affected by frequency adjustments"; chronyd's
``maxslewrate`` of 83333 ppm goes through the kernel's frequency and tick as well). Their difference
therefore changes only when the clock is set, stepped, or has slept. What is allowed beyond that is
for reading two clocks one after the other, and for a kernel that slews the wall clock alone at the
500 ppm of adjtime(3).

Trust is lost by a jump and by missing synchronisation, but not by being offline: a clock that was
right, and that nobody has set since, is right within its drift (``holdover_s``).

Used from one thread, the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from models.contract.clock import Clock
from models.contract.timestamps import Instant

from .settings import ClockSettings, Trust, Unknown

_log = logging.getLogger(__name__)

READING_MS = 100
"""A change below this is never a jump."""
SLEW_PPM = 500
"""MAXFREQ of the kernel, and the rate of adjtime(3)."""
LARGEST_SLEW_MS = 1000
"""A change above this is always a jump, however long nobody looked."""
DRIFT_MS = 1000
"""A period ends when the clocks have moved so far apart since its start."""
ASK_EVERY_S = 1.0
"""How often the source is asked at most, beside once at each jump."""
_TIGHT_S = 0.02  # a wall time read between two monotonic times farther apart proves nothing
_READINGS = 5


@dataclass(frozen=True, slots=True)
class ClockPeriod:
    """A stretch in which wall and monotonic clock ran together and trust did not change."""

    number: int
    """1, 2, 3, ... within this process."""
    offset_ms: int
    """Wall clock minus monotonic clock at its start."""
    trusted: bool
    reason: str
    """Why it is not trusted, or how it is known: a short text for people."""
    jumped_ms: int
    """How far the wall clock jumped at its start; 0 if it did not."""


@dataclass(frozen=True, slots=True)
class TrustMark:
    """When the clock was last known to be right. Holds within one boot of the machine."""

    offset_ms: int
    at_s: float
    """On the monotonic clock of the watch."""


Listener = Callable[[ClockPeriod, ClockPeriod], None]


def allowance_ms(elapsed_s: float) -> float:
    """By how much the clocks may move against each other in ``elapsed_s`` without a jump."""
    return min(READING_MS + SLEW_PPM * max(0.0, elapsed_s) / 1000.0, LARGEST_SLEW_MS)


class ClockWatch:
    """The judge. ``look`` at it wherever a time is stamped.

    ``synchronised`` is the source, ``not_before`` an instant that has certainly passed.
    ``monotonic`` replaces the clock's own, for one that runs on in suspend. ``mark`` is the mark of
    an earlier process in the same boot: a restart while offline costs no trust.
    """

    def __init__(
        self,
        clock: Clock,
        settings: ClockSettings,
        *,
        synchronised: Callable[[], bool | None],
        not_before: Instant,
        monotonic: Callable[[], float] | None = None,
        mark: TrustMark | None = None,
    ) -> None:
        self._clock, self._settings = clock, settings
        self._source, self._not_before = synchronised, not_before
        self._monotonic = monotonic or clock.monotonic
        self._source_failed = False
        self.on_change: list[Listener] = []
        """Called with the period that ended and the one that began."""
        wall, self._seen_s, _ = self._read()
        self._offset_ms = wall - round(self._seen_s * 1000)
        self._asked_s: float | None = None
        self._answer: bool | None = None
        self._yes_since_s: float | None = None
        self._wary_since_s: float | None = None
        """Since when the clock has to prove itself after a large jump."""
        self._mark = mark if mark is not None and mark.at_s <= self._seen_s else None
        trusted, reason = self._judge(wall)
        self._period = ClockPeriod(1, self._offset_ms, trusted, reason, 0)

    @property
    def mark(self) -> TrustMark | None:
        """What a later process in this boot may be given; ``None`` while nothing is certain."""
        return self._mark

    def look(self) -> ClockPeriod:
        """The period of this moment. A few microseconds; may call the listeners."""
        wall, now_s, is_tight = self._read()
        if not is_tight:
            return self._period  # held up at every reading: the next look will tell
        offset_ms = wall - round(now_s * 1000)
        change_ms = offset_ms - self._offset_ms
        jumped = abs(change_ms) > allowance_ms(now_s - self._seen_s)
        self._offset_ms, self._seen_s = offset_ms, now_s
        if jumped:
            self._mark = self._asked_s = None  # whoever set the clock may have told the kernel
            if abs(change_ms) > self._settings.jump_s * 1000:
                self._wary_since_s = now_s
        trusted, reason = self._judge(wall)
        before = self._period
        drifted = abs(offset_ms - before.offset_ms) > DRIFT_MS
        if jumped or drifted or trusted != before.trusted:
            jump_ms = change_ms if jumped else 0
            self._period = ClockPeriod(before.number + 1, offset_ms, trusted, reason, jump_ms)
            self._tell(before, self._period)
        return self._period

    def _read(self) -> tuple[Instant, float, bool]:
        """Wall and monotonic time, and whether of one moment: a process can be held up between."""
        end_s = self._monotonic()
        for _ in range(_READINGS):
            start_s, wall = end_s, self._clock.now()
            end_s = self._monotonic()
            if end_s - start_s <= _TIGHT_S:
                return wall, end_s, True
        return wall, end_s, False

    def _judge(self, wall: Instant) -> tuple[bool, str]:
        if wall < self._not_before:
            self._ask()
            return False, "the clock shows a time that has long passed"
        if self._settings.trust is Trust.ALWAYS:
            return True, "trusted by the settings"
        self._ask()
        if self._wary_since_s is not None:
            if not self._is_settled(self._wary_since_s):
                return False, "the clock has jumped and has not proved itself yet"
            self._wary_since_s = None
        if self._yes_since_s is not None:
            if self._asked_s == self._seen_s:  # an older answer does not vouch for this offset
                self._mark = TrustMark(self._offset_ms, self._seen_s)
            return True, (
                "synchronised by a time service"
                if self._answer
                else "the kernel cannot be asked, and the settings trust it then"
            )
        if self._holds():
            return True, "no time service is reached, but the clock was right and was not set since"
        if self._answer is None:
            return False, "the kernel does not say whether the clock is synchronised"
        return False, "no time service has synchronised the clock"

    def _ask(self) -> None:
        now_s = self._seen_s
        if self._asked_s is not None and now_s - self._asked_s < ASK_EVERY_S:
            return
        self._asked_s = now_s
        try:
            self._answer = self._source()
        except Exception:
            self._answer = None
            if not self._source_failed:
                _log.exception("the clock's source failed; it counts as unknown")
            self._source_failed = True
        unknown_is_yes = self._settings.unknown is Unknown.TRUSTED
        if not (unknown_is_yes if self._answer is None else self._answer):
            self._yes_since_s = None
        elif self._yes_since_s is None:
            self._yes_since_s = now_s

    def _is_settled(self, wary_since_s: float) -> bool:
        if self._yes_since_s is None:
            return False
        since_s = max(self._yes_since_s, wary_since_s)
        return self._seen_s - since_s >= self._settings.settle_s

    def _holds(self) -> bool:
        mark = self._mark
        return (
            mark is not None
            and self._seen_s - mark.at_s <= self._settings.holdover_s
            and abs(self._offset_ms - mark.offset_ms) <= LARGEST_SLEW_MS
        )

    def _tell(self, before: ClockPeriod, after: ClockPeriod) -> None:
        for listener in tuple(self.on_change):
            try:
                listener(before, after)
            except Exception:
                _log.exception("a listener of the clock failed; the watch goes on")


class TrustedClockWatch:
    """For a clock that is right by definition, the demo's: one trusted period, no jumps."""

    def __init__(self, clock: Clock) -> None:
        offset_ms = clock.now() - round(clock.monotonic() * 1000)
        self._period = ClockPeriod(1, offset_ms, True, "right by definition", 0)
        self.on_change: list[Listener] = []
        """Never called."""
        self.mark: TrustMark | None = None

    def look(self) -> ClockPeriod:
        """Always the same period."""
        return self._period


AnyClockWatch = ClockWatch | TrustedClockWatch
