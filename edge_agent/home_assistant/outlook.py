"""What a forecast says to a household: power now and in an hour, energy today and tomorrow. Pure.

The days are those of a time zone, which enters here and nowhere else. Low and high are the
outermost quantiles. For an energy they are summed over the steps: right if the weather is dull or
bright all day long, and wider than it needs to be otherwise, never narrower.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo

from models.contract.fields import Json
from models.contract.forecast import LEVELS, MEDIAN, Forecast, ForecastSeries
from models.contract.payload import canonical
from models.contract.payload.forecasts import level_key
from models.contract.timestamps import HOUR_MS, MINUTE_MS, Instant, format_iso8601

QUANTITY = "ac_power"
RENEW_MS = 5 * MINUTE_MS
"""What is left of a day is told so often."""
SERIES_LIMIT = 15_000
"""Bytes of the whole series: Home Assistant's recorder leaves out attributes above 16384."""
_LAST_HOUR_MS = HOUR_MS
"""So much of tomorrow may lie beyond the horizon: 48 hours fall short of it on the night when the
clocks are put back, and there is no sun at its end."""

_NOTHING: dict[str, Json] = {"value": None, "attributes": {}}


def household_view(forecast: Forecast | None, now: Instant, zone: tzinfo) -> dict[str, Json]:
    """The four numbers; None where nothing (or nothing any more) is known."""
    series = forecast.series.get(QUANTITY) if forecast is not None else None
    if forecast is None or series is None:
        return dict.fromkeys(
            ("power_now", "power_in_1h", "energy_today", "energy_tomorrow"), _NOTHING
        )
    today = _local_date(now, zone)
    tonight = _midnight(today + timedelta(days=1), zone)
    tomorrow_night = _midnight(today + timedelta(days=2), zone)
    # A forecast begins with the interval in progress, or with the next.
    is_timely = forecast.start <= now + forecast.step_ms
    begin = max(now, forecast.start) if is_timely else now
    return {
        "power_now": _power(forecast, series, begin),
        "power_in_1h": _power(forecast, series, now + HOUR_MS),
        "energy_today": _energy(forecast, series, begin, tonight),
        "energy_tomorrow": _energy(forecast, series, tonight, tomorrow_night),
    }


def series_view(forecast: Forecast) -> dict[str, Json]:
    """The whole series with its quantiles; shortened, if it must be, to ``SERIES_LIMIT`` bytes."""
    series = forecast.series.get(QUANTITY)
    if series is None:
        return {"issued_at": format_iso8601(forecast.issued_at), "attributes": {}}
    steps = len(series.median)
    while True:
        view = _series(forecast, series, steps)
        size = len(canonical(view).encode())
        if size <= SERIES_LIMIT or steps <= 1:
            return view
        steps = max(1, min(steps - 1, steps * SERIES_LIMIT // size))


def _series(forecast: Forecast, series: ForecastSeries, steps: int) -> dict[str, Json]:
    rows: dict[str, Json] = {
        level_key(level): [round(value) for value in row[:steps]]
        for level, row in zip(LEVELS, series.quantiles, strict=True)
    }
    return {
        "issued_at": format_iso8601(forecast.issued_at),
        "attributes": {
            "start": format_iso8601(forecast.start),
            "step_minutes": forecast.step_ms // MINUTE_MS,
            "unit": "W",
            "quantiles": rows,
            "model": series.model,
            "bundle": forecast.bundle,
            "weather_mode": forecast.weather_mode.value,
            "coverage_observed": series.coverage.observed,
            "coverage_state": series.coverage.state.value,
        },
    }


def _power(forecast: Forecast, series: ForecastSeries, at: Instant) -> dict[str, Json]:
    step = (at - forecast.start) // forecast.step_ms
    if not 0 <= step < len(series.median):
        return _NOTHING
    low, middle, high = (round(series.quantiles[level][step]) for level in (0, MEDIAN, -1))
    begin = forecast.start + step * forecast.step_ms
    return {
        "value": middle,
        "attributes": {"low": low, "high": high, "interval_start": format_iso8601(begin)},
    }


def _energy(
    forecast: Forecast, series: ForecastSeries, begin: Instant, end: Instant
) -> dict[str, Json]:
    """Energy from ``begin`` to ``end`` in kWh; nothing unless the forecast covers it."""
    horizon = forecast.start + len(series.median) * forecast.step_ms
    if begin < forecast.start or horizon < end - _LAST_HOUR_MS:
        return _NOTHING
    sums = [0.0, 0.0, 0.0]
    for step in range((begin - forecast.start) // forecast.step_ms, len(series.median)):
        first = forecast.start + step * forecast.step_ms
        length = min(first + forecast.step_ms, end) - max(first, begin)
        if length <= 0:
            break
        for place, level in enumerate((0, MEDIAN, -1)):
            sums[place] += series.quantiles[level][step] * length / HOUR_MS / 1000.0
    low, middle, high = (round(energy, 3) for energy in sums)
    return {"value": middle, "attributes": {"low": low, "high": high}}


def _local_date(at: Instant, zone: tzinfo) -> date:
    return datetime.fromtimestamp(at / 1000.0, UTC).astimezone(zone).date()


def _midnight(day: date, zone: tzinfo) -> Instant:
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
