"""The risk model: how likely a forecast is off by more than a tolerance.

Decides what is learned: for each tolerance of ``models.features.risk_columns`` one booster that
gives the probability of a failed forecast. Squared error on outcomes of 0 and 1 is the Brier score,
whose minimum is the true probability, so the boosters need no link function on the box; answers
are cut to 0..1 there. The forecasts that it learns from were made by models that had not seen those
days. Shortfall and export need demand and a joint sample, and come with the monitors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.bundle.manifest import ModelKind
from models.bundle.names import RISK
from models.contract.forecast import MEDIAN
from models.features.build import FeatureArray
from models.features.risk_columns import RISK_COLUMNS, RISK_DIGEST, TOLERANCES, risk_columns
from models.features.site import FloatArray
from models.features.spec import FEATURES

from .dataset import Cases
from .presets import Preset
from .trained import TrainedTrees
from .trees import fit_expectation

MOST_ROWS = 200_000


@dataclass(frozen=True, eq=False)
class ForecastCases:
    """Forecasts that were made of days their models had not seen: cases, and quantiles [W]."""

    cases: Cases
    quantiles: FloatArray
    """(issues, levels, steps)"""


def train_risk(
    learned: Sequence[ForecastCases],
    judged: Sequence[ForecastCases],
    preset: Preset,
    random: np.random.Generator,
    progress: Callable[[str], None] = lambda text: None,
) -> TrainedTrees:
    """Fit on ``learned``, judge on the later ``judged``, fit again on both."""
    settings = replace(preset.trees, trees=min(preset.trees.trees, 80), min_child_weight=200.0)
    rows, off = _rows(learned, random)
    test_rows, test_off = _rows(judged, random)
    scores: dict[str, float] = {}
    boosters: list[Any] = []
    for tolerance in TOLERANCES:
        failed = (off > tolerance).astype(np.float32)
        booster = fit_expectation(rows, failed, settings, names=RISK_COLUMNS)
        chance = np.clip(booster.inplace_predict(test_rows), 0.0, 1.0)
        came = (test_off > tolerance).astype(np.float64)
        climate = float(failed.mean())
        brier, reference = np.mean((chance - came) ** 2), np.mean((climate - came) ** 2)
        word = f"{tolerance:g}"
        scores[f"brier_{word}"] = float(brier)
        scores[f"brier_skill_{word}"] = float(1.0 - brier / max(reference, 1e-12))
        scores[f"calibration_error_{word}"] = expected_calibration_error(chance, came)
        progress(f"risk {word}: Brier skill {scores[f'brier_skill_{word}']:.1%}")
        both = np.concatenate([failed, came.astype(np.float32)])
        all_rows = np.concatenate([rows, test_rows])
        boosters.append(fit_expectation(all_rows, both, settings, names=RISK_COLUMNS))
    return TrainedTrees(
        name=RISK,
        quantity="ac_power",
        kind=ModelKind.PROBABILITY_TREES,
        levels=TOLERANCES,
        boosters=boosters,
        features=RISK_DIGEST,
        rows=rows,
        metrics=scores,
    )


def expected_calibration_error(chance: FloatArray, came: FloatArray, bins: int = 10) -> float:
    """Mean distance of forecast from observed frequency over ``bins`` of equal count."""
    order = np.array_split(np.argsort(chance, kind="stable"), bins)
    gaps = [abs(float(chance[part].mean() - came[part].mean())) for part in order if len(part)]
    return float(np.mean(gaps)) if gaps else float("nan")


def _rows(
    parts: Sequence[ForecastCases], random: np.random.Generator
) -> tuple[FeatureArray, FloatArray]:
    """Rows in daylight, and by what share of the capacity the median was off."""
    tables, errors = [], []
    for one in parts:
        cases, capacity = one.cases, one.cases.site.site.ac_capacity_w
        known = np.isfinite(cases.actual)
        share = np.moveaxis(one.quantiles, 1, 2)[known] / capacity
        features = cases.features.reshape(-1, len(FEATURES))[known.reshape(-1)]
        tables.append(risk_columns(features, share))
        errors.append(np.abs(share[:, MEDIAN] - cases.actual[known] / capacity))
    table, off = np.concatenate(tables), np.concatenate(errors)
    if len(table) > MOST_ROWS:
        chosen = np.sort(random.choice(len(table), size=MOST_ROWS, replace=False))
        table, off = table[chosen], off[chosen]
    return table, off
