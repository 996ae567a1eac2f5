"""A measured cold start is worth nothing if the box knew what lay before its installation, or
what lay ahead of an issue."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._cold_box import Box, Forecasts
from benchmarks._cold_scores import score_case
from benchmarks._pvod_recordings import Plant
from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import DAY_MS, STEP_MS, STEPS_PER_DAY
from models.features.build import FeatureArray
from models.features.site import FloatArray, IntArray, Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import ANCHOR
from models.forecasters.outcomes import BUCKET_OF_STEP, BUCKETS, REMEMBERED_LEADS

START = 1_551_398_400_000  # 2019-03-01
FORM = Site(38.0, 0.0, dc_capacity_w=1000.0, ac_capacity_w=1000.0, tilt=30.0)
INSTALLED, UNTIL, DAYS = 20 * STEPS_PER_DAY, 34 * STEPS_PER_DAY, 40


class EverythingItIsShown:
    """Quantiles that move with every column and every interval of the window."""

    initial_offsets = None

    def index(self, features: FeatureArray, windows: FeatureArray, leads: IntArray) -> FloatArray:
        told = np.nan_to_num(features).sum(axis=2) + windows.sum(axis=(1, 2))[:, None]
        index = features[:, :, ANCHOR] + 0.1 * np.sin(told)
        return np.asarray(index[..., None] + 0.4 * (np.array(LEVELS) - 0.5), dtype=np.float64)


def plant(scale: float = 1.0, first: int = 0, last: int = 0) -> Plant:
    """A plant under drawn clouds; its power in ``[first, last)`` times ``scale``."""
    steps = DAYS * STEPS_PER_DAY
    random = np.random.default_rng(5)
    clouds = np.repeat(random.uniform(0.2, 1.0, steps // 8), 8)
    power = clouds * Sky.over(FORM, START, steps).power
    power[first:last] *= scale
    return Plant("p", FORM, SiteSeries(START, power), None)


def life(of: Plant, installed: int = INSTALLED) -> Forecasts:
    return Box(of, installed, UNTIL).live(EverythingItIsShown(), installed)


def said(forecasts: Forecasts, upto: int | None = None) -> list[FloatArray]:
    return [values[:upto] for values in (forecasts.published, forecasts.raw, forecasts.persistence)]


def test_nothing_from_before_the_installation_reaches_a_forecast() -> None:
    plain, changed = life(plant()), life(plant(0.3, 0, INSTALLED))
    for one, other in zip(said(plain), said(changed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_measured_after_an_issue_reaches_its_forecast() -> None:
    changed_from = INSTALLED + 9 * STEPS_PER_DAY + 50
    plain, changed = life(plant()), life(plant(0.3, changed_from, DAYS * STEPS_PER_DAY))
    upto = int((plain.issues <= START + changed_from * STEP_MS).sum())
    assert 0 < upto < len(plain.issues)
    for one, other in zip(said(plain, upto), said(changed, upto), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(plain.published[upto:], changed.published[upto:])


def test_what_was_measured_since_the_installation_does_reach_it() -> None:
    changed = plant(0.3, INSTALLED, INSTALLED + 2 * STEPS_PER_DAY)
    late = 3 * STEPS_PER_DAY // 5
    for one, other in zip(said(life(plant())), said(life(changed)), strict=True):
        assert not np.array_equal(one[late:], other[late:])


def test_an_error_is_the_mean_over_lead_buckets_of_daylight_pairs() -> None:
    forecasts = life(plant())
    first, days = START + INSTALLED * STEP_MS, 14
    score = score_case(forecasts, first, first + days * DAY_MS, days, 1000.0)
    # By hand: each bucket's pairs with the sun up, known, and over before the end.
    use = np.isfinite(forecasts.actual) & (forecasts.elevation > 5.0)
    use &= forecasts.targets + STEP_MS <= first + days * DAY_MS
    error = np.abs(forecasts.published[:, MEDIAN] - forecasts.actual) / 1000.0

    buckets = [BUCKET_OF_STEP[REMEMBERED_LEADS] == bucket for bucket in range(BUCKETS)]
    means = [error[:, own][use[:, own]].mean() for own in buckets]

    assert score.error.sum() == pytest.approx(np.mean(means))
    assert score.error.shape == (days, len(means))
    assert score.pairs == use.sum()
