"""Whether a difference in error is more than chance.

Paired circular block bootstrap over days: neighbouring days share their weather, so blocks of days
are drawn, the same ones for model and reference and for all sites. Diebold-Mariano with a HAC
variance is the cross-check. What a loss is, and over which days, is the caller's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.features.site import FloatArray, IntArray

BLOCK_DAYS = 7
DRAWS = 2000
MIN_BLOCKS = 3
"""With fewer blocks than this in the span there is no interval."""
CONFIDENCE = 0.9
"""Central share of the draws that an interval holds."""

Interval = tuple[float, float]
NO_INTERVAL: Interval = (math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class BlockDraws:
    """How often each of ``days`` days is drawn in each bootstrap draw."""

    counts: npt.NDArray[np.float32]
    """Shape (draws, days); float32 holds whole numbers exactly and halves the memory."""
    enough: bool
    """Whether there are days enough for an interval."""

    @classmethod
    def draw(cls, days: int, seed: int, block: int = BLOCK_DAYS, draws: int = DRAWS) -> BlockDraws:
        """Draw whole blocks of ``block`` successive days; a block that meets the end goes on at
        the beginning. The last block is cut, so that each draw has ``days`` days."""
        random = np.random.default_rng(seed)
        counts = np.zeros((draws, days), np.float32)
        blocks = -(-days // block)
        starts = random.integers(0, max(days, 1), size=(draws, blocks))
        for place, of_draw in enumerate(starts):
            chosen = (of_draw[:, None] + np.arange(block)).ravel()[:days] % max(days, 1)
            counts[place] = np.bincount(chosen, minlength=days)
        return cls(counts, days >= MIN_BLOCKS * block)

    def sums(self, daily: FloatArray, place: IntArray | None = None) -> FloatArray:
        """Sums of each draw, (draws, losses), of ``daily`` (losses, days).

        ``place`` says which of the drawn days the columns are, when they are not all of them.
        """
        counts = self.counts if place is None else self.counts[:, place]
        return np.asarray(counts @ daily.T, dtype=np.float64)

    def interval(self, values: FloatArray) -> Interval:
        """Central ``CONFIDENCE`` of one value per draw; NaN with too few days or values."""
        known = values[np.isfinite(values)]
        if not self.enough or len(known) < len(values) / 2:
            return NO_INTERVAL
        edge = (1.0 - CONFIDENCE) / 2
        low, high = np.quantile(known, [edge, 1.0 - edge])
        return float(low), float(high)


def skill_interval(
    error: FloatArray, reference: FloatArray, days: IntArray, seed: int, block: int = BLOCK_DAYS
) -> Interval:
    """Interval of ``1 - sum(error)/sum(reference)``; ``days`` labels each case or each pair."""
    usable = np.isfinite(error) & np.isfinite(reference)
    of_pair = np.broadcast_to(days if days.ndim == error.ndim else days[:, None], error.shape)
    labels, place = np.unique(of_pair[usable], return_inverse=True)
    daily: FloatArray = np.stack(
        [
            np.bincount(place, weights=values[usable], minlength=len(labels)).astype(np.float64)
            for values in (error, reference)
        ]
    )
    if not daily[1].sum() > 0:
        return NO_INTERVAL
    draws = BlockDraws.draw(len(labels), seed, block)
    ours, theirs = draws.sums(daily).T
    return draws.interval(1.0 - ours / np.maximum(theirs, 1e-12))


@dataclass(frozen=True)
class DieboldMariano:
    """Test of equal expected loss. ``statistic`` is negative when the first loss is smaller."""

    statistic: float
    p_value: float
    """Two-sided, against the normal distribution."""
    lags: int
    days: int


def diebold_mariano(
    difference: Sequence[float] | FloatArray, lags: int | None = None
) -> DieboldMariano:
    """Test whether the mean of a daily loss difference (ours minus theirs) is 0.

    The long-run variance is Newey and West's, with Bartlett weights up to ``lags``: by default the
    larger of ``BLOCK_DAYS - 1`` and ``floor(4 (n/100)^(2/9))``.
    """
    values = np.asarray(difference, dtype=np.float64)
    values = values[np.isfinite(values)]
    n = len(values)
    if lags is None:
        lags = max(BLOCK_DAYS - 1, int(4 * (n / 100) ** (2 / 9)))
    nothing = DieboldMariano(math.nan, math.nan, lags, n)
    if n <= 2 * lags:
        return nothing
    centred = values - values.mean()
    variance = float(centred @ centred) / n
    for lag in range(1, lags + 1):
        weight = 1.0 - lag / (lags + 1.0)
        variance += 2.0 * weight * float(centred[lag:] @ centred[:-lag]) / n
    if not variance > 0:
        return nothing
    statistic = float(values.mean()) / math.sqrt(variance / n)
    return DieboldMariano(statistic, math.erfc(abs(statistic) / math.sqrt(2.0)), lags, n)
