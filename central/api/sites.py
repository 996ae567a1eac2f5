"""``/api/v1/sites``: the fleet, a site's latest forecast, and what it measured."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from models.contract.errors import ContractError
from models.contract.forecast import LEVELS, Forecast
from models.contract.timestamps import (
    HOUR_MS,
    STEP_MS,
    Instant,
    floor_to_step,
    format_iso8601,
    parse_iso8601,
)
from models.contract.units import from_base

from .context import Context, Identifier
from .fleet import SiteView, site_views

router = APIRouter(prefix="/api/v1/sites", tags=["sites"])
_MAX_HOURS = 24 * 31


class Fleet(BaseModel):
    """Every site, and what time the centre takes it to be."""

    now: str
    sites: list[SiteView]


class Interval(BaseModel):
    """What the band means: nominal and measured share of actuals between the outermost
    quantiles."""

    nominal: float
    observed: float | None
    count: int
    state: str


class SiteForecast(BaseModel):
    """Generation quantiles [kW]; step ``k`` covers ``start + k * step_minutes`` and the step
    after."""

    site: str
    issued_at: str
    start: str
    step_minutes: int
    bundle: str | None
    weather_mode: str
    model: str
    unit: str = "kW"
    quantiles: dict[str, list[float]]
    interval: Interval


class Recent(BaseModel):
    """Mean generation [kW] per 15-minute interval: start of the interval and value."""

    site: str
    start: str
    end: str
    step_minutes: int
    unit: str = "kW"
    ac_power: list[tuple[str, float]]


@router.get("")
def list_sites(context: Context) -> Fleet:
    """All sites with live power, bundle state and when they were last heard of."""
    now = context.clock.now()
    with context.store.read() as ask:
        return Fleet(now=format_iso8601(now), sites=site_views(ask, now))


@router.get("/{site}/forecast", responses={404: {"description": "no forecast"}})
def site_forecast(
    site: Identifier,
    context: Context,
    issued_before: Annotated[
        str | None, Query(description="the newest one issued by then, ISO 8601; else the next one")
    ] = None,
) -> SiteForecast:
    """The latest forecast of a site, or the one that was current at ``issued_before``."""
    with context.store.read() as ask:
        if issued_before is None:
            forecast = ask.latest_forecast(site, context.clock.now() + 24 * HOUR_MS)
        else:
            instant = _instant(issued_before, "issued_before")
            forecast = ask.latest_forecast(site, instant) or ask.earliest_forecast(site, instant)
        known = forecast is not None or ask.is_known(site)
    if forecast is None:
        raise HTTPException(404, f"{site}: {'no forecast yet' if known else 'no such site'}")
    return _in_kw(forecast)


@router.get("/{site}/recent", responses={404: {"description": "no such site"}})
def site_recent(
    site: Identifier,
    context: Context,
    hours: Annotated[int, Query(ge=1, le=_MAX_HOURS)] = 24,
    until: Annotated[str | None, Query(description="end, ISO 8601; default: now")] = None,
) -> Recent:
    """What a site generated."""
    end = context.clock.now() if until is None else _instant(until, "until")
    start = floor_to_step(end - hours * HOUR_MS)
    with context.store.read() as ask:
        if not ask.is_known(site):
            raise HTTPException(404, f"{site}: no such site")
        means = ask.power_means(site, start, end + 1)
    return Recent(
        site=site,
        start=format_iso8601(start),
        end=format_iso8601(end),
        step_minutes=STEP_MS // 60_000,
        ac_power=[(format_iso8601(step), from_base(power, "kW")) for step, power in means],
    )


def _in_kw(forecast: Forecast) -> SiteForecast:
    series = forecast.series.get("ac_power")
    if series is None:
        raise HTTPException(404, f"{forecast.site}: its forecast is not of generation")
    return SiteForecast(
        site=forecast.site,
        issued_at=format_iso8601(forecast.issued_at),
        start=format_iso8601(forecast.start),
        step_minutes=forecast.step_ms // 60_000,
        bundle=forecast.bundle,
        weather_mode=forecast.weather_mode.value,
        model=series.model,
        quantiles={
            format(level, "g"): [round(from_base(value, "kW"), 6) for value in row]
            for level, row in zip(LEVELS, series.quantiles, strict=True)
        },
        interval=Interval(
            nominal=series.coverage.nominal,
            observed=series.coverage.observed,
            count=series.coverage.count,
            state=series.coverage.state.value,
        ),
    )


def _instant(text: str, name: str) -> Instant:
    try:
        return parse_iso8601(text)
    except ContractError as error:
        raise HTTPException(422, f"{name}: {error}") from None
