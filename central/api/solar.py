"""``/api/v1/forecast/solar``: one number for one moment, in the runbook's words.

Two ways to ask. With ``ghi``, ``temperature`` and ``system_capacity_kw``: what a plant of that size
gives under that sun (PVWatts on a horizontal plane; ``hour`` only dates the answer, because
irradiance already holds it). With ``site``: the latest stored forecast for the asked time.
``prediction`` and ``confidence`` are plain numbers; ``interval`` says what they rest on, and
``confidence`` is the measured coverage of that interval where there is one, else the nominal one.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from central.irradiance_power import NAME, ac_power_in_plane
from models.contract.errors import ContractError
from models.contract.forecast import NOMINAL_COVERAGE, CoverageState, Forecast
from models.contract.timestamps import DAY_MS, HOUR_MS, Instant, format_iso8601, parse_iso8601
from models.contract.units import from_base, to_base

from .context import ApiContext, Context

PATH = "/api/v1/forecast/solar"
router = APIRouter(tags=["forecast"])

_ALLOWANCE = 0.25
"""Half-width of the interval for a bare irradiance, relative: what the request does not say
(orientation, soiling, shading). Declared, not measured; hence ``uncalibrated``."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class SolarRequest(BaseModel):
    """``ghi`` [W/m2], ``temperature`` [degC], ``hour`` of the UTC day, ``system_capacity_kw``; or
    ``site`` with an optional ``timestamp`` (or ``hour``)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"ghi": 500, "temperature": 25, "hour": 12, "system_capacity_kw": 5.0}
        },
    )
    ghi: Annotated[Finite, Field(ge=-20, le=2000)] | None = None
    temperature: Annotated[Finite, Field(ge=-80, le=70)] | None = None
    hour: Annotated[int, Field(ge=0, le=23)] | None = None
    system_capacity_kw: Annotated[Finite, Field(gt=0, lt=1e6)] | None = None
    site: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")] | None = None
    timestamp: Annotated[str, Field(max_length=40)] | None = None

    @model_validator(mode="after")
    def _one_way_of_asking(self) -> SolarRequest:
        weather = {
            "ghi": self.ghi,
            "temperature": self.temperature,
            "system_capacity_kw": self.system_capacity_kw,
        }
        if self.site is None:
            missing = [name for name, value in weather.items() if value is None]
            if missing:
                raise ValueError(f"{', '.join(missing)}: required unless a site is named")
        elif any(value is not None for value in weather.values()):
            raise ValueError("site: give either a site or ghi, temperature and system_capacity_kw")
        if self.timestamp is not None:
            try:
                parse_iso8601(self.timestamp)
            except ContractError as error:
                raise ValueError(f"timestamp: {error}") from None
        return self


class SolarInterval(BaseModel):
    """Where the actual value should lie [kW], and how far that was checked."""

    lower: float
    upper: float
    unit: str = "kW"
    nominal: float
    observed: float | None
    count: int
    state: CoverageState


class SolarAnswer(BaseModel):
    """``prediction`` in kW for the moment (or the 15 minutes from) ``timestamp``."""

    prediction: float
    model: str
    confidence: float
    timestamp: str
    interval: SolarInterval


@router.post(PATH, responses={404: {"description": "no forecast for that site and time"}})
def post_solar(request: SolarRequest, context: Context) -> SolarAnswer:
    """Expected generation."""
    return _answer(request, context)


@router.get(PATH, responses={404: {"description": "no forecast for that site and time"}})
def get_solar(request: Annotated[SolarRequest, Query()], context: Context) -> SolarAnswer:
    """The same question as a GET request."""
    return _answer(request, context)


def _answer(request: SolarRequest, context: ApiContext) -> SolarAnswer:
    now = context.clock.now()
    if request.site is not None:
        return _of_site(request.site, request, context, now)
    assert request.ghi is not None
    assert request.temperature is not None
    assert request.system_capacity_kw is not None
    capacity_w = to_base(request.system_capacity_kw, "kW")
    power = float(ac_power_in_plane(request.ghi, request.temperature, capacity_w, capacity_w))
    return SolarAnswer(
        prediction=_kw(power),
        model=NAME,
        confidence=NOMINAL_COVERAGE,
        timestamp=format_iso8601(_asked_time(request, now)),
        interval=SolarInterval(
            lower=_kw(power * (1 - _ALLOWANCE)),
            upper=_kw(min(power * (1 + _ALLOWANCE), capacity_w)),
            nominal=NOMINAL_COVERAGE,
            observed=None,
            count=0,
            state=CoverageState.UNCALIBRATED,
        ),
    )


def _asked_time(request: SolarRequest, now: Instant) -> Instant:
    if request.timestamp is not None:
        return parse_iso8601(request.timestamp)
    if request.hour is not None:
        return now - now % DAY_MS + request.hour * HOUR_MS
    return now


def _of_site(site: str, request: SolarRequest, context: ApiContext, now: Instant) -> SolarAnswer:
    with context.store.read() as ask:
        forecast = ask.latest_forecast(site, now + DAY_MS)
        known = forecast is not None or ask.is_known(site)
    if forecast is None or "ac_power" not in forecast.series:
        raise HTTPException(404, f"{site}: {'no forecast yet' if known else 'no such site'}")
    if request.timestamp is None and request.hour is not None:
        midnight = forecast.start - forecast.start % DAY_MS
        asked = midnight + request.hour * HOUR_MS
        asked = asked if asked >= forecast.start else asked + DAY_MS
    elif request.timestamp is None:
        asked = max(now, forecast.start)
    else:
        asked = parse_iso8601(request.timestamp)
    return _step_of(forecast, asked)


def _step_of(forecast: Forecast, asked: Instant) -> SolarAnswer:
    series = forecast.series["ac_power"]
    steps = len(series.median)
    step = (asked - forecast.start) // forecast.step_ms
    if not 0 <= step < steps:
        end = forecast.start + steps * forecast.step_ms
        raise HTTPException(
            404,
            f"{forecast.site}: its latest forecast covers {format_iso8601(forecast.start)} to"
            f" {format_iso8601(end)}, not {format_iso8601(asked)}",
        )
    coverage = series.coverage
    return SolarAnswer(
        prediction=_kw(series.median[step]),
        model=series.model,
        confidence=coverage.nominal if coverage.observed is None else coverage.observed,
        timestamp=format_iso8601(forecast.start + step * forecast.step_ms),
        interval=SolarInterval(
            lower=_kw(series.quantiles[0][step]),
            upper=_kw(series.quantiles[-1][step]),
            nominal=coverage.nominal,
            observed=coverage.observed,
            count=coverage.count,
            state=coverage.state,
        ),
    )


def _kw(watts: float) -> float:
    return round(from_base(watts, "kW"), 6)
