"""The box learns its own roof once a day, keeps it, and never lets it silence a forecast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import edge_agent.forecasting.site_learner as module
from edge_agent.forecasting.interval_store import IntervalStore
from edge_agent.forecasting.site_learner import SiteLearner
from edge_agent.storage.state_store import StateDatabase
from models.contract.timestamps import DAY_MS, STEP_MS, STEPS_PER_DAY
from models.features.intervals import Interval
from models.features.learned_site import LearnedSite
from models.features.site import Site
from models.features.sky import Sky

FORM = Site(45.0, 10.0, dc_capacity_w=6000, ac_capacity_w=5000, tilt=30, azimuth=180)
TRUE = Site(45.0, 10.0, dc_capacity_w=3000, ac_capacity_w=5000, tilt=30, azimuth=90)
NOW = 1_719_792_000_000  # 2024-07-01
DAYS = 60


@pytest.fixture
def intervals(tmp_path: Path) -> Iterator[IntervalStore]:
    """Two months of a roof that is half as large as the form says, and faces east."""
    database = StateDatabase(tmp_path / "state.sqlite")
    store = IntervalStore(database)
    start = NOW - DAYS * DAY_MS
    random = np.random.default_rng(1)
    cloud = np.repeat(random.choice([0.3, 0.8, 1.0, 1.0], DAYS), STEPS_PER_DAY)
    power = Sky.over(TRUE, start, DAYS * STEPS_PER_DAY).power * cloud
    store.upsert(
        Interval(start + k * STEP_MS, "farm", "ac_power", float(value), 3)
        for k, value in enumerate(power)
    )
    yield store
    database.close()


def test_two_months_show_what_the_form_got_wrong(intervals: IntervalStore) -> None:
    learner = SiteLearner("farm", FORM, intervals, None)
    assert learner.site == LearnedSite.of_form(FORM)
    assert learner.refresh(NOW)
    assert abs(learner.site.site.azimuth - 90) < 20
    assert learner.site.site.dc_capacity_w < 3600


def test_a_day_is_learned_from_once_also_over_a_restart(intervals: IntervalStore) -> None:
    learner = SiteLearner("farm", FORM, intervals, None)
    learner.refresh(NOW)
    assert not learner.refresh(NOW + DAY_MS - 1)
    again = SiteLearner("farm", FORM, intervals, learner.save())
    assert again.site == learner.site
    assert not again.refresh(NOW + DAY_MS - 1)
    assert again.refresh(NOW + DAY_MS)


def test_another_form_begins_anew(intervals: IntervalStore) -> None:
    learner = SiteLearner("farm", FORM, intervals, None)
    learner.refresh(NOW)
    other = SiteLearner("farm", TRUE, intervals, learner.save())
    assert other.site == LearnedSite.of_form(TRUE)


@pytest.mark.parametrize("saved", ["text", {"day": 3}, {"day": 3, "site": "{}"}, [1]])
def test_what_cannot_be_read_is_learned_anew(intervals: IntervalStore, saved: object) -> None:
    learner = SiteLearner("farm", FORM, intervals, saved)
    assert learner.site == LearnedSite.of_form(FORM)
    assert learner.refresh(NOW)


def test_learning_that_fails_leaves_what_was_known(
    intervals: IntervalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = SiteLearner("farm", FORM, intervals, None)
    learner.refresh(NOW)
    before = learner.site
    monkeypatch.setattr(module, "learn_site", lambda *args: 1 / 0)
    assert not learner.refresh(NOW + DAY_MS)
    assert learner.site == before
