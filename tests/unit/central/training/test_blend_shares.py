"""How much the blend believes each expert."""

from __future__ import annotations

import numpy as np

from central.training.blend import fit_shares
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS
from models.forecasters.blend import LEAD_BUCKETS

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
    shares = fit_shares(trees, lstm, clear, index * clear)
    for share, (first, _) in zip(shares, LEAD_BUCKETS, strict=True):
        assert share == (1.0 if first >= 96 else 0.0)


def test_an_expert_that_hardly_helps_is_left_out() -> None:
    random = np.random.default_rng(4)
    index = random.uniform(0.2, 1.0, (CASES, HORIZON_STEPS))
    clear = np.full((CASES, HORIZON_STEPS), 3000.0)
    spread = np.linspace(-0.3, 0.3, len(LEVELS))
    trees = random.normal(index, 0.2)[..., None] + spread
    lstm = trees - 0.001 * np.sign(trees - index[..., None])  # a thousandth better
    assert fit_shares(trees, lstm, clear, index * clear) == [0.0] * len(LEAD_BUCKETS)
