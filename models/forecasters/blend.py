"""From the experts' clear-sky indices to one set of power quantiles. Pure; the same on both sides.

Shapes end in ``(HORIZON_STEPS, levels)`` for indices and ``(levels, HORIZON_STEPS)`` for power, the
order of the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import HORIZON_STEPS
from models.features.site import FloatArray
from models.features.sky import CSI_MAX
from models.features.spec import KNOT_STEPS, KNOTS

LEAD_EDGES = (0, 1, 4, 8, 16, 24, 48, 96, 144, HORIZON_STEPS)
"""Steps at which the buckets of the lead time begin and end: a quarter of an hour, then 1, 2, 4, 6,
12, 24, 36 and 48 h. The first step is its own: what is seen now tells most of it, and an interval
that was learned over the whole hour was too wide for its beginning and too narrow for its end."""
LEAD_BUCKETS = tuple(pairwise(LEAD_EDGES))
HOUR_BUCKETS = tuple(pairwise(edge for edge in LEAD_EDGES if edge % KNOT_STEPS == 0))
"""The same in whole hours: what scores are grouped by, those of hourly recordings too."""

NEAR_STEPS = 4
"""Steps of the first hour, which has trees of its own; where a lead bucket ends."""


def knots_to_steps(knots: npt.ArrayLike) -> FloatArray:
    """Hourly values, standing for the middles of their hours, at every step.

    ``(..., KNOTS, levels)`` -> ``(..., HORIZON_STEPS, levels)``; before the first and after the
    last middle the nearest value holds.
    """
    values = np.asarray(knots, dtype=np.float64)
    place = (np.arange(HORIZON_STEPS) + 0.5) / KNOT_STEPS - 0.5
    place = np.clip(place, 0.0, KNOTS - 1.0)
    low = np.minimum(place.astype(np.int64), KNOTS - 2)
    share = (place - low)[:, None]
    return np.asarray(values[..., low, :] * (1.0 - share) + values[..., low + 1, :] * share)


def share_per_step(bucket_shares: npt.ArrayLike) -> FloatArray:
    """One share per lead bucket -> one per step, shape ``(HORIZON_STEPS,)``."""
    shares = np.asarray(bucket_shares, dtype=np.float64)
    return np.repeat(shares, [last - first for first, last in LEAD_BUCKETS])


def with_near(trees: npt.ArrayLike, near: npt.ArrayLike) -> FloatArray:
    """What the trees of the first hour say as an expert of all steps: the trees' own after it.

    ``(..., HORIZON_STEPS, levels)`` and ``(..., NEAR_STEPS, levels)``.
    """
    index = np.array(trees, dtype=np.float64)
    index[..., :NEAR_STEPS, :] = near
    return index


def combine(
    trees: npt.ArrayLike, others: Sequence[npt.ArrayLike] = (), shares: Sequence[FloatArray] = ()
) -> FloatArray:
    """Convex blend, sorted and cut to ``[0, CSI_MAX]``.

    ``shares[k][step]`` is the weight of ``others[k]``; what is left is the trees'.
    """
    index = np.asarray(trees, dtype=np.float64)
    if others:
        rest = 1.0 - np.sum(shares, axis=0)
        index = rest[:, None] * index
        for other, share in zip(others, shares, strict=True):
            index = index + share[:, None] * np.asarray(other, dtype=np.float64)
    return np.asarray(np.clip(np.sort(index, axis=-1), 0.0, CSI_MAX))


def to_power(index: FloatArray, clear: FloatArray, limit_w: float) -> FloatArray:
    """Power quantiles [W], (..., levels, steps).

    Index quantiles (..., steps, levels) times clear-sky power (..., steps), clamped to
    ``[0, limit_w]``; zero where a cloudless sky would give nothing.
    """
    power = np.clip(index * clear[..., None], 0.0, limit_w)
    return np.asarray(np.moveaxis(power, -1, -2))
