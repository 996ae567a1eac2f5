"""Scores of the forecasts that an agent really published, against what was really measured.

    with store.read() as ask:
        live = score_live(ask, "site_01", site, start, end, history=None,
                          training_end=training_ends(manifests))
    live.overall.skill, live.days, live.after_training

Decides days, blocks of the bootstrap and the check against the training span. Which pairs are
compared is decided by ``pairs``, what a score is by ``central.evaluation.scores``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from central.evaluation.groups import solar_days
from central.evaluation.scores import Score, score_by_lead
from central.store import Queries
from models import metrics
from models.bundle.manifest import Manifest
from models.contract.forecast import LEVELS
from models.contract.timestamps import DAY_MS, STEP_MS, Instant, format_iso8601
from models.features.site import IntArray, Site, SiteSeries
from models.features.sky import Sky

from .day_ahead import DayAhead, day_ahead
from .pairs import LivePairs, collect_pairs

INTERVALS = ((0.5, 2, 4), (0.8, 1, 5), (0.9, 0, 6))
"""Nominal coverage of the central intervals, and the places of their ends in ``LEVELS``."""
ENOUGH_OF_A_DAY = 0.5
"""A day counts as scored when this share of its daylight intervals was scored at some lead."""


@dataclass(frozen=True)
class IntervalCoverage:
    """A central interval: what it promised, what it held, its mean width (share of capacity)."""

    nominal: float
    observed: float
    width: float


@dataclass(frozen=True)
class Reliability:
    """Share of measured values at or below the quantile of ``level``; equal to it when reliable."""

    level: float
    observed: float


@dataclass(frozen=True, eq=False)
class LiveScores:
    """What the forecasts of one agent were worth in ``[start, end)``; daylight only."""

    agent: str
    start: Instant
    end: Instant
    scores: Mapping[str, Score]
    """By lead, and ``all``."""
    intervals: tuple[IntervalCoverage, ...]
    reliability: tuple[Reliability, ...]
    days: int
    """Solar days of the site of which at least half the daylight was scored."""
    first_target: Instant | None
    """Start of the first scored interval."""
    last_target: Instant | None
    """Start of the last scored interval."""
    forecasts: Mapping[str, int]
    """Forecasts issued in the window, by model."""
    bundles: Mapping[str, int]
    """Scored forecasts by bundle."""
    weather_modes: tuple[str, ...]
    left_out: Mapping[str, int]
    """Forecasts issued in the window that were not scored, by reason."""
    training_ends: Mapping[str, Instant | None]
    """End of the training span of each scored bundle; None when it was not given."""
    pairs_in_training: int
    """Scored pairs whose target began before the end of its bundle's training span."""
    trace: DayAhead

    @property
    def overall(self) -> Score:
        """All leads together."""
        return self.scores["all"]

    @property
    def after_training(self) -> bool | None:
        """Whether every scored target lies after the training span of the bundle that forecast it.

        None when nothing was scored or a span is not known.
        """
        if self.pairs_in_training:
            return False
        if not self.overall.pairs or None in self.training_ends.values():
            return None
        return True

    def to_json(self) -> dict[str, Any]:
        """For files and screens of machines: ISO times, no NaN; without the trace."""

        def iso(instant: Instant | None) -> str | None:
            return None if instant is None else format_iso8601(instant)

        return {
            "agent": self.agent,
            "start": iso(self.start),
            "end": iso(self.end),
            "scores": {lead: one.to_json() for lead, one in self.scores.items()},
            "intervals": [_finite(asdict(one)) for one in self.intervals],
            "reliability": [_finite(asdict(one)) for one in self.reliability],
            "days": self.days,
            "first_target": iso(self.first_target),
            "last_target": iso(self.last_target),
            "forecasts": dict(self.forecasts),
            "bundles": dict(self.bundles),
            "weather_modes": list(self.weather_modes),
            "left_out": dict(self.left_out),
            "training_ends": {name: iso(end) for name, end in self.training_ends.items()},
            "pairs_in_training": self.pairs_in_training,
            "after_training": self.after_training,
        }


