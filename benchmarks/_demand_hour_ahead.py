"""One hour ahead on the UCI home: its own past trains, a whole later year judges."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._demand_recordings import Recording
from central.training.demand import BoosterTrees, DemandHome, DemandSettings, draw_demand_rows
from central.training.trees import TreeSettings, fit_boosters
from models.contract.forecast import MEDIAN
from models.features.demand import build_demand_features
from models.features.demand_spec import DEMAND_FEATURES
from models.forecasters.demand import DemandForecaster, expected_demand
from models.metrics import coverage, mae, pinball, rmse, skill

FIRST_TEST_YEAR = 2009
_LEAST_TRAINING_DAYS = 90


def settings(threads: int) -> DemandSettings:
    """Sizes found on 2008 with training before it."""
    return DemandSettings(
        trees=TreeSettings(
            trees=250,
            depth=6,
            learning_rate=0.04,
            min_child_weight=20.0,
            subsample=0.6,
            columns=0.4,
            fewest=250,
            patience=250,
            threads=threads,
        ),
        rows=1_000_000,  # every hour
        leads_per_issue=1,
        lead_hours=(0.0, 1.0),
    )


def judging_year(home: Recording, wanted: int | None) -> int:
    """The year that judges: ``wanted``, or the last one present, at least 2009.

    Raises ``ValueError`` when the recording does not reach it or nothing lies before it.
    """
    years = home.times.astype("datetime64[Y]").astype(int) + 1970
    year = max(int(years[-1]), FIRST_TEST_YEAR) if wanted is None else wanted
    if year not in years:
        raise ValueError(f"nothing recorded in {year}; the recording ends in {years[-1]}")
    before = home.step_of(f"{year}-01-01") / home.series.steps_per_day
    if before < _LEAST_TRAINING_DAYS:
        raise ValueError(f"{before:.0f} days before {year}, {_LEAST_TRAINING_DAYS} are needed")
    return year


def score_year(home: Recording, year: int, threads: int) -> dict[str, Any]:
    """Train on everything before ``year`` and score every hour of it, one hour ahead."""
    first, last = home.step_of(f"{year}-01-01"), home.step_of(f"{year + 1}-01-01")
    size = settings(threads)
    rows = draw_demand_rows(
        [DemandHome(home.name, home.series, 0, first)], size, np.random.default_rng(size.seed)
    )
    boosters = fit_boosters(rows, rows, size.trees, names=DEMAND_FEATURES)
    issues = np.arange(first, last)
    table = build_demand_features(home.series, issues, [0])
    quantiles = DemandForecaster(BoosterTrees(boosters)).quantiles(table)[:, 0]
    demand = home.series.demand
    known = np.isfinite(demand[issues]) & np.isfinite(demand[issues - 1])
    actual, last_hour = demand[issues][known], demand[issues - 1][known]
    quantiles = quantiles[known]
    median, mean = quantiles[:, MEDIAN], expected_demand(quantiles)
    return {
        "trained_rows": len(rows),
        "scored_hours": int(known.sum()),
        "empty_hours_in_test": int(np.isnan(demand[issues]).sum()),
        "left_out_because_the_hour_before_is_empty": int(
            (np.isfinite(demand[issues]) & np.isnan(demand[issues - 1])).sum()
        ),
        "persistence_mae_kw": mae(actual, last_hour) / 1000,
        "persistence_rmse_kw": rmse(actual, last_hour) / 1000,
        "mae_kw": mae(actual, median) / 1000,
        "rmse_kw": rmse(actual, mean) / 1000,
        "rmse_of_median_kw": rmse(actual, median) / 1000,
        "mae_of_mean_kw": mae(actual, mean) / 1000,
        "mae_skill": skill(mae(actual, median), mae(actual, last_hour)),
        "rmse_skill": skill(rmse(actual, mean), rmse(actual, last_hour)),
        "pinball_kw": pinball(actual, quantiles.T) / 1000,
        "coverage_80": coverage(actual, quantiles[:, 1], quantiles[:, -2]),
        "coverage_90": coverage(actual, quantiles[:, 0], quantiles[:, -1]),
    }
