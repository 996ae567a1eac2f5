"""What the risk of a forecast is judged by: the forecast's own spread and the state of the sky."""

from __future__ import annotations

import numpy as np

from models.contract.forecast import MEDIAN

from .build import FeatureArray
from .digest import digest_of
from .site import FloatArray
from .spec import FEATURES

TOLERANCES: tuple[float, ...] = (0.1, 0.2)
"""Shares of the AC capacity: a forecast *fails* when its median is off by more."""
_TAKEN: tuple[str, ...] = (
    "target_sin_elevation",
    "target_cos_hour_angle",
    "target_sin_hour_angle",
    "target_clearsky_power",
    "target_clearsky_slope",
    "lead_hours",
    "lead_days",
    "csi_lag_1",
    "csi_mean_3h",
    "csi_std_3h",
    "csi_ramp_3h",
    "csi_mean_7d",
    "csi_std_7d",
    "csi_age_hours",
    "csi_slot_min_7d",
    "csi_slot_max_7d",
    "weather_power_index",
    "weather_power_index_std_3h",
    "weather_cloud_cover",
    "weather_error_3h",
    "valid_share_24h",
)
RISK_COLUMNS: tuple[str, ...] = (
    *_TAKEN,
    "forecast_median",
    "forecast_width_50",
    "forecast_width_90",
    "forecast_index",
)
RISK_DIGEST = digest_of("risk", 1, RISK_COLUMNS, TOLERANCES)
_PLACES = [FEATURES.index(name) for name in _TAKEN]
_CLEAR = FEATURES.index("target_clearsky_power")


def risk_columns(features: FeatureArray, quantiles: FloatArray) -> FeatureArray:
    """Columns of shape ``(n, len(RISK_COLUMNS))``.

    Args:
        features: ``build_features`` rows, ``(n, len(FEATURES))``
        quantiles: power over AC capacity at each of ``LEVELS``, ``(n, levels)``
    """
    median = quantiles[:, MEDIAN]
    clear = features[:, _CLEAR]
    index = np.where(clear > 0.01, median / np.maximum(clear, 0.01), np.nan)
    own = [median, quantiles[:, -3] - quantiles[:, 2], quantiles[:, -1] - quantiles[:, 0], index]
    table: FeatureArray = np.concatenate(
        [features[:, _PLACES], np.stack(own, axis=1)], axis=1
    ).astype(np.float32)
    return table
