"""The cloudless yardstick of a long history, learned again and again as a box would have done.

A box learns its site anew each day from its last months. A history that is to train or to judge
must look the same: its clear-sky power is put together from stretches of some days, each learned
from what had been measured a whole horizon before it began. So no target's yardstick knows anything
that was not known at the issue.
"""

from __future__ import annotations

import numpy as np

from models.contract.timestamps import DAY_MS, HORIZON_STEPS, STEP_MS

from .learned_site import LearnedSite, learn_site
from .site import Site, SiteSeries
from .sky import Sky

BACK_DAYS = 120
"""History that the box learns from."""
EVERY_DAYS = 7
"""Length of a stretch; the box learns daily, which changes little and costs more."""


def learned_sky(
    declared: Site,
    series: SiteSeries,
    steps: int,
    *,
    base: Site | None = None,
    every_days: int = EVERY_DAYS,
    back_days: int = BACK_DAYS,
) -> Sky:
    """The sky over ``steps`` intervals from the start of ``series``.

    Args:
        declared: the form's values; what holds until there is evidence
        series: measured power; may be shorter than ``steps``
        steps: length of the result
        base: site whose capacity and single plane stand for everything but the power; default
            ``declared``
        every_days, back_days: length of a stretch, and of the history behind it
    """
    site = base or declared
    sky = Sky.over(site, series.start, steps, series.step_ms)
    day = DAY_MS // series.step_ms
    embargo = HORIZON_STEPS * STEP_MS // series.step_ms
    pieces = []
    learned = LearnedSite.of_form(declared)
    for first in range(0, steps, every_days * day):
        last = min(first + every_days * day, steps)
        known = min(first - embargo, len(series))
        if known > 0 and first - embargo <= len(series) + every_days * day:
            past = series.window(max(0, known - back_days * day), known)
            learned = learn_site(declared, past)
        start = series.start + first * series.step_ms
        piece = Sky.over(site, start, last - first, series.step_ms, learned)
        pieces.append(piece.power)
    return sky.with_power(np.concatenate(pieces) if pieces else sky.power)
