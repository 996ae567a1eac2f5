"""Scores of forecasts. One signature: actual, forecast (and reference), weights by what is not NaN.

Arrays broadcast; every pair with a NaN on either side is left out. The caller has applied the
daylight mask: all-times scores look twice as good and must never be mixed with daylight ones.
``..._values`` give the score of each pair, for those who group or resample them.
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
    return _mean(mape_values(actual, forecast, floor))


def mape_values(actual: FloatArray, forecast: FloatArray, floor: float) -> FloatArray:
    """Absolute error over actual; NaN where the actual is below ``floor``."""
    enough = np.where(np.asarray(actual) >= floor, actual, np.nan)
    return np.asarray(np.abs(forecast - enough) / enough)


def pinball(actual: FloatArray, quantiles: FloatArray, levels: tuple[float, ...] = LEVELS) -> float:
    """Mean pinball loss over levels; ``quantiles`` has the levels on its first axis."""
    return _mean(pinball_values(actual, quantiles, levels))


def pinball_values(
    actual: FloatArray, quantiles: FloatArray, levels: tuple[float, ...] = LEVELS
) -> FloatArray:
    """Pinball loss of each level and pair, shaped like ``quantiles``."""
    level = np.asarray(levels).reshape(-1, *([1] * (quantiles.ndim - 1)))
    over = actual[None] - quantiles
    return np.asarray(np.maximum(level * over, (level - 1.0) * over))


def crps(actual: FloatArray, quantiles: FloatArray, levels: tuple[float, ...] = LEVELS) -> float:
    """Mean continuous ranked probability score; see :func:`crps_values`."""
    return _mean(crps_values(actual, quantiles, levels))


def crps_values(
    actual: FloatArray, quantiles: FloatArray, levels: tuple[float, ...] = LEVELS
) -> FloatArray:
    """``CRPS = 2 * integral over tau in (0, 1) of pinball_tau(actual, Q(tau))``, exactly.

    ``Q`` is the quantile function that is linear between the given levels and constant beyond the
    outermost: no mass lies outside the outermost quantiles. One level of 0.5 gives the absolute
    error. Within a piece the integrand is quadratic on either side of the actual, so Simpson's rule
    on both sides is exact. ``quantiles`` (levels first) must be sorted over levels.
    """
    first, last = levels[0], levels[-1]
    low, high = actual - quantiles[0], actual - quantiles[-1]
    total = np.where(low >= 0, low * first**2 / 2, -low * (first - first**2 / 2))
    total = total + np.where(high >= 0, high * (1 - last**2) / 2, -high * (1 - last) ** 2 / 2)
    for k in range(len(levels) - 1):
        total = total + _piece(actual, quantiles[k], quantiles[k + 1], levels[k], levels[k + 1])
    return np.asarray(2.0 * total)


def _piece(
    actual: FloatArray, low: FloatArray, high: FloatArray, first: float, last: float
) -> FloatArray:
    """Integral of the pinball loss from level ``first`` to ``last``, Q linear between the ends."""
    rise = high - low
    share = np.where(
        rise > 0, (actual - low) / np.where(rise > 0, rise, 1.0), (actual >= low).astype(np.float64)
    )
    share = np.clip(share, 0.0, 1.0)
    turn = first + share * (last - first)  # where Q passes the actual

    def over(part: FloatArray | float) -> FloatArray:
        level = first + part * (last - first)
        return np.asarray(level * (actual - low - part * rise))

    def under(part: FloatArray | float) -> FloatArray:
        level = first + part * (last - first)
        return np.asarray((1.0 - level) * (low + part * rise - actual))

    left = (turn - first) / 6 * (over(0.0) + 4 * over(share / 2) + over(share))
    right = (last - turn) / 6 * (under(share) + 4 * under((share + 1) / 2) + under(1.0))
    return np.asarray(left + right)


def coverage(actual: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Share of actuals within ``[low, high]``."""
    inside = ((actual >= low) & (actual <= high)).astype(np.float64)
    return _mean(
        np.where(np.isfinite(actual) & np.isfinite(low) & np.isfinite(high), inside, np.nan)
    )


def width(actual: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Mean of ``high - low`` over the pairs that :func:`coverage` counts."""
    return _mean(np.where(np.isfinite(actual), high - low, np.nan))


def winkler(actual: FloatArray, low: FloatArray, high: FloatArray, nominal: float) -> float:
    """Mean interval score of the central interval of ``nominal`` coverage: least is best."""
    return _mean(winkler_values(actual, low, high, nominal))


def winkler_values(
    actual: FloatArray, low: FloatArray, high: FloatArray, nominal: float
) -> FloatArray:
    """Width, plus ``2 / (1 - nominal)`` times the distance by which the actual lies outside."""
    outside = np.maximum(low - actual, 0.0) + np.maximum(actual - high, 0.0)
    return np.asarray(high - low + 2.0 / (1.0 - nominal) * outside)


def reliability(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Share of actuals at or below each quantile, shape ``(levels,)``; the level when reliable."""
    known = np.isfinite(actual) & np.isfinite(quantiles)
    below = np.where(known, actual <= quantiles, np.nan)
    return np.array([_mean(one) for one in below])


def skill(score: float, reference: float) -> float:
    """``1 - score/reference``: 1 is perfect, 0 no better than the reference, below 0 worse."""
    return float("nan") if not reference > 0 else 1.0 - score / reference


def _mean(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
