"""How much of the LSTM to believe at each lead: convex weights fitted on their own span.

Equal weights can be worse than trees alone, so each lead bucket searches its own share of the LSTM,
none being among the choices. Trees are the champion: the LSTM gets the smallest share that is as
good as the best one within ``WORTHWHILE``, because a share that hardly helps is noise elsewhere.
"""

from __future__ import annotations

import numpy as np

from models.contract.forecast import LEVELS
from models.features.site import FloatArray
from models.forecasters.blend import LEAD_BUCKETS, combine, share_per_step

SHARES = np.linspace(0.0, 1.0, 11)
WORTHWHILE = 0.02
"""Relative difference in loss that is not worth believing more in the LSTM for."""


def fit_shares(
    trees: FloatArray, lstm: FloatArray, clear: FloatArray, actual: FloatArray
) -> list[float]:
    """The LSTM's share per lead bucket that gives about the least pinball loss in watts.

    ``trees``/``lstm``: index (cases, steps, levels); ``clear``/``actual``: W (cases, steps).
    """
    level = np.asarray(LEVELS)
    losses = np.empty((len(SHARES), actual.shape[1]))
    for row, share in enumerate(SHARES):
        flat = np.full(actual.shape[1], share)
        power = combine(trees, lstm, flat) * clear[..., None]
        over = actual[..., None] - power
        loss = np.maximum(level * over, (level - 1.0) * over).sum(axis=-1)
        losses[row] = np.nansum(loss, axis=0)
    shares = []
    for first, last in LEAD_BUCKETS:
        loss = losses[:, first:last].sum(axis=1)
        shares.append(float(SHARES[int(np.argmax(loss <= loss.min() * (1.0 + WORTHWHILE)))]))
    return shares


def blended(trees: FloatArray, lstm: FloatArray, shares: list[float]) -> FloatArray:
    """Blend with one share per lead bucket."""
    return combine(trees, lstm, share_per_step(shares))
