"""What the site will use: its demand model, or its own days where a bundle has none.

Decides whether there is anything to forecast (a site without a meter has no demand) and how sure
it was: coverage is counted as for the generation. It leaves to others: features and models
(``models.forecasters.demand``), when to issue (``engine``).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, tzinfo
from typing import Any

import numpy as np

from models.contract.fields import Json
from models.contract.forecast import Forecast, ForecastSeries
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, MINUTE_MS, STEP_MS, Instant
from models.features.demand_history import DemandSeries, local_minutes
from models.features.demand_spec import HISTORY_DAYS
from models.forecasters.demand import QUANTITY, DemandForecaster, DemandTrees

from .coverage import CoverageTracker
from .interval_store import IntervalStore

_log = logging.getLogger(__name__)

_DECIMALS = 1


class DemandVoice:
    """Forecasts one site's demand. Blocking; one thread at a time."""

    def __init__(
        self, site_name: str, intervals: IntervalStore, zone: tzinfo, saved: Any = None
    ) -> None:
        """``zone`` is the clock that the people of the site live by."""
        self._name, self._intervals, self._zone = site_name, intervals, zone
        self._coverage = CoverageTracker(saved)
        self._counted_until: Instant = 0

    def forecast(self, start: Instant, trees: DemandTrees | None) -> ForecastSeries | None:
        """48 h from ``start``; None for a site whose demand has not been measured for weeks."""
        begin = start - HISTORY_DAYS * DAY_MS
        demand = self._intervals.series(self._name, QUANTITY, begin, start)
        if not np.isfinite(demand).any():
            return None
        self._count(begin, demand)
        clock = local_minutes(
            begin, len(demand) + HORIZON_STEPS, STEP_MS // MINUTE_MS, self._offset
        )
        forecaster = DemandForecaster(trees)
        quantiles = forecaster.predict(DemandSeries(np.maximum(demand, 0.0), clock))
        rows = tuple(tuple(row) for row in np.round(quantiles, _DECIMALS).tolist())
        return ForecastSeries(forecaster.name, rows, self._coverage.coverage())

    def published(self, forecast: Forecast) -> None:
        """Remember what went out, to count how often the truth falls into it."""
        if QUANTITY in forecast.series:
            self._coverage.published(forecast, QUANTITY)

    def save(self) -> Json:
        """The coverage, for ``saved`` of the next start."""
        return self._coverage.save()

    def _count(self, begin: Instant, demand: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        end = begin + len(demand) * STEP_MS
        self._counted_until = min(self._counted_until, end)
        first = max(begin, self._counted_until)
        for place in range((first - begin) // STEP_MS, len(demand)):
            if np.isfinite(demand[place]):
                self._coverage.happened(begin + place * STEP_MS, float(demand[place]))
        self._counted_until = end

    def _offset(self, at: Instant) -> int:
        ahead = datetime.fromtimestamp(at / 1000, UTC).astimezone(self._zone).utcoffset()
        return 0 if ahead is None else int(ahead.total_seconds() // 60)
