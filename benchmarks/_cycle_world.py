"""A box in the middle of its summer: history, learned site, weather, bundle, and a cycle's parts.

Decides what ``edge_cycle`` measures on (the typical year of ``_cycle_bundle``) and where one part
of a cycle ends and the next begins. It leaves to others what is timed, and what lies on the disk
(``_cycle_turns``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks._cycle_bundle import (
    CANDIDATE,
    HISTORY,
    NAME,
    SITE,
    UTC_OFFSET_MIN,
    hourly_weather,
)
from edge_agent.forecasting.calibration import Calibration
from models.bundle.names import DEMAND, GENERATION_LSTM, GENERATION_NEAR, GENERATION_NET
from models.contract.forecast import LEVELS
from models.contract.messages import WeatherForecast
from models.contract.payload import canonical, weather_to_json
from models.contract.timestamps import (
    DAY_MS,
    HORIZON_STEPS,
    HOUR_MS,
    STEP_MS,
    STEPS_PER_DAY,
    Instant,
)
from models.features.build import build_features, build_windows
from models.features.demand_history import DemandSeries, local_minutes
from models.features.demand_spec import HISTORY_DAYS as DEMAND_DAYS
from models.features.intervals import Interval
from models.features.learned_site import learn_site
from models.features.learned_sky import BACK_DAYS as LEARN_DAYS
from models.features.site import FloatArray, SiteSeries
from models.features.sky import Sky
from models.features.spec import ANCHOR, HISTORY_STEPS, KNOTS
from models.features.weather import WeatherSeries, refined
from models.forecasters.blend import NEAR_STEPS, combine, knots_to_steps, to_power, with_near
from models.forecasters.bundle import BundleForecaster, forecast_sky
from models.forecasters.demand import DemandForecaster
from models.forecasters.persistence import smart_persistence_quantiles

BEGIN_DAY = 170
"""Day of the year on which the forecasts begin: the longest days, the most to learn from."""
WARM_TURNS = 2 * STEPS_PER_DAY + 8
QUANTITIES = ("ac_power", "load_power", "temp_air", "ghi")
_WEATHER_HOURS = 72


class Corrected:
    """One calibration on its way through the days, a quarter of an hour at a time."""

    def __init__(self, world: World) -> None:
        self._world, self._calibration, self._turn = world, Calibration(), 0
        for _ in range(WARM_TURNS):
            self.learn()
            self.apply()

    @property
    def start(self) -> Instant:
        """Of the forecast that is due."""
        return self._world.begin + self._turn * STEP_MS

    def learn(self) -> None:
        """Take the interval that has just ended."""
        self._calibration.happened(self.start - STEP_MS, self._world.power_at(self.start - STEP_MS))

    def apply(self, quantiles: FloatArray | None = None, sky: Sky | None = None) -> None:
        """Correct what the bundle said, or would have said at this time of the day."""
        if quantiles is None:
            quantiles = np.roll(self._world.said, -self._turn, axis=1)
        if sky is None:
            sky = self._world.ahead.part(self._turn, self._turn + HORIZON_STEPS)
        limit, hours = SITE.ac_capacity_w, sky.position.hour_angle
        self._calibration.apply("blend", "bench", self.start, quantiles, sky.power, hours, limit)
        self._turn += 1


class World:
    """Everything that a forecast needs at ``begin``, and the parts of which it consists."""

    def __init__(self, made: Path, turns: int) -> None:
        """``turns``: how many rounds of :meth:`parts` there will be."""
        self.made = made
        frame = pd.read_csv(made / HISTORY)
        self._start = int(pd.Timestamp(frame["timestamp"][0]).timestamp() * 1000)
        self._columns = {name: frame[name].to_numpy(np.float64) for name in QUANTITIES}
        self.begin = self._start + BEGIN_DAY * DAY_MS + 12 * HOUR_MS
        self.weather = hourly_weather(self._start, self._columns["ghi"])
        self._series = self._past(LEARN_DAYS)
        self.learn()
        self._forecaster = BundleForecaster.load(made / CANDIDATE)
        self._told = refined(SITE, self._run(self.begin - 9 * DAY_MS, 9 * 24 + _WEATHER_HOURS))
        self.said = self._predict()
        self.ahead = self._sky(self.begin, WARM_TURNS + turns + HORIZON_STEPS)
        self._alone, self._whole = Corrected(self), Corrected(self)
        first = self.begin - DEMAND_DAYS * DAY_MS
        steps = DEMAND_DAYS * STEPS_PER_DAY
        clock = local_minutes(first, steps + HORIZON_STEPS, 15, lambda at: UTC_OFFSET_MIN)
        self._demand = DemandSeries(self._window("load_power", first, self.begin), clock)

    def learn(self) -> None:
        """What the box does once a day."""
        self.learned = learn_site(SITE, SiteSeries(self._series.start, self._series.ac_power))

    def parts(self) -> dict[str, Callable[[], object]]:
        """In the order of a cycle; results of the ones before are at hand."""
        site, learned, forecaster = self.learned.site, self.learned, self._forecaster
        recent = self._series.window(len(self._series) - HISTORY_STEPS, len(self._series))
        reach = HISTORY_STEPS + HORIZON_STEPS + STEPS_PER_DAY
        sky = self._sky(recent.start, reach)
        known = [HISTORY_STEPS]
        features = build_features(site, recent, known, sky=sky, weather=self._told)[0]
        window = build_windows(site, recent, known, sky)[0]
        anchor = features[:, ANCHOR, None]
        trees, lstm, net = forecaster._trees, forecaster._lstm, forecaster._net
        assert lstm is not None, "it must have a share"
        assert net is not None, "it must have a share"
        near = forecaster._near
        assert near is not None, "it must have a share"
        experts = (GENERATION_LSTM, GENERATION_NET, GENERATION_NEAR)
        shares = [forecaster._shares[name] for name in experts]

        def by_lstm() -> FloatArray:
            return knots_to_steps(lstm.predict(window[None])[0].reshape(KNOTS, len(LEVELS)))

        def by_near() -> FloatArray:
            soon = near.predict(features[:NEAR_STEPS]) + anchor[:NEAR_STEPS]
            return with_near(by_trees + anchor, soon)

        by_trees = trees.predict(features)
        others: list[npt.ArrayLike] = [by_lstm(), net.predict(features) + anchor, by_near()]
        clear = sky.power[HISTORY_STEPS : HISTORY_STEPS + HORIZON_STEPS]
        return {
            "sky": lambda: self._sky(recent.start, reach),
            "features_without_weather": lambda: build_features(site, recent, known, sky=sky),
            "features_with_weather": lambda: build_features(
                site, recent, known, sky=sky, weather=self._told
            ),
            "window": lambda: build_windows(site, recent, known, sky),
            "trees": lambda: trees.predict(features),
            "near_trees": by_near,
            "lstm": by_lstm,
            "net": lambda: net.predict(features),
            "blend": lambda: to_power(
                combine(by_trees + anchor, others, shares), clear, learned.limit_w
            ),
            "outcomes": self._alone.learn,
            "correction": self._alone.apply,
            "cycle": self._cycle,
            "demand": lambda: DemandForecaster(forecaster.others[DEMAND]).predict(self._demand),
            "smart_persistence": lambda: smart_persistence_quantiles(
                site, self._series, learned=learned
            ),
        }

    def intervals(self, first: Instant, last: Instant) -> list[Interval]:
        """What was measured from ``first`` to before ``last``."""
        low, high = (max(0, (one - self._start) // STEP_MS) for one in (first, last))
        return [
            Interval(self._start + place * STEP_MS, NAME, name, float(values[place]), 180)
            for name, values in self._columns.items()
            for place in range(low, high)
        ]

    def power_at(self, start: Instant) -> float:
        """Measured in the interval at ``start`` [W]."""
        return float(self._columns["ac_power"][(start - self._start) // STEP_MS])

    def weather_message(self, now: Instant) -> bytes:
        """The run of the weather model that was issued at ``now``."""
        run = self._run(now, _WEATHER_HOURS)
        values = {name: tuple(row.tolist()) for name, row in run.values.items()}
        message = WeatherForecast(NAME, now, run.start, run.step_ms, "bench", values)
        return canonical(weather_to_json(message)).encode()

    def _cycle(self) -> None:
        self._whole.learn()
        quantiles = self._predict()
        first = (self._whole.start - self.begin) // STEP_MS
        self._whole.apply(quantiles, self.ahead.part(first, first + HORIZON_STEPS))

    def _predict(self) -> FloatArray:
        learned = self.learned
        sky = forecast_sky(learned.site, self._series.end, learned)
        return self._forecaster.predict(learned.site, self._series, self._told, learned, sky)

    def _sky(self, start: Instant, steps: int) -> Sky:
        return Sky.over(self.learned.site, start, steps, learned=self.learned)

    def _past(self, days: int) -> SiteSeries:
        first = self.begin - days * DAY_MS
        power, temp_air, ghi = (
            self._window(name, first, self.begin) for name in ("ac_power", "temp_air", "ghi")
        )
        return SiteSeries(first, power, temp_air, ghi)

    def _window(self, name: str, first: Instant, last: Instant) -> FloatArray:
        low, high = ((one - self._start) // STEP_MS for one in (first, last))
        return self._columns[name][low:high]

    def _run(self, first: Instant, hours: int) -> WeatherSeries:
        low = (first - self.weather.start) // HOUR_MS
        values = {name: row[low : low + hours] for name, row in self.weather.values.items()}
        return WeatherSeries(self.weather.start + low * HOUR_MS, values, HOUR_MS)
