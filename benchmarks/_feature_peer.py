"""The columns of ``build_features`` that need no weather forecast, the way pandas and pvlib do it.

What a careful data scientist would write: sun and clear sky from pvlib, once for the whole series;
rolling windows and shifts in pandas, once for all issues; one frame per lead, laid side by side. No
loop over rows. Decides nothing of its own: each column follows ``models.features.build``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pvlib

from models.features.site import Site
from models.features.spec import FEATURES, WEATHER_COLUMNS

COLUMNS: tuple[str, ...] = tuple(name for name in FEATURES if name not in WEATHER_COLUMNS)
"""In the order of the result."""
STEP = pd.Timedelta(minutes=15)
_HOUR, _DAY = 4, 96
_CSI_MAX, _DAYLIGHT, _BRIGHT, _LEAST_INDEX = 1.6, 0.02, 20.0, 0.05
_ENOUGH, _LOOK_BACK, _PRIOR = 0.2, 3 * _DAY, 0.75
_HISTORY, _FADE_HOURS = 8 * _DAY, 12.0


def peer_features(
    site: Site, measured: pd.DataFrame, first: int, last: int, leads: Sequence[int]
) -> npt.NDArray[Any]:
    """Columns for issues ``first`` up to ``last``, shape ``(issues, leads, COLUMNS)``, float32.

    ``measured``: ac_power, temp_air, ghi, dhi, indexed by the start of each interval (UTC).
    """
    # What is asked of targets and issues reaches past the end of what was measured.
    index = pd.date_range(measured.index[0], periods=len(measured) + max(leads) + _DAY, freq=STEP)
    sun = _sun(site, index)
    known = measured.reindex(index)
    csi, energy, clear = _clear_sky_index(site, known, sun)
    at_issue = _issue_frame(site, known, sun, csi, energy, clear).iloc[first:last]
    by_lead = [
        _lead_columns(at_issue, sun, csi, energy, clear, first, last, lead) for lead in leads
    ]
    return np.stack([frame.to_numpy(np.float32) for frame in by_lead], axis=1)


def _sun(site: Site, index: pd.DatetimeIndex) -> pd.DataFrame:
    """What the sun and a cloudless sky do in the middle of each interval."""
    middle = index + STEP / 2
    position = pvlib.solarposition.get_solarposition(
        middle, site.latitude, site.longitude, altitude=site.elevation, pressure=site.pressure
    )
    extra = pvlib.irradiance.get_extra_radiation(middle, solar_constant=1361.0, method="nrel")
    clear = pvlib.clearsky.simplified_solis(
        position["apparent_elevation"], pressure=site.pressure, dni_extra=extra
    )
    incidence = pvlib.irradiance.aoi_projection(
        site.tilt, site.azimuth, position["zenith"], position["azimuth"]
    )
    plane = pvlib.irradiance.poa_components(
        pd.Series(np.degrees(np.arccos(np.clip(incidence, -1.0, 1.0))), middle),
        clear["dni"],
        pvlib.irradiance.isotropic(site.tilt, clear["dhi"]),
        pvlib.irradiance.get_ground_diffuse(site.tilt, clear["ghi"], albedo=0.2),
    )
    power = (site.dc_capacity_w * plane["poa_global"] / 1000.0).clip(0.0, site.ac_capacity_w)
    hour_angle = np.mod(
        pvlib.solarposition.hour_angle(
            middle, site.longitude, position["equation_of_time"].to_numpy()
        )
        + 180.0,
        360.0,
    ) - 180.0  # fmt: skip
    day = (middle - pd.Timestamp("2000-01-01T12:00Z")) / pd.Timedelta(days=1)
    mean = np.radians(357.528 + 0.9856003 * day)
    season = np.radians(280.46 + 0.9856474 * day) + np.radians(
        1.915 * np.sin(mean) + 0.02 * np.sin(2 * mean)
    )
    return pd.DataFrame(
        {
            "sin_elevation": np.sin(np.radians(position["elevation"].to_numpy())),
            "sin_hour_angle": np.sin(np.radians(hour_angle)),
            "cos_hour_angle": np.cos(np.radians(hour_angle)),
            "sin_season": np.sin(season.to_numpy()),
            "cos_season": np.cos(season.to_numpy()),
            "incidence": np.asarray(incidence),
            "air_mass": pvlib.atmosphere.get_relative_airmass(
                position["apparent_zenith"].clip(upper=90.0).to_numpy(), "kastenyoung1989"
            ),
            "clearsky_ghi": clear["ghi"].to_numpy() / 1000.0,
            "clearsky_power": power.to_numpy() / site.ac_capacity_w,
            "solar_day": np.cumsum(np.diff(hour_angle, prepend=hour_angle[0]) < -180.0),
        },
        index,
    )


def _clear_sky_index(
    site: Site, known: pd.DataFrame, sun: pd.DataFrame
) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Index, and measured and clear-sky power where both are known in daylight."""
    share = known["ac_power"] / site.ac_capacity_w
    usable = (sun["clearsky_power"] > _DAYLIGHT) & share.notna()
    energy, clear = share.where(usable), sun["clearsky_power"].where(usable)
    return (energy / clear).clip(0.0, _CSI_MAX), energy, clear


