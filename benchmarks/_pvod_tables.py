"""Rows and truth of the PVOD plants for ``benchmarks.pvod``, by the shipped features.

Decides what is scored (sun above 5 degrees at the middle of the interval, power known), by what an
error is divided, and from when a plant's learned site is used. It leaves features to ``models``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._pvod_recordings import Plant
from central.training.dataset import Rows
from models.contract.timestamps import DAY_MS, STEP_MS, STEPS_PER_DAY, Instant
from models.features.build import FeatureArray, build_features
from models.features.learned_site import LEARNED_DAYS, LearnedSite, learn_site
from models.features.learned_sky import learned_sky
from models.features.site import FloatArray, IntArray
from models.features.sky import CSI_MAX, Sky
from models.features.spec import ANCHOR, FEATURES
from models.features.weather import SkyWeather

LOWEST_SUN = 5.0
QUANTILE = 0.999
_LEAST_CLEAR = 0.01
_CHUNK = 4000
_PERSISTED = FEATURES.index("csi_persisted")


@dataclass(frozen=True, eq=False)
class Table:
    """One plant: everything per issue and lead; features only where ``scored``."""

    plant: Plant
    learned: LearnedSite
    sky: Sky
    norm_w: float
    """The 99.9 % quantile of power before the test span; of all power for a new plant."""
    issues: IntArray
    """Start of the first unknown interval, epoch ms."""
    leads: IntArray
    features: FeatureArray
    """Of the scored pairs, ``(pairs, F)``, in the order of ``np.nonzero(scored)``."""
    scored: npt.NDArray[np.bool_]
    actual: FloatArray
    """W, NaN where not scored; (issues, leads)."""
    clear: FloatArray
    persisted: FloatArray
    """Clear-sky index carried forward; (issues,)."""
    hour_angle: FloatArray

    @property
    def targets(self) -> IntArray:
        """Start of the target intervals, (issues, leads)."""
        return np.asarray(self.issues[:, None] + self.leads * STEP_MS)

    def part(self, first: Instant, last: Instant) -> Table:
        """The issues in ``[first, last)`` whose targets lie before ``last`` too."""
        keep = (self.issues >= first) & (self.issues < last)
        scored = self.scored & (self.targets < last)
        of_pair = (keep[:, None] & scored)[self.scored]
        return replace(
            self,
            issues=self.issues[keep],
            features=self.features[of_pair],
            scored=scored[keep],
            actual=np.where(scored, self.actual, np.nan)[keep],
            clear=self.clear[keep],
            persisted=self.persisted[keep],
            hour_angle=self.hour_angle[keep],
        )

    def spread(self, values: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """Values of the scored pairs laid on ``(issues, leads, ...)``, NaN elsewhere."""
        result = np.full((*self.scored.shape, *values.shape[1:]), np.nan)
        result[self.scored] = values
        return result

    def rows(self) -> tuple[Rows, IntArray]:
        """Training rows of the scored pairs, and the lead of each."""
        clear = np.maximum(self.clear[self.scored], _LEAST_CLEAR * self.norm_w)
        index = np.clip(self.actual[self.scored] / clear, 0.0, CSI_MAX)
        lead = np.broadcast_to(self.leads, self.scored.shape)[self.scored]
        change = index - self.features[:, ANCHOR]
        weight = clear / self.norm_w
        return Rows(self.features, change.astype(np.float32), weight.astype(np.float32)), lead


def tabulate(
    plant: Plant,
    test_from: Instant,
    leads: Sequence[int],
    every: int,
    *,
    with_weather: bool,
    weekly: bool = True,
) -> Table:
    """All issues of ``plant``, one in ``every`` intervals, at ``leads``.

    The yardstick of the cloudless sky is learned anew each week from what lies a whole horizon
    before, in the training span and in the test alike, as the box does; or, not ``weekly``, it is
    the plain one of what was learned from before ``test_from``, which keeps its level over months.
    """
    lead = np.asarray(leads, dtype=np.int64)
    series, length = plant.series, len(plant.series)
    before = plant.before(test_from)
    known = np.isfinite(before.ac_power).sum() > LEARNED_DAYS * STEPS_PER_DAY / 2
    learned = learn_site(plant.declared, before) if known else LearnedSite.of_form(plant.declared)
    issue = np.arange(0, length, every)
    steps = length + int(lead.max()) + STEPS_PER_DAY + 2
    if weekly or not known:
        sky = learned_sky(plant.declared, series, steps, base=learned.site)
    else:
        sky = Sky.over(learned.site, series.start, steps)
    weather = None
    if with_weather and plant.weather is not None:
        weather = SkyWeather.over(learned.site, series.start, sky, plant.weather)
    target = issue[:, None] + lead
    power = np.where(target < length, series.ac_power[np.minimum(target, length - 1)], np.nan)
    scored = (sky.position.elevation[target] > LOWEST_SUN) & np.isfinite(power)
    features, persisted = [], []
    for some in _chunks(issue):
        table = build_features(learned.site, series, some, lead, sky, weather)
        features.append(table[scored[some // every]])
        persisted.append(table[:, 0, _PERSISTED])
    return Table(
        plant=plant,
        learned=learned,
        sky=sky,
        norm_w=float(np.nanquantile(before.ac_power if known else series.ac_power, QUANTILE)),
        issues=series.start + issue * STEP_MS,
        leads=lead,
        features=np.concatenate(features),
        scored=scored,
        actual=np.where(scored, power, np.nan),
        clear=sky.power[target],
        persisted=np.concatenate(persisted).astype(np.float64),
        hour_angle=sky.position.hour_angle[target],
    )


def _chunks(issues: IntArray) -> Iterator[IntArray]:
    for first in range(0, len(issues), _CHUNK):
        yield issues[first : first + _CHUNK]


def gather(tables: Sequence[Table]) -> tuple[Rows, IntArray]:
    """Training rows of several plants, and their leads."""
    found = [table.rows() for table in tables]
    rows = [one for one, _ in found]
    joined = Rows(
        np.concatenate([one.features for one in rows]),
        np.concatenate([one.target for one in rows]),
        np.concatenate([one.weight for one in rows]),
    )
    return joined, np.concatenate([lead for _, lead in found])


def first_instant(tables: Sequence[Table]) -> Instant:
    """Of all issues."""
    return min(int(table.issues[0]) for table in tables)


def days_before(instant: Instant, days: float) -> Instant:
    """Plain arithmetic, said once."""
    return int(instant - days * DAY_MS)
