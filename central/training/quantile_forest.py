"""A forest of random trees that gives the whole distribution: quantile regression forest.

Decides how a distribution is read off the leaves: every training row gets as weight how often it
shares a leaf with the row asked about (Meinshausen, JMLR 7 (2006) 983-999); quantiles are those of
the weighted targets. The splits themselves are drawn at random (extremely randomised trees), which
errs differently from boosting and from a network: that is what it is worth in a blend.
It stays at the centre: it answers out of all training rows, and is no artefact for a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .dataset import Rows

_MISSING = np.float32(-1e6)
"""Random splits know no missing values; this lies below all others, so a split can tell."""
_LEAST_WEIGHT = 0.1
"""Of a row against the mean, so that dim hours keep a distribution of their own."""


@dataclass(frozen=True)
class ForestSettings:
    """Size of the forest."""

    trees: int = 200
    leaf: int = 4
    columns: float = 0.4
    seed: int = 1
    threads: int = 2


@dataclass(frozen=True, eq=False)
class QuantileForest:
    """A fitted forest and the training rows in its leaves."""

    forest: Any
    leaves: Any
    """Sparse (training rows by target, leaves of all trees): the row's share of its leaf."""
    target: npt.NDArray[np.float32]
    """Ascending."""
    levels: tuple[float, ...]

    def predict(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Quantiles of the target for rows (n, F): (n, levels), ascending."""
        asked = _one_hot(self.forest, np.asarray(features, np.float32))
        weights = (asked @ self.leaves.T).tocsr()
        weights.sort_indices()
        result = np.empty((weights.shape[0], len(self.levels)), dtype=np.float32)
        for row in range(len(result)):
            part = slice(weights.indptr[row], weights.indptr[row + 1])
            weight = weights.data[part]
            # Each target stands in the middle of its weight.
            place = np.cumsum(weight) - weight / 2
            result[row] = np.interp(
                self.levels, place / weight.sum(), self.target[weights.indices[part]]
            )
        return result


def fit_quantile_forest(
    train: Rows, settings: ForestSettings, *, levels: Sequence[float]
) -> QuantileForest:
    """Grow the trees on ``train``; splits lower the weighted squared error of the target."""
    from sklearn.ensemble import ExtraTreesRegressor

    order = np.argsort(train.target, kind="stable")
    features, target = train.features[order], train.target[order]
    weight = train.weight[order].astype(np.float64)
    weight = weight / weight.mean() + _LEAST_WEIGHT
    forest = ExtraTreesRegressor(
        settings.trees,
        min_samples_leaf=settings.leaf,
        max_features=settings.columns,
        n_jobs=settings.threads,
        random_state=settings.seed,
    ).fit(_filled(features), target, sample_weight=weight)
    shares = _one_hot(forest, features).multiply(weight[:, None]).tocsr()
    leaf_weight = np.asarray(shares.sum(axis=0)).ravel()
    leaves = shares.multiply(1.0 / np.maximum(leaf_weight, 1e-12)[None, :]).tocsr()
    return QuantileForest(forest, leaves, target, tuple(float(level) for level in levels))


def _filled(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.where(np.isfinite(features), features, _MISSING)


def _one_hot(forest: Any, features: npt.NDArray[np.float32]) -> Any:
    """Sparse (rows, leaves of all trees) of ones."""
    from scipy.sparse import csr_array

    leaf = forest.apply(_filled(features)).astype(np.int64)
    sizes = [one.tree_.node_count for one in forest.estimators_]
    column = leaf + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    ends = np.arange(0, column.size + 1, column.shape[1])
    ones = np.ones(column.size, dtype=np.float32)
    return csr_array((ones, column.ravel(), ends), shape=(len(column), int(np.sum(sizes))))
