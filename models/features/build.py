"""The one function that computes features, for trainer and agent alike.

Decides what each column of ``spec.FEATURES`` means. Reads nothing at or after the issue: an
interval is known once it has ended (tests change the future and expect no difference), and nothing
older than ``spec.HISTORY_STEPS``. Missing knowledge is NaN, which the trees treat as a value of
its own.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import HORIZON_STEPS, STEPS_PER_DAY

from .site import FloatArray, IntArray, Site, SiteSeries
from .sky import CSI_MAX, PRIOR_INDEX, Sky, clear_sky_index, persisted_index
from .spec import ANCHOR_DECAY_HOURS, FEATURES, HISTORY_STEPS, WINDOW_STEPS

FeatureArray = npt.NDArray[np.float32]
_HOUR = 4


def build_features(
    site: Site,
    series: SiteSeries,
    issues: npt.ArrayLike,
    leads: npt.ArrayLike | None = None,
    sky: Sky | None = None,
) -> FeatureArray:
    """Features for every pair of issue and lead, shape ``(issues, leads, len(FEATURES))``.

    Args:
        site: the plant
        series: its history; may run on past an issue, which changes nothing
        issues: numbers of intervals of ``series`` known at each issue, ascending or not
        leads: steps from the first unknown interval, default ``0 .. HORIZON_STEPS - 1``
        sky: ``Sky.over`` the series and the horizon behind the last issue, if at hand
    Raises:
        ValueError: an issue lies before the start or after the end of the series.
    """
    issue = np.asarray(issues, dtype=np.int64).reshape(-1)
    lead = np.arange(HORIZON_STEPS) if leads is None else np.asarray(leads, dtype=np.int64)
    if len(issue) and not (issue.min() >= 0 and issue.max() <= len(series)):
        raise ValueError("issues must lie within the series")
    steps = max(len(series), int(issue.max(initial=0)) + int(lead.max(initial=0)) + 1) + 1
    if sky is None:
        sky = Sky.over(site, series.start, steps)
    history = _History(series, sky)
    table = np.empty((len(issue), len(lead), len(FEATURES)), dtype=np.float32)
    columns = _target_columns(site, sky, issue, lead) | _slot_columns(history, issue, lead)
    columns |= {
        name: values[:, None] for name, values in _issue_columns(site, history, issue).items()
    }
    columns["persistence_power"] = columns["csi_persisted"] * columns["target_clearsky_power"]
    columns["csi_anchor"] = _anchor(columns)
    for position, name in enumerate(FEATURES):
        table[:, :, position] = columns[name]
    return table


class _History:
    """Running sums over a series, so that any window costs two look-ups."""

    def __init__(self, series: SiteSeries, sky: Sky) -> None:
        self.series, self.sky = series, sky
        self.csi = clear_sky_index(series.ac_power, sky)
        known = np.isfinite(self.csi)
        self._count = _running(known.astype(np.float64))
        self._measured = _running(np.where(known, np.nan_to_num(series.ac_power), 0.0))
        self._clear = _running(np.where(known, sky.power[: len(series)], 0.0))
        self._csi = _running(np.where(known, np.nan_to_num(self.csi), 0.0))
        self._csi_squared = _running(np.where(known, np.nan_to_num(self.csi) ** 2, 0.0))
        ramp = np.abs(np.diff(self.csi, prepend=np.nan))
        self._ramp_count = _running(np.isfinite(ramp).astype(np.float64))
        self._ramp = _running(np.nan_to_num(ramp))
        self._valid = _running(np.isfinite(series.ac_power).astype(np.float64))

    def energy_ratio(self, first: IntArray, last: IntArray) -> FloatArray:
        """Measured over clear-sky energy of the known daylight in ``[first, last)``."""
        return np.clip(
            _ratio(_between(self._measured, first, last), _between(self._clear, first, last)),
            0.0,
            CSI_MAX,
        )

    def mean(self, first: IntArray, last: IntArray) -> FloatArray:
        """Mean index of the known daylight in ``[first, last)``."""
        return _ratio(_between(self._csi, first, last), _between(self._count, first, last))

    def deviation(self, first: IntArray, last: IntArray) -> FloatArray:
        """Standard deviation of the index in ``[first, last)``."""
        mean = self.mean(first, last)
        square = _ratio(
            _between(self._csi_squared, first, last), _between(self._count, first, last)
        )
        return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))

    def ramp(self, first: IntArray, last: IntArray) -> FloatArray:
        """Mean absolute change of the index from step to step in ``[first, last)``."""
        return _ratio(_between(self._ramp, first, last), _between(self._ramp_count, first, last))

    def valid_share(self, first: IntArray, last: IntArray) -> FloatArray:
        """Share of intervals with a measurement, day or night; before the start there is none."""
        return np.asarray(_between(self._valid, first, last) / np.maximum(last - first, 1))

    def at(self, values: FloatArray | None, where: IntArray) -> FloatArray:
        """``values[where]``, NaN outside the series or without such values."""
        if values is None or not len(values):
            return np.full(where.shape, np.nan)
        inside = (where >= 0) & (where < len(values))
        return np.where(inside, values[np.clip(where, 0, len(values) - 1)], np.nan)


def _target_columns(site: Site, sky: Sky, issue: IntArray, lead: IntArray) -> dict[str, FloatArray]:
    target = issue[:, None] + lead[None, :]
    position = sky.position
    hour = np.radians(position.hour_angle[target])
    season = np.radians(position.ecliptic_longitude[target])
    shape = target.shape
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
        "lead_hours": np.broadcast_to((lead + 0.5) / _HOUR, shape),
        # How many nights lie between: the day of the sun changes at solar midnight.
        "lead_days": _solar_day(sky)[target] - _solar_day(sky)[issue][:, None],
    }


def _solar_day(sky: Sky) -> FloatArray:
    """Number of solar midnights since the start of the run, per interval."""
    passed = np.diff(sky.position.hour_angle, prepend=sky.position.hour_angle[0]) < -180.0
    return np.cumsum(passed).astype(np.float64)


def _issue_columns(site: Site, history: _History, issue: IntArray) -> dict[str, FloatArray]:
    series, sky = history.series, history.sky
    columns = {
        "issue_sin_elevation": np.sin(np.radians(sky.position.elevation[issue])),
        "issue_clearsky_power": sky.power[issue] / site.ac_capacity_w,
        "csi_persisted": persisted_index(series.ac_power, sky, issue),
        "power_last": history.at(series.ac_power, issue - 1) / site.ac_capacity_w,
        "csi_mean_1h": history.mean(issue - _HOUR, issue),
        "csi_std_1h": history.deviation(issue - _HOUR, issue),
        "csi_mean_3h": history.mean(issue - 3 * _HOUR, issue),
        "csi_std_3h": history.deviation(issue - 3 * _HOUR, issue),
        "csi_ramp_3h": history.ramp(issue - 3 * _HOUR, issue),
        "csi_mean_7d": history.energy_ratio(issue - 7 * STEPS_PER_DAY, issue),
        "csi_std_7d": history.deviation(issue - 7 * STEPS_PER_DAY, issue),
        "csi_age_hours": _age(history, issue),
        "ghi_csi_last": _last_ghi_index(history, issue),
        "temp_air_last": history.at(series.temp_air, issue - 1),
        "temp_air_mean_24h": _window_mean(series.temp_air, issue - STEPS_PER_DAY, issue),
        "valid_share_24h": history.valid_share(issue - STEPS_PER_DAY, issue),
        "site_latitude": np.full(len(issue), site.latitude),
        "site_tilt": np.full(len(issue), site.tilt),
        "site_azimuth_from_equator": np.full(len(issue), _from_equator(site)),
        "site_dc_ac_ratio": np.full(len(issue), site.dc_capacity_w / site.ac_capacity_w),
    }
    for lag in range(1, 5):
        columns[f"csi_lag_{lag}"] = history.at(history.csi, issue - lag)
    for day in range(1, 4):
        columns[f"csi_day_{day}"] = history.energy_ratio(
            issue - day * STEPS_PER_DAY, issue - (day - 1) * STEPS_PER_DAY
        )
    return columns


def _anchor(columns: dict[str, FloatArray]) -> FloatArray:
    """The last index fading into the last week's mean; never NaN."""
    now = np.where(
        np.isfinite(columns["csi_lag_1"]), columns["csi_lag_1"], columns["csi_persisted"]
    )
    week = columns["csi_mean_7d"]
    week = np.where(np.isfinite(week), week, PRIOR_INDEX)
    fade = np.exp(-columns["lead_hours"] / ANCHOR_DECAY_HOURS)
    return np.asarray(fade * now + (1.0 - fade) * week)


