"""How often the truth fell into the interval that was published: the measured coverage.

Counted in daylight for a few lead times, over the last ``WINDOW`` outcomes. The state survives
restarts and bundle swaps. Adjusting the interval (conformal calibration) is not done here.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from models.contract.forecast import NOMINAL_COVERAGE, Coverage, CoverageState, Forecast
from models.contract.timestamps import HOUR_MS, Instant

LEADS_MS = (HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS)
"""Lead times whose outcomes are counted."""
WINDOW = 3_000
"""Outcomes that count: about a month of daylight."""
ENOUGH = 100
"""Outcomes before the figure means something."""
TOLERANCE = 0.05
"""Distance from the nominal coverage that still counts as calibrated."""
DARK_W = 1.0
"""Intervals whose upper quantile is below this are night and teach nothing."""


class CoverageTracker:
    """Remembers published intervals until their time has come, then counts."""

    def __init__(self, saved: str | None = None) -> None:
        """Start from :meth:`save`'s text; unreadable text starts afresh."""
        self._pending: dict[Instant, list[tuple[float, float]]] = {}
        self._hits: deque[bool] = deque(maxlen=WINDOW)
        try:
            state: dict[str, Any] = json.loads(saved) if saved else {"hits": "", "pending": {}}
            self._hits.extend(flag == "1" for flag in state["hits"])
            self._pending = {
                int(start): [(float(low), float(high)) for low, high in bands]
                for start, bands in state["pending"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            self._pending, self._hits = {}, deque(maxlen=WINDOW)

    def published(self, forecast: Forecast, quantity: str = "ac_power") -> None:
        """Remember the outer quantiles of ``forecast`` at the counted lead times."""
        self._forget_before(forecast.start - 24 * HOUR_MS)
        quantiles = forecast.series[quantity].quantiles
        for lead in LEADS_MS:
            step = lead // forecast.step_ms
            if step < len(quantiles[0]) and quantiles[-1][step] >= DARK_W:
                target = forecast.start + step * forecast.step_ms
                band = (quantiles[0][step], quantiles[-1][step])
                self._pending.setdefault(target, []).append(band)

    def happened(self, start: Instant, power: float) -> None:
        """Count the interval at ``start``, whose mean power is now known [W]."""
        for low, high in self._pending.pop(start, ()):
            self._hits.append(low <= power <= high)
        self._forget_before(start - 24 * HOUR_MS)

    def _forget_before(self, start: Instant) -> None:
        """What has not become known by now never will: a device may be dead for weeks."""
        for late in [target for target in self._pending if target < start]:
            del self._pending[late]

    def coverage(self) -> Coverage:
        """What has been measured."""
        count = len(self._hits)
        if not count:
            return Coverage()
        observed = round(sum(self._hits) / count, 4)
        if count < ENOUGH:
            state = CoverageState.WARMING_UP
        elif abs(observed - NOMINAL_COVERAGE) <= TOLERANCE:
            state = CoverageState.CALIBRATED
        else:
            state = CoverageState.DEGRADED
        return Coverage(NOMINAL_COVERAGE, observed, count, state)

    def save(self) -> str:
        """Text from which the tracker can be built again."""
        return json.dumps(
            {
                "hits": "".join("1" if hit else "0" for hit in self._hits),
                "pending": {str(start): bands for start, bands in self._pending.items()},
            }
        )
