"""Blended quantiles: what goes wrong where experts judge themselves, or nothing is sorted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from central.training.dataset import Rows
from central.training.feature_net import NetSettings, TrainedNet, fit_feature_net
from central.training.quantile_ensemble import (
    Expert,
    GroupArray,
    booster_expert,
    convex_shares,
    fit_quantile_ensemble,
    forest_expert,
    net_expert,
    out_of_fold,
)
from central.training.quantile_forest import ForestSettings
from central.training.trees import TreeSettings
from models.metrics import coverage, pinball
from models.runtimes.feature_net import FeatureNet

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = tuple(f"column_{number}" for number in range(4))


def drawn(count: int, seed: int) -> Rows:
    """Noise whose spread and place depend on the columns; one column is often missing."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 4)).astype(np.float32)
    spread = 0.2 + 0.5 * (features[:, 1] > 0)
    target = np.sin(features[:, 0]) + spread * random.normal(size=count)
    features[random.random(count) < 0.3, 3] = np.nan
    return Rows(features, target.astype(np.float32), np.ones(count, dtype=np.float32))


def small_experts() -> list[Expert]:
    """All three kinds, small."""
    return [
        net_expert(NetSettings(hidden=(16,), epochs=15, members=1, learning_rate=1e-2)),
        forest_expert(ForestSettings(trees=40, leaf=8, columns=0.6, threads=1)),
        booster_expert(
            TreeSettings(trees=60, depth=3, learning_rate=0.1, min_child_weight=20, threads=1),
            NAMES,
        ),
    ]


class Parrot:
    """Knows its training rows by heart, and of others says only a constant."""

    def __init__(self, rows: Rows, levels: Sequence[float]) -> None:
        self._known = dict(zip(map(bytes, rows.features), rows.target, strict=True))
        self._levels = len(levels)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The target itself where it was seen."""
        answers = [self._known.get(bytes(row), np.float32(9.0)) for row in features]
        return np.repeat(np.array(answers)[:, None], self._levels, axis=1)


def test_the_blend_is_no_worse_than_its_best_expert_and_covers_what_it_says() -> None:
    train, test = drawn(3000, 1), drawn(3000, 2)
    groups = np.arange(len(train)) // 50
    experts = small_experts()
    ensemble = fit_quantile_ensemble(train, groups, experts, LEVELS, folds=3)
    blended = ensemble.predict(test.features)
    assert (np.diff(blended, axis=1) >= 0).all()
    losses = [
        pinball(test.target, predictor.predict(test.features).T, LEVELS)
        for predictor in ensemble.predictors
    ]
    assert pinball(test.target, blended.T, LEVELS) <= min(losses) * 1.01
    flat = np.repeat(np.quantile(train.target, LEVELS)[:, None], len(test), axis=1)
    assert pinball(test.target, blended.T, LEVELS) < 0.75 * pinball(test.target, flat, LEVELS)
    assert coverage(test.target, blended[:, 0], blended[:, -1]) == pytest.approx(0.9, abs=0.03)


def test_an_expert_that_only_remembers_gets_no_share() -> None:
    rows = drawn(1500, 3)

    def fit(seen: Rows, groups: GroupArray, levels: Sequence[float]) -> Parrot:
        return Parrot(seen, levels)

    experts = [Expert("parrot", fit), small_experts()[1]]
    ensemble = fit_quantile_ensemble(rows, np.arange(1500) // 30, experts, LEVELS, folds=3)
    assert ensemble.shares[0].max() < 0.05
    np.testing.assert_allclose(ensemble.shares.sum(axis=0), 1.0)


def test_rows_of_one_group_are_never_on_both_sides() -> None:
    rows, groups = drawn(400, 4), np.repeat(np.arange(8) * 10 + 3, 50)
    seen: list[set[int]] = []

    def fit(kept: Rows, kept_groups: GroupArray, levels: Sequence[float]) -> Parrot:
        seen.append(set(kept_groups.tolist()))
        return Parrot(kept, levels)

    answers = out_of_fold(rows, groups, [Expert("parrot", fit)], LEVELS, 4)
    assert (answers == 9.0).all()  # no row was known to whoever answered for it
    assert [len(one) for one in seen] == [6, 6, 6, 6]


def test_shares_follow_the_level_at_which_an_expert_is_good() -> None:
    rows = drawn(4000, 5)
    levels = tuple(np.arange(1, 20) / 20)
    spread = np.where(rows.features[:, 1] > 0, 0.7, 0.2)
    normal = np.quantile(np.random.default_rng(6).normal(size=20_000), levels)
    right = np.sin(rows.features[:, 0])[:, None] + spread[:, None] * normal
    low_is_wrong, high_is_wrong = right.copy(), right.copy()
    low_is_wrong[:, :9] -= 1.0
    high_is_wrong[:, 10:] += 1.0
    shares = convex_shares(np.stack([low_is_wrong, high_is_wrong]), rows, levels)
    assert shares[0, :5].max() < 0.1
    assert shares[0, -5:].min() > 0.9
    assert np.abs(np.diff(shares[0])).max() <= 0.35  # smooth over levels
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)


def test_too_few_groups_are_refused() -> None:
    rows = drawn(100, 7)
    with pytest.raises(ValueError, match="groups"):
        fit_quantile_ensemble(rows, np.zeros(100), small_experts()[:2], LEVELS, folds=3)
    with pytest.raises(ValueError, match="experts"):
        fit_quantile_ensemble(rows, np.arange(100), [], LEVELS)


def test_the_box_computes_the_net_as_the_trainer_does(tmp_path: Path) -> None:
    rows, test = drawn(2000, 8), drawn(500, 9)
    settings = NetSettings(hidden=(16, 8), epochs=5, members=2)
    net = fit_feature_net(rows, None, settings, levels=LEVELS)
    (tmp_path / "net.npz").write_bytes(net.to_bytes())
    shipped = FeatureNet.load(tmp_path / "net.npz", 4, LEVELS)
    np.testing.assert_allclose(
        shipped.predict(test.features), net.predict(test.features), rtol=1e-5, atol=1e-5
    )
    again = fit_feature_net(rows, None, settings, levels=LEVELS)
    np.testing.assert_array_equal(again.predict(test.features), net.predict(test.features))


def test_the_net_keeps_its_best_epoch_where_it_can_be_judged() -> None:
    rows, stop = drawn(300, 10), drawn(1000, 11)
    settings = NetSettings(
        hidden=(64, 32), epochs=150, batch=32, members=1, learning_rate=1e-2, dropout=0.0, decay=0.0
    )
    judged = fit_feature_net(rows, stop, settings, levels=LEVELS)
    blind = fit_feature_net(rows, None, settings, levels=LEVELS)

    def loss(net: TrainedNet) -> float:
        return pinball(stop.target, net.predict(stop.features).T, LEVELS)

    assert loss(judged) < 0.95 * loss(blind)
