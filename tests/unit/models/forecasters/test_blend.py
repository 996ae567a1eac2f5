"""From expert indices to power: what must hold whatever the experts say."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS
from models.features.sky import CSI_MAX
from models.features.spec import KNOTS
from models.forecasters.blend import (
    LEAD_BUCKETS,
    combine,
    knots_to_steps,
    share_per_step,
    to_power,
)


def test_hourly_values_stand_at_the_middles_of_their_hours() -> None:
    knots = np.repeat(np.arange(KNOTS, dtype=float)[:, None], len(LEVELS), axis=1)
    steps = knots_to_steps(knots)
    assert steps.shape == (HORIZON_STEPS, len(LEVELS))
    # The mean of an hour's four steps is the hour's value, away from the ends.
    hourly = steps[:, 0].reshape(KNOTS, 4).mean(axis=1)
    np.testing.assert_allclose(hourly[1:-1], np.arange(1, KNOTS - 1))
    assert steps[0, 0] == 0
    assert steps[-1, 0] == KNOTS - 1


def test_shares_follow_the_lead_buckets() -> None:
    shares = share_per_step(np.arange(len(LEAD_BUCKETS)) / 10)
    assert len(shares) == HORIZON_STEPS
    for number, (first, last) in enumerate(LEAD_BUCKETS):
        assert (shares[first:last] == number / 10).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_quantiles_never_cross_nor_leave_the_possible(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    trees, lstm, net = random.normal(0.5, 1.5, size=(3, 3, HORIZON_STEPS, len(LEVELS)))
    clear = np.abs(random.normal(0, 4000, size=(3, HORIZON_STEPS)))
    clear[:, ::5] = 0
    shares = [np.full(HORIZON_STEPS, share), np.full(HORIZON_STEPS, (1 - share) / 2)]
    index = combine(trees, [lstm, net], shares)
    assert index.min() >= 0
    assert index.max() <= CSI_MAX
    power = to_power(index, clear, 5000.0)
    assert power.shape == (3, len(LEVELS), HORIZON_STEPS)
    assert (np.diff(power, axis=1) >= 0).all()
    assert power.min() >= 0
    assert power.max() <= 5000
    assert not power[:, :, ::5].any()


def test_each_expert_counts_by_its_share() -> None:
    one = np.ones((HORIZON_STEPS, len(LEVELS)))
    shares = [np.full(HORIZON_STEPS, 0.2), np.full(HORIZON_STEPS, 0.5)]
    index = combine(0.1 * one, [0.3 * one, 0.7 * one], shares)
    np.testing.assert_allclose(index, 0.3 * 0.1 + 0.2 * 0.3 + 0.5 * 0.7)


def test_without_another_expert_the_trees_speak_alone() -> None:
    trees = np.sort(np.random.default_rng(1).uniform(0, 1, (HORIZON_STEPS, len(LEVELS))), axis=-1)
    np.testing.assert_array_equal(combine(trees), trees)
