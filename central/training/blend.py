"""How much to believe each expert at each lead: convex weights fitted on their own span.

Equal weights can be worse than trees alone, so each lead bucket searches its own shares of the
other experts, none being among the choices; one that says there what the trees say gets nothing.
Trees are the champion: of the choices whose loss is within ``WORTHWHILE`` of the best, the one that
leaves the trees most is taken, because a share that hardly helps is noise elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from models.contract.forecast import LEVELS
from models.features.site import FloatArray
from models.forecasters.blend import LEAD_BUCKETS, combine, share_per_step

STEP = 0.1
"""Distance of the choices."""
WORTHWHILE = 0.005
"""Relative difference in loss that is not worth believing less in the trees for."""


def choices(experts: int) -> FloatArray:
    """Every mixture of ``experts`` beside the trees in steps of ``STEP``, the smallest sums first.

    Shape ``(choices, experts)``; the first row is all zeros: trees alone.
    """
    ticks = round(1.0 / STEP)
    mixtures = [
        mixture for mixture in product(range(ticks + 1), repeat=experts) if sum(mixture) <= ticks
    ]
    return np.array(sorted(mixtures, key=lambda mixture: (sum(mixture), mixture))) * STEP


def fit_shares(
    trees: FloatArray, others: Sequence[FloatArray], clear: FloatArray, actual: FloatArray
) -> list[list[float]]:
    """Share of each of ``others`` per lead bucket that gives about the least pinball loss in watts.

    ``trees`` and ``others``: index (cases, steps, levels); ``clear``/``actual``: W (cases, steps).
    Returns one list over the buckets for each of ``others``.
    """
    chosen = np.zeros((len(others), len(LEAD_BUCKETS)))
    for bucket, (first, last) in enumerate(LEAD_BUCKETS):
        here = np.s_[:, first:last]
        own = trees[here]
        speaking = [k for k, other in enumerate(others) if not np.array_equal(other[here], own)]
        chosen[speaking, bucket] = _best_mixture(
            own, [others[k][here] for k in speaking], clear[here], actual[here]
        )
    return [[float(share) for share in row] for row in chosen]


def _best_mixture(
    trees: FloatArray, others: Sequence[FloatArray], clear: FloatArray, actual: FloatArray
) -> FloatArray:
    """One share for each of ``others``, the same at all these steps."""
    level = np.asarray(LEVELS)
    mixtures = choices(len(others))
    losses = np.empty(len(mixtures))
    for row, mixture in enumerate(mixtures):
        flat = [np.full(actual.shape[1], share) for share in mixture]
        over = actual[..., None] - combine(trees, others, flat) * clear[..., None]
        losses[row] = np.nansum(np.maximum(level * over, (level - 1.0) * over))
    best: FloatArray = mixtures[int(np.argmax(losses <= losses.min() * (1.0 + WORTHWHILE)))]
    return best


def blended(
    trees: FloatArray, others: Sequence[FloatArray], shares: Sequence[Sequence[float]]
) -> FloatArray:
    """Blend with one share per expert and lead bucket."""
    return combine(trees, others, [share_per_step(one) for one in shares])
