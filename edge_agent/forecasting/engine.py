"""A forecast every quarter of an hour, whatever happens: with the bundle, or else by persistence.

Decides which forecaster speaks and what is published: its quantiles, corrected by what this site
has taught, or as they are should the correction fail. It leaves to others: features and models
(``models``), the correction (``calibration``), which bundle is active and what a failure means for
it (``updater``), when to issue (``app``).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from edge_agent.local_zone import local_zone
from edge_agent.storage.state_store import StateStore
from models.bundle.names import DEMAND
from models.contract.fields import Json
from models.contract.forecast import LEVELS, Forecast, ForecastSeries, WeatherMode
from models.contract.timestamps import HORIZON_STEPS, HOUR_MS, STEP_MS, Instant, floor_to_step
from models.features.site import FloatArray, Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import HISTORY_STEPS as FEATURE_STEPS
from models.features.weather import WeatherSeries
from models.forecasters.bundle import NAME as BUNDLE_MODEL
from models.forecasters.bundle import BundleForecaster, forecast_sky
from models.forecasters.demand import QUANTITY as DEMAND_QUANTITY
from models.forecasters.persistence import HISTORY_STEPS as PERSISTENCE_STEPS
from models.forecasters.persistence import NAME as PERSISTENCE_MODEL
from models.forecasters.persistence import smart_persistence_quantiles
from models.runtimes.trees import QuantileTrees

from .calibration import Calibration
from .coverage import CoverageTracker
from .demand import DemandVoice
from .interval_store import IntervalStore
from .site_learner import SiteLearner

_log = logging.getLogger(__name__)

QUANTITY = "ac_power"
_COVERAGE_KEY = "coverage"
_CALIBRATION_KEY = "calibration"
_SITE_KEY = "learned_site"
_DEMAND_KEY = "coverage_demand"
_DECIMALS = 1
_MOST_OVER_NAMEPLATE = 1.5
_BACK_STEPS = max(PERSISTENCE_STEPS, FEATURE_STEPS)


class Spoken(NamedTuple):
    """What a forecaster said, before this site's correction."""

    model: str
    quantiles: FloatArray
    bundle: str | None = None
    weather_mode: WeatherMode = WeatherMode.NONE
    initial_offsets: FloatArray | None = None
    """Where the calibration of its interval begins on a site that has taught nothing yet."""


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
        weather: Callable[[Instant], WeatherSeries | None] = lambda now: None,
        zone: tzinfo | None = None,
    ) -> None:
        """``weather`` gives what is forecast of it at an instant; ``zone`` is the local clock."""
        self._name, self._site, self._weather = site_name, site, weather
        self._intervals, self._state, self._bundles = intervals, state, bundles
        self._coverage = CoverageTracker(self._saved(_COVERAGE_KEY))
        self._calibration = Calibration(self._saved(_CALIBRATION_KEY))
        self._learner = SiteLearner(site_name, site, intervals, self._saved(_SITE_KEY))
        zone = zone or local_zone(None, site.longitude)
        self._demand = DemandVoice(site_name, intervals, zone, self._saved(_DEMAND_KEY))
        self._loaded: tuple[Path, BundleForecaster] | None = None
        self._broken: Path | None = None
        self._counted_until: Instant = 0

    def issue(self, now: Instant) -> Forecast:
        """The forecast at ``now``: 48 h from the interval that has just begun."""
        start = floor_to_step(now)
        series = self._history(start)
        self._count_outcomes(series)
        if self._learner.refresh(start):
            self._save(_SITE_KEY, self._learner.save())
        learned = self._learner.site
        sky = forecast_sky(learned.site, series.end, learned)
        spoken = self._with_bundle(series, sky) or Spoken(
            PERSISTENCE_MODEL, smart_persistence_quantiles(learned.site, series, learned=learned)
        )
        ahead = sky.part(FEATURE_STEPS, FEATURE_STEPS + HORIZON_STEPS)
        published = {QUANTITY: self._published(spoken, series, ahead)}
        if (demand := self._with_demand(start)) is not None:
            published[DEMAND_QUANTITY] = demand
        forecast = Forecast(
            site=self._name,
            issued_at=now,
            start=start,
            series=published,
            bundle=spoken.bundle,
            weather_mode=spoken.weather_mode,
        )
        self._coverage.published(forecast)
        self._save(_COVERAGE_KEY, self._coverage.save())
        if demand is not None:
            self._demand.published(forecast)
            self._save(_DEMAND_KEY, self._demand.save())
        if start % HOUR_MS == 0:  # an hour of learning lost to a power cut is learned again
            self._save(_CALIBRATION_KEY, self._calibration.save())
        return forecast

    def _with_demand(self, start: Instant) -> ForecastSeries | None:
        """Demand beside the generation; whatever happens to it, the generation goes out."""
        for trees in (self._demand_trees(), None):
            try:
                return self._demand.forecast(start, trees)
            except Exception:
                _log.exception("no forecast of demand %s", "with the bundle" if trees else "at all")
                if trees is None:
                    break
        return None

    def _demand_trees(self) -> QuantileTrees | None:
        return self._loaded[1].others.get(DEMAND) if self._loaded else None

    def _published(self, spoken: Spoken, series: SiteSeries, sky: Sky) -> ForecastSeries:
        quantiles = spoken.quantiles
        try:
            quantiles = self._calibration.apply(
                spoken.model,
                spoken.bundle,
                series.end,
                spoken.quantiles,
                sky.power,
                sky.position.hour_angle,
                self._limit(series),
                spoken.initial_offsets,
            )
            _check(quantiles)
        except Exception:  # an uncorrected forecast is better than none
            _log.exception("%s is published as it is; its correction begins anew", spoken.model)
            quantiles, self._calibration = spoken.quantiles, Calibration()
        rows = tuple(tuple(row) for row in np.round(quantiles, _DECIMALS).tolist())
        return ForecastSeries(spoken.model, rows, self._coverage.coverage())

    def _limit(self, series: SiteSeries) -> float:
        """What the plant can do [W]: plants exceed their nameplates, but not by half of it."""
        seen = np.sort(series.ac_power[np.isfinite(series.ac_power)])
        highest = float(seen[-2]) if len(seen) > 1 else 0.0  # a lone peak may be a bad reading
        declared = self._site.ac_capacity_w
        most = _MOST_OVER_NAMEPLATE * declared
        return max(declared, min(max(highest, self._learner.site.capacity_w), most))

    def _saved(self, key: str) -> Any:
        try:
            return self._state.get(key)
        except ValueError as error:  # begin afresh rather than not at all
            _log.warning("%s: saved %s cannot be read: %s", self._name, key, error)
            return None

    def _save(self, key: str, value: Json) -> None:
        try:
            self._state.put(key, value)
        except sqlite3.OperationalError as error:  # a full card does not silence the site
            _log.warning("the measured %s could not be saved: %s", key, error)

    def _history(self, end: Instant) -> SiteSeries:
        start = end - _BACK_STEPS * STEP_MS

        def values(quantity: str) -> FloatArray:
            return self._intervals.series(self._name, quantity, start, end)

        return SiteSeries(start, values(QUANTITY), values("temp_air"), values("ghi"))

    def _with_bundle(self, series: SiteSeries, sky: Sky) -> Spoken | None:
        """Power by the active bundle, or nothing when there is none that works."""
        for _ in range(2):  # a failure within the probation makes the last good bundle active
            directory = self._bundles.active()
            if directory is None or directory == self._broken:
                return None
            try:
                if self._loaded is None or self._loaded[0] != directory:
                    self._loaded = (directory, BundleForecaster.load(directory))
                forecaster = self._loaded[1]
                mode = forecaster.manifest.weather_mode
                # A bundle that was trained without weather has never seen those columns filled.
                weather = None if mode is WeatherMode.NONE else self._weather(series.end)
                learned = self._learner.site
                quantiles = forecaster.predict(learned.site, series, weather, learned, sky)
                _check(quantiles)
            except Exception as error:  # whatever a model does, the site gets a forecast
                _log.exception("bundle %s failed", directory.name)
                self._loaded = None
                if not self._bundles.forecast_failed(error, directory):
                    self._broken = directory  # tried again after a restart or with a new bundle
                    return None
                continue
            self._bundles.forecast_succeeded(directory)
            told = WeatherMode.NONE if weather is None else WeatherMode.ARCHIVED_NWP
            return Spoken(
                BUNDLE_MODEL,
                quantiles,
                forecaster.manifest.bundle_id,
                told,
                forecaster.initial_offsets,
            )
        return None

    def _count_outcomes(self, series: SiteSeries) -> None:
        # A clock that was ahead may have been set back.
        self._counted_until = min(self._counted_until, series.end)
        first = max(series.start, self._counted_until)
        for index in range(series.index(first), len(series)):
            power = series.ac_power[index]
            if np.isfinite(power):
                start = series.start + index * STEP_MS
                self._coverage.happened(start, float(power))
                self._learn(start, float(power))
        self._counted_until = series.end

    def _learn(self, start: Instant, power: float) -> None:
        try:
            self._calibration.happened(start, power)
        except Exception:
            _log.exception("%s: the correction begins anew", self._name)
            self._calibration = Calibration()


def _check(quantiles: FloatArray) -> None:
    """``ArithmeticError`` unless these are quantiles of a whole forecast."""
    if quantiles.shape != (len(LEVELS), HORIZON_STEPS):
        raise ArithmeticError(f"the models gave {quantiles.shape} values")
    if not np.isfinite(quantiles).all():
        raise ArithmeticError("the models gave values that are not finite")
    if (np.diff(quantiles, axis=0) < 0).any():
        raise ArithmeticError("the models gave quantiles that cross")
