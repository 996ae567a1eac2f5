"""Forecasts for devices that have no agent: one answer on ``solar/{device}/forecast`` per record.

Decides when a plain device is answered and from what: its records of the last two weeks as
15-minute means, power taken as measured or else estimated from irradiance, at the site that was
registered or else the assumed one (then ``default-site`` stands in the model's name). A forecast is
issued at the time of the newest record, because nothing later is known. Runs in a thread of its
own, so that forecasting never holds up ingest; several records in a row are answered together.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from central.irradiance_power import ac_power_from_ghi
from central.settings import PlainDeviceSettings
from central.store import Store
from central.store.values import IrradianceMean
from models.contract import topics
from models.contract.forecast import Forecast, ForecastSeries
from models.contract.payload import canonical, forecast_to_json
from models.contract.record import Record
from models.contract.timestamps import STEP_MS, Instant, next_step
from models.features.site import FloatArray, Site, SiteSeries
from models.forecasters.persistence import HISTORY_STEPS, NAME, smart_persistence_quantiles

log = logging.getLogger(__name__)

Forecaster = Callable[[Site, SiteSeries], FloatArray]
"""Quantiles of power [W], ``(levels, steps)``, issued at the end of the series."""
Publish = Callable[[str, bytes], bool]
"""Publishes a retained message; False when there is no connection."""
_USUAL_TEMP_AIR = 20.0
"""Air temperature for a device that measures none [degC]: 10 degrees off change power by 4 %."""
_RETRY_S = 1.0


def power_series(site: Site, means: Sequence[IrradianceMean], end: Instant) -> SiteSeries:
    """Two weeks of generation up to ``end`` from interval means; NaN where nothing is known."""
    start = end - HISTORY_STEPS * STEP_MS
    power = np.full(HISTORY_STEPS, np.nan)
    estimated = []
    for mean in means:
        index = (mean.start - start) // STEP_MS
        if not 0 <= index < HISTORY_STEPS:
            continue
        if mean.ac_power is not None:
            power[index] = mean.ac_power
        elif mean.ghi is not None:
            temp_air = _USUAL_TEMP_AIR if mean.temp_air is None else mean.temp_air
            estimated.append((index, mean.start + STEP_MS // 2, mean.ghi, temp_air))
    if estimated:
        indices, middles, ghi, temp_airs = (
            np.array(column) for column in zip(*estimated, strict=True)
        )
        power[indices] = ac_power_from_ghi(site, middles, ghi, temp_airs)
    return SiteSeries(start, power)


class PlainDevices:
    """Answers plain devices with forecasts, in the background."""

    def __init__(
        self,
        store: Store,
        settings: PlainDeviceSettings,
        publish: Publish,
        forecaster: Forecaster = smart_persistence_quantiles,
        name: str = NAME,
    ) -> None:
        self._store, self._settings = store, settings
        self._publish, self._forecaster, self._name = publish, forecaster, name
        self._due: dict[str, Instant] = {}
        self._answered: dict[str, tuple[Instant, float]] = {}
        """Per device: time of the newest record answered, and when in real seconds."""
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="plain-devices")

    def start(self) -> None:
        """Begin; devices whose last record was never answered come first."""
        with self._store.read() as ask:
            for latest in ask.latest_records():
                name, measured_at = latest.identifier, latest.record.measured_at
                if ask.is_agent(name):
                    continue
                last = ask.latest_forecast(name)
                if last is not None:
                    self._answered[name] = (last.issued_at, -math.inf)
                if last is None or last.issued_at < measured_at:
                    self._due[name] = measured_at
        self._thread.start()

    def stop(self) -> None:
        """End after the forecast at hand."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def on_records(self, device: str, records: Sequence[Record]) -> None:
        """Note that ``device`` has sent ``records``; they are in the store already."""
        newest = max(record.measured_at for record in records)
        with self._changed:
            answered, _ = self._answered.get(device, (None, 0.0))
            if answered is None or newest > answered:
                self._due[device] = max(newest, self._due.get(device, newest))
                self._changed.notify_all()

    def forecast(self, device: str, issued_at: Instant) -> Forecast:
        """A forecast from what was known of ``device`` at ``issued_at``; the running interval
        counts as far as it has been measured."""
        start = next_step(issued_at)
        with self._store.read() as ask:
            declared = ask.site(device)
            means = ask.irradiance_means(device, start - HISTORY_STEPS * STEP_MS, issued_at + 1)
        site = self._settings.site() if declared is None else declared.parameters()
        name = self._name if declared is not None else f"{self._name}(default-site)"
        quantiles = self._forecaster(site, power_series(site, means, start))
        rows = tuple(tuple(round(float(value), 1) for value in row) for row in quantiles)
        return Forecast(device, issued_at, start, {"ac_power": ForecastSeries(name, rows)})

    def _run(self) -> None:
        while (task := self._next()) is not None:
            device, issued_at = task
            try:
                done = self._answer(device, issued_at)
            except Exception:
                log.exception("no forecast for plain device %s; going on", device)
                done = True
            with self._changed:
                if done:
                    self._answered[device] = (issued_at, time.monotonic())
                elif not self._stopping:
                    self._due.setdefault(device, issued_at)
                    self._changed.wait(_RETRY_S)

    def _next(self) -> tuple[str, Instant] | None:
        """The next device to answer; waits for it. None when told to stop."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                soonest: float | None = None
                for device, issued_at in self._due.items():
                    _, last = self._answered.get(device, (0, -math.inf))
                    wait = last + self._settings.min_interval_s - now
                    if wait <= 0:
                        del self._due[device]
                        return device, issued_at
                    soonest = wait if soonest is None else min(soonest, wait)
                self._changed.wait(soonest)
            return None

    def _answer(self, device: str, issued_at: Instant) -> bool:
        forecast = self.forecast(device, issued_at)
        self._store.keep_plain_forecast(forecast)
        payload = canonical(forecast_to_json(forecast)).encode()
        return self._publish(topics.build(device, "forecast"), payload)
