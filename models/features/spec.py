"""The ordered list of features and its digest. The digest travels in every bundle.

A bundle whose digest differs from this code's is refused: its trees would read wrong columns.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from models.contract.timestamps import HORIZON_STEPS, STEP_MS, STEPS_PER_DAY

VERSION = 2
"""Raise when the meaning of a feature changes without its name changing."""
HISTORY_DAYS = 8
HISTORY_STEPS = HISTORY_DAYS * STEPS_PER_DAY
"""History that features may look at; nothing older has any influence."""

PLAIN_WEATHER: tuple[str, ...] = (
    "cloud_cover",
    "temp_air",
    "relative_humidity",
    "wind_speed",
    "pressure",
    "precipitation",
    "cloud_liquid_water",
    "cloud_ice_water",
    "longwave_down",
)
"""Quantities of a weather forecast that models read as they are, at the target."""

WEATHER_OFFSETS: tuple[int, ...] = (-2, -1, 1, 2)
"""Hours around the target at which the forecast is read again: it may come early or late."""
OFFSET_WEATHER: tuple[str, ...] = (
    "power_index",
    "ghi_index",
    "cloud_cover",
    "cloud_liquid_water",
    "cloud_ice_water",
    "relative_humidity",
    "precipitation",
    "longwave_down",
)
WEATHER_COLUMNS: tuple[str, ...] = (
    # at the target
    "weather_ghi_index",
    "weather_ghi",
    "weather_direct_share",
    "weather_power_index",
    "weather_power",
    "weather_power_adjusted",
    *(f"weather_{name}" for name in PLAIN_WEATHER),
    "weather_wind_sin",
    "weather_wind_cos",
    # around it
    *(f"weather_{name}_{hours:+d}h" for name in OFFSET_WEATHER for hours in WEATHER_OFFSETS),
    "weather_power_index_3h",
    "weather_power_index_std_3h",
    "weather_power_index_day",
    "weather_cloud_cover_day",
    "weather_relative_humidity_change",
    "weather_pressure_change_3h",
    "weather_pressure_change_24h",
    "weather_pressure_ahead_2h",
    # how right it was lately
    "weather_power_index_issue",
    "weather_error_last",
    "weather_error_1h",
    "weather_error_3h",
    "weather_error_slot",
    "weather_error_abs_3d",
    "weather_ratio_24h",
    "weather_ratio_7d",
    "weather_ghi_error_1h",
)
"""What ``weather_columns`` makes of a weather forecast; all NaN without one."""

FEATURES: tuple[str, ...] = (
    # the sun and the cloudless sky at the target
    "target_sin_elevation",
    "target_sin_hour_angle",
    "target_cos_hour_angle",
    "target_sin_season",
    "target_cos_season",
    "target_incidence",
    "target_air_mass",
    "target_clearsky_ghi",
    "target_clearsky_power",
    "target_clearsky_slope",
    # how far away the target is
    "lead_hours",
    "lead_days",
    # the sky at issue
    "issue_sin_elevation",
    "issue_clearsky_power",
    # clear-sky index of power up to the issue
    "csi_lag_1",
    "csi_lag_2",
    "csi_lag_3",
    "csi_lag_4",
    "csi_lag_5",
    "csi_mean_1h",
    "csi_std_1h",
    "csi_mean_2h",
    "csi_std_2h",
    "csi_trend_1h",
    "csi_mean_3h",
    "csi_std_3h",
    "csi_ramp_3h",
    "csi_persisted",
    "csi_age_hours",
    "power_last",
    "persistence_power",
    # where trees start from: persistence near, the last week far
    "csi_anchor",
    # whole days behind the issue
    "csi_day_1",
    "csi_day_2",
    "csi_day_3",
    "csi_mean_7d",
    "csi_std_7d",
    # the same time of day on days before the target
    "csi_slot_1",
    "csi_slot_2",
    "csi_slot_hour_1",
    "csi_slot_mean_7d",
    "csi_slot_min_7d",
    "csi_slot_max_7d",
    # forecast weather, where there is any
    *WEATHER_COLUMNS,
    # site sensors, where there are any
    "ghi_csi_last",
    "ghi_csi_lag_2",
    "ghi_csi_lag_3",
    "ghi_csi_mean_1h",
    "ghi_csi_std_1h",
    "ghi_csi_mean_3h",
    "diffuse_share_last",
    "diffuse_share_mean_1h",
    "diffuse_share_mean_3h",
    "power_to_ghi_last",
    "power_to_ghi_7d",
    "temp_air_last",
    "temp_air_change_3h",
    "temp_air_change_24h",
    "temp_air_mean_24h",
    # how much is known
    "valid_share_24h",
    # the site
    "site_latitude",
    "site_tilt",
    "site_azimuth_from_equator",
    "site_dc_ac_ratio",
)

ANCHOR = FEATURES.index("csi_anchor")
"""Trees predict the difference from this column, so that a few of them suffice near and far."""
ANCHOR_DECAY_HOURS = 12.0

WINDOW_STEPS = STEPS_PER_DAY
"""Length of the LSTM's window: the last day."""
WINDOW_CHANNELS: tuple[str, ...] = ("csi", "clearsky_power", "daylight", "known")
KNOT_STEPS = 4
"""The LSTM gives one value an hour; between the middles of the hours it is interpolated."""
KNOTS = HORIZON_STEPS // KNOT_STEPS


@dataclass(frozen=True)
class FeatureSpec:
    """What a model was trained on."""

    version: int
    step_minutes: int
    source_resolution_minutes: int
    """Of the recordings behind the training; coarser than the grid is said, not hidden."""
    features: tuple[str, ...]
    window_channels: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over all that fixes the meaning of a column (not the source resolution)."""
        meaning = [
            self.version,
            self.step_minutes,
            list(self.features),
            list(self.window_channels),
            [HISTORY_STEPS, WINDOW_STEPS, KNOT_STEPS, HORIZON_STEPS, ANCHOR_DECAY_HOURS],
        ]
        return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def current_spec(source_resolution_minutes: int = 15) -> FeatureSpec:
    """The spec that this code computes."""
    return FeatureSpec(
        VERSION, STEP_MS // 60_000, source_resolution_minutes, FEATURES, WINDOW_CHANNELS
    )
