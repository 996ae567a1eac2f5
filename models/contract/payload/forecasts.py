"""Forecasts <-> JSON objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import SCHEMA_VERSION
from ..errors import PayloadError
from ..fields import Fields, Json, checked
from ..forecast import (
    LEVELS,
    MAX_STEP_MINUTES,
    Coverage,
    CoverageState,
    Forecast,
    ForecastSeries,
    WeatherMode,
)
from ..quantities import QUANTITIES, quantity
from ..timestamps import MINUTE_MS, format_iso8601
from .json_text import JOURNAL_KEY


def level_key(level: float) -> str:
    """Key of a quantile level in JSON: ``0.05``."""
    return format(level, "g")


def forecast_to_json(forecast: Forecast) -> dict[str, Json]:
    """JSON object of a forecast, without a journal key."""
    series: dict[str, Json] = {}
    for name, one in forecast.series.items():
        series[name] = {
            "unit": quantity(name).unit,
            "model": one.model,
            "quantiles": {
                level_key(level): list(row)
                for level, row in zip(LEVELS, one.quantiles, strict=True)
            },
            "interval": {
                "nominal": one.coverage.nominal,
                "observed": one.coverage.observed,
                "count": one.coverage.count,
                "state": one.coverage.state.value,
            },
        }
    return {
        "v": SCHEMA_VERSION,
        "site": forecast.site,
        "issued_at": format_iso8601(forecast.issued_at),
        "start": format_iso8601(forecast.start),
        "step_minutes": forecast.step_ms // MINUTE_MS,
        "bundle": forecast.bundle,
        "weather_mode": forecast.weather_mode.value,
        "series": series,
    }


def forecast_from_json(body: Mapping[str, Any]) -> Forecast:
    """Inverse of :func:`forecast_to_json`."""
    fields = Fields(body, ignore=JOURNAL_KEY)
    fields.version()
    site = fields.identifier("site")
    issued_at, start = fields.instant("issued_at"), fields.instant("start")
    step_ms = fields.integer("step_minutes", 1, MAX_STEP_MINUTES) * MINUTE_MS
    bundle = fields.text("bundle", nullable=True)
    mode = fields.enum("weather_mode", WeatherMode)
    series = {
        name: _series_from_json(name, inner) for name, inner in fields.objects("series").items()
    }
    fields.finish()
    return checked(lambda: Forecast(site, issued_at, start, series, bundle, mode, step_ms))


def _series_from_json(name: str, fields: Fields) -> ForecastSeries:
    if name not in QUANTITIES:
        raise PayloadError("unknown quantity; see docs/NOMENCLATURE.md", f"series.{name}")
    if fields.text("unit") != quantity(name).unit:
        raise PayloadError(f"must be {quantity(name).unit}", f"series.{name}.unit")
    rows = fields.object("quantiles")
    quantiles = tuple(rows.numbers(level_key(level)) for level in LEVELS)
    rows.finish()
    interval = fields.object("interval")
    coverage = checked(
        lambda: Coverage(
            interval.number("nominal"),
            interval.number("observed", nullable=True),
            interval.integer("count"),
            interval.enum("state", CoverageState),
        ),
        f"series.{name}.interval",
    )
    interval.finish()
    model = fields.text("model")
    fields.finish()
    return checked(lambda: ForecastSeries(model, quantiles, coverage), f"series.{name}")
