"""A new site's intervals begin as wide as the fleet had to make them, not as the models say."""

from __future__ import annotations

import numpy as np

from central.training.dataset import TrainingSite, draw_cases
from central.training.interval_start import interval_start
from central.training.risk import ForecastCases
from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import HORIZON_STEPS, STEPS_PER_DAY
from models.features.site import Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import HISTORY_STEPS
from models.forecasters.outcomes import BUCKETS

START = 1_556_668_800_000  # 2019-05-01
SITE = Site(45.0, 0.0, dc_capacity_w=6000.0, ac_capacity_w=5000.0, tilt=30.0)
DAYS = 40


def forecasts(name: str, spread: float, seed: int) -> ForecastCases:
    """A sky that varies by 0.2 of itself under models that expect ``spread``."""
    random = np.random.default_rng(seed)
    sky = Sky.over(SITE, START, DAYS * STEPS_PER_DAY)
    power = sky.power * np.clip(random.normal(0.6, 0.2, len(sky.power)), 0.0, 1.0)
    site = TrainingSite(name, SITE, SiteSeries(START, power))
    cases = draw_cases(site, HISTORY_STEPS, DAYS * STEPS_PER_DAY - HORIZON_STEPS, 11)
    normal = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])
    quantiles = (0.6 + spread * normal)[:, None] * cases.clear[:, None, :]
    return ForecastCases(cases, np.clip(quantiles, 0.0, SITE.ac_capacity_w))


def test_intervals_that_are_too_narrow_everywhere_begin_wider() -> None:
    start = interval_start([forecasts("a", 0.05, 1), forecasts("b", 0.05, 2)])
    assert start.shape == (BUCKETS, len(LEVELS))
    assert (start[:, 0] < -0.1).all()
    assert (start[:, -1] > 0.1).all()
    assert np.abs(start[:, MEDIAN]).max() < 0.1


def test_one_site_with_wide_intervals_does_not_speak_for_the_others() -> None:
    narrow = interval_start([forecasts("a", 0.05, 1)])
    both = interval_start([forecasts("a", 0.05, 1), forecasts("b", 0.4, 2)])
    assert (both[:, -1] < narrow[:, -1]).all()
