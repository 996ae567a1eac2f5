"""Today's forecast band as it was known: each quarter of an hour by the newest forecast before it.

The newest forecast alone begins now; what was expected of this morning would be gone. Kept in
memory only, so after a start the band begins with the first forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.contract.forecast import LEVELS, Forecast
from models.contract.timestamps import HOUR_MS, STEP_MS, Instant, floor_to_step

BACK_MS = 26 * HOUR_MS
"""Reaches back to midnight wherever the looker's clock stands, on the longest day of the year."""
AHEAD_MS = 26 * HOUR_MS
SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)
_ROWS = tuple(LEVELS.index(level) for level in SHOWN)


@dataclass(frozen=True)
class Grid:
    """Steps around now."""

    start: Instant
    steps: int

    @classmethod
    def around(cls, now: Instant) -> Grid:
        """From :data:`BACK_MS` before ``now`` to :data:`AHEAD_MS` after it."""
        start = floor_to_step(now) - BACK_MS
        return cls(start, (BACK_MS + AHEAD_MS) // STEP_MS)

    @property
    def end(self) -> Instant:
        """Behind the last step."""
        return self.start + self.steps * STEP_MS

    def times(self) -> range:
        """Start of every step."""
        return range(self.start, self.end, STEP_MS)


class DayBand:
    """Event loop only; at most two days of steps."""

    def __init__(self, quantity: str = "ac_power") -> None:
        self._quantity = quantity
        self._steps: dict[Instant, tuple[float, ...]] = {}

    def note(self, forecast: Forecast) -> None:
        """A forecast was issued: it counts for what begins at its start or later."""
        series = forecast.series.get(self._quantity)
        if series is None or forecast.step_ms != STEP_MS:
            return
        oldest, newest = forecast.start - BACK_MS, forecast.start + AHEAD_MS
        # After the clock was set back steps of a wrong future would stay: those go, too.
        self._steps = {at: row for at, row in self._steps.items() if oldest <= at < forecast.start}
        for step in range(len(series.median)):
            at = forecast.start + step * STEP_MS
            if at >= newest:
                break
            self._steps[at] = tuple(series.quantiles[row][step] for row in _ROWS)

    def on(self, grid: Grid) -> dict[str, list[float | None]]:
        """Quantiles on ``grid`` by level; None where nothing was forecast."""
        rows = [self._steps.get(at) for at in grid.times()]
        return {
            f"{level:g}": [None if row is None else row[index] for row in rows]
            for index, level in enumerate(SHOWN)
        }
