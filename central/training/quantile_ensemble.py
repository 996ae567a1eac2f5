"""Several experts for the same quantiles, blended with convex shares per level.

Decides how shares are found: experts are fitted with some groups of rows (days, weeks) left out and
judged on those, so that no expert is praised for what it has seen; then all are fitted on
everything. Shares are smoothed over neighbouring levels, so that a blend of ordered quantiles stays
nearly ordered, and answers are sorted. It leaves to others what the rows mean, and which of the
experts can go to a box: boosters (``trees``) and the network (``feature_net``) can, the forest
stays at the centre.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.metrics import pinball_values

from .dataset import Rows
from .feature_net import NetSettings, fit_feature_net
from .quantile_forest import ForestSettings, fit_quantile_forest
from .trees import TreeSettings, fit_boosters, predict_boosters, refit_boosters

FloatArray = npt.NDArray[np.floating[Any]]
GroupArray = npt.NDArray[np.int64]
_STEP = 20
"""Shares are multiples of one over this ..."""
_NEAR = 0.1
"""... averaged over levels this near."""
_STOP_EVERY = 7
"""One group in so many tells boosters when to stop, before they are fitted on all."""


class Predictor(Protocol):
    """A fitted expert."""

    def predict(self, features: npt.NDArray[np.float32], /) -> FloatArray:
        """Quantiles of the target for rows (n, F): (n, levels)."""
        ...


Fit = Callable[[Rows, GroupArray, Sequence[float]], Predictor]


@dataclass(frozen=True)
class Expert:
    """How to fit one: rows, their groups, levels."""

    name: str
    fit: Fit


@dataclass(frozen=True, eq=False)
class QuantileEnsemble:
    """Fitted experts and their shares, (experts, levels); each level's sum is 1."""

    names: tuple[str, ...]
    predictors: tuple[Predictor, ...]
    shares: FloatArray
    levels: tuple[float, ...]

    def predict(self, features: npt.NDArray[np.float32]) -> FloatArray:
        """Quantiles of the target for rows (n, F): (n, levels), ascending."""
        return _blend([one.predict(features) for one in self.predictors], self.shares)


def net_expert(settings: NetSettings) -> Expert:
    """The network that boxes run."""

    def fit(rows: Rows, groups: GroupArray, levels: Sequence[float]) -> Predictor:
        return fit_feature_net(rows, None, settings, levels=levels)

    return Expert("net", fit)


def forest_expert(settings: ForestSettings) -> Expert:
    """The forest of the centre."""

    def fit(rows: Rows, groups: GroupArray, levels: Sequence[float]) -> Predictor:
        return fit_quantile_forest(rows, settings, levels=levels)

    return Expert("forest", fit)


def booster_expert(settings: TreeSettings, names: Sequence[str]) -> Expert:
    """The boosters that boxes run, one per level; ``names`` of the columns."""

    def fit(rows: Rows, groups: GroupArray, levels: Sequence[float]) -> Predictor:
        stop = _rank(groups) % _STOP_EVERY == 0
        found = fit_boosters(
            _take(rows, ~stop), _take(rows, stop), settings, levels=levels, names=names
        )
        return _Boosters(refit_boosters(rows, found, settings, levels=levels, names=names))

    return Expert("boosters", fit)


def fit_quantile_ensemble(
    rows: Rows,
    groups: npt.ArrayLike,
    experts: Sequence[Expert],
    levels: Sequence[float],
    *,
    folds: int = 3,
    shares: npt.ArrayLike | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> QuantileEnsemble:
    """Find the shares, then fit every expert on all ``rows``.

    Args:
        rows: features (n, F), target, weight
        groups: a number per row; rows of one group are left out together
        experts: one or more
        levels: quantiles wanted, ascending
        folds: how often shares of the groups are left out
        shares: (experts, levels) if known; saves ``folds`` fits of each expert
        progress: told the shares
    Raises:
        ValueError: no expert, or fewer groups than folds.
    """
    label = np.asarray(groups, dtype=np.int64)
    if not experts:
        raise ValueError("experts: at least one is needed")
    if shares is not None:
        chosen = np.asarray(shares, dtype=np.float64)
    elif len(experts) == 1:
        chosen = np.ones((1, len(levels)))
    else:
        answers = out_of_fold(rows, label, experts, levels, folds)
        chosen = convex_shares(answers, rows, levels)
    for expert, share in zip(experts, chosen, strict=True):
        progress(f"{expert.name}: share {share.min():.2f}..{share.max():.2f}")
    fitted = tuple(expert.fit(rows, label, levels) for expert in experts)
    names = tuple(expert.name for expert in experts)
    return QuantileEnsemble(names, fitted, chosen, tuple(float(level) for level in levels))


def out_of_fold(
    rows: Rows,
    groups: GroupArray,
    experts: Sequence[Expert],
    levels: Sequence[float],
    folds: int,
) -> FloatArray:
    """Answers of each expert for rows it has not seen: (experts, n, levels), ascending."""
    fold = _rank(groups) % folds
    if len(np.unique(fold)) < folds or folds < 2:
        raise ValueError(f"groups: {folds} folds need as many groups, and two at least")
    answers = np.empty((len(experts), len(rows), len(levels)), dtype=np.float32)
    for number in range(folds):
        out = fold == number
        kept = _take(rows, ~out)
        for place, expert in enumerate(experts):
            predictor = expert.fit(kept, groups[~out], levels)
            answers[place, out] = np.sort(predictor.predict(rows.features[out]), axis=1)
    return answers


def convex_shares(answers: FloatArray, rows: Rows, levels: Sequence[float]) -> FloatArray:
    """Shares (experts, levels) with the least weighted pinball loss, smoothed over levels."""
    level = np.asarray(levels, dtype=np.float64)
    count = len(answers)
    target = rows.target[None, :].astype(np.float64)
    grid = [
        (*part, _STEP - sum(part))
        for part in product(range(_STEP + 1), repeat=count - 1)
        if sum(part) <= _STEP
    ]
    candidates = np.array(grid, dtype=np.float64) / _STEP
    best = np.empty((count, len(level)))
    for place, one in enumerate(level):
        # (experts, n) to (candidates, n): all blends of this level at once.
        blends = candidates @ answers[:, :, place]
        loss = pinball_values(target, blends[None], (float(one),))[0]
        best[:, place] = candidates[int(np.argmin(loss @ rows.weight))]
    near = np.abs(level[:, None] - level[None, :]) <= _NEAR + 1e-9
    return np.asarray(best @ near / near.sum(axis=0))


@dataclass(frozen=True, eq=False)
class _Boosters:
    boosters: list[Any]

    def predict(self, features: npt.NDArray[np.float32], /) -> FloatArray:
        return np.asarray(predict_boosters(self.boosters, features))


def _blend(answers: Sequence[FloatArray], shares: FloatArray) -> FloatArray:
    ordered = [np.sort(one, axis=1) for one in answers]
    mixed = sum(one * share for one, share in zip(ordered, shares, strict=True))
    return np.sort(np.asarray(mixed), axis=1)


def _rank(groups: GroupArray) -> GroupArray:
    """Groups numbered 0, 1, ... in ascending order."""
    return np.unique(groups, return_inverse=True)[1]


def _take(rows: Rows, chosen: npt.NDArray[np.bool_]) -> Rows:
    return replace(
        rows,
        features=rows.features[chosen],
        target=rows.target[chosen],
        weight=rows.weight[chosen],
    )