def _slot_columns(history: _History, issue: IntArray, lead: IntArray) -> dict[str, FloatArray]:
    # The latest days on which the target's time of day had already ended at the issue.
    back = (lead // STEPS_PER_DAY + 1) * STEPS_PER_DAY
    nearest = issue[:, None] + (lead - back)[None, :]
    days = nearest[:, :, None] - np.arange(7) * STEPS_PER_DAY
    within = days >= (issue - HISTORY_STEPS)[:, None, None]
    week = np.where(within, history.at(history.csi, days), np.nan)
    with warnings.catch_warnings():  # an empty slice is a night, or a site without history
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, low, high = np.nanmean(week, axis=2), np.nanmin(week, axis=2), np.nanmax(week, axis=2)
    around_last = np.minimum(nearest + 3, issue[:, None])
    return {
        "csi_slot_1": week[:, :, 0],
        "csi_slot_2": week[:, :, 1],
        "csi_slot_hour_1": history.energy_ratio(nearest - 2, around_last),
        "csi_slot_mean_7d": mean,
        "csi_slot_min_7d": low,
        "csi_slot_max_7d": high,
    }


def _age(history: _History, issue: IntArray) -> FloatArray:
    """Hours since the last known daylight interval; NaN beyond the history."""
    where = np.flatnonzero(np.isfinite(history.csi))
    position = np.searchsorted(where, issue) - 1
    age = np.full(len(issue), np.nan)
    seen = position >= 0
    age[seen] = issue[seen] - where[position[seen]] - 1
    age[age >= HISTORY_STEPS] = np.nan
    return age / _HOUR


def _last_ghi_index(history: _History, issue: IntArray) -> FloatArray:
    clear = history.at(history.sky.ghi[: len(history.series)], issue - 1)
    measured = history.at(history.series.ghi, issue - 1)
    enough = clear > 20.0
    return np.where(enough, np.clip(measured / np.where(enough, clear, 1.0), 0.0, CSI_MAX), np.nan)


def _window_mean(values: FloatArray | None, first: IntArray, last: IntArray) -> FloatArray:
    if values is None:
        return np.full(len(first), np.nan)
    known = np.isfinite(values)
    return _ratio(
        _between(_running(np.where(known, values, 0.0)), first, last),
        _between(_running(known.astype(np.float64)), first, last),
    )


def _from_equator(site: Site) -> float:
    """Degrees the modules are turned away from the equator's direction; east negative."""
    facing = 180.0 if site.latitude >= 0 else 0.0
    return (site.azimuth - facing + 180.0) % 360.0 - 180.0


def _running(values: FloatArray) -> FloatArray:
    return np.concatenate([[0.0], np.cumsum(values)])


def _between(running: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
    top = len(running) - 1
    return np.asarray(running[np.clip(last, 0, top)] - running[np.clip(first, 0, top)])


def _ratio(upper: FloatArray, lower: FloatArray) -> FloatArray:
    # Differences of running sums carry rounding: what should be nothing may be 1e-12.
    some = lower > 1e-6
    return np.where(some, upper / np.where(some, lower, 1.0), np.nan)


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