def _before(values: pd.Series, steps: int, until: int = 0) -> Any:
    """The ``steps`` intervals that end ``until`` before each issue."""
    return values.shift(1 + until).rolling(steps, min_periods=1)


def _ratio(energy: pd.Series, clear: pd.Series, steps: int, until: int = 0) -> pd.Series:
    over: pd.Series = _before(energy, steps, until).sum() / _before(clear, steps, until).sum()
    return over.clip(0.0, _CSI_MAX)


def _persisted(energy: pd.Series, clear: pd.Series) -> npt.NDArray[Any]:
    """Index of the last daylight intervals that together could have given enough."""
    where = np.flatnonzero(energy.notna().to_numpy())
    gave = np.concatenate([[0.0], np.cumsum(energy.to_numpy()[where])])
    could = np.concatenate([[0.0], np.cumsum(clear.to_numpy()[where])])
    issue = np.arange(len(energy))
    last = np.searchsorted(where, issue)
    begin = np.searchsorted(could, could[last] - _ENOUGH, side="right") - 1
    begin = np.maximum(np.maximum(begin, 0), np.searchsorted(where, issue - _LOOK_BACK))
    with np.errstate(invalid="ignore"):
        index = (gave[last] - gave[begin]) / (could[last] - could[begin])
    return np.where(last > begin, np.clip(index, 0.0, _CSI_MAX), _PRIOR)


def _age_hours(csi: pd.Series) -> pd.Series:
    place = pd.Series(np.arange(len(csi), dtype=float), csi.index)
    age = place - place.where(csi.notna()).ffill().shift(1) - 1
    return age.where(age < _HISTORY) / _HOUR


def _issue_frame(
    site: Site,
    known: pd.DataFrame,
    sun: pd.DataFrame,
    csi: pd.Series,
    energy: pd.Series,
    clear: pd.Series,
) -> pd.DataFrame:
    """What is the same for all leads of an issue."""
    temp, share = known["temp_air"], known["ac_power"] / site.ac_capacity_w
    columns = {
        "issue_sin_elevation": sun["sin_elevation"],
        "issue_clearsky_power": sun["clearsky_power"],
        "csi_trend_1h": _before(csi, 2).mean() - _before(csi, 2, _HOUR).mean(),
        "csi_ramp_3h": _before(csi.diff().abs(), 3 * _HOUR).mean(),
        "csi_persisted": _persisted(energy, clear),
        "csi_age_hours": _age_hours(csi),
        "power_last": share.shift(1),
        "csi_mean_7d": _ratio(energy, clear, 7 * _DAY),
        "csi_std_7d": _before(csi, 7 * _DAY).std(ddof=0),
        "temp_air_last": temp.shift(1),
        "temp_air_change_3h": temp.shift(1) - temp.shift(1 + 3 * _HOUR),
        "temp_air_change_24h": temp.shift(1) - temp.shift(1 + _DAY),
        "temp_air_mean_24h": _before(temp, _DAY).mean(),
        "valid_share_24h": _before(share.notna().astype(float), _DAY).sum() / _DAY,
        "site_latitude": site.latitude,
        "site_tilt": site.tilt,
        "site_azimuth_from_equator": site.azimuth - 180.0,
        "site_dc_ac_ratio": site.dc_capacity_w / site.ac_capacity_w,
    }
    columns |= {f"csi_lag_{lag}": csi.shift(lag) for lag in range(1, 6)}
    for hours in (1, 2, 3):
        window = _before(csi, hours * _HOUR)
        columns[f"csi_mean_{hours}h"] = window.mean()
        columns[f"csi_std_{hours}h"] = window.std(ddof=0)
    for day in range(3):
        columns[f"csi_day_{day + 1}"] = _ratio(energy, clear, _DAY, day * _DAY)
    return pd.DataFrame(columns | _sensors(known, sun, csi), csi.index)


