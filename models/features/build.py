"""The one function that computes features, for trainer and agent alike.

Decides what each column of ``spec.FEATURES`` means. Reads nothing measured at or after the issue:
an interval is known once it has ended (tests change the future and expect no difference), and
nothing older than ``spec.HISTORY_DAYS``. Of the future it reads forecast weather only, and that the
caller hands in. Missing knowledge is NaN, which the trees treat as a value of its own.

Steps are those of the series: a quarter of an hour on the box, up to an hour in recordings. Windows
are named by their length, lags (``csi_lag_2``) count steps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import DAY_MS, HORIZON_STEPS, HOUR_MS, STEP_MS

from .recent import Recent, Sums, look_up, ratio
from .site import FloatArray, IntArray, Site, SiteSeries
from .sky import CSI_MAX, PRIOR_INDEX, Sky, clear_sky_index, persisted_index
from .spec import ANCHOR_DECAY_HOURS, FEATURES, HISTORY_DAYS, WEATHER_COLUMNS, WINDOW_STEPS
from .weather import SkyWeather, WeatherSeries
from .weather_columns import believed_ratio, weather_columns

FeatureArray = npt.NDArray[np.float32]
_LEAST_INDEX = 0.05
_BRIGHT = 20.0
"""Irradiance [W/m2] above which shares of it mean something."""


def build_features(
    site: Site,
    series: SiteSeries,
    issues: npt.ArrayLike,
    leads: npt.ArrayLike | None = None,
    sky: Sky | None = None,
    weather: SkyWeather | WeatherSeries | None = None,
) -> FeatureArray:
    """Features for every pair of issue and lead, shape ``(issues, leads, len(FEATURES))``.

    Args:
        site: the plant
        series: its history; may run on past an issue, which changes nothing
        issues: numbers of intervals of ``series`` known at each issue, ascending or not
        leads: steps from the first unknown interval, default: the horizon
        sky: ``Sky.over`` the series, the horizon behind the last issue and a day more, if at hand
        weather: the forecast that was known at these issues, if there was one
    Raises:
        ValueError: an issue lies before the start or after the end of the series.
    """
    issue = np.asarray(issues, dtype=np.int64).reshape(-1)
    horizon = HORIZON_STEPS * STEP_MS // series.step_ms
    lead = np.arange(horizon) if leads is None else np.asarray(leads, dtype=np.int64)
    if len(issue) and not (issue.min() >= 0 and issue.max() <= len(series)):
        raise ValueError("issues must lie within the series")
    if sky is None:
        last = int(issue.max(initial=0)) + int(lead.max(initial=0)) + 1
        # The day of the last target counts whole.
        steps = max(len(series), last) + DAY_MS // series.step_ms
        sky = Sky.over(site, series.start, steps, series.step_ms)
    if isinstance(weather, WeatherSeries):
        weather = SkyWeather.over(site, series.start, sky, weather)
    if len(issue) and len(lead):
        # Running sums over years for the sake of some days would cost more than all the rest.
        per_day = DAY_MS // series.step_ms
        first = max(0, int(issue.min()) - HISTORY_DAYS * per_day)
        reach = int(issue.max()) + int(lead.max()) + 1 + per_day
        weather = weather and weather.part(first, reach)
        sky, series = sky.part(first, reach), series.part(first, int(issue.max()))
        issue = issue - first
    recent = Recent(series, sky)
    target = issue[:, None] + lead[None, :]
    day = _solar_day(sky)
    columns = _target_columns(site, sky, issue, lead, day)
    columns |= _slot_columns(recent, issue, lead)
    columns |= weather_columns(site, recent, weather, issue, target, day)
    columns |= {
        name: values[:, None] for name, values in _issue_columns(site, recent, issue).items()
    }
    columns["persistence_power"] = columns["csi_persisted"] * columns["target_clearsky_power"]
    columns["csi_anchor"] = _anchor(columns)
    table = np.full((len(issue), len(lead), len(FEATURES)), np.nan, dtype=np.float32)
    for position, name in enumerate(FEATURES):
        if weather is not None or name not in WEATHER_COLUMNS:
            table[:, :, position] = columns[name]
    return table


def _target_columns(
    site: Site, sky: Sky, issue: IntArray, lead: IntArray, day: IntArray
) -> dict[str, FloatArray]:
    target = issue[:, None] + lead[None, :]
    position = sky.position
    hour = np.radians(position.hour_angle[target])
    season = np.radians(position.ecliptic_longitude[target])
    return {
        "target_sin_elevation": np.sin(np.radians(position.elevation[target])),
        "target_sin_hour_angle": np.sin(hour),
        "target_cos_hour_angle": np.cos(hour),
        "target_sin_season": np.sin(season),
        "target_cos_season": np.cos(season),
        "target_incidence": sky.incidence[target],
        "target_air_mass": sky.air_mass[target],
        "target_clearsky_ghi": sky.ghi[target] / 1000.0,
        "target_clearsky_power": sky.power[target] / site.ac_capacity_w,
        "target_clearsky_slope": (sky.power[target + 1] - sky.power[target]) / site.ac_capacity_w,
        "lead_hours": np.broadcast_to((lead + 0.5) * sky.step_ms / HOUR_MS, target.shape),
        # How many nights lie between: the day of the sun changes at solar midnight.
        "lead_days": (day[target] - day[issue][:, None]).astype(np.float64),
    }


def _solar_day(sky: Sky) -> IntArray:
    """Number of solar midnights since the start of the run, per interval."""
    passed = np.diff(sky.position.hour_angle, prepend=sky.position.hour_angle[0]) < -180.0
    return np.cumsum(passed)


def _issue_columns(site: Site, recent: Recent, issue: IntArray) -> dict[str, FloatArray]:
    series, sky, hour = recent.series, recent.sky, recent.hour
    day, half = DAY_MS // series.step_ms, max(1, hour // 2)
    columns = {
        "issue_sin_elevation": np.sin(np.radians(sky.position.elevation[issue])),
        "issue_clearsky_power": sky.power[issue] / site.ac_capacity_w,
        "csi_persisted": persisted_index(series.ac_power, sky, issue),
        "power_last": look_up(series.ac_power, issue - 1) / site.ac_capacity_w,
        "csi_mean_1h": recent.index.mean(issue - hour, issue),
        "csi_std_1h": recent.index.deviation(issue - hour, issue),
        "csi_mean_2h": recent.index.mean(issue - 2 * hour, issue),
        "csi_std_2h": recent.index.deviation(issue - 2 * hour, issue),
        "csi_trend_1h": recent.index.mean(issue - half, issue)
        - recent.index.mean(issue - hour - half, issue - hour),
        "csi_mean_3h": recent.index.mean(issue - 3 * hour, issue),
        "csi_std_3h": recent.index.deviation(issue - 3 * hour, issue),
        "csi_ramp_3h": recent.ramp.mean(issue - 3 * hour, issue),
        "csi_mean_7d": recent.energy.over(issue - 7 * day, issue),
        "csi_std_7d": recent.index.deviation(issue - 7 * day, issue),
        "csi_age_hours": _age(recent, issue),
        "temp_air_last": look_up(series.temp_air, issue - 1),
        "temp_air_change_3h": look_up(series.temp_air, issue - 1)
        - look_up(series.temp_air, issue - 1 - 3 * hour),
        "temp_air_change_24h": look_up(series.temp_air, issue - 1)
        - look_up(series.temp_air, issue - 1 - day),
        "temp_air_mean_24h": _window_mean(series.temp_air, issue - day, issue),
        "valid_share_24h": recent.valid_share(issue - day, issue),
        "site_latitude": np.full(len(issue), site.latitude),
        "site_tilt": np.full(len(issue), site.tilt),
        "site_azimuth_from_equator": np.full(len(issue), _from_equator(site)),
        "site_dc_ac_ratio": np.full(len(issue), site.dc_capacity_w / site.ac_capacity_w),
    }
    for lag in range(1, 6):
        columns[f"csi_lag_{lag}"] = look_up(recent.csi, issue - lag)
    for before in range(1, 4):
        columns[f"csi_day_{before}"] = recent.energy.over(
            issue - before * day, issue - (before - 1) * day
        )
    return columns | _sensor_columns(recent, issue)


def _sensor_columns(recent: Recent, issue: IntArray) -> dict[str, FloatArray]:
    """What the site's own irradiance sensors say of the sky at issue."""
    series, hour = recent.series, recent.hour
    clear = recent.sky.ghi[: len(series)]
    bright = clear > _BRIGHT

    def share(above: FloatArray | None, below: FloatArray | None) -> FloatArray:
        if above is None or below is None:
            return np.full(len(series), np.nan)
        usable = bright & (below > _BRIGHT)
        return np.where(usable, np.clip(above / np.where(usable, below, 1.0), 0.0, CSI_MAX), np.nan)

    index, diffuse = share(series.ghi, clear), share(series.dhi, series.ghi)
    index_sums, diffuse_sums = Sums(index), Sums(diffuse)
    # What the plant makes of its irradiance: dirt, snow and faults show here, clouds do not.
    yield_ = np.where(index > _LEAST_INDEX, recent.csi / np.maximum(index, _LEAST_INDEX), np.nan)
    return {
        "ghi_csi_last": look_up(index, issue - 1),
        "ghi_csi_lag_2": look_up(index, issue - 2),
        "ghi_csi_lag_3": look_up(index, issue - 3),
        "power_to_ghi_last": look_up(yield_, issue - 1),
        "power_to_ghi_7d": Sums(yield_).mean(issue - 7 * 24 * hour, issue),
        "ghi_csi_mean_1h": index_sums.mean(issue - hour, issue),
        "ghi_csi_std_1h": index_sums.deviation(issue - hour, issue),
        "ghi_csi_mean_3h": index_sums.mean(issue - 3 * hour, issue),
        "diffuse_share_last": look_up(diffuse, issue - 1),
        "diffuse_share_mean_1h": diffuse_sums.mean(issue - hour, issue),
        "diffuse_share_mean_3h": diffuse_sums.mean(issue - 3 * hour, issue),
    }


