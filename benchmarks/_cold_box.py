"""The life of one box for ``benchmarks.cold_start``: installed, learning, forecasting.

Decides what the box knows at each issue: the form, its own measurements since the installation,
what it has learned of its roof from them, and what became of its earlier forecasts. Nothing older,
nothing later. Which models speak and how forecasts are scored is left to others.

As on the box the roof is learned anew each day from the last ``BACK_DAYS``; after a month once a
week, which changes little. Forecasts are issued each ``EVERY`` intervals, at the leads that a box
remembers, so that bias and intervals learn from what they would learn from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks._pvod_recordings import Plant
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS, STEP_MS, STEPS_PER_DAY
from models.features.build import FeatureArray, build_features, build_windows
from models.features.learned_site import LearnedSite, learn_site
from models.features.learned_sky import BACK_DAYS
from models.features.site import FloatArray, IntArray, SiteSeries
from models.features.sky import Sky
from models.features.spec import HISTORY_STEPS
from models.features.weather import SkyWeather
from models.forecasters.blend import to_power
from models.forecasters.conformal import ConformalOffsets, calibrate_in_order
from models.forecasters.local_bias import LocalBias, correct_in_order
from models.forecasters.outcomes import REMEMBERED_LEADS
from models.forecasters.persistence import smart_persistence

EVERY = 5
"""Intervals between issues: every quarter of the hour has its turn."""
LEADS = REMEMBERED_LEADS
DAILY_FOR = 30
_THEN_EVERY = 7


class Speaker(Protocol):
    """Models that were trained elsewhere."""

    @property
    def initial_offsets(self) -> FloatArray | None:
        """Where the calibration of a new box begins, ``(lead buckets, levels)``."""
        ...

    def index(self, features: FeatureArray, windows: FeatureArray, leads: IntArray) -> FloatArray:
        """Clear-sky-index quantiles, ``(issues, leads, levels)``."""
        ...


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What was issued from an instant on; power in W."""

    issues: IntArray
    """Start of the first unknown interval, epoch ms."""
    published: FloatArray
    """After local bias and conformal calibration, ``(issues, levels, leads)``."""
    raw: FloatArray
    """As the models said it, from the same learned roof."""
    persistence: FloatArray
    """Smart persistence of the same box, ``(issues, leads)``."""
    actual: FloatArray
    elevation: FloatArray
    """Of the sun [deg] at the middle of the target interval."""

    @property
    def targets(self) -> IntArray:
        """Start of the target intervals, ``(issues, leads)``."""
        return np.asarray(self.issues[:, None] + LEADS * STEP_MS)


class _Stretch(NamedTuple):
    """Issues between two looks at the roof."""

    issue: IntArray
    features: FeatureArray
    windows: FeatureArray
    clear: FloatArray
    hour_angle: FloatArray
    elevation: FloatArray
    persistence: FloatArray
    limit_w: float


@dataclass(frozen=True, eq=False)
class Box:
    """One installation. ``installed`` and ``until`` are numbers of intervals of the recording."""

    plant: Plant
    installed: int
    until: int
    with_weather: bool = False

    def live(self, speaker: Speaker, scored_from: int, before: Speaker | None = None) -> Forecasts:
        """Issue and learn from the installation on; what was issued since ``scored_from``.

        ``before`` spoke until then, if not ``speaker``: models that were trained on those days
        would teach this box that they never err.
        """
        power = self._measured()
        parts = [self._stretch(power, *ends) for ends in self._stretches()]
        parts = [part for part in parts if len(part.issue)]
        features, windows, clear, hour_angle, elevation, persistence = (
            np.concatenate([part[column] for part in parts]) for column in range(1, 7)
        )
        issue = np.concatenate([part.issue for part in parts])
        limits = np.concatenate([np.full(len(part.issue), part.limit_w) for part in parts])
        late = issue >= scored_from
        index = np.empty((*clear.shape, len(LEVELS)))
        for voice, spoke in ((before or speaker, ~late), (speaker, late)):
            if spoke.any():
                index[spoke] = voice.index(features[spoke], windows[spoke], LEADS)
        raw = np.minimum(to_power(index, clear, np.inf), limits[:, None, None])
        actual = power.window(0, self.until + HORIZON_STEPS).ac_power[issue[:, None] + LEADS]
        issues = np.asarray(power.start + issue * STEP_MS)
        limit = self._limit(power, scored_from)
        bias, offsets = LocalBias(), ConformalOffsets((before or speaker).initial_offsets)
        published = np.empty(raw.shape)
        swapped = before is not None and before is not speaker
        for number, part in enumerate((~late, late) if swapped else (np.ones_like(late),)):
            if number:  # the others speak from here on
                bias.forecaster_changed()
                offsets.forecaster_changed()
            corrected = correct_in_order(
                issues[part], raw[part], actual[part], hour_angle[part],
                step_ms=STEP_MS, leads=LEADS, limit=limit, state=bias,
            )  # fmt: skip
            published[part] = calibrate_in_order(
                issues[part], corrected, actual[part], clear[part],
                step_ms=STEP_MS, leads=LEADS, limit=limit, state=offsets,
            )  # fmt: skip
        return Forecasts(
            issues[late],
            published[late],
            raw[late],
            persistence[late],
            actual[late],
            elevation[late],
        )

    def _measured(self) -> SiteSeries:
        """The recording as this box has it: power alone, and nothing before the installation."""
        known = self.plant.series.ac_power[: self.until].copy()
        known[: self.installed] = np.nan
        return SiteSeries(self.plant.series.start, known)

    def _stretches(self) -> Iterator[tuple[int, int]]:
        first = self.installed
        while first < self.until:
            young = first < self.installed + DAILY_FOR * STEPS_PER_DAY
            last = min(first + (1 if young else _THEN_EVERY) * STEPS_PER_DAY, self.until)
            yield first, last
            first = last

    def _stretch(self, power: SiteSeries, first: int, last: int) -> _Stretch:
        declared = self.plant.declared
        learned = LearnedSite.of_form(declared)
        back = max(self.installed, first - BACK_DAYS * STEPS_PER_DAY)
        if first > back:
            learned = learn_site(declared, power.window(back, first))
        issue = np.arange(first + -first % EVERY, last, EVERY)
        before = first - HISTORY_STEPS
        local = issue - before
        recent = power.window(before, last)
        reach = len(recent) + HORIZON_STEPS + STEPS_PER_DAY
        sky = Sky.over(learned.site, recent.start, reach, learned=learned)
        weather = None
        if self.with_weather and self.plant.weather is not None:
            weather = SkyWeather.over(learned.site, recent.start, sky, self.plant.weather)
        target = local[:, None] + LEADS
        clear = sky.power[target]
        persisted = smart_persistence(learned.site, recent, local, HORIZON_STEPS, sky)[:, LEADS]
        return _Stretch(
            issue,
            build_features(learned.site, recent, local, LEADS, sky, weather),
            build_windows(learned.site, recent, local, sky),
            clear,
            sky.position.hour_angle[target],
            sky.position.elevation[target],
            np.minimum(persisted, learned.limit_w),
            learned.limit_w,
        )

    def _limit(self, power: SiteSeries, scored_from: int) -> float:
        """What the plant can do [W], by the form and by what was seen before the scored days."""
        seen = power.ac_power[self.installed : scored_from]
        seen = np.sort(seen[np.isfinite(seen)])
        declared = self.plant.declared.ac_capacity_w
        # As on the box: a lone peak may be a bad reading, and no plant gives half as much again.
        return max(declared, min(float(seen[-2]), 1.5 * declared)) if len(seen) > 1 else declared
