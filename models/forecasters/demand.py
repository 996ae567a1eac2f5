"""Quantiles of a home's demand: features, trees where there are any, and watts.

Decides what the trees' target means (change of the log share from the anchor), the forecast of a
home without a bundle (its own analog days, a prior before there are any), and the expected value
that belongs to a set of quantiles. Trainer, benchmark and agent all come through here. Calibration
of the interval comes after; which bundle may be loaded was decided before.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.contract.forecast import LEVELS, MEDIAN
from models.features.build import FeatureArray
from models.features.demand import DemandTable, build_demand_features
from models.features.demand_history import DemandSeries
from models.features.demand_spec import (
    ANALOG,
    ANCHOR,
    DEMAND_FEATURES,
    HISTORY_DAYS,
    HORIZON_HOURS,
    LOG_OFFSET,
)
from models.features.site import FloatArray

MODEL = "demand_forecast"
QUANTITY = "load_power"
FALLBACK_NAME = "demand_analog_days"
TREE_SHARE_FAR = 0.5
TREE_SHARE_HOURS = 4.0
"""The trees' weight beside the analog days, which know this home and no other: all of it at once,
half of it a day ahead, where other homes teach little about this one's habits."""
PRIOR_SHARES = np.array([0.15, 0.22, 0.4, 0.75, 1.3, 2.1, 2.8])
"""Demand of a home without known days as shares of its level, per level."""


class DemandTrees(Protocol):
    """One output per level: ``QuantileTrees`` on the box, boosters in training."""

    def predict(self, inputs: FeatureArray) -> npt.NDArray[np.float32]:
        """(rows, features) -> (rows, levels)"""
        ...


class DemandForecaster:
    """Forecasts from a home's history. Without ``trees`` it answers from the home's own days."""

    def __init__(self, trees: DemandTrees | None = None) -> None:
        self._trees = trees

    @property
    def name(self) -> str:
        """Name of the model that answers."""
        return MODEL if self._trees is not None else FALLBACK_NAME

    def predict(self, series: DemandSeries, steps: int | None = None) -> FloatArray:
        """Quantiles [W] issued at the end of ``series``, (levels, steps).

        ``steps`` of the series' own length, default 48 h; its clock must reach that far.
        """
        ahead = HORIZON_HOURS * 60 // series.step_minutes if steps is None else steps
        first = max(0, len(series) - HISTORY_DAYS * series.steps_per_day)
        recent = series.window(first, len(series), ahead)
        table = build_demand_features(recent, [len(recent)], np.arange(ahead))
        return np.asarray(self.quantiles(table)[0].T)

    def quantiles(self, table: DemandTable) -> FloatArray:
        """Quantiles [W] of every pair, (issues, leads, levels): ascending, none below 0."""
        share = analog_shares(table.features)
        if self._trees is not None:
            rows = table.features.reshape(-1, len(DEMAND_FEATURES))
            change = self._trees.predict(rows).reshape(share.shape)
            anchor = np.log(table.features[..., ANCHOR, None] + LOG_OFFSET)
            weight = tree_share(table.features[..., _LEAD, None].astype(np.float64))
            log_share = weight * (anchor + change) + (1.0 - weight) * np.log(share + LOG_OFFSET)
            share = np.sort(np.maximum(np.exp(log_share) - LOG_OFFSET, 0.0), axis=-1)
        return np.asarray(share * table.level[:, None, None])


def tree_share(lead_hours: FloatArray) -> FloatArray:
    """Weight of the trees at a lead."""
    near = np.exp(-lead_hours / TREE_SHARE_HOURS)
    return np.asarray(TREE_SHARE_FAR + (1.0 - TREE_SHARE_FAR) * near)


def analog_shares(features: FeatureArray) -> FloatArray:
    """Analog quantiles moved to the anchor, as shares of the level; (..., levels).

    A home whose slot is not known yet gets ``PRIOR_SHARES``.
    """
    analog = features[..., ANALOG].astype(np.float64)
    analog = np.where(np.isfinite(analog), analog, PRIOR_SHARES)
    known = np.isfinite(features[..., ANALOG.start + MEDIAN])
    moved = np.where(known, features[..., ANCHOR] - analog[..., MEDIAN], 0.0)
    return np.asarray(np.maximum(analog + moved[..., None], 0.0))


def expected_demand(quantiles: FloatArray) -> FloatArray:
    """Mean of the distribution that quantiles (..., levels) describe: what minimises squared error.

    Straight between the levels and flat below the first; above the last the distribution is taken
    to fall off like an exponential one, as fast as between the last two.
    """
    level = np.asarray(LEVELS)
    inner = (quantiles[..., 1:] + quantiles[..., :-1]) / 2.0 * np.diff(level)
    low = quantiles[..., 0] * level[0]
    scale = (quantiles[..., -1] - quantiles[..., -2]) / np.log((1 - level[-2]) / (1 - level[-1]))
    high = (quantiles[..., -1] + scale) * (1.0 - level[-1])
    return np.asarray(inner.sum(axis=-1) + low + high)


def target_change(share: FloatArray, anchor: FloatArray) -> FloatArray:
    """What the trees learn: change of the log share from the anchor."""
    return np.asarray(np.log(share + LOG_OFFSET) - np.log(anchor + LOG_OFFSET))


_LEAD = DEMAND_FEATURES.index("lead_hours")
