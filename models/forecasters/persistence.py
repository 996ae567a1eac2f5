"""Smart persistence: the clear-sky index of power now, times clear-sky power then.

The forecast when there is no bundle, and the reference that every model must beat. The median is
the textbook baseline (Yang et al., Solar Energy 210 (2020) 20-37, section 3); the other quantiles
spread around it as far as this site's own index has spread, growing with the lead time.
"""

from __future__ import annotations

import numpy as np

from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import HORIZON_STEPS, STEPS_PER_DAY
from models.features.learned_site import LearnedSite
from models.features.site import FloatArray, IntArray, Site, SiteSeries
from models.features.sky import CSI_MAX, Sky, clear_sky_index, persisted_index

NAME = "smart_persistence"
HISTORY_STEPS = 14 * STEPS_PER_DAY
"""History that gives the spread."""
PRIOR_SPREAD = np.array([-0.6, -0.5, -0.25, 0.0, 0.2, 0.27, 0.3])
"""Index quantiles around the median before there is a history, per level."""
SPREAD_GROWTH_STEPS = 12.0
"""E-folding time of the spread with the lead: three hours."""
MIN_HISTORY = 2 * STEPS_PER_DAY // 3
"""Daylight intervals before the site's own spread is used."""


def smart_persistence(
    site: Site,
    series: SiteSeries,
    issues: IntArray,
    steps: int = HORIZON_STEPS,
    sky: Sky | None = None,
) -> FloatArray:
    """Median power [W], shape ``(len(issues), steps)``.

    ``issues[k]`` is the number of intervals of ``series`` known at issue ``k``; step 0 is the first
    unknown interval. ``sky`` over the series and the last target, if at hand.
    """
    if sky is None:
        reach = max(len(series), int(issues.max(initial=0)) + steps)
        sky = Sky.over(site, series.start, reach, series.step_ms)
    index = persisted_index(series.ac_power, sky, issues)
    clear = sky.power[issues[:, None] + np.arange(steps)]
    return np.asarray(np.clip(index[:, None] * clear, 0.0, site.ac_capacity_w))


def smart_persistence_quantiles(
    site: Site,
    series: SiteSeries,
    steps: int = HORIZON_STEPS,
    learned: LearnedSite | None = None,
) -> FloatArray:
    """Power at each of ``LEVELS`` issued at the end of ``series`` [W], ``(levels, steps)``."""
    known = len(series)
    recent = series.window(known - HISTORY_STEPS, known)
    sky = Sky.over(site, recent.start, HISTORY_STEPS + steps, learned=learned)
    past = clear_sky_index(recent.ac_power, sky)
    past = past[np.isfinite(past)]
    spread = PRIOR_SPREAD
    if len(past) >= MIN_HISTORY:
        spread = np.quantile(past, LEVELS)
        spread = spread - spread[MEDIAN]
    index = persisted_index(recent.ac_power, sky, np.array([HISTORY_STEPS]))[0]
    growth = 1.0 - np.exp(-(np.arange(steps) + 1.0) / SPREAD_GROWTH_STEPS)
    band = np.clip(index + spread[:, None] * growth[None, :], 0.0, CSI_MAX)
    limit = learned.limit_w if learned else site.ac_capacity_w
    power = np.clip(band * sky.power[HISTORY_STEPS:], 0.0, limit)
    return np.asarray(np.maximum.accumulate(power, axis=0))
