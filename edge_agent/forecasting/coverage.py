"""How often the truth fell into the interval that was published: the measured coverage.

Counted in daylight for a few lead times, over the last ``WINDOW`` outcomes, for the interval
between the outermost levels, which every forecast states, and for the 80 % interval within. The
state survives restarts and bundle swaps. Adjusting the interval is not done here (``calibration``).
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from models.contract.forecast import LEVELS, NOMINAL_COVERAGE, Coverage, CoverageState, Forecast
from models.contract.timestamps import HOUR_MS, Instant

LEADS_MS = (HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS)
"""Lead times whose outcomes are counted."""
WINDOW = 3_000
"""Outcomes that count: about a month of daylight."""
ENOUGH = 100
"""Outcomes before the figure means something."""
TOLERANCE = 0.05
"""Distance from the nominal coverage that still counts as calibrated."""
INNER_COVERAGE = 0.8
_LOW, _HIGH = LEVELS.index(0.1), LEVELS.index(0.9)
DARK_W = 1.0
"""Intervals whose upper quantile is below this are night and teach nothing."""


class CoverageTracker:
    """Remembers published intervals until their time has come, then counts."""

    def __init__(self, saved: str | None = None) -> None:
        """Start from :meth:`save`'s text; unreadable text starts afresh."""
        self._pending: dict[Instant, list[tuple[float, ...]]] = {}
        self._hits: deque[bool] = deque(maxlen=WINDOW)
        self._inner_hits: deque[bool] = deque(maxlen=WINDOW)
        try:
            state: dict[str, Any] = json.loads(saved) if saved else {"hits": "", "pending": {}}
            self._hits.extend(flag == "1" for flag in state["hits"])
            self._inner_hits.extend(flag == "1" for flag in state.get("inner_hits", ""))
            for start, bands in state["pending"].items():
                # Pairs: saved before the inner interval was counted.
                kept = [tuple(float(edge) for edge in band) for band in bands]
                if any(len(band) not in {2, 4} for band in kept):
                    raise ValueError("a band has two or four edges")
                self._pending[int(start)] = kept
        except (ValueError, KeyError, TypeError, AttributeError):
            self._pending = {}
            self._hits, self._inner_hits = deque(maxlen=WINDOW), deque(maxlen=WINDOW)

    def published(self, forecast: Forecast, quantity: str = "ac_power") -> None:
        """Remember the intervals of ``forecast`` at the counted lead times."""
        self._forget_before(forecast.start - 24 * HOUR_MS)
        quantiles = forecast.series[quantity].quantiles
        for lead in LEADS_MS:
            step = lead // forecast.step_ms
            if step < len(quantiles[0]) and quantiles[-1][step] >= DARK_W:
                target = forecast.start + step * forecast.step_ms
                band = tuple(quantiles[level][step] for level in (0, -1, _LOW, _HIGH))
                self._pending.setdefault(target, []).append(band)

    def happened(self, start: Instant, power: float) -> None:
        """Count the interval at ``start``, whose mean power is now known [W]."""
        for low, high, *inner in self._pending.pop(start, ()):
            self._hits.append(low <= power <= high)
            if inner:
                self._inner_hits.append(inner[0] <= power <= inner[1])
        self._forget_before(start - 24 * HOUR_MS)

    def _forget_before(self, start: Instant) -> None:
        """What has not become known by now never will: a device may be dead for weeks."""
        for late in [target for target in self._pending if target < start]:
            del self._pending[late]

    def coverage(self) -> Coverage:
        """What has been measured of the interval between the outermost levels."""
        return _measured(self._hits, NOMINAL_COVERAGE)

    def inner_coverage(self) -> Coverage:
        """What has been measured of the 80 % interval; the contract has no place for it yet."""
        return _measured(self._inner_hits, INNER_COVERAGE)

    def save(self) -> str:
        """Text from which the tracker can be built again."""
        return json.dumps(
            {
                "hits": "".join("1" if hit else "0" for hit in self._hits),
                "inner_hits": "".join("1" if hit else "0" for hit in self._inner_hits),
                "pending": {str(start): bands for start, bands in self._pending.items()},
            },
            separators=(",", ":"),
        )


def _measured(hits: deque[bool], nominal: float) -> Coverage:
    count = len(hits)
    if not count:
        return Coverage(nominal)
    observed = round(sum(hits) / count, 4)
    if count < ENOUGH:
        state = CoverageState.WARMING_UP
    elif abs(observed - nominal) <= TOLERANCE:
        state = CoverageState.CALIBRATED
    else:
        state = CoverageState.DEGRADED
    return Coverage(nominal, observed, count, state)
