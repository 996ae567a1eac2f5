"""Day-ahead demand, leave-home-out: each home forecast by a model that never saw it.

At every step the value 24 h later (``y[t]`` from what is known up to and with ``y[t - 24 h]``), and
every few hours the whole path of 48 h by lead bucket. Trained only on targets before the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks._demand_recordings import Recording
from central.training.dataset import Rows
from central.training.demand import (
    BoosterTrees,
    DemandHome,
    DemandSettings,
    draw_demand_rows,
    usable_homes,
)
from central.training.trees import fit_boosters
from models.contract.forecast import MEDIAN
from models.features.demand import build_demand_features
from models.features.demand_spec import DEMAND_FEATURES
from models.features.site import FloatArray, IntArray
from models.forecasters.demand import DemandForecaster, expected_demand
from models.metrics import coverage, mae, pinball, rmse, skill

REFERENCES = ("last_week", "weekday_mean_4", "weekday_median_4", "persistence_blend")
"""The forecasts to beat, as the acceptance names them."""
STRICTER = ("persistence_blend_with_median", "all_days_median_28")
"""References that nobody asked for; the second is the strongest simple one here."""
BUCKET_HOURS = ((0, 1), (1, 4), (4, 12), (12, 24), (24, 48))
_PATH_EVERY_HOURS = 3.5
_CHUNK = 400
_DRAWS = 2000

Progress = Callable[[str], None]


def references(series_demand: FloatArray, day: int, train_end: int) -> dict[str, FloatArray]:
    """Every reference for every step, from values at least 24 h older; NaN where there are none.

    The blend's weight is the best of 21 on the home's own steps before the test.
    """
    past = {back: _shifted(series_demand, back * day) for back in range(1, 29)}
    weeks = np.stack([past[back] for back in (7, 14, 21, 28)])
    found = {
        "last_week": past[7],
        "weekday_mean_4": _over(np.nanmean, weeks),
        "weekday_median_4": _over(np.nanmedian, weeks),
        "all_days_median_28": _over(np.nanmedian, np.stack(list(past.values()))),
    }
    for name, base in (
        ("persistence_blend", "weekday_mean_4"),
        ("persistence_blend_with_median", "weekday_median_4"),
    ):
        blends = [w * past[1] + (1.0 - w) * found[base] for w in np.linspace(0.0, 1.0, 21)]
        errors = [mae(series_demand[:train_end], blend[:train_end]) for blend in blends]
        best = 0 if np.isnan(errors).all() else int(np.nanargmin(errors))
        found[name] = blends[best]
    return found


def drawn_rows(
    homes: Sequence[Recording], until: str, settings: DemandSettings
) -> tuple[dict[str, Rows], dict[str, str]]:
    """Training rows of each home from targets before ``until``; drawn once for all folds."""
    bounded = [DemandHome(one.name, one.series, 0, one.step_of(until)) for one in homes]
    usable, left_out = usable_homes(bounded)
    rows = {
        home.name: draw_demand_rows([home], settings, np.random.default_rng(settings.seed))
        for home in usable
    }
    return rows, left_out


def fit_without(rows: Mapping[str, Rows], home: str, settings: DemandSettings) -> DemandForecaster:
    """A forecaster trained on all homes but ``home``; without any it knows analog days only."""
    others = [part for name, part in rows.items() if name != home]
    if not others:
        return DemandForecaster()
    together = Rows(*(np.concatenate([getattr(one, name) for one in others]) for name in _COLUMNS))
    # The number of trees is fixed: it was chosen on spans before the test.
    boosters = fit_boosters(together, together, settings.trees, names=DEMAND_FEATURES)
    return DemandForecaster(BoosterTrees(boosters))


def score_home(
    home: Recording, forecaster: DemandForecaster, first: int, last: int
) -> dict[str, Any]:
    """Scores of one home over the targets ``[first, last)``; all forecasts on the same steps."""
    series, day = home.series, home.series.steps_per_day
    target = np.arange(max(first, day), last)
    quantiles, analog = (
        part[:, 0]
        for part in _forecast(
            home, (forecaster, DemandForecaster()), target - day + 1, np.array([day - 1])
        )
    )
    simple = references(series.demand, day, first)
    actual = series.demand[target]
    known = np.isfinite(actual)
    for values in simple.values():
        known &= np.isfinite(values[target])
    if not known.any():
        return {"scored": 0}
    actual, quantiles, analog = actual[known], quantiles[known], analog[known]
    errors = {name: values[target][known] - actual for name, values in simple.items()}
    maes = {name: float(np.abs(error).mean()) for name, error in errors.items()}
    best = min(REFERENCES, key=lambda name: maes[name])
    levels_first = quantiles.T
    own = np.abs(quantiles[:, MEDIAN] - actual)
    days = (home.times[target][known]).astype("datetime64[D]").astype(np.int64)
    return {
        "scored": int(known.sum()),
        "left_out_steps": int((~known).sum()),
        "mean_w": float(actual.mean()),
        "mae_w": float(own.mean()),
        "mae_analog_days_only_w": mae(actual, analog[:, MEDIAN]),
        "reference_mae_w": maes,
        "best_reference": best,
        "mae_skill": skill(float(own.mean()), maes[best]),
        "mae_skill_90": _skill_interval(own, np.abs(errors[best]), days),
        "rmse_w": rmse(actual, expected_demand(quantiles)),
        "rmse_best_reference_w": float(np.sqrt(np.mean(errors[best] ** 2))),
        "pinball_w": pinball(actual, levels_first),
        "pinball_analog_days_only_w": pinball(actual, analog.T),
        "coverage_80": coverage(actual, levels_first[1], levels_first[-2]),
        "coverage_90": coverage(actual, levels_first[0], levels_first[-1]),
        "width_80_w": float((levels_first[-2] - levels_first[1]).mean()),
        "path": _path(home, forecaster, simple, first, last),
    }


def _path(
    home: Recording,
    forecaster: DemandForecaster,
    simple: Mapping[str, FloatArray],
    first: int,
    last: int,
) -> dict[str, dict[str, float]]:
    """Scores over whole forecasts, by lead; last week and 4-week medians need no later value."""
    series, day = home.series, home.series.steps_per_day
    leads = np.arange(2 * day)
    every = max(1, round(_PATH_EVERY_HOURS * day / 24))
    issues = np.arange(max(first, 1), last - int(leads[-1]), every)
    if not len(issues):
        return {}
    quantiles = np.moveaxis(_forecast(home, [forecaster], issues, leads)[0], -1, 0)
    target = issues[:, None] + leads
    actual = series.demand[target]
    weekly = np.where(np.isfinite(actual), simple["weekday_median_4"][target], np.nan)
    result = {}
    for low, high in BUCKET_HOURS:
        bucket = slice(low * day // 24, high * day // 24)
        part, truth = quantiles[:, :, bucket], actual[:, bucket]
        result[f"{low}-{high}h"] = {
            "mae_w": mae(truth, part[MEDIAN]),
            "weekday_median_4_mae_w": mae(truth, weekly[:, bucket]),
            "pinball_w": pinball(truth, part),
            "coverage_80": coverage(truth, part[1], part[-2]),
            "coverage_90": coverage(truth, part[0], part[-1]),
        }
    return result


def _forecast(
    home: Recording, forecasters: Sequence[DemandForecaster], issues: IntArray, leads: IntArray
) -> list[FloatArray]:
    """(issues, leads, levels) of each forecaster, from the same features."""
    chunks = max(1, len(issues) * len(leads) // (_CHUNK * 48))
    tables = (
        build_demand_features(home.series, part, leads) for part in np.array_split(issues, chunks)
    )
    parts = [[forecaster.quantiles(table) for forecaster in forecasters] for table in tables]
    return [np.concatenate(one) for one in zip(*parts, strict=True)]


def _shifted(values: FloatArray, steps: int) -> FloatArray:
    result = np.full(len(values), np.nan)
    if steps < len(values):
        result[steps:] = values[:-steps]
    return result


def _over(statistic: Callable[..., Any], stacked: FloatArray) -> FloatArray:
    """``statistic`` over the known of each column, NaN without any and without a warning."""
    some = np.isfinite(stacked).any(axis=0)
    result = np.full(stacked.shape[1], np.nan)
    if some.any():
        result[some] = statistic(stacked[:, some], axis=0)
    return result


def _skill_interval(own: FloatArray, reference: FloatArray, days: IntArray) -> list[float]:
    """Central 90 % of the skill over circular bootstrap draws of 7-day blocks."""
    labels, place = np.unique(days, return_inverse=True)
    ours = np.bincount(place, weights=own)
    theirs = np.bincount(place, weights=reference)
    if len(labels) < 14:
        return []
    random = np.random.default_rng(0)
    starts = random.integers(0, len(labels), size=(_DRAWS, -(-len(labels) // 7)))
    drawn = (starts[:, :, None] + np.arange(7)).reshape(_DRAWS, -1) % len(labels)
    skills = 1.0 - ours[drawn].sum(axis=1) / theirs[drawn].sum(axis=1)
    return [float(value) for value in np.quantile(skills, [0.05, 0.95])]


_COLUMNS = ("features", "target", "weight")
