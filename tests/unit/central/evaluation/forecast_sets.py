"""Forecasts whose quality is known, for the tests of their evaluation."""

from __future__ import annotations

import numpy as np

from central.evaluation import ForecastSet
from models.contract.forecast import LEVELS
from models.contract.timestamps import DAY_MS, STEP_MS, STEPS_PER_DAY
from models.features.site import FloatArray

START = 17_897 * DAY_MS  # 2019-01-01
CAPACITY = 5000.0
SPREAD = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])
"""Quantiles of the normal distribution at the levels of the contract."""


def sun() -> FloatArray:
    """Clear-sky power of a day: 06:00 to 18:00 UTC [W]."""
    hours = (np.arange(STEPS_PER_DAY) + 0.5) / 4
    return np.clip(CAPACITY * np.sin((hours - 6) / 12 * np.pi), 0.0, None)


def forecast_set(
    site: str = "site_01",
    *,
    days: int = 40,
    every: int = 4,
    leads: int = 32,
    error_w: float = 400.0,
    capacity_w: float = CAPACITY,
    seed: int = 0,
) -> ForecastSet:
    """Issues every ``every`` intervals; normal errors whose spread the quantiles know.

    ``smart_persistence`` errs twice as much, ``climatology`` knows the mean sky only.
    """
    random = np.random.default_rng(seed)
    steps = days * STEPS_PER_DAY
    clear = np.tile(sun(), days + 2) * capacity_w / CAPACITY
    index = np.repeat(random.uniform(0.1, 1.0, (days + 2) * 12), STEPS_PER_DAY // 12)
    power = clear * index
    place = np.arange(0, steps, every)[:, None] + np.arange(leads)
    actual, open_sky = power[place], clear[place]
    daylight = open_sky > 0.02 * capacity_w
    median = actual + error_w * random.standard_normal(place.shape)
    return ForecastSet(
        site=site,
        capacity_w=capacity_w,
        targets=START + place * STEP_MS,
        actual=actual,
        quantiles=median[None] + error_w * SPREAD[:, None, None],
        daylight=daylight,
        references={
            "smart_persistence": actual + 2 * error_w * random.standard_normal(place.shape),
            "climatology": 0.55 * open_sky,
        },
        clear=open_sky,
    )


assert len(SPREAD) == len(LEVELS)