def _sensors(known: pd.DataFrame, sun: pd.DataFrame, csi: pd.Series) -> dict[str, pd.Series]:
    clear, ghi = sun["clearsky_ghi"] * 1000.0, known["ghi"]
    bright = clear > _BRIGHT
    index = (ghi / clear).where(bright).clip(0.0, _CSI_MAX)
    diffuse = (known["dhi"] / ghi).where(bright & (ghi > _BRIGHT)).clip(0.0, _CSI_MAX)
    made = (csi / index).where(index > _LEAST_INDEX)
    return {
        "ghi_csi_last": index.shift(1),
        "ghi_csi_lag_2": index.shift(2),
        "ghi_csi_lag_3": index.shift(3),
        "ghi_csi_mean_1h": _before(index, _HOUR).mean(),
        "ghi_csi_std_1h": _before(index, _HOUR).std(ddof=0),
        "ghi_csi_mean_3h": _before(index, 3 * _HOUR).mean(),
        "diffuse_share_last": diffuse.shift(1),
        "diffuse_share_mean_1h": _before(diffuse, _HOUR).mean(),
        "diffuse_share_mean_3h": _before(diffuse, 3 * _HOUR).mean(),
        "power_to_ghi_last": made.shift(1),
        "power_to_ghi_7d": _before(made, 7 * _DAY).mean(),
    }


def _lead_columns(
    at_issue: pd.DataFrame,
    sun: pd.DataFrame,
    csi: pd.Series,
    energy: pd.Series,
    clear: pd.Series,
    first: int,
    last: int,
    lead: int,
) -> pd.DataFrame:
    """All columns of one lead, in order."""
    target = sun.iloc[first + lead : last + lead].set_axis(at_issue.index)
    after = sun["clearsky_power"].iloc[first + lead + 1 : last + lead + 1].to_numpy()
    frame = at_issue.join(target.drop(columns="solar_day").add_prefix("target_"))
    frame["target_clearsky_slope"] = after - frame["target_clearsky_power"]
    frame["lead_hours"] = (lead + 0.5) / _HOUR
    frame["lead_days"] = target["solar_day"] - sun["solar_day"].iloc[first:last]
    # The latest day on which the target's time of day had ended at the issue.
    back = (lead // _DAY + 1) * _DAY - lead
    week = pd.DataFrame({day: csi.shift(back + day * _DAY) for day in range(7)}).iloc[first:last]
    frame["csi_slot_1"], frame["csi_slot_2"] = week[0], week[1]
    frame["csi_slot_mean_7d"] = week.mean(axis=1)
    frame["csi_slot_min_7d"] = week.min(axis=1)
    frame["csi_slot_max_7d"] = week.max(axis=1)
    until = max(back - _HOUR // 2 - 1, 0)
    around = back + _HOUR // 2 - until
    frame["csi_slot_hour_1"] = _ratio(energy, clear, around, until).iloc[first:last]
    frame["persistence_power"] = frame["csi_persisted"] * frame["target_clearsky_power"]
    now = frame["csi_lag_1"].fillna(frame["csi_persisted"])
    fade = np.exp(-frame["lead_hours"] / _FADE_HOURS)
    frame["csi_anchor"] = fade * now + (1.0 - fade) * frame["csi_mean_7d"].fillna(_PRIOR)
    return frame[list(COLUMNS)]
