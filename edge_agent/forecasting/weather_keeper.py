"""The forecast weather that the centre sends, kept over restarts and beside what earlier runs said.

Decides what a run of the weather model means for the site's own grid: a newer run replaces older
values from its start on; what lies before stays as it was last forecast, because models compare it
with what was measured. Eight days back are kept. It leaves to others: when a run arrives (the
uplink), and whether the active bundle knows what weather is (``engine``).
"""

from __future__ import annotations

import logging
import math
import sqlite3
from typing import Any

import numpy as np

from edge_agent.storage.state_store import StateStore
from models.contract.errors import ContractError
from models.contract.payload import parse_json, weather_from_json
from models.contract.timestamps import (
    DAY_MS,
    HOUR_MS,
    STEP_MS,
    Instant,
    floor_to_step,
    format_iso8601,
)
from models.features.site import FloatArray, Site
from models.features.spec import HISTORY_DAYS, PLAIN_WEATHER
from models.features.weather import WeatherSeries, laid, refined

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 200_000
MAX_AGE_MS = 36 * HOUR_MS
"""A run older than this says too little of the next two days: forecasts go on without weather."""
MAX_AHEAD_MS = 4 * DAY_MS
USED: tuple[str, ...] = ("ghi", "dhi", *PLAIN_WEATHER)
"""Quantities that features read; others of a run are not kept."""
_KEY = "weather"
_DECIMALS = 2


class WeatherKeeper:
    """Newest knowledge of the weather on the site's grid. Blocking; one thread at a time."""

    def __init__(self, name: str, site: Site, state: StateStore) -> None:
        self._name, self._site, self._state = name, site, state
        self._issued: Instant = 0
        self._start: Instant = 0
        self._values: dict[str, FloatArray] = {}
        self.refused = 0
        """Messages that could not be used."""
        try:
            self._restore(state.get(_KEY))
        except (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning(
                "the kept weather forecast cannot be read and is waited for anew: %s", error
            )
            self._values = {}

    def received(self, payload: bytes) -> bool:
        """Take a message of the weather topic; False when it was refused or is not newer."""
        try:
            run = weather_from_json(parse_json(payload, MAX_MESSAGE_BYTES))
            if run.site != self._name:
                raise ContractError(f"site: is {run.site!r}, this box is {self._name!r}")
            series = WeatherSeries(
                run.start - run.start % run.step_ms,
                {name: np.asarray(row) for name, row in run.values.items() if name in USED},
                run.step_ms,
            )
            if not series.values:
                raise ContractError(f"values: holds none of {', '.join(USED)}")
        except (ContractError, ValueError) as error:
            self.refused += 1
            _log.warning("a weather forecast was refused: %s", error)
            return False
        if run.issued_at <= self._issued and self._values:
            return False
        self._merge(refined(self._site, series), run.issued_at)
        _log.info(
            "weather forecast of %s, issued %s: %d steps of %d min",
            run.source, format_iso8601(run.issued_at), len(series), run.step_ms // 60_000,
        )  # fmt: skip
        self._save()
        return True

    def series(self, now: Instant) -> WeatherSeries | None:
        """What is known at ``now``; None without a run that is new enough."""
        if not self._values or not self._issued <= now <= self._issued + MAX_AGE_MS:
            return None
        return WeatherSeries(self._start, self._values)

    def _merge(self, run: WeatherSeries, issued_at: Instant) -> None:
        first = floor_to_step(run.start)
        start = max(first - HISTORY_DAYS * DAY_MS, min(self._start or first, first))
        end = min(run.start + len(run) * run.step_ms, first + MAX_AHEAD_MS)
        steps = (end - start) // STEP_MS
        fresh = (first - start) // STEP_MS
        before = WeatherSeries(self._start, self._values) if self._values else None
        values = {}
        for name in USED:
            row = laid(before, name, start, steps, STEP_MS) if before else np.full(steps, np.nan)
            row[fresh:] = laid(run, name, start, steps, STEP_MS)[fresh:]
            if np.isfinite(row).any():
                values[name] = row
        self._start, self._values, self._issued = start, values, issued_at

    def _save(self) -> None:
        rows = {
            name: [None if math.isnan(v) else round(float(v), _DECIMALS) for v in row]
            for name, row in self._values.items()
        }
        body: Any = {"v": 1, "issued_at": self._issued, "start": self._start, "values": rows}
        try:
            self._state.put(_KEY, body)
        except sqlite3.Error as error:  # the run stays in memory; the broker retains it
            _log.warning("the weather forecast could not be saved: %s", error)

    def _restore(self, body: Any) -> None:
        if not body:
            return
        values = {
            str(name): np.array([math.nan if v is None else float(v) for v in row])
            for name, row in body["values"].items()
        }
        WeatherSeries(int(body["start"]), values)
        self._start, self._issued = int(body["start"]), int(body["issued_at"])
        self._values = values
