"""The alerts that stand, and the last ones that do not: for the local page. Bounded, in memory.

Alerts themselves are kept by the journal and the centre; after a start the board fills again as
conditions are found again.
"""

from __future__ import annotations

from collections import deque

from models.contract.messages import Alert

_MOST_ACTIVE = 100
_RECENT = 20


class AlertBoard:
    """Event loop only."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], Alert] = {}
        self._over: deque[Alert] = deque(maxlen=_RECENT)

    def note(self, alert: Alert) -> None:
        """An alert was raised, or ended; one device has one alert of a code."""
        key = (alert.device, alert.code)
        self._active.pop(key, None)
        if not alert.active:
            self._over.append(alert)
            return
        if len(self._active) >= _MOST_ACTIVE:
            del self._active[next(iter(self._active))]  # the oldest: newer ones tell more
        self._active[key] = alert

    @property
    def active(self) -> int:
        """How many stand."""
        return len(self._active)

    def alerts(self) -> list[Alert]:
        """Those that stand, then those that are over; each newest first."""
        return [*reversed(self._active.values()), *reversed(self._over)]
