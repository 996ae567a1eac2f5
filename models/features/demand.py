"""The one function that computes features of demand, for trainer and agent alike.

Decides what each column of ``DEMAND_FEATURES`` means. Powers are shares of the home's own recent
mean level, so that one global model serves every home; trees predict the change from the
``anchor`` column. The anchor is the home's own analog forecast: the weighted median of the same
slot on past days, where days count more when they are recent, of the same kind (work or free), and
when the hours and days before them were like those before the issue. Reads nothing at or after the
issue and nothing older than ``HISTORY_DAYS``; missing knowledge is NaN.

Leaves to others: time zones (the caller hands in the local clock), quantiles and watts
(``models.forecasters.demand``), what is trained on (``central.training.demand``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contract.forecast import LEVELS

from .build import FeatureArray
from .demand_history import (
    DAY_MINUTES,
    DemandSeries,
    Running,
    SlotGrid,
    mean_known,
    quantiles_known,
    weekday,
    weighted_quantiles,
)
from .demand_spec import (
    ANALOG_CONTEXTS,
    ANALOG_DAYS,
    ANALOG_MEDIAN,
    ANALOG_NEIGHBOUR,
    ANALOG_OTHER_KIND,
    ANALOG_RECENCY_DAYS,
    ANCHOR_DECAY_HOURS,
    ANCHOR_EXCESS,
    CIRCUITS,
    DEMAND_FEATURES,
    EXCESS_HOURS,
    HORIZON_HOURS,
    LAGS,
    LEAST_LEVEL_W,
    LEAST_WEIGHT,
    LOG_OFFSET,
    MEAN_HOURS,
    PRIOR_LEVEL_W,
    SLOT_DAYS,
    SLOT_LEVELS,
)
from .site import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class DemandTable:
    """``features`` (issues, leads, F) and the ``level`` [W] (issues,) that powers are shares of."""

    features: FeatureArray
    level: FloatArray


def build_demand_features(
    series: DemandSeries, issues: npt.ArrayLike, leads: npt.ArrayLike
) -> DemandTable:
    """Features for every pair of issue and lead.

    Args:
        series: the home; its demand may run on past an issue, which changes nothing.
        issues: numbers of intervals known at each issue.
        leads: steps from the first unknown interval (0 is that interval), up to 48 h.
    Raises:
        ValueError: an issue outside the series, a lead too far, or a clock that ends too early.
    """
    issue = np.asarray(issues, dtype=np.int64).reshape(-1)
    lead = np.asarray(leads, dtype=np.int64).reshape(-1)
    if len(issue) and not (issue.min() >= 0 and issue.max() <= len(series)):
        raise ValueError("issues must lie within the series")
    if len(lead) and not (lead.min() >= 0 and lead.max() * series.step_minutes < 48 * 60):
        raise ValueError(f"leads must be from 0 to below {HORIZON_HOURS} h")
    if int(issue.max(initial=0)) + int(lead.max(initial=0)) >= len(series.local_minute):
        raise ValueError("local_minute ends before the last target")
    table = np.empty((len(issue), len(lead), len(DEMAND_FEATURES)), dtype=np.float32)
    home = _Home(series, issue)
    at_issue = _issue_columns(home, issue)
    pairs = _pair_columns(home, issue, lead)
    level = home.level(issue)[:, None]
    columns = {name: values[:, None] for name, values in at_issue.items()} | {
        name: values.reshape(len(issue), len(lead)) for name, values in pairs.items()
    }
    for name in _IN_WATTS:
        columns[name] = columns[name] / level
    columns["anchor"] = _anchor(columns)
    for position, name in enumerate(DEMAND_FEATURES):
        table[:, :, position] = columns[name]
    return DemandTable(table, level[:, 0])


class _Home:
    """A series with its running sums and its slots."""

    def __init__(self, series: DemandSeries, issue: IntArray) -> None:
        self.series = series
        self.day = series.steps_per_day
        self.hour = self.day // 24
        self.grid = SlotGrid(series)
        demand = series.demand
        self.mean = Running(demand)
        self.square = Running(demand**2)
        self.step_change = Running(np.abs(np.diff(demand, prepend=np.nan)))
        before = np.full(len(demand), np.nan)
        before[self.day :] = demand[: -self.day]
        self.day_change = Running(np.abs(demand - before))
        self.excess = Running(demand - self._usual(issue))

    def _usual(self, issue: IntArray) -> FloatArray:
        """Median of the slot over the weeks before each step, as known at that step's start."""
        usual = np.full(len(self.series), np.nan)
        # Only the last day before an issue is looked at.
        first = int(issue.min(initial=len(usual))) - self.day
        steps = np.arange(max(first, 0), int(issue.max(initial=0)))
        back = np.arange(1, SLOT_DAYS + 1)
        for chunk in np.array_split(steps, max(1, len(steps) // 20_000)):
            past = self.grid.days_back(chunk, chunk, back)
            usual[chunk] = quantiles_known(past, (0.5,))[0]
        return usual

    def level(self, issue: IntArray) -> FloatArray:
        """Mean of the last weeks [W]."""
        mean = self.mean.mean(issue - SLOT_DAYS * self.day, issue)
        return np.where(np.isfinite(mean), np.maximum(mean, LEAST_LEVEL_W), PRIOR_LEVEL_W)

    def deviation(self, first: IntArray, last: IntArray) -> FloatArray:
        """Standard deviation in ``[first, last)``."""
        variance = self.square.mean(first, last) - self.mean.mean(first, last) ** 2
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def free(self, step: IntArray) -> npt.NDArray[np.bool_]:
        """Whether the day of a step is a weekend or holiday."""
        free = weekday(self.series.local_minute[step]) >= 5
        if self.series.free_day is not None:
            free |= self.series.free_day[step]
        return np.asarray(free)


def _issue_columns(home: _Home, issue: IntArray) -> dict[str, FloatArray]:
    series, hour, day = home.series, home.hour, home.day
    weeks = issue - SLOT_DAYS * day
    minute_of_day = series.local_minute[np.minimum(issue, len(series.local_minute) - 1)]
    minute_of_day = minute_of_day % DAY_MINUTES
    midnight = issue - minute_of_day // series.step_minutes
    columns = {
        "issue_hour": minute_of_day / 60.0,
        "step_minutes": np.full(len(issue), float(series.step_minutes)),
        "std_3h": home.deviation(issue - max(3 * hour, 2), issue),
        "std_24h": home.deviation(issue - day, issue),
        "std_28d": home.deviation(weeks, issue),
        "change_step_28d": home.step_change.mean(weeks, issue),
        "change_day_28d": home.day_change.mean(weeks, issue),
        "excess_today": home.excess.mean(midnight, issue),
        "valid_share_28d": home.mean.count(weeks, issue) / (SLOT_DAYS * day),
        "temp_air_last": _at(series.temp_air, issue - 1),
        "temp_air_mean_24h": np.full(len(issue), np.nan),
    }
    if series.temp_air is not None:
        columns["temp_air_mean_24h"] = Running(series.temp_air).mean(issue - day, issue)
    for steps in LAGS:
        columns[f"lag_{steps}"] = _at(series.demand, issue - steps)
    for hours in MEAN_HOURS:
        columns[f"mean_{hours}h"] = home.mean.mean(issue - hours * hour, issue)
    for hours in EXCESS_HOURS:
        columns[f"excess_{hours}h"] = home.excess.mean(issue - hours * hour, issue)
    for number in range(CIRCUITS):
        circuit = None
        if series.circuits is not None and number < len(series.circuits):
            circuit = series.circuits[number]
        last, before = _at(circuit, issue - 1), _at(circuit, issue - 2)
        columns[f"circuit_{number + 1}_last"] = last
        columns[f"circuit_{number + 1}_change"] = last - before
    return columns


def _pair_columns(home: _Home, issues: IntArray, leads: IntArray) -> dict[str, FloatArray]:
    """Columns of (issues x leads) pairs, flat."""
    grid, minutes = home.grid, home.series.local_minute
    issue = np.repeat(issues, len(leads))
    target = (issues[:, None] + leads).reshape(-1)
    back = np.arange(1, ANALOG_DAYS + 1)
    past = grid.days_back(issue, target, back)
    day_of_week = weekday(minutes[target])
    season = (minutes[target] // DAY_MINUTES) * (2.0 * np.pi / 365.2425)
    slot = quantiles_known(past[:, :SLOT_DAYS], SLOT_LEVELS)
    same_weekday = past[:, 6::7]
    free = home.free(target)
    same_kind = _free_days_back(home, target, back) == free[:, None]
    of_kind = np.where(same_kind, past, np.nan)
    hour_before = grid.days_back(issue, target, back[:2], -home.hour)
    hour_after = grid.days_back(issue, target, back[:2], home.hour)
    columns = {
        "lead_hours": np.tile(leads / home.hour, len(issues)),
        "target_hour": grid.slot[target] / home.hour,
        "target_weekday": day_of_week.astype(np.float64),
        "target_free": free.astype(np.float64),
        "target_sin_season": np.sin(season),
        "target_cos_season": np.cos(season),
        "slot_1": _first_known(past[:, 0], past[:, 1]),
        "slot_2": np.where(np.isfinite(past[:, 0]), past[:, 1], past[:, 2]),
        "slot_7": past[:, 6],
        "slot_14": past[:, 13],
        "slot_1_hour_before": _first_known(hour_before[:, 0], hour_before[:, 1]),
        "slot_1_hour_after": _first_known(hour_after[:, 0], hour_after[:, 1]),
        "slot_mean": mean_known(past[:, :SLOT_DAYS]),
        "slot_mean_3d": mean_known(past[:, :4]),
        "slot_median_7d": quantiles_known(past[:, :8], (0.5,))[0],
        "weekday_mean": mean_known(same_weekday),
        "weekday_median": quantiles_known(same_weekday, (0.5,))[0],
        "kind_mean": mean_known(of_kind),
        "kind_median": quantiles_known(of_kind, (0.5,))[0],
    }
    columns |= {
        f"slot_q{level * 100:g}": values for level, values in zip(SLOT_LEVELS, slot, strict=True)
    }
    return columns | _analog_columns(home, issues, leads, past, same_kind)


def _analog_columns(
    home: _Home, issues: IntArray, leads: IntArray, past: FloatArray, same_kind: FloatArray
) -> dict[str, FloatArray]:
    """Weighted quantiles of the slot and its neighbours over days like this one."""
    issue = np.repeat(issues, len(leads))
    target = (issues[:, None] + leads).reshape(-1)
    back = np.arange(1, ANALOG_DAYS + 1)
    distance = np.zeros((len(issues), len(leads), ANALOG_DAYS))
    level = home.level(issues)[:, None]
    then = issues[:, None] - back * home.day
    for hours, bandwidth, growth in ANALOG_CONTEXTS:
        steps = hours * home.hour
        here = np.log(home.mean.mean(issues - steps, issues)[:, None] / level + LOG_OFFSET)
        there = np.log(home.mean.mean(then - steps, then) / level + LOG_OFFSET)
        difference = np.nan_to_num((there - here) ** 2, nan=1.0)
        width = bandwidth + growth * (leads + 1.0) / home.hour
        distance += difference[:, None, :] / width[None, :, None] ** 2
    weight = np.exp(-0.5 * distance).reshape(-1, ANALOG_DAYS) + LEAST_WEIGHT
    weight *= np.where(same_kind, 1.0, ANALOG_OTHER_KIND) * np.exp(-back / ANALOG_RECENCY_DAYS)
    aside = max(home.hour // 2, 1)
    values = [past]
    values += [home.grid.days_back(issue, target, back, shift) for shift in (-aside, aside)]
    pooled = np.concatenate(values, axis=1)
    weights = np.concatenate([weight, *[weight * ANALOG_NEIGHBOUR] * 2], axis=1)
    quantiles = weighted_quantiles(pooled, weights, LEVELS)
    return {
        f"analog_q{level * 100:g}": values for level, values in zip(LEVELS, quantiles, strict=True)
    } | {"analog_mean": mean_known(past, weight)}


def _free_days_back(home: _Home, target: IntArray, back: IntArray) -> npt.NDArray[np.bool_]:
    """Whether the days before each target's day were free; (pairs, len(back))."""
    free = (weekday(home.series.local_minute[target])[:, None] - back) % 7 >= 5
    if home.series.free_day is not None:
        step = np.maximum(target[:, None] - back * home.day, 0)
        free |= home.series.free_day[step]
    return np.asarray(free)


def _anchor(columns: dict[str, FloatArray]) -> FloatArray:
    """The analog median, near the issue moved by what the last hour was above the usual."""
    usual = columns[ANALOG_MEDIAN]
    usual = _first_known(usual, np.ones_like(usual))  # without any history: the level itself
    stay = ANCHOR_EXCESS * np.exp(-columns["lead_hours"] / ANCHOR_DECAY_HOURS)
    return np.asarray(np.maximum(usual + stay * np.nan_to_num(columns["excess_1h"]), 0.0))


def _first_known(values: FloatArray, otherwise: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, otherwise)


def _at(values: FloatArray | None, where: IntArray) -> FloatArray:
    """``values[where]``, NaN outside the series or without such values."""
    if values is None or not len(values):
        return np.full(len(where), np.nan)
    inside = (where >= 0) & (where < len(values))
    return np.asarray(np.where(inside, values[np.where(inside, where, 0)], np.nan))


_IN_WATTS = tuple(
    name
    for name in DEMAND_FEATURES
    if name.startswith(
        ("lag_", "mean_", "std_", "change_", "excess_", "slot_", "weekday_", "kind_", "analog_")
    )
    or name.startswith("circuit_")
)
