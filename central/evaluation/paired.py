"""Two stored evaluations held against each other, day by day."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models import metrics
from models.features.site import FloatArray, IntArray

from .evaluation import Evaluation, SiteDays
from .forecasts import EvaluationError
from .significance import BlockDraws, DieboldMariano, diebold_mariano


@dataclass(frozen=True)
class Paired:
    """By how much the first has the lower mean absolute error, on what both answered."""

    gain: float
    """``1 - ours / theirs``, mean over sites."""
    low: float
    high: float
    """Block-bootstrap interval of the gain."""
    test: DieboldMariano
    days: int
    sites: int
    left_out: int
    """Days of sites that only one has, or for which they count different pairs."""

    @property
    def sure(self) -> bool:
        """Whether the interval does not hold 0."""
        return self.low > 0 or self.high < 0


def paired(ours: Evaluation, theirs: Evaluation, seed: int = 0) -> Paired:
    """Compare on the days of sites that both scored with the same number of pairs.

    Raises ``EvaluationError`` when there is no such day.
    """
    others = {one.site: one for one in theirs.daily}
    common, left_out = [], 0
    for one in ours.daily:
        days, a, b, lost = _common(one, others.pop(one.site, None))
        left_out += lost
        if len(days):
            common.append((days, a, b))
    left_out += sum(len(one.days) for one in others.values())
    if not common:
        raise EvaluationError(
            f"{ours.name} and {theirs.name}: no day of a site was scored for both with the same "
            "pairs; evaluate both on the same issues, leads and mask"
        )
    days = np.unique(np.concatenate([one for one, _, _ in common]))
    draws = BlockDraws.draw(len(days), seed)
    total = np.zeros((len(draws.counts), 2))
    scores, difference, count = np.zeros(2), np.zeros(len(days)), np.zeros(len(days))
    for own, a, b in common:
        place = np.searchsorted(days, own)
        sums = draws.sums(np.stack([a[0], a[1], b[1]]), place)
        total += sums[:, 1:] / np.maximum(sums[:, :1], 1.0)
        scores += np.array([a[1].sum(), b[1].sum()]) / a[0].sum()
        difference[place] += (a[1] - b[1]) / a[0]
        count[place] += 1
    low, high = draws.interval(1.0 - total[:, 0] / np.maximum(total[:, 1], 1e-12))
    return Paired(
        metrics.skill(float(scores[0]), float(scores[1])),
        low,
        high,
        diebold_mariano(difference / count),
        len(days),
        len(common),
        left_out,
    )


def _common(one: SiteDays, other: SiteDays | None) -> tuple[IntArray, FloatArray, FloatArray, int]:
    """Days of both, (pairs, absolute) of either there, and how many days fell away."""
    if other is None:
        return np.zeros(0, np.int64), np.zeros((2, 0)), np.zeros((2, 0)), len(one.days)
    if not math.isclose(one.capacity_w, other.capacity_w, rel_tol=1e-6):
        raise EvaluationError(
            f"{one.site}: errors are shares of {one.capacity_w:g} W in one evaluation and of "
            f"{other.capacity_w:g} W in the other"
        )
    days, left, right = np.intersect1d(one.days, other.days, return_indices=True)
    a = np.array([one.pairs, one.absolute], dtype=np.float64)[:, left]
    b = np.array([other.pairs, other.absolute], dtype=np.float64)[:, right]
    same = a[0] == b[0]
    lost = len(one.days) + len(other.days) - len(days) - int(same.sum())
    return days[same], a[:, same], b[:, same], lost
