"""A few days of one site, what it might have published, and the store that holds both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from central.report.live import LiveScores, score_live
from central.store import Store
from central.store.values import EntryRow, Group
from models.bundle.manifest import (
    BundleFile,
    FeatureDigest,
    Golden,
    Manifest,
    ModelEntry,
    ModelKind,
    TrainingSpan,
)
from models.contract.forecast import LEVELS, Forecast, ForecastSeries, WeatherMode
from models.contract.messages import Entry, EntryKey, Kind
from models.contract.payload import canonical, forecast_to_json, record_to_json
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, STEP_MS, parse_iso8601
from models.features.site import FloatArray, Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import current_spec
from models.forecasters.persistence import smart_persistence
from tests.fleet_messages import EPOCH

AGENT = "site_01"
SITE = Site(latitude=37.8, longitude=-122.4, dc_capacity_w=6000.0, ac_capacity_w=5000.0, tilt=20.0)
BEGIN = parse_iso8601("2026-06-01T08:00:00Z")
"""First measurement: midnight of the sun there."""
START = BEGIN + 4 * DAY_MS
END = BEGIN + 8 * DAY_MS
EVERY = 2 * 4
"""Quarter hours between two issues."""


def cloudy_days(steps: int) -> FloatArray:
    """Clear-sky power under clouds that come and go over hours and differ from day to day [W]."""
    random = np.random.default_rng(4)
    cloud = np.empty(steps)
    state = 0.0
    for k in range(steps):
        state = 0.97 * state + 0.12 * random.standard_normal()
        cloud[k] = state
    return np.asarray(Sky.over(SITE, BEGIN, steps).power * np.clip(0.7 + 0.3 * cloud, 0.05, 1.2))


TRUTH = SiteSeries(BEGIN, cloudy_days((END - BEGIN) // STEP_MS + HORIZON_STEPS))
"""Power to the end of the last forecast; the store is told what came before ``END``."""


@dataclass
class Fleet:
    """What one agent sends, with real records and forecasts in a real store."""

    store: Store
    seq: int = 0

    def measures(self, series: SiteSeries, quality: Quality = Quality.GOOD) -> None:
        """One record in the middle of every interval that has a value."""
        rows = []
        for k, power in enumerate(series.ac_power):
            if np.isfinite(power):
                at = series.start + k * STEP_MS + STEP_MS // 2
                record = Record("inverter", at, {"ac_power": Reading(float(power), quality)})
                rows.append(self._row("record", "inverter", at, canonical(record_to_json(record))))
        self.store.commit(Group(entries=rows))

    def publishes(self, *forecasts: Forecast) -> None:
        """Forecasts as they stand in the journal."""
        self.store.commit(
            Group(
                entries=[
                    self._row("forecast", AGENT, one.issued_at, canonical(forecast_to_json(one)))
                    for one in forecasts
                ]
            )
        )

    def live(self, start: int = START, end: int = END, **more: object) -> LiveScores:
        """Scores of the window."""
        arguments = {"history": None, **more}
        with self.store.read() as ask:
            return score_live(ask, AGENT, SITE, start, end, **arguments)  # type: ignore[arg-type]

    def _row(self, kind: str, device: str, at: int, body: str) -> EntryRow:
        self.seq += 1
        digest = Entry(EntryKey(EPOCH, self.seq), Kind(kind), body).digest
        return EntryRow(AGENT, EPOCH, self.seq, kind, device, at, digest, body, at)


def forecast(
    at: int, quantiles: FloatArray, bundle: str | None = "bundle-7", offset: int = 0
) -> Forecast:
    """A forecast issued ``offset`` ms into the interval ``at``; ``quantiles`` (levels, steps)."""
    rows = tuple(tuple(float(value) for value in row) for row in quantiles)
    model = "blend" if bundle else "smart_persistence"
    series = {"ac_power": ForecastSeries(model, rows)}
    return Forecast(AGENT, at + offset, at, series, bundle, WeatherMode.NONE)


def sure(power: FloatArray) -> FloatArray:
    """Every quantile at ``power``."""
    return np.tile(power, (len(LEVELS), 1))


def truth_at(at: int) -> FloatArray:
    """What will be measured over the horizon from ``at``."""
    first = TRUTH.index(at)
    return TRUTH.ac_power[first : first + HORIZON_STEPS]


def persistence_at(at: int) -> FloatArray:
    """Smart persistence from what was measured before ``at``."""
    known = TRUTH.window(0, TRUTH.index(at))
    return np.asarray(smart_persistence(SITE, known, np.array([len(known)]))[0])


def banded(at: int, seed: int = 0) -> FloatArray:
    """A fallible forecast: the truth with errors that grow with the lead, and a band around it."""
    random = np.random.default_rng(at // STEP_MS + seed)
    clear = Sky.over(SITE, at, HORIZON_STEPS).power
    growth = 0.05 + 0.10 * np.arange(HORIZON_STEPS) / HORIZON_STEPS
    median = truth_at(at) + clear * growth * random.standard_normal()
    spread = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64])
    return np.asarray(np.clip(median + spread[:, None] * clear * growth, 0.0, SITE.ac_capacity_w))


def issue_times(start: int = START, end: int = END) -> range:
    return range(start, end, EVERY * STEP_MS)


MANIFEST = Manifest(
    bundle_id="bundle-7",
    release=7,
    created_at=START,
    min_agent_version="0.1.0",
    hardware=("any",),
    features=FeatureDigest(current_spec().digest, 60),
    weather_mode=WeatherMode.NONE,
    training=TrainingSpan(START - 365 * DAY_MS, START, "ab" * 32),
    models={
        "solar_generation_xgboost": ModelEntry(
            "ac_power", ModelKind.TFLITE_LSTM, LEVELS, {"any": (BundleFile("m", "cd" * 32, 10),)}
        )
    },
    golden=Golden(BundleFile("golden.npz", "ef" * 32, 10), 0.02),
)
"""Of the bundle that ``forecast`` names."""
