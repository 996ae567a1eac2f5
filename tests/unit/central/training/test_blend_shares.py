"""How much the blend believes each expert."""

from __future__ import annotations

import numpy as np
import pytest

from central.training.blend import choices, fit_shares
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS
from models.forecasters.blend import LEAD_BUCKETS, NEAR_STEPS, with_near

CASES = 60


def test_the_blend_believes_the_better_expert_at_each_lead() -> None:
    random = np.random.default_rng(2)
    index = random.uniform(0.2, 1.0, (CASES, HORIZON_STEPS))
    clear = np.full((CASES, HORIZON_STEPS), 3000.0)
    spread = np.linspace(-0.1, 0.1, len(LEVELS))
    good = index[..., None] + spread
    bad = random.uniform(0.2, 1.0, (CASES, HORIZON_STEPS))[..., None] + spread
    trees, lstm = good.copy(), bad.copy()
    trees[:, 96:], lstm[:, 96:] = bad[:, 96:], good[:, 96:]
    far, never = fit_shares(trees, [lstm, bad], clear, index * clear)
    for share, (first, _) in zip(far, LEAD_BUCKETS, strict=True):
        assert share == pytest.approx(1.0 if first >= 96 else 0.0)
    assert never == [0.0] * len(LEAD_BUCKETS)


def test_two_that_err_apart_are_better_together() -> None:
    random = np.random.default_rng(3)
    index = random.uniform(0.4, 0.8, (CASES, HORIZON_STEPS))
    clear = np.full((CASES, HORIZON_STEPS), 3000.0)
    trees, net = (random.normal(index, 0.1)[..., None] * np.ones(len(LEVELS)) for _ in range(2))
    [shares] = fit_shares(trees, [net], clear, index * clear)
    assert all(0.2 <= share <= 0.7 for share in shares)


def test_every_mixture_is_convex() -> None:
    mixtures = choices(2)
    assert len(mixtures) == 66
    assert not mixtures[0].any()
    assert (mixtures.sum(axis=1) <= 1 + 1e-9).all()
    assert (mixtures >= 0).all()


def test_an_expert_that_hardly_helps_is_left_out() -> None:
    random = np.random.default_rng(4)
    index = random.uniform(0.2, 1.0, (CASES, HORIZON_STEPS))
    clear = np.full((CASES, HORIZON_STEPS), 3000.0)
    spread = np.linspace(-0.3, 0.3, len(LEVELS))
    trees = random.normal(index, 0.2)[..., None] + spread
    lstm = trees - 0.0002 * np.sign(trees - index[..., None])  # a hair better
    assert fit_shares(trees, [lstm], clear, index * clear) == [[0.0] * len(LEAD_BUCKETS)]


def test_trees_of_the_first_hour_get_no_share_after_it() -> None:
    """Not even where every mixture of the others loses the same as one with them."""
    random = np.random.default_rng(5)
    index = random.uniform(0.4, 0.8, (CASES, HORIZON_STEPS))
    clear = np.full((CASES, HORIZON_STEPS), 3000.0)
    actual = index * clear
    actual[:, 96:] = np.nan  # leads at which nothing is known: every mixture is as good
    trees, net = (random.normal(index, 0.1)[..., None] * np.ones(len(LEVELS)) for _ in range(2))
    exact = with_near(trees, index[:, :NEAR_STEPS, None] * np.ones(len(LEVELS)))
    own, near = fit_shares(trees, [net, exact], clear, actual)
    for share, of_net, (first, _) in zip(near, own, LEAD_BUCKETS, strict=True):
        assert share == (1.0 if first < NEAR_STEPS else 0.0)
        assert (of_net > 0) == (NEAR_STEPS <= first < 96)
    alone = fit_shares(trees, [net], clear, actual)[0]
    assert [share for share, (first, _) in zip(alone, LEAD_BUCKETS, strict=True) if first >= 4] == (
        own[2:]
    )
