"""Faults put into clean recordings by seed, and what the intake makes of them.

Each fault says where it is, so that detection can be scored. Nothing here knows how the detectors
work: the faults are what limits, people, loggers and clocks do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from central.intake.clock_shift import judge_clock
from central.intake.level_shift import level_shifts
from central.intake.power_quality import judge_power
from central.intake.series_parse import parse_series
from central.intake.series_rules import settle

Power = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
RECORDINGS = (
    "nrel-pv-quality/serf_east_15min_ac_power.csv.gz",
    "pvdaq-50/ac_power_15min_2011-2012.csv.gz",
    "rooftop-5min/TAEFC1044741_sma_7kw.csv.gz",
)
LEVEL_RATIOS = (0.55, 0.65, 1.6)
CLOCK_MINUTES = (-60.0, 30.0, 60.0)


@dataclass(frozen=True)
class Recording:
    """A clean stretch of a recording on its grid."""

    name: str
    index: pd.DatetimeIndex
    power: Power
    step_minutes: float


@dataclass(frozen=True)
class Score:
    """How one fault was found."""

    fault: str
    recording: str
    seed: int
    found: bool
    recall: float
    precision: float
    detail: str


def clean(data: Path, name: str) -> Recording:
    """The recording; of pvdaq-50 one winter, in which its clock does not change."""
    file = settle(*parse_series(data / name), validate=True)
    (series,) = file.series
    index, power = series.index, series.columns[file.source.main]
    keep = np.ones(power.size, dtype=np.bool_)
    if name.startswith("pvdaq"):
        keep = np.asarray(
            (index >= pd.Timestamp("2011-11-08")) & (index < pd.Timestamp("2012-03-11"))
        )
    elif name.startswith("rooftop"):  # before the hole of 274 days
        keep = np.asarray(index < pd.Timestamp("2016-10-05"))
    first = int(keep.argmax())
    power = np.where(keep, power, np.nan)[first : first + int(keep.sum())]
    return Recording(name, index[first : first + power.size], power, series.step_seconds / 60)


def clipping(one: Recording, seed: int) -> Score:
    """An inverter smaller than its modules, which holds its limit to a quarter of a percent."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.6, 0.85)
    level = share * float(np.nanquantile(one.power, 0.995))
    with np.errstate(invalid="ignore"):
        truth = one.power > level
    limit = level * (1 + rng.uniform(-0.0025, 0.0025, one.power.size))
    found = judge_power(np.minimum(one.power, limit), one.step_minutes)
    right = found.clipping_level is not None and abs(found.clipping_level / level - 1) < 0.01
    level_text = f"level {level:.3g}, found {found.clipping_level}"
    return _score("clipping", one, seed, truth, found.clipped, right, level_text)


def curtailment(one: Recording, seed: int) -> Score:
    """Held down over midday on some days, each time at another level."""
    rng = np.random.default_rng(seed)
    power, truth = one.power.copy(), np.zeros(one.power.size, dtype=np.bool_)
    cap = float(np.nanquantile(power, 0.995))
    for start, stop in _middays(one, rng, 6, hours=4):
        level = rng.uniform(0.25, 0.5) * cap
        with np.errstate(invalid="ignore"):
            held = power[start:stop] > level
        truth[start:stop] |= held
        power[start:stop] = np.minimum(power[start:stop], level)
    # Whatever it is called, it must not teach a model.
    found = judge_power(power, one.step_minutes)
    return _score("curtailment", one, seed, truth, found.curtailed | found.stuck, None, "")


def stuck(one: Recording, seed: int) -> Score:
    """A logger that repeats its last value for hours."""
    rng = np.random.default_rng(seed)
    power, truth = one.power.copy(), np.zeros(one.power.size, dtype=np.bool_)
    for start, stop in _middays(one, rng, 6, hours=3):
        if np.isfinite(power[start]) and power[start] > 0.05 * np.nanmax(power):
            power[start:stop] = power[start]
            truth[start:stop] = True
    found = judge_power(power, one.step_minutes)
    judged = found.stuck | found.curtailed | found.clipped
    return _score("stuck", one, seed, truth, judged, None, "")


