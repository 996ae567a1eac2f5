"""Scores of forecasts. One signature: actual, forecast (and reference), weights by what is not NaN.

Arrays broadcast; every pair with a NaN on either side is left out. The caller has applied the
daylight mask: all-times scores look twice as good and must never be mixed with daylight ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.contract.forecast import LEVELS

FloatArray = npt.NDArray[np.float64]


def mae(actual: FloatArray, forecast: FloatArray) -> float:
    """Mean absolute error, in the unit of the arguments; NaN when nothing can be compared."""
    return _mean(np.abs(forecast - actual))


def rmse(actual: FloatArray, forecast: FloatArray) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(_mean((forecast - actual) ** 2)))


def bias(actual: FloatArray, forecast: FloatArray) -> float:
    """Mean of forecast minus actual (MBE): positive when the forecast is too high."""
    return _mean(forecast - actual)


def mape(actual: FloatArray, forecast: FloatArray, floor: float) -> float:
    """Mean absolute percentage error over actuals of at least ``floor``, as a fraction."""
    enough = np.where(np.asarray(actual) >= floor, actual, np.nan)
    return _mean(np.abs(forecast - enough) / enough)


def pinball(actual: FloatArray, quantiles: FloatArray, levels: tuple[float, ...] = LEVELS) -> float:
    """Mean pinball loss over levels; ``quantiles`` has the levels on its first axis."""
    level = np.asarray(levels).reshape(-1, *([1] * (quantiles.ndim - 1)))
    over = actual[None] - quantiles
    return _mean(np.maximum(level * over, (level - 1.0) * over))


def coverage(actual: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Share of actuals within ``[low, high]``."""
    inside = ((actual >= low) & (actual <= high)).astype(np.float64)
    return _mean(
        np.where(np.isfinite(actual) & np.isfinite(low) & np.isfinite(high), inside, np.nan)
    )


def skill(score: float, reference: float) -> float:
    """``1 - score/reference``: 1 is perfect, 0 no better than the reference, below 0 worse."""
    return float("nan") if not reference > 0 else 1.0 - score / reference


def _mean(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
