"""One pass over a site's pairs: sums of every loss by day, lead bucket and sky regime.

Every score is a mean (or the root of one), so each group of pairs is a sum of cells, and the daily
sums that the bootstrap needs fall off for nothing. Pairs are taken in slices of cases: memory does
not grow with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models import metrics
from models.features.site import FloatArray, IntArray

from .forecasts import EvaluationError, ForecastSet, place_of
from .groups import NIGHT, REGIMES, Horizon, horizon_ids, regime_ids, solar_days
from .measures import Measures
from .scores import MAPE_FLOOR

INTERVALS = (0.5, 0.8, 0.9)
"""Nominal coverage of the central intervals that are judged, where their ends are levels."""
_PAIRS_AT_ONCE = 100_000


@dataclass(frozen=True, eq=False)
class SiteSums:
    """Sums of losses, errors as shares of the capacity."""

    site: str
    capacity_w: float
    days: IntArray
    """Labels of the days, ascending."""
    columns: tuple[str, ...]
    cells: FloatArray
    """(columns, days, horizons + 1, regimes)."""
    start: int | None
    end: int | None
    """Of the daylight targets."""
    unanswered: int
    """Daylight pairs with a measurement that do not count: a quantile or a reference is missing."""

    def group(self, horizon: int | None = None, regime: int | None = None) -> FloatArray:
        """Daily sums (columns, days) of a bucket or a regime; of all daylight without either."""
        cells = self.cells if horizon is None else self.cells[:, :, horizon : horizon + 1]
        if regime is None:
            return np.asarray(cells[..., :NIGHT].sum(axis=(2, 3)))
        return np.asarray(cells[..., regime].sum(axis=2))

    def all_times(self) -> FloatArray:
        """Daily sums with the nights."""
        return np.asarray(self.cells.sum(axis=(2, 3)))

    def measures(self, daily: FloatArray) -> Measures:
        """Scores of the days summed."""
        total = daily.sum(axis=1)
        return Measures.of_sums(dict(zip(self.columns, total, strict=True)), self.capacity_w)


def collect(one: ForecastSet, levels: Sequence[float], horizons: Sequence[Horizon]) -> SiteSums:
    """Sum the losses of ``one``; the levels are checked."""
    usable = one.usable
    regimes = regime_ids(one.targets, one.actual, one.clear, one.daylight)
    of_lead = horizon_ids(one.leads, horizons)
    day_of = solar_days(one.targets, one.longitude)
    days = np.unique(day_of[usable])
    shape = (len(days), len(horizons) + 1, len(REGIMES))
    names: tuple[str, ...] = ()
    cells: FloatArray = np.zeros((0, *shape))
    cases, leads = one.actual.shape
    slice_length = max(1, _PAIRS_AT_ONCE // max(leads, 1))
    for begin in range(0, cases, slice_length):
        cut = slice(begin, begin + slice_length)
        chosen = usable[cut]
        losses = _losses(one, cut, chosen, levels)
        if not names:
            names = tuple(losses)
            cells = np.zeros((len(names), int(np.prod(shape))))
        place = np.searchsorted(days, day_of[cut][chosen])
        lead = np.broadcast_to(of_lead, chosen.shape)[chosen]
        cell = (place * shape[1] + lead) * shape[2] + regimes[cut][chosen]
        for column, values in enumerate(losses.values()):
            cells[column] += np.bincount(cell, weights=values, minlength=cells.shape[1])
    lit = one.targets[usable & one.daylight]
    return SiteSums(
        one.site,
        one.capacity_w,
        days,
        names,
        cells.reshape(len(names), *shape),
        int(lit.min()) if lit.size else None,
        int(lit.max()) + one.step_ms if lit.size else None,
        int((one.known & one.daylight & ~usable).sum()),
    )


def _losses(
    one: ForecastSet,
    cut: slice,
    chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    levels: Sequence[float],
) -> dict[str, FloatArray]:
    """Losses of the chosen pairs by the name of their column."""
    names = [f"{level:g}" for level in levels]
    truth = one.actual[cut][chosen] / one.capacity_w
    quantiles = one.quantiles[:, cut][:, chosen] / one.capacity_w
    point = quantiles[place_of(levels, 0.5)]
    error = point - truth
    percent = metrics.mape_values(truth, point, MAPE_FLOOR)
    losses = {
        "pairs": np.ones(len(truth)),
        "absolute": np.abs(error),
        "squared": error**2,
        "error": error,
        "percentage": np.nan_to_num(percent),
        "percentage_pairs": np.isfinite(percent).astype(np.float64),
        "crps": metrics.crps_values(truth, quantiles, tuple(levels)),
    }
    loss = metrics.pinball_values(truth, quantiles, tuple(levels))
    for name, values, below in zip(names, loss, truth <= quantiles, strict=True):
        losses[f"pinball/{name}"] = values
        losses[f"reliability/{name}"] = below.astype(np.float64)
    for nominal in INTERVALS:
        ends = interval_ends(levels, nominal)
        if ends is not None:
            low, high = quantiles[ends[0]], quantiles[ends[1]]
            name = f"{100 * nominal:.0f}"
            losses[f"coverage/{name}"] = ((truth >= low) & (truth <= high)).astype(np.float64)
            losses[f"width/{name}"] = high - low
            losses[f"winkler/{name}"] = metrics.winkler_values(truth, low, high, nominal)
    for name, values in one.references.items():
        off = values[cut][chosen] / one.capacity_w - truth
        losses[f"absolute/{name}"], losses[f"squared/{name}"] = np.abs(off), off**2
    return losses


def interval_ends(levels: Sequence[float], nominal: float) -> tuple[int, int] | None:
    """Places of the ends of a central interval among the levels; None when they are not there."""
    try:
        return place_of(levels, (1 - nominal) / 2), place_of(levels, (1 + nominal) / 2)
    except EvaluationError:
        return None
