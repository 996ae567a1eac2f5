"""Figures of ``benchmarks.pvod``: errors as shares of the normaliser, skill, coverage, chance.

Every figure is per plant and lead, then the mean over plants; every model is scored on the same
pairs, those where all of them say something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks._pvod_tables import Table
from models.contract.forecast import LEVELS
from models.contract.timestamps import DAY_MS, STEP_MS
from models.features.site import FloatArray, IntArray

_BLOCK_DAYS = 7
_DRAWS = 2000
_INTERVALS = {"80": (LEVELS.index(0.1), LEVELS.index(0.9)), "90": (0, len(LEVELS) - 1)}

Powers = Sequence[FloatArray]
"""One array (issues, leads) per plant, NaN where not scored."""


def point_scores(
    tables: Sequence[Table], models: Mapping[str, Powers], base: str
) -> dict[str, Any]:
    """By model: nMAE, nRMSE, bias by horizon and their mean, skill against ``base``."""
    found: dict[str, Any] = {}
    common = [
        table.scored & np.all([np.isfinite(power[k]) for power in models.values()], axis=0)
        for k, table in enumerate(tables)
    ]
    for name, powers in models.items():
        errors = [
            np.where(use, power - table.actual, np.nan) / table.norm_w
            for table, power, use in zip(tables, powers, common, strict=True)
        ]
        by_plant = np.array([np.nanmean(np.abs(error), axis=0) for error in errors])
        rmse = np.array([np.sqrt(np.nanmean(error**2, axis=0)) for error in errors])
        bias = np.array([np.nanmean(error, axis=0) for error in errors])
        found[name] = {
            "nmae": by_plant.mean(axis=0),
            "nrmse": rmse.mean(axis=0),
            "bias": bias.mean(axis=0),
            "nmae_by_plant": by_plant.mean(axis=1),
        }
    for scores in found.values():
        for kind in ("nmae", "nrmse"):
            reference = found[base][kind]
            scores[f"{kind[1:]}_skill"] = 1.0 - scores[kind] / reference
            scores[f"mean_{kind}"] = float(np.mean(scores[kind]))
    return found


def coverage(tables: Sequence[Table], quantiles: Sequence[FloatArray]) -> dict[str, Any]:
    """Share of outcomes inside, and width over the normaliser, by level and horizon."""
    result: dict[str, Any] = {}
    for name, (low, high) in _INTERVALS.items():
        inside, width = [], []
        for table, values in zip(tables, quantiles, strict=True):
            below, above, actual = values[:, low], values[:, high], table.actual
            hit = (actual >= below) & (actual <= above)
            inside.append(np.nanmean(np.where(table.scored, hit, np.nan), axis=0))
            width.append(np.nanmean((above - below) / table.norm_w, axis=0))
        result[name] = {
            "coverage": np.mean(inside, axis=0),
            "coverage_by_plant": np.mean(inside, axis=1),
            "mean_coverage": float(np.mean(inside)),
            "width": np.mean(width, axis=0),
        }
    result["pinball"] = float(
        np.mean([_pinball(t, q) for t, q in zip(tables, quantiles, strict=True)])
    )
    return result


def _pinball(table: Table, quantiles: FloatArray) -> float:
    level = np.array(LEVELS)[None, :, None]
    above = table.actual[:, None] - quantiles
    return float(np.nanmean(np.maximum(level * above, (level - 1.0) * above)) / table.norm_w)


def paired_gain(tables: Sequence[Table], ours: Powers, theirs: Powers) -> dict[str, float]:
    """How much less error ours makes, with the bounds of 95 % of circular blocks of days."""
    days = np.unique(np.concatenate([_day_of(table).ravel() for table in tables]))
    errors = np.zeros((2, len(tables), len(tables[0].leads), len(days)))
    counts = np.zeros((len(tables), len(tables[0].leads), len(days)))
    for k, table in enumerate(tables):
        day = np.searchsorted(days, _day_of(table))
        for lead in range(len(table.leads)):
            use = np.isfinite(ours[k][:, lead]) & np.isfinite(theirs[k][:, lead])
            where = day[use, lead]
            counts[k, lead] = np.bincount(where, minlength=len(days))
            for place, power in enumerate((ours[k], theirs[k])):
                error = np.abs(power - table.actual)[use, lead] / table.norm_w
                errors[place, k, lead] = np.bincount(where, error, minlength=len(days))
    random = np.random.default_rng(1)
    gains = [_gain(errors, counts, np.arange(len(days)))]
    blocks = -(-len(days) // _BLOCK_DAYS)
    for _ in range(_DRAWS):
        begin = random.integers(0, len(days), blocks)
        chosen = (begin[:, None] + np.arange(_BLOCK_DAYS)).ravel()[: len(days)] % len(days)
        gains.append(_gain(errors, counts, chosen))
    low, high = np.quantile(gains[1:], (0.025, 0.975))
    return {"gain": gains[0], "low": float(low), "high": float(high)}


def _gain(errors: FloatArray, counts: FloatArray, days: IntArray) -> float:
    count = np.maximum(counts[:, :, days].sum(axis=-1), 1.0)
    ours, theirs = (errors[place][:, :, days].sum(axis=-1) / count for place in (0, 1))
    return float(1.0 - ours.mean() / theirs.mean())


def _day_of(table: Table) -> IntArray:
    shift = int(table.plant.declared.longitude / 360.0 * DAY_MS)
    return np.asarray((table.targets + STEP_MS // 2 + shift) // DAY_MS)