def training_ends(manifests: Iterable[Manifest]) -> dict[str, Instant]:
    """End of the training span by bundle identifier, for ``score_live``."""
    return {manifest.bundle_id: manifest.training.end for manifest in manifests}


def score_live(
    queries: Queries,
    agent: str,
    site: Site,
    start: Instant,
    end: Instant,
    *,
    history: SiteSeries | None,
    training_end: Instant | Mapping[str, Instant] | None = None,
) -> LiveScores:
    """Score what ``agent`` published in ``[start, end)`` against what was measured there.

    Args:
        history: what the site measured before ``start``, for the references of the first days
        training_end: end of the training span, one for all or by bundle
    Raises:
        ValueError: the window is empty.
    """
    pairs = collect_pairs(queries, agent, site, start, end, history)
    scores = score_by_lead(
        pairs.actual,
        pairs.quantiles,
        pairs.persistence,
        pairs.previous_day,
        site.ac_capacity_w,
        solar_days(pairs.targets, site.longitude),
    )
    bundles = Counter(str(one.bundle) for one in pairs.published)
    ends: dict[str, Instant | None] = {
        name: training_end.get(name) if isinstance(training_end, Mapping) else training_end
        for name in sorted(bundles)
    }
    scored = pairs.targets[pairs.scored]
    return LiveScores(
        agent=agent,
        start=start,
        end=end,
        scores=scores,
        intervals=_intervals(pairs, site.ac_capacity_w),
        reliability=_reliability(pairs),
        days=_count_days(site, np.unique(scored)),
        first_target=int(scored.min()) if scored.size else None,
        last_target=int(scored.max()) if scored.size else None,
        forecasts=pairs.by_model,
        bundles={name: bundles[name] for name in sorted(bundles)},
        weather_modes=tuple(sorted({one.weather_mode.value for one in pairs.published})),
        left_out=pairs.left_out,
        training_ends=ends,
        pairs_in_training=_pairs_in_training(pairs, ends),
        trace=day_ahead(pairs, start),
    )


def _count_days(site: Site, scored: IntArray) -> int:
    """Days with enough of their daylight among the ``scored`` interval starts."""
    if not scored.size:
        return 0
    begin = int(scored[0]) - DAY_MS
    steps = (int(scored[-1]) + DAY_MS - begin) // STEP_MS
    times = begin + np.arange(steps, dtype=np.int64) * STEP_MS
    daylight = times[Sky.over(site, begin, steps).daylight]
    days, possible = np.unique(solar_days(daylight, site.longitude), return_counts=True)
    found = solar_days(scored, site.longitude)
    counts = np.array([(found == day).sum() for day in days])
    return int((counts >= ENOUGH_OF_A_DAY * possible).sum())


def _intervals(pairs: LivePairs, capacity_w: float) -> tuple[IntervalCoverage, ...]:
    low_to_high = np.moveaxis(pairs.quantiles, 1, 0)
    result = []
    for nominal, first, last in INTERVALS:
        low, high = low_to_high[first], low_to_high[last]
        width = (high - low)[pairs.scored] / capacity_w
        result.append(
            IntervalCoverage(
                nominal,
                metrics.coverage(pairs.actual, low, high),
                float(width.mean()) if width.size else float("nan"),
            )
        )
    return tuple(result)


def _reliability(pairs: LivePairs) -> tuple[Reliability, ...]:
    truth = pairs.actual[pairs.scored]
    below = [truth <= pairs.quantiles[:, place, :][pairs.scored] for place in range(len(LEVELS))]
    return tuple(
        Reliability(level, float(one.mean()) if one.size else float("nan"))
        for level, one in zip(LEVELS, below, strict=True)
    )


def _pairs_in_training(pairs: LivePairs, ends: Mapping[str, Instant | None]) -> int:
    of_case = [ends[str(one.bundle)] for one in pairs.published]
    limit = np.array([-(2**62) if end is None else end for end in of_case], dtype=np.int64)
    return int((pairs.scored & (pairs.targets < limit[:, None])).sum())


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: (None if math.isnan(value) else value) for name, value in values.items()}