def _anchor(columns: dict[str, FloatArray]) -> FloatArray:
    """The last index fading into what is expected far off; never NaN.

    Far off stands the forecast weather, as right as it was lately, else the last week's mean.
    """
    now = np.where(
        np.isfinite(columns["csi_lag_1"]), columns["csi_lag_1"], columns["csi_persisted"]
    )
    week = columns["csi_mean_7d"]
    week = np.where(np.isfinite(week), week, PRIOR_INDEX)
    right = believed_ratio(columns["weather_ratio_7d"])
    weather = np.minimum(columns["weather_power_index"] * right, CSI_MAX)
    far = np.where(np.isfinite(weather), weather, week)
    fade = np.exp(-columns["lead_hours"] / ANCHOR_DECAY_HOURS)
    return np.asarray(fade * now + (1.0 - fade) * far)


def _slot_columns(recent: Recent, issue: IntArray, lead: IntArray) -> dict[str, FloatArray]:
    day = DAY_MS // recent.series.step_ms
    half = recent.hour // 2
    # The latest days on which the target's time of day had already ended at the issue.
    back = (lead // day + 1) * day
    nearest = issue[:, None] + (lead - back)[None, :]
    days = nearest[:, :, None] - np.arange(7) * day
    within = days >= (issue - HISTORY_DAYS * day)[:, None, None]
    week = np.where(within, look_up(recent.csi, days), np.nan)
    known = np.isfinite(week)
    mean = ratio(np.where(known, week, 0.0).sum(axis=2), known.sum(axis=2).astype(np.float64))
    around_last = np.minimum(nearest + half + 1, issue[:, None])
    return {
        "csi_slot_1": week[:, :, 0],
        "csi_slot_2": week[:, :, 1],
        "csi_slot_hour_1": recent.energy.over(nearest - half, around_last),
        "csi_slot_mean_7d": mean,
        "csi_slot_min_7d": np.fmin.reduce(week, axis=2),
        "csi_slot_max_7d": np.fmax.reduce(week, axis=2),
    }


def _age(recent: Recent, issue: IntArray) -> FloatArray:
    """Hours since the last known daylight interval; NaN beyond the history."""
    step_ms = recent.series.step_ms
    where = np.flatnonzero(np.isfinite(recent.csi))
    position = np.searchsorted(where, issue) - 1
    age = np.full(len(issue), np.nan)
    seen = position >= 0
    age[seen] = issue[seen] - where[position[seen]] - 1
    age[age * step_ms >= HISTORY_DAYS * DAY_MS] = np.nan
    return age * (step_ms / HOUR_MS)


def _window_mean(values: FloatArray | None, first: IntArray, last: IntArray) -> FloatArray:
    return np.full(len(first), np.nan) if values is None else Sums(values).mean(first, last)


def _from_equator(site: Site) -> float:
    """Degrees the modules are turned away from the equator's direction; east negative."""
    facing = 180.0 if site.latitude >= 0 else 0.0
    return (site.azimuth - facing + 180.0) % 360.0 - 180.0


def build_windows(
    site: Site, series: SiteSeries, issues: npt.ArrayLike, sky: Sky | None = None
) -> FeatureArray:
    """LSTM input: the last day before each issue, ``(issues, WINDOW_STEPS, channels)``.

    Channels are ``spec.WINDOW_CHANNELS``; an unknown or night-time index is 0 with its flag down.
    """
    issue = np.asarray(issues, dtype=np.int64).reshape(-1)
    if sky is None:
        sky = Sky.over(site, series.start, max(len(series), 1))
    csi = clear_sky_index(series.ac_power, sky)
    where = issue[:, None] + np.arange(-WINDOW_STEPS, 0)
    inside = (where >= 0) & (where < len(series))
    index = np.clip(where, 0, max(len(series) - 1, 0))
    known = inside & np.isfinite(csi[index])
    window: FeatureArray = np.stack(
        [
            np.where(known, np.nan_to_num(csi[index]), 0.0),
            np.where(inside, sky.power[index] / site.ac_capacity_w, 0.0),
            inside & sky.daylight[index],
            known,
        ],
        axis=-1,
    ).astype(np.float32)
    return window
