"""What trains, stops, blends and judges never overlaps, and nobody sees the future."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from central.training.dataset import (
    Spans,
    TrainingDataError,
    TrainingSite,
    draw_cases,
    draw_rows,
    draw_windows,
    fingerprint,
)
from models.contract.timestamps import HORIZON_STEPS, STEPS_PER_DAY
from models.features.site import Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import (
    ANCHOR,
    FEATURES,
    HISTORY_STEPS,
    KNOTS,
    WINDOW_CHANNELS,
    WINDOW_STEPS,
)
from models.forecasters.blend import NEAR_STEPS

SITE = Site(36.1, -79.9, dc_capacity_w=6000, ac_capacity_w=5000, tilt=30)
START = 1_672_531_200_000
DAYS = 100


@pytest.fixture(scope="module")
def site() -> TrainingSite:
    """A hundred days whose clear-sky index is 0.5, with one unknown day."""
    power = 0.5 * Sky.over(SITE, START, DAYS * STEPS_PER_DAY).power
    power[70 * STEPS_PER_DAY : 71 * STEPS_PER_DAY] = np.nan
    return TrainingSite("one", SITE, SiteSeries(START, power))


def test_spans_are_in_order_and_a_horizon_apart() -> None:
    cuts = list(Spans().cut(DAYS * STEPS_PER_DAY).values())
    assert cuts[0][0] >= HISTORY_STEPS
    for (_, end), (begin, _) in pairwise(cuts):
        # The last target of a span lies before the first issue of the next.
        assert end - 1 + HORIZON_STEPS <= begin
    assert cuts[-1][1] + HORIZON_STEPS <= DAYS * STEPS_PER_DAY


def test_too_little_history_is_refused_with_the_number_of_days() -> None:
    with pytest.raises(TrainingDataError, match="20 days of history; at least 68"):
        Spans().cut(20 * STEPS_PER_DAY)


def test_rows_hold_daylight_only_and_aim_at_the_change_from_the_anchor(site: TrainingSite) -> None:
    rows = draw_rows(site, HISTORY_STEPS, 60 * STEPS_PER_DAY, 3000, np.random.default_rng(1))
    assert 1500 < len(rows) < 6000
    assert rows.features.shape[1] == len(FEATURES)
    assert (rows.weight > 0).all()
    assert np.isfinite(rows.target).all()
    np.testing.assert_allclose(rows.target + rows.features[:, ANCHOR], 0.5, atol=1e-5)


def test_some_rows_come_from_young_sites(site: TrainingSite) -> None:
    rows = draw_rows(site, HISTORY_STEPS, 60 * STEPS_PER_DAY, 6000, np.random.default_rng(1))
    older = rows.features[:, FEATURES.index("csi_day_3")]
    assert 0.01 < np.isnan(older).mean() < 0.3


def test_rows_of_the_first_hour_have_no_other_lead(site: TrainingSite) -> None:
    rows = draw_rows(
        site, HISTORY_STEPS, 60 * STEPS_PER_DAY, 3000, np.random.default_rng(1), NEAR_STEPS
    )
    assert 1500 < len(rows) < 6000
    leads = rows.features[:, FEATURES.index("lead_hours")]
    np.testing.assert_allclose(np.unique(leads), (np.arange(NEAR_STEPS) + 0.5) / 4)
    older = rows.features[:, FEATURES.index("csi_day_3")]
    assert 0.01 < np.isnan(older).mean() < 0.3  # young sites, too
    np.testing.assert_allclose(rows.target + rows.features[:, ANCHOR], 0.5, atol=1e-5)


def test_some_windows_come_from_young_sites(site: TrainingSite) -> None:
    """The LSTM of a new site sees a day of which nothing is known: it must have met that."""
    windows = draw_windows(site, HISTORY_STEPS, 60 * STEPS_PER_DAY, 400, np.random.default_rng(1))
    channel = {name: windows.past[:, :, i] for i, name in enumerate(WINDOW_CHANNELS)}
    unmeasured = channel["daylight"].astype(bool) & ~channel["known"].astype(bool)
    assert 0.03 < unmeasured.any(axis=1).mean() < 0.2
    assert not channel["csi"][unmeasured].any()
    assert not (unmeasured[:, 1:] & channel["known"].astype(bool)[:, :-1]).any()  # the old part


def test_a_span_in_the_dark_is_refused_with_its_name(site: TrainingSite) -> None:
    power = site.series.ac_power.copy()
    first, last = Spans().cut(len(power))["stop"]
    power[first : last + HORIZON_STEPS] = np.nan
    dark = TrainingSite("polar", SITE, SiteSeries(START, power))
    with pytest.raises(TrainingDataError, match=r"polar: hardly any power .* 'stop'"):
        Spans().of(dark)
    assert Spans().of(site) == Spans().cut(len(power))


def test_windows_carry_hourly_targets(site: TrainingSite) -> None:
    windows = draw_windows(site, HISTORY_STEPS, 60 * STEPS_PER_DAY, 50, np.random.default_rng(1))
    assert windows.past.shape[:2] == (50, WINDOW_STEPS)
    assert windows.target.shape == windows.weight.shape == (50, KNOTS)
    np.testing.assert_allclose(windows.target[windows.weight > 0], 0.5, atol=1e-5)
    assert not windows.target[windows.weight == 0].any()


def test_cases_judge_only_what_was_measured_in_daylight(site: TrainingSite) -> None:
    first = 69 * STEPS_PER_DAY
    cases = draw_cases(site, first, first + 5, 1)
    assert cases.actual.shape == (5, HORIZON_STEPS)
    unknown = slice(STEPS_PER_DAY, HORIZON_STEPS - 5)
    assert np.isnan(cases.actual[0, unknown]).all()
    assert np.isfinite(cases.actual[0, :STEPS_PER_DAY]).any()
    assert (cases.clear[np.isfinite(cases.actual)] > 0).all()


def test_the_fingerprint_changes_with_a_single_value(site: TrainingSite) -> None:
    before = fingerprint([site])
    power = site.series.ac_power.copy()
    power[500] += 0.001
    other = TrainingSite("one", SITE, SiteSeries(START, power))
    assert fingerprint([site]) == before != fingerprint([other])