def night_offset(one: Recording, seed: int) -> Score:
    """A sensor that reads too much, by 2 to 5 % of the top, from some day on."""
    rng = np.random.default_rng(seed)
    amount = rng.uniform(0.02, 0.05) * float(np.nanquantile(one.power, 0.995))
    start = int(rng.uniform(0.3, 0.7) * one.power.size)
    power = one.power.copy()
    power[start:] += amount
    truth = np.isfinite(power)
    truth[:start] = False
    found = judge_power(power, one.step_minutes)
    right = any(
        abs(value / amount - 1) < 0.2 and abs(first - start) * one.step_minutes < 1.5 * 1440
        for first, _, value in found.offsets
    )
    return _score("night_offset", one, seed, truth, found.offset, right, f"by {amount:.3g}")


def level_change(one: Recording, seed: int) -> Score:
    """Part of the modules lost, or a sensor exchanged."""
    rng = np.random.default_rng(seed)
    ratio = LEVEL_RATIOS[seed % len(LEVEL_RATIOS)]
    start = int(rng.uniform(0.35, 0.65) * one.power.size)
    power = one.power.copy()
    power[start:] *= ratio
    found = level_shifts(one.index, power, round(one.step_minutes * 60), least_ratio=1.35)
    day = one.index[start].normalize()
    near = [shift for shift in found if abs((pd.Timestamp(shift.date) - day).days) <= 4]
    right = len(found) == 1 and len(near) == 1 and abs(np.log(near[0].ratio / ratio)) < 0.25
    return Score("level", one.name, seed, right, float(bool(near)), 1.0 / max(len(found), 1),
                 f"{ratio} from {day:%Y-%m-%d}, found {found}")  # fmt: skip


def clock_change(one: Recording, seed: int) -> Score:
    """Somebody sets the clock; what was between is lost or comes twice."""
    rng = np.random.default_rng(seed)
    choice = [minutes for minutes in CLOCK_MINUTES if minutes % one.step_minutes == 0]
    minutes = choice[seed % len(choice)]
    steps = round(minutes / one.step_minutes)
    start = int(rng.uniform(0.35, 0.65) * one.power.size)
    power = one.power.copy()
    power[start:] = np.roll(one.power, steps)[start:]
    found = judge_clock(one.index, power, one.step_minutes).steps
    day = one.index[start].normalize()
    near = [step for step in found if abs((pd.Timestamp(step.date) - day).days) <= 3]
    right = len(found) == 1 and len(near) == 1 and abs(near[0].minutes - minutes) <= 15
    return Score("clock", one.name, seed, right, float(bool(near)), 1.0 / max(len(found), 1),
                 f"{minutes} from {day:%Y-%m-%d}, found {found}")  # fmt: skip


Fault = Callable[[Recording, int], Score]
FAULTS: tuple[Fault, ...] = (
    clipping,
    curtailment,
    stuck,
    night_offset,
    level_change,
    clock_change,
)


def applies(fault: Fault, one: Recording) -> bool:
    """Whether a fault can be seen in a recording at all: no nights, no offset of nights."""
    return fault is not night_offset or not one.name.startswith("rooftop")


def _middays(
    one: Recording, rng: np.random.Generator, count: int, *, hours: int
) -> list[tuple[int, int]]:
    """Stretches in the middle of good days, by index."""
    slots = round(1440 / one.step_minutes)
    length = round(hours * 60 / one.step_minutes)
    days = one.power.size // slots - 1
    usual = np.nan_to_num(
        np.nanmedian(np.nan_to_num(one.power[: days * slots]).reshape(days, slots), axis=0)
    )
    angle = 2 * np.pi * np.arange(slots) / slots
    noon = int(np.angle(np.sum(usual * np.exp(1j * angle))) / (2 * np.pi) * slots) % slots
    top = float(np.nanquantile(one.power, 0.995))
    starts = [day * slots + noon - length // 2 for day in range(2, days - 2)]
    good = [s for s in starts if np.isfinite(one.power[s : s + length]).all()
            and np.mean(one.power[s : s + length]) > 0.5 * top]  # fmt: skip
    chosen = rng.choice(len(good), size=min(count, len(good)), replace=False)
    return [(good[number], good[number] + length) for number in sorted(chosen)]


def _score(
    fault: str, one: Recording, seed: int, truth: Mask, judged: Mask, right: bool | None, text: str
) -> Score:
    hits = int(np.count_nonzero(truth & judged))
    recall = hits / max(int(truth.sum()), 1)
    precision = hits / max(int(judged.sum()), 1)
    found = recall > 0.5 if right is None else right
    return Score(fault, one.name, seed, bool(found), round(recall, 4), round(precision, 4), text)
