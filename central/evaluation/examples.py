"""Which days a report draws: a good, a typical and a bad one, chosen by rule and not by hand.

By the day's mean absolute error: the days nearest to the 10th, 50th and 90th percentile. For each
interval the forecast with the longest lead up to a day is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.contract.forecast import LEVELS
from models.contract.timestamps import DAY_MS, HOUR_MS

from .evaluation import ExampleDay
from .forecasts import EvaluationError, ForecastSet, place_of
from .groups import solar_days

CHOICES = (("typical day", 0.5), ("good day", 0.1), ("bad day", 0.9))
ENOUGH_OF_A_DAY = 0.8
"""A day with fewer scored pairs than this share of the fullest day's is not drawn."""


def example_days(one: ForecastSet, levels: Sequence[float], most: int) -> tuple[ExampleDay, ...]:
    """Up to ``most`` days; none when a level of the contract is missing."""
    try:
        rows = [place_of(levels, level) for level in LEVELS]
    except EvaluationError:
        return ()
    middle = one.quantiles[place_of(levels, 0.5)]
    lit = one.usable & one.daylight
    days = solar_days(one.targets, one.longitude)
    labels, place, counts = np.unique(days[lit], return_inverse=True, return_counts=True)
    error = np.bincount(place, weights=np.abs(middle - one.actual)[lit]) / counts
    full = counts >= ENOUGH_OF_A_DAY * counts.max()
    labels, error = labels[full], error[full]
    ranked = labels[np.argsort(error, kind="stable")]
    found: list[ExampleDay] = []
    seen: set[int] = set()
    for choice, share in CHOICES[:most]:
        day = int(ranked[round(share * (len(ranked) - 1))])
        if day not in seen:
            seen.add(day)
            found.append(_example(one, rows, days == day, choice))
    return tuple(found)


def _example(
    one: ForecastSet,
    rows: Sequence[int],
    of_day: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    choice: str,
) -> ExampleDay:
    leads = np.broadcast_to(one.leads, of_day.shape)
    known = of_day & np.isfinite(one.quantiles).all(axis=0) & (leads <= DAY_MS)
    if not known.any():  # only leads beyond a day
        known = of_day & np.isfinite(one.quantiles).all(axis=0)
    cases, columns = np.nonzero(known)
    # By time and then lead: the last of each time is the longest lead.
    order = np.lexsort((leads[known], one.targets[known]))
    times = one.targets[known][order]
    last = order[np.append(times[1:] != times[:-1], True)]
    shown = (cases[last], columns[last])
    return ExampleDay(
        one.site,
        choice,
        math.ceil(int(leads[shown].max()) / HOUR_MS * 4) / 4,
        one.longitude,
        tuple(int(time) for time in one.targets[shown]),
        tuple(float(power) for power in one.actual[shown]),
        tuple(tuple(float(power) for power in one.quantiles[row][shown]) for row in rows),
    )
