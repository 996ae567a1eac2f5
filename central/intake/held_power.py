"""Power that is held at a level: by the inverter's limit (clipped) or by somebody (curtailed).

Stretches that stand still longer than the clear sky can are gathered by level. A level that nothing
exceeds and that several days reach is the inverter's; a lower one is a limit, when the days around
give more at that time.
"""

from __future__ import annotations

import numpy as np

from .runs import run_bounds
from .table import BoolArray, FloatArray

DAY_MINUTES = 1440
LEAST_DAYS = 3
"""Days that must agree before a level, or an offset of the nights, is believed."""
_FLAT_MINUTES = 90.0
"""The clear sky moves by 2 % in this time around noon, so what moves by less is held."""
_FLAT = 0.005
"""Of the capacity: what counts as standing still."""
_SAME_LEVEL = 0.012


def held(
    power: FloatArray,
    expected: FloatArray,
    step_minutes: float,
    capacity: float,
) -> tuple[float | None, tuple[float, ...], BoolArray, BoolArray]:
    """Clipping level, other limits, and where the power was held at either."""
    slots = round(DAY_MINUTES / step_minutes)
    clipped = np.zeros(power.size, dtype=np.bool_)
    curtailed = np.zeros(power.size, dtype=np.bool_)
    runs = []
    for start, length in zip(*run_bounds(_still(power, step_minutes, capacity)), strict=True):
        level = float(np.median(power[start : start + length]))
        runs.append((level, int(start), length, start // slots))
    runs.sort(reverse=True)
    limits: list[float] = []
    clipping: float | None = None
    used = 0
    while used < len(runs):
        top = runs[used][0]
        group = [run for run in runs[used:] if run[0] > top - _SAME_LEVEL * capacity]
        used += len(group)
        level = float(np.median([run[0] for run in group]))
        days = len({run[3] for run in group})
        known = power[np.isfinite(power)]
        above = float(np.mean(known[known > 0.1 * capacity] > level + 0.02 * capacity))
        if clipping is None and days >= LEAST_DAYS and above < 0.005:
            clipping = level
            with np.errstate(invalid="ignore"):
                near = power >= level - 0.006 * capacity
            clipped |= near
            continue
        for _, start, length, _ in group:
            part = slice(start, start + length)
            if _is_limit(power, expected, start, length, level, capacity, repeated=days > 1):
                curtailed[part] = True
        if days > 1 and any(curtailed[start] for _, start, _, _ in group):
            limits.append(level)
    return clipping, tuple(limits), clipped, curtailed


def _still(power: FloatArray, step_minutes: float, capacity: float) -> BoolArray:
    """Values in windows of 90 minutes within 0.5 % of the capacity."""
    width = max(3, round(_FLAT_MINUTES / step_minutes) + 1)
    mask = np.zeros(power.size, dtype=np.bool_)
    if power.size < width:
        return mask
    windows = np.lib.stride_tricks.sliding_window_view(power, width)
    with np.errstate(invalid="ignore"):
        flat = (windows.max(axis=1) - windows.min(axis=1) <= _FLAT * capacity) & (
            windows.min(axis=1) > 0.1 * capacity
        )
    starts, lengths = run_bounds(np.asarray(flat))
    for start, length in zip(starts, lengths, strict=True):
        mask[start : start + length + width - 1] = True
    return mask


def _is_limit(
    power: FloatArray,
    expected: FloatArray,
    start: int,
    length: int,
    level: float,
    capacity: float,
    *,
    repeated: bool,
) -> bool:
    """Whether a still stretch is a limit and no cloud: neighbours give more, inside it is flatter
    than weather, and the power comes up to it from below or is let go upwards."""
    part = slice(start, start + length)
    if np.median(expected[part]) < 1.08 * level or np.any(expected[part] < 0.95 * level):
        return False
    spread = float(np.ptp(power[part]))
    if spread > (_FLAT if repeated else 0.4 * _FLAT) * capacity:
        return False
    return level > 0.15 * capacity
