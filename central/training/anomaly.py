"""The anomaly model: what a plant should have given under the conditions of a past interval.

Decides what is learned (quantiles of the clear-sky index from ``models.features.conditions``) and
how it is judged: pinball and coverage, and what one simple rule on top of it finds of faults that
are put into the test span with a seed. The monitors that a box runs come later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models import metrics
from models.bundle.manifest import ModelKind
from models.bundle.names import ANOMALY
from models.contract.forecast import LEVELS
from models.contract.timestamps import STEPS_PER_DAY
from models.features.build import FeatureArray
from models.features.conditions import CONDITIONS, CONDITIONS_DIGEST, build_conditions
from models.features.site import FloatArray, IntArray
from models.features.sky import CSI_MAX, clear_sky_index

from .dataset import Rows, TrainingSite, concatenate_rows
from .presets import Preset
from .trained import TrainedTrees
from .trees import fit_boosters, predict_boosters, refit_boosters

RUN = 4
"""Daylight intervals in a row below the lowest quantile that make an event: one hour."""
FAULTS = 20
"""Outages put into the test span of each site."""


def train_anomaly(
    sites: Sequence[TrainingSite],
    preset: Preset,
    random: np.random.Generator,
    progress: Callable[[str], None] = lambda text: None,
) -> TrainedTrees:
    """Fit on the first span, stop early on the second, judge on the last, fit again on all."""
    cuts = [preset.spans.of(site) for site in sites]
    count = preset.rows // 4 // len(sites)

    def drawn(first: str, last: str, share: float) -> Rows:
        return concatenate_rows(
            [
                _draw(site, cut[first][0], cut[last][1], int(count * share), random)
                for site, cut in zip(sites, cuts, strict=True)
            ]
        )

    train, stop = drawn("train", "train", 1.0), drawn("stop", "blend", 0.3)
    boosters = fit_boosters(train, stop, preset.trees, progress, names=CONDITIONS)
    found = [
        _judge(site, cut["test"], boosters, random) for site, cut in zip(sites, cuts, strict=True)
    ]
    scores = {name: float(np.nanmean([one[name] for one in found])) for name in found[0]}
    everything = drawn("train", "test", 1.3)
    return TrainedTrees(
        name=ANOMALY,
        quantity="ac_power",
        kind=ModelKind.QUANTILE_TREES,
        levels=LEVELS,
        boosters=refit_boosters(everything, boosters, preset.trees, names=CONDITIONS),
        features=CONDITIONS_DIGEST,
        rows=everything.features,
        metrics={name: value for name, value in scores.items() if np.isfinite(value)},
    )


def below_expectation(power: FloatArray, lowest: FloatArray, run: int = RUN) -> FloatArray:
    """1.0 where an interval ends ``run`` known ones in a row below ``lowest``, else 0.0.

    ``power`` and ``lowest`` [W] have shape (n,); intervals with a NaN (nights) are passed over.
    """
    known = np.flatnonzero(np.isfinite(power) & np.isfinite(lowest))
    under = (power[known] < lowest[known]).astype(np.float64)
    full = np.convolve(under, np.ones(run))[: len(under)] >= run
    alarms = np.zeros(len(power))
    alarms[known[full]] = 1.0
    return alarms


def _draw(
    site: TrainingSite, first: int, last: int, count: int, random: np.random.Generator
) -> Rows:
    sky = site.sky
    csi = clear_sky_index(site.series.ac_power, sky)
    known = first + np.flatnonzero(np.isfinite(csi[first:last]))
    at = np.sort(random.choice(known, size=min(count, len(known)), replace=False))
    features = _conditions(site, at)
    weight = sky.power[at] / site.site.ac_capacity_w
    return Rows(features, csi[at].astype(np.float32), weight.astype(np.float32))


def _conditions(site: TrainingSite, at: IntArray) -> FeatureArray:
    """Conditions of ascending intervals, each with the weather that was forecast for it."""
    return np.concatenate(
        [
            build_conditions(site.site, site.series, some, site.sky, weather)
            for some, weather in site.by_weather(at)
        ]
    )


def _judge(
    site: TrainingSite, span: tuple[int, int], boosters: Sequence[Any], random: np.random.Generator
) -> dict[str, float]:
    """Scores on the test span, and what ``below_expectation`` finds there."""
    sky, capacity = site.sky, site.site.ac_capacity_w
    csi = clear_sky_index(site.series.ac_power, sky)
    at = span[0] + np.flatnonzero(np.isfinite(csi[span[0] : span[1]]))
    rows = _conditions(site, at)
    index = np.clip(np.sort(predict_boosters(list(boosters), rows), axis=1), 0.0, CSI_MAX)
    expected = np.moveaxis(index * sky.power[at][:, None], 1, 0) / capacity
    actual = site.series.ac_power[at] / capacity
    quiet = below_expectation(actual, expected[0])
    months = (span[1] - span[0]) / STEPS_PER_DAY / 30
    recall, delay = _outages(actual, expected[0], sky.power[at] / capacity, random)
    return {
        "pinball": metrics.pinball(actual, expected),
        "coverage_90": metrics.coverage(actual, expected[0], expected[-1]),
        "false_alarms_per_month": float(_events(quiet) / max(months, 1e-9)),
        "outage_recall": recall,
        "outage_delay_intervals": delay,
    }


def _events(alarms: FloatArray) -> int:
    return int(np.count_nonzero(np.diff(alarms, prepend=0.0) > 0))


def _outages(
    actual: FloatArray, lowest: FloatArray, clear: FloatArray, random: np.random.Generator
) -> tuple[float, float]:
    """Share of inverters that stop for 16 bright intervals found, and the median delay."""
    bright = np.flatnonzero(clear[:-16] > 0.3)
    if not len(bright):
        return float("nan"), float("nan")
    delays = []
    for start in random.choice(bright, size=min(FAULTS, len(bright)), replace=False):
        broken = actual[start : start + 16] * 0.0
        alarms = np.flatnonzero(below_expectation(broken, lowest[start : start + 16]))
        delays.append(float(alarms[0] + 1) if len(alarms) else np.inf)
    found = np.isfinite(delays)
    return float(found.mean()), float(np.median(np.array(delays)[found])) if found.any() else np.nan
