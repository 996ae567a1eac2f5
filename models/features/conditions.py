"""What is known of the conditions in which an interval's power was made: input of fault detection.

Decides the columns from which the power of a *past* interval is expected. The plant's own power of
the last day is not among them: an expectation that follows a dying inverter sees nothing wrong.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import DAY_MS

from .build import FeatureArray
from .digest import digest_of
from .recent import look_up
from .site import FloatArray, Site, SiteSeries
from .sky import CSI_MAX, Sky, clear_sky_index
from .weather import SkyWeather

CONDITIONS: tuple[str, ...] = (
    "sin_elevation",
    "sin_hour_angle",
    "cos_hour_angle",
    "sin_season",
    "cos_season",
    "incidence",
    "air_mass",
    "clearsky_power",
    "ghi_csi",
    "ghi_csi_change",
    "diffuse_share",
    "temp_air",
    "weather_power_index",
    "weather_cloud_cover",
    "csi_yesterday",
    "csi_slot_mean_7d",
    "csi_slot_max_7d",
    "site_latitude",
    "site_tilt",
    "site_dc_ac_ratio",
)
CONDITIONS_DIGEST = digest_of("conditions", 1, CONDITIONS)
_DAYS = 7
_BRIGHT = 20.0


def build_conditions(
    site: Site,
    series: SiteSeries,
    intervals: npt.ArrayLike,
    sky: Sky | None = None,
    weather: SkyWeather | None = None,
) -> FeatureArray:
    """Conditions of ``intervals`` (positions in ``series``), shape ``(n, len(CONDITIONS))``."""
    at = np.asarray(intervals, dtype=np.int64).reshape(-1)
    if sky is None:
        sky = Sky.over(site, series.start, len(series), series.step_ms)
    day = DAY_MS // series.step_ms
    clear_ghi = sky.ghi[: len(series)]
    position = sky.position
    index = _share(series.ghi, clear_ghi)
    days = at[:, None] - day * np.arange(1, _DAYS + 1)
    week = look_up(clear_sky_index(series.ac_power, sky), days)
    with warnings.catch_warnings():  # a site without history has nothing but NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, high = np.nanmean(week, axis=1), np.nanmax(week, axis=1)
    hour, season = np.radians(position.hour_angle[at]), np.radians(position.ecliptic_longitude[at])
    nothing = np.full(len(at), np.nan)
    columns = {
        "sin_elevation": np.sin(np.radians(position.elevation[at])),
        "sin_hour_angle": np.sin(hour),
        "cos_hour_angle": np.cos(hour),
        "sin_season": np.sin(season),
        "cos_season": np.cos(season),
        "incidence": sky.incidence[at],
        "air_mass": sky.air_mass[at],
        "clearsky_power": sky.power[at] / site.ac_capacity_w,
        "ghi_csi": look_up(index, at),
        "ghi_csi_change": look_up(index, at) - look_up(index, at - 1),
        "diffuse_share": look_up(_share(series.dhi, series.ghi), at),
        "temp_air": look_up(series.temp_air, at),
        "weather_power_index": weather.power_index[at] if weather else nothing,
        "weather_cloud_cover": weather.plain["cloud_cover"][at] if weather else nothing,
        "csi_yesterday": week[:, 0],
        "csi_slot_mean_7d": mean,
        "csi_slot_max_7d": high,
        "site_latitude": np.full(len(at), site.latitude),
        "site_tilt": np.full(len(at), site.tilt),
        "site_dc_ac_ratio": np.full(len(at), site.dc_capacity_w / site.ac_capacity_w),
    }
    table: FeatureArray = np.stack([columns[name] for name in CONDITIONS], axis=1).astype(
        np.float32
    )
    return table


def _share(above: FloatArray | None, below: FloatArray | None) -> FloatArray | None:
    if above is None or below is None:
        return None
    usable = below > _BRIGHT
    return np.where(usable, np.clip(above / np.where(usable, below, 1.0), 0.0, CSI_MAX), np.nan)
