"""Published forecasts laid beside what was measured, on one grid of issues and leads.

Decides which forecasts and targets are scored. A forecast takes part when a bundle made it and it
was issued within the window; a target when it lies within the window, in daylight, and was
measured. The references are computed here, at the same issues, from the intervals that were
complete at each: what the agent's own persistence said plays no part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from central.evaluation.references import diurnal_persistence
from central.store import Queries
from models.contract.forecast import LEVELS, Forecast
from models.contract.timestamps import HORIZON_STEPS, STEP_MS, Instant, floor_to_step
from models.features.site import FloatArray, IntArray, Site, SiteSeries
from models.features.sky import LOOK_BACK_MS, Sky
from models.forecasters.bundle import QUANTITY
from models.forecasters.persistence import smart_persistence

WITHOUT_BUNDLE = "made without a bundle"
OTHER_QUANTITY = "not of generation on the 15-minute grid"
OTHER_START = "does not begin with the interval of its issue or the next one"
ISSUED_AGAIN = "issued again for the same interval"


@dataclass(frozen=True, eq=False)
class LivePairs:
    """Everything that is compared; axes are cases (forecasts, by time) and steps (leads)."""

    starts: IntArray
    """First step of each forecast, (cases,)."""
    targets: IntArray
    """Start of each target interval, (cases, steps)."""
    actual: FloatArray
    """Measured power [W], NaN where a pair is not scored, (cases, steps)."""
    quantiles: FloatArray
    """Published power [W], NaN beyond a forecast's end, (cases, levels, steps)."""
    persistence: FloatArray
    previous_day: FloatArray
    published: tuple[Forecast, ...]
    """The forecasts behind the cases."""
    measured: SiteSeries
    """What was measured, from the look-back before the window to its end."""
    by_model: Mapping[str, int]
    """Forecasts issued within the window, by the model they name."""
    left_out: Mapping[str, int]
    """Forecasts issued within the window that are not scored, by reason."""

    @property
    def scored(self) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """Which pairs count, (cases, steps)."""
        return np.isfinite(self.actual)


def collect_pairs(
    queries: Queries,
    agent: str,
    site: Site,
    start: Instant,
    end: Instant,
    history: SiteSeries | None = None,
) -> LivePairs:
    """Forecasts that ``agent`` issued in ``[start, end)`` beside what was measured there.

    Args:
        history: what the site measured before ``start``, for the references of the first days;
            nothing of it at ``start`` or later is used
    Raises:
        ValueError: the window is empty.
    """
    if not start < end:
        raise ValueError(f"the scored window must end after it begins: {start} to {end}")
    measured = measured_series(queries, agent, start, end, history)
    published, by_model, left_out = _published(queries.forecasts_issued(agent, start, end))
    starts = np.array([one.start for one in published], dtype=np.int64)
    # Intervals complete at the issue; a plain device's forecast begins one interval later.
    known = np.array([measured.index(floor_to_step(one.issued_at)) for one in published], np.int64)
    first = (starts - measured.start) // STEP_MS
    place = first[:, None] + np.arange(HORIZON_STEPS)

    quantiles = np.full((len(published), len(LEVELS), HORIZON_STEPS), np.nan)
    for case, forecast in enumerate(published):
        rows = np.array(forecast.series[QUANTITY].quantiles)[:, :HORIZON_STEPS]
        quantiles[case, :, : rows.shape[1]] = rows

    sky = Sky.over(site, measured.start, len(measured) + HORIZON_STEPS + 2)
    steps = HORIZON_STEPS + 1
    own = place - known[:, None]  # lead of each pair as the references count it
    smart = smart_persistence(site, measured, known, steps)
    before = diurnal_persistence(measured.ac_power, known, steps, sky.power, site.ac_capacity_w)

    targets = measured.start + place * STEP_MS
    actual = measured.ac_power[np.minimum(place, len(measured) - 1)]
    inside = (targets >= start) & (targets + STEP_MS <= end)
    usable = inside & sky.daylight[place] & np.isfinite(quantiles[:, 0, :])
    return LivePairs(
        starts=starts,
        targets=targets,
        actual=np.where(usable, actual, np.nan),
        quantiles=quantiles,
        persistence=np.take_along_axis(smart, own, axis=1),
        previous_day=np.take_along_axis(before, own, axis=1),
        published=tuple(published),
        measured=measured,
        by_model=by_model,
        left_out=left_out,
    )


def measured_series(
    queries: Queries, agent: str, start: Instant, end: Instant, history: SiteSeries | None
) -> SiteSeries:
    """Interval means from ``LOOK_BACK_MS`` before ``start`` to ``end``, NaN where unknown.

    What the store holds goes before ``history``, which counts only before ``start``.
    """
    first = floor_to_step(start) - LOOK_BACK_MS
    last = floor_to_step(end)
    power = np.full((last - first) // STEP_MS, np.nan)
    if history is not None:
        before = history.window(history.index(first), history.index(floor_to_step(start)))
        power[: len(before)] = before.ac_power
    for instant, mean in queries.power_means(agent, first, last):
        power[(instant - first) // STEP_MS] = mean
    return SiteSeries(first, power)


def _published(
    issued: Sequence[Forecast],
) -> tuple[list[Forecast], dict[str, int], dict[str, int]]:
    """What is scored, ascending; forecasts by model; what is left out by reason."""
    by_model: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    kept: dict[Instant, Forecast] = {}
    for forecast in issued:
        series = forecast.series.get(QUANTITY)
        if series is None or forecast.step_ms != STEP_MS:
            left_out[OTHER_QUANTITY] += 1
            continue
        by_model[series.model] += 1
        if forecast.bundle is None:
            left_out[WITHOUT_BUNDLE] += 1
        elif not 0 <= forecast.start - floor_to_step(forecast.issued_at) <= STEP_MS:
            left_out[OTHER_START] += 1
        else:
            left_out[ISSUED_AGAIN] += forecast.start in kept
            kept[forecast.start] = forecast
    return [kept[start] for start in sorted(kept)], dict(by_model), dict(+left_out)
