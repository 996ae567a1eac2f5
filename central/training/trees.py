"""XGBoost quantile boosters, one per level.

The compiler loses all base scores but the first of a multi-quantile booster. Targets are clear-sky
indices minus their anchor, weights clear-sky power.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contract.forecast import LEVELS
from models.features.build import FeatureArray
from models.features.spec import FEATURES

from .dataset import Rows


@dataclass(frozen=True)
class TreeSettings:
    """Size of the boosters; the edge's budget is 10 MB and 10 ms for all of them."""

    trees: int = 200
    depth: int = 4
    learning_rate: float = 0.05
    min_child_weight: float = 100.0
    subsample: float = 0.5
    columns: float = 0.5
    fewest: int = 40
    patience: int = 60
    seed: int = 1
    threads: int = 2


def fit_boosters(
    train: Rows,
    stop: Rows,
    settings: TreeSettings,
    progress: Callable[[str], None] = lambda text: None,
    *,
    levels: Sequence[float] = LEVELS,
    names: Sequence[str] = FEATURES,
) -> list[Any]:
    """One ``xgboost.Booster`` per level, stopped early on the ``stop`` rows.

    ``names`` are those of the columns of ``features``; ``levels`` the quantiles wanted.
    """
    import xgboost

    # One quantised matrix serves all levels.
    matrix = xgboost.QuantileDMatrix(
        train.features, train.target, weight=train.weight, feature_names=list(names)
    )
    watch = xgboost.QuantileDMatrix(
        stop.features, stop.target, weight=stop.weight, ref=matrix, feature_names=list(names)
    )
    boosters = []
    for level in levels:
        booster = xgboost.train(
            _parameters(level, settings),
            matrix,
            num_boost_round=settings.trees,
            evals=[(watch, "stop")],
            early_stopping_rounds=settings.patience,
            verbose_eval=False,
        )
        # Early stopping keeps the later rounds in the model: cut them off before compiling. Never
        # fewer than `fewest`: one season of one site is a noisy judge of the first trees.
        rounds = max(booster.best_iteration + 1, settings.fewest)
        boosters.append(booster[: min(rounds, booster.num_boosted_rounds())])
        progress(f"booster {level:g}: {boosters[-1].num_boosted_rounds()} trees")
    return boosters


def refit_boosters(
    rows: Rows,
    boosters: list[Any],
    settings: TreeSettings,
    *,
    levels: Sequence[float] = LEVELS,
    names: Sequence[str] = FEATURES,
) -> list[Any]:
    """The same boosters with the tree counts found, fitted on all ``rows``."""
    import xgboost

    matrix = xgboost.QuantileDMatrix(
        rows.features, rows.target, weight=rows.weight, feature_names=list(names)
    )
    return [
        xgboost.train(
            _parameters(level, settings), matrix, num_boost_round=booster.num_boosted_rounds()
        )
        for level, booster in zip(levels, boosters, strict=True)
    ]


def fit_expectation(
    features: FeatureArray,
    target: npt.NDArray[np.float32],
    settings: TreeSettings,
    *,
    weight: npt.NDArray[np.float32] | None = None,
    names: Sequence[str],
) -> Any:
    """One booster of squared error: the mean of ``target``, or of 0 and 1 the probability."""
    import xgboost

    matrix = xgboost.QuantileDMatrix(features, target, weight=weight, feature_names=list(names))
    parameters = _parameters(0.5, settings) | {"objective": "reg:squarederror"}
    del parameters["quantile_alpha"]
    return xgboost.train(parameters, matrix, num_boost_round=settings.trees)


def predict_boosters(boosters: list[Any], features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Change from the anchor at each level for rows (n, F): shape (n, levels)."""
    return np.stack(
        [booster.inplace_predict(features, validate_features=False) for booster in boosters], axis=1
    )


def _parameters(level: float, settings: TreeSettings) -> dict[str, Any]:
    return {
        "objective": "reg:quantileerror",
        "quantile_alpha": level,
        "tree_method": "hist",
        "max_depth": settings.depth,
        "eta": settings.learning_rate,
        "min_child_weight": settings.min_child_weight,
        "subsample": settings.subsample,
        "colsample_bynode": settings.columns,
        "seed": settings.seed,
        "nthread": settings.threads,
        "verbosity": 0,
    }
