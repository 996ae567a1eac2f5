"""A forecast every quarter of an hour, whatever happens: with the bundle, or else by persistence.

Decides which forecaster speaks and what is published. It leaves to others: features and models
(``models``), which bundle is active and what a failure means for it (``updater``), when to issue
(``app``).
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_agent.storage.state_store import StateStore
from models.contract.forecast import Forecast, ForecastSeries, WeatherMode
from models.contract.timestamps import STEP_MS, Instant, floor_to_step
from models.features.site import FloatArray, Site, SiteSeries
from models.features.spec import HISTORY_STEPS as FEATURE_STEPS
from models.forecasters.bundle import NAME as BUNDLE_MODEL
from models.forecasters.bundle import BundleForecaster
from models.forecasters.persistence import HISTORY_STEPS as PERSISTENCE_STEPS
from models.forecasters.persistence import NAME as PERSISTENCE_MODEL
from models.forecasters.persistence import smart_persistence_quantiles

from .coverage import CoverageTracker
from .interval_store import IntervalStore

_log = logging.getLogger(__name__)

QUANTITY = "ac_power"
_COVERAGE_KEY = "coverage"
_DECIMALS = 1
_BACK_STEPS = max(PERSISTENCE_STEPS, FEATURE_STEPS)


class ActiveBundle(Protocol):
    """What the forecaster needs of the updater."""

    def active(self) -> Path | None:
        """Directory of the bundle to use."""
        ...

    def forecast_succeeded(self, directory: Path | None = None) -> None:
        """A forecast was made with it."""
        ...

    def forecast_failed(self, error: BaseException, directory: Path | None = None) -> bool:
        """A forecast failed; True when another bundle became active."""
        ...


class NoBundle:
    """Stands for the updater on a box without bundles."""

    def active(self) -> Path | None:
        """Never a bundle."""
        return None

    def forecast_succeeded(self, directory: Path | None = None) -> None:
        """Nothing to remember."""

    def forecast_failed(self, error: BaseException, directory: Path | None = None) -> bool:
        """Nothing to fall back to."""
        return False


class ForecastEngine:
    """Issues forecasts for one site. Blocking; used by one thread at a time."""

    def __init__(
        self,
        site_name: str,
        site: Site,
        intervals: IntervalStore,
        state: StateStore,
        bundles: ActiveBundle,
    ) -> None:
        self._name, self._site = site_name, site
        self._intervals, self._state, self._bundles = intervals, state, bundles
        self._coverage = CoverageTracker(state.get(_COVERAGE_KEY))
        self._loaded: tuple[Path, BundleForecaster] | None = None
        self._broken: Path | None = None
        self._counted_until: Instant = 0

    def issue(self, now: Instant) -> Forecast:
        """The forecast at ``now``: 48 h from the interval that has just begun."""
        start = floor_to_step(now)
        series = self._history(start)
        self._count_outcomes(series)
        power, bundle = self._with_bundle(series)
        if power is None:
            power = self._series(PERSISTENCE_MODEL, smart_persistence_quantiles(self._site, series))
        forecast = Forecast(
            site=self._name,
            issued_at=now,
            start=start,
            series={QUANTITY: power},
            bundle=bundle,
            weather_mode=WeatherMode.NONE,
        )
        self._coverage.published(forecast)
        try:
            self._state.put(_COVERAGE_KEY, self._coverage.save())
        except sqlite3.OperationalError as error:  # a full card does not silence the site
            _log.warning("the measured coverage could not be saved: %s", error)
        return forecast

    def _series(self, model: str, quantiles: FloatArray) -> ForecastSeries:
        rows = tuple(tuple(float(value) for value in row) for row in np.round(quantiles, _DECIMALS))
        return ForecastSeries(model, rows, self._coverage.coverage())

    def _history(self, end: Instant) -> SiteSeries:
        start = end - _BACK_STEPS * STEP_MS

        def values(quantity: str) -> FloatArray:
            return self._intervals.series(self._name, quantity, start, end)

        return SiteSeries(start, values(QUANTITY), values("temp_air"), values("ghi"))

    def _with_bundle(self, series: SiteSeries) -> tuple[ForecastSeries | None, str | None]:
        """Power by the active bundle, or nothing when there is none that works."""
        for _ in range(2):  # a failure within the probation makes the last good bundle active
            directory = self._bundles.active()
            if directory is None or directory == self._broken:
                return None, None
            try:
                if self._loaded is None or self._loaded[0] != directory:
                    self._loaded = (directory, BundleForecaster.load(directory))
                forecaster = self._loaded[1]
                quantiles = forecaster.predict(self._site, series)
                if not np.isfinite(quantiles).all():
                    raise ArithmeticError("the models gave values that are not finite")
                power = self._series(BUNDLE_MODEL, quantiles)
            except Exception as error:  # whatever a model does, the site gets a forecast
                _log.exception("bundle %s failed", directory.name)
                self._loaded = None
                if not self._bundles.forecast_failed(error, directory):
                    self._broken = directory  # tried again after a restart or with a new bundle
                    return None, None
                continue
            self._bundles.forecast_succeeded(directory)
            return power, forecaster.manifest.bundle_id
        return None, None

    def _count_outcomes(self, series: SiteSeries) -> None:
        # A clock that was ahead may have been set back.
        self._counted_until = min(self._counted_until, series.end)
        first = max(series.start, self._counted_until)
        for index in range(series.index(first), len(series)):
            power = series.ac_power[index]
            if np.isfinite(power):
                self._coverage.happened(series.start + index * STEP_MS, float(power))
        self._counted_until = series.end
