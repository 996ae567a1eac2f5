"""Does a clock follow the sun, and when did it stop? Steps of the solar noon that data show.

For each day the middle between the first and the last light is found; less the equation of time it
is a constant as long as the clock is right. A sudden and lasting step is somebody's hand on the
clock: its date and minutes are reported, and when the steps fall on the days on which a region
changes to daylight saving time, the region, too. Works without knowing the place; with a place the
whole series can also be too early or too late.

Power, irradiance or anything else that is zero by night can be judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from .runs import nan_quantile
from .table import BoolArray, FloatArray, IntArray

Days = npt.NDArray[np.datetime64]

_WINDOW_DAYS = 14
_LEAST_STEP_MINUTES = 20.0
_LEAST_DAYS = 3 * _WINDOW_DAYS
_LIGHT = 0.03
"""Share of the usual top from which on there is light."""
_ZONES = (
    "America/New_York", "Europe/Berlin", "Australia/Sydney", "America/Santiago",
    "Pacific/Auckland", "America/Sao_Paulo", "Africa/Cairo", "Asia/Jerusalem", "Asia/Tehran",
)  # fmt: skip
"""One zone for each set of daylight-saving rules."""
_SAME_DATE_DAYS = 6


@dataclass(frozen=True)
class ClockStep:
    """A lasting step of the clock."""

    date: str
    """First day on the new clock, ISO 8601, on the stamps of the file."""
    minutes: float
    """Positive when the stamps run ahead (the sun comes later on them) from then on."""


@dataclass(frozen=True)
class ClockJudgement:
    """What the sun says about a clock."""

    state: str
    """``steady``, ``steps``, ``daylight_saving``, or ``untested``."""
    steps: tuple[ClockStep, ...] = ()
    region: str | None = None
    """A zone whose daylight-saving days fit the steps."""
    off_minutes: float | None = None
    """How late the whole series runs against the sun (median); needs a longitude."""


def judge_clock(
    index: pd.DatetimeIndex, values: FloatArray, step_minutes: float, longitude: float | None = None
) -> ClockJudgement:
    """Judge the clock of ``values`` on the regular grid ``index`` (no zone: UTC or file clock).

    ``longitude`` only when the stamps are UTC.
    """
    days, noon = daily_noon(index, values, step_minutes)
    usable = np.isfinite(noon)
    if usable.sum() < _LEAST_DAYS:
        return ClockJudgement("untested")
    off = None
    if longitude is not None:
        error = noon[usable] - (720.0 - 4.0 * longitude)
        off = float(np.median(np.mod(error + 720.0, 1440.0) - 720.0))
    steps = _steps(days, noon)
    if not steps:
        return ClockJudgement("steady", off_minutes=off)
    region = _region(steps)
    return ClockJudgement("daylight_saving" if region else "steps", steps, region, off)


def daily_noon(
    index: pd.DatetimeIndex, values: FloatArray, step_minutes: float
) -> tuple[Days, FloatArray]:
    """Days, and the minute of each at which the light was half over, less the equation of time."""
    slots = round(1440 / step_minutes)
    start = index[0].normalize()
    since_midnight = (index[0] - start) / pd.Timedelta(minutes=1)
    lead = int(since_midnight // step_minutes)
    phase = since_midnight - lead * step_minutes
    total = -(-(lead + values.size) // slots) * slots
    padded = np.full(total, np.nan)
    padded[lead : lead + values.size] = values
    # A day of the sun must not be cut by midnight: begin it at the darkest time.
    usual = np.nan_to_num(nan_quantile(padded.reshape(-1, slots).T, 0.8))
    angle = 2 * np.pi * np.arange(slots) / slots
    centre = np.angle(np.sum(np.maximum(usual, 0) * np.exp(1j * angle))) / (2 * np.pi) * slots
    roll = round(centre - slots / 2)
    padded = np.concatenate([np.full(max(-roll, 0), np.nan), padded[max(roll, 0) :]])
    padded = padded[: padded.size // slots * slots].reshape(-1, slots)
    days = start.to_datetime64().astype("datetime64[D]") + np.arange(padded.shape[0])
    top = nan_quantile(padded, 1.0)
    scale = float(nan_quantile(top[np.isfinite(top)], 0.8)) if np.isfinite(top).any() else 0.0
    light = _LIGHT * scale
    # Rows that are not there by night are dark when the rows around are.
    dark = np.nan_to_num(padded, nan=0.0)
    with np.errstate(invalid="ignore"):
        lit = dark > light
    first, last = lit.argmax(axis=1), slots - 1 - lit[:, ::-1].argmax(axis=1)
    rows = np.arange(padded.shape[0])
    rise = first - _share(dark, rows, first, first - 1, light)
    fall = last + _share(dark, rows, last, last + 1, light)
    # Days of one hour of light, with holes by day or dark at their top say nothing.
    span = np.where(lit, 1, 0).sum(axis=1)
    good = (top > 0.3 * scale) & (span * step_minutes > 240) & (first > 0) & (last < slots - 1)
    holes = np.array(
        [np.isnan(padded[r, f : t + 1]).any() for r, f, t in zip(rows, first, last, strict=True)]
    )
    good &= ~holes & ~_edge_holes(padded, first, last)
    noon = ((rise + fall) / 2 + roll) * step_minutes + phase + _equation_of_time(days)
    return days, np.where(good, noon, np.nan)


def _edge_holes(padded: FloatArray, first: IntArray, last: IntArray) -> BoolArray:
    """Days whose light begins or ends beside a hole while other rows of the night are there."""
    rows = np.arange(padded.shape[0])
    before = np.isnan(padded[rows, np.maximum(first - 1, 0)])
    after = np.isnan(padded[rows, np.minimum(last + 1, padded.shape[1] - 1)])
    night_rows = np.isfinite(padded[:, 0]) | np.isfinite(padded[:, -1])
    holes: BoolArray = (before | after) & night_rows
    return holes


def _share(
    values: FloatArray,
    rows: IntArray,
    inside: IntArray,
    outside: IntArray,
    light: float,
) -> FloatArray:
    """How much of the step from ``inside`` to ``outside`` is still above ``light``."""
    outside = np.clip(outside, 0, values.shape[1] - 1)
    high, low = values[rows, inside], np.minimum(values[rows, outside], light)
    # The light falls off fast at first: a step that ends in the dark is no straight line.
    drop = np.maximum(high - low, 1e-12)
    return np.asarray(np.clip((high - light) / drop, 0.0, 1.0))


def _equation_of_time(days: Days) -> FloatArray:
    """Minutes that the sundial is ahead, Spencer (1971)."""
    number = pd.DatetimeIndex(days).dayofyear.to_numpy(dtype=np.float64)
    b = 2 * np.pi * (number - 1) / 365
    return np.asarray(
        229.18
        * (
            0.0000075
            + 0.001868 * np.cos(b)
            - 0.032077 * np.sin(b)
            - 0.014615 * np.cos(2 * b)
            - 0.040849 * np.sin(2 * b)
        )
    )


def _steps(days: Days, noon: FloatArray) -> tuple[ClockStep, ...]:
    """Where the noon of the two weeks after differs from that of the two weeks before."""
    usable = np.isfinite(noon)
    days, noon = days[usable], noon[usable]
    w = _WINDOW_DAYS
    windows = np.lib.stride_tricks.sliding_window_view(noon, w)
    medians = np.median(windows, axis=1)
    # jump[i]: between days i-1 and i
    jump = np.zeros(noon.size)
    jump[w : noon.size - w + 1] = medians[w:] - medians[:-w]
    found = []
    remaining = np.abs(jump)
    while remaining.size and remaining.max() >= _LEAST_STEP_MINUTES:
        place = int(remaining.argmax())
        part = slice(max(place - w, 0), min(place + w, noon.size))
        place = part.start + _best_cut(noon[part])
        before = np.median(noon[max(place - w, 0) : place])
        after = np.median(noon[place : place + w])
        remaining[max(part.start, 0) : part.stop] = 0
        # A step is sharp: the days on either side already stand on their own sides.
        middle = (before + after) / 2
        size = abs(after - before)
        near = np.concatenate(
            [noon[max(place - 5, 0) : place] - middle, middle - noon[place : place + 5]]
        )
        sharp = np.mean(near * np.sign(before - after) > 0) >= 0.8
        calm = np.median(
            np.abs(noon[part] - np.where(np.arange(part.start, part.stop) < place, before, after))
        )
        if size >= _LEAST_STEP_MINUTES and sharp and calm < 0.3 * size:
            found.append(ClockStep(str(days[place]), round(float(after - before), 1)))
    return tuple(sorted(found, key=lambda step: step.date))


def _best_cut(values: FloatArray) -> int:
    """The cut into two parts that each lie closest to their medians."""
    costs = [
        np.abs(values[:cut] - np.median(values[:cut])).sum()
        + np.abs(values[cut:] - np.median(values[cut:])).sum()
        for cut in range(3, values.size - 2)
    ]
    return int(np.argmin(costs)) + 3 if costs else values.size // 2


def _region(steps: tuple[ClockStep, ...]) -> str | None:
    """The zone on whose days of change all steps lie, forward in spring and back in autumn."""
    for name in _ZONES:
        changes = _changes(name, {int(step.date[:4]) for step in steps})
        if all(
            any(
                abs((datetime.fromisoformat(step.date) - day).days) <= _SAME_DATE_DAYS
                and np.sign(step.minutes) == sign
                and 30 <= abs(step.minutes) <= 90
                for day, sign in changes
            )
            for step in steps
        ):
            return name
    return None


def _changes(name: str, years: set[int]) -> list[tuple[datetime, int]]:
    zone, changes = ZoneInfo(name), []
    for year in years:
        day = datetime(year, 1, 1, 12)  # noqa: DTZ001  # a calendar day, of no zone
        before = day.replace(tzinfo=zone).utcoffset()
        for _ in range(365):
            day += timedelta(days=1)
            now = day.replace(tzinfo=zone).utcoffset()
            if now is not None and before is not None and now != before:
                changes.append((day.replace(hour=0), 1 if now > before else -1))
            before = now
    return changes
