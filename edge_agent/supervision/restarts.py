"""How long a worker waits before it is started again, and when starting it again helps no more.

Pure: no clock, no task, no log. The pause doubles with each failure up to a bound, drawn from the
upper quarter below it, so that workers that failed together are not started together for ever. A
worker that ran well for a while begins anew.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

_JITTER = 0.25
_REASONS_KEPT = 16
_LONGEST_REASON = 500


@dataclass(frozen=True)
class SupervisionSettings:
    """``[supervision]``: patience with what stands still or fails; real seconds."""

    first_pause_s: float = 1.0
    """Before a worker that ended is started again; doubles with each failure."""
    longest_pause_s: float = 60.0
    well_s: float = 300.0
    """A worker that moved for this long after its start wipes out earlier failures."""
    restarts_allowed: int = 5
    """More within ``restart_window_s``, or in a row, and the whole agent is started again."""
    restart_window_s: float = 600.0
    cancel_s: float = 10.0
    """A worker that was told to end has this long."""
    farewell_s: float = 45.0
    """What was read is stored and the last status is told within this time at the end."""
    end_s: float = 80.0
    """From the begin of its end the process may live this long; below systemd's TimeoutStopSec."""
    loop_deadline_s: float = 120.0
    """An event loop that has not turned for so long ends the process, also without systemd."""
    turn_s: float = 1.0
    """How often the supervisor looks at everybody."""
    gap_s: float = 10.0
    """So long without a turn and the process was stopped or asleep: that time counts for nobody."""

    def __post_init__(self) -> None:
        if not 0 < self.first_pause_s <= self.longest_pause_s:
            raise ValueError("first_pause_s: must be above 0 and at most longest_pause_s")
        if not 1 <= self.restarts_allowed <= 1000:
            raise ValueError("restarts_allowed: must be between 1 and 1000")
        for name in (
            "well_s", "restart_window_s", "cancel_s", "farewell_s", "turn_s", "gap_s",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be above 0 seconds")
        if not self.end_s > self.farewell_s:
            raise ValueError("end_s: must be longer than farewell_s")
        if not self.loop_deadline_s > self.turn_s:
            raise ValueError("loop_deadline_s: must be longer than turn_s")


class Restarts:
    """The failures of one worker."""

    def __init__(self, settings: SupervisionSettings, rng: random.Random) -> None:
        self._settings, self._rng = settings, rng
        self._recent: deque[float] = deque(maxlen=settings.restarts_allowed + 1)
        self._told: dict[str, int] = {}
        self.count = 0
        """Since the agent started."""
        self.in_a_row = 0
        self.last_reason = ""

    def failed(self, now: float, reason: str) -> tuple[float, bool]:
        """The worker ended at ``now``: the pause before its start, and whether this is news."""
        self.count += 1
        self.last_reason = reason = reason[:_LONGEST_REASON]
        self._recent.append(now)
        # Bounded: what has that many different reasons says something else every time.
        is_news = reason not in self._told and len(self._told) < _REASONS_KEPT
        if reason in self._told or is_news:
            self._told[reason] = self._told.get(reason, 0) + 1
        doublings = min(self.in_a_row, 60)
        bound_s = min(self._settings.longest_pause_s, self._settings.first_pause_s * 2.0**doublings)
        self.in_a_row += 1
        return self._rng.uniform(1.0 - _JITTER, 1.0) * bound_s, is_news

    def repeats(self, reason: str) -> int:
        """How often ``reason`` was given since the worker last ran well."""
        return self._told.get(reason[:_LONGEST_REASON], self.in_a_row)

    def ran_well(self) -> bool:
        """Begin anew. False when there was nothing to forget."""
        had_failed = self.in_a_row > 0
        self.in_a_row = 0
        self._told.clear()
        return had_failed

    def hopeless(self, now: float) -> bool:
        """Whether restarts of this worker alone have been tried often enough.

        In a row, too: one that is stuck each time until its long deadline never fills a window.
        """
        allowed, since = self._settings.restarts_allowed, now - self._settings.restart_window_s
        return self.in_a_row > allowed or sum(at >= since for at in self._recent) > allowed
