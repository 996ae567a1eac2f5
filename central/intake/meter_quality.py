"""What can be wrong with a meter's readings: channels that stand still together, leaps, and power
that does not fit voltage and current."""

from __future__ import annotations

import numpy as np

from .runs import only_long_runs
from .table import BoolArray, FloatArray

CHANNELS = ("active_power_kw", "reactive_power_kvar", "voltage_v", "current_a", "frequency_hz")


def all_stuck(columns: dict[str, FloatArray], least: int) -> BoolArray:
    """Rows in runs of ``least`` or more in which every channel repeats its last digit. One channel
    alone may well stand still; voltage, current and power never do so together."""
    names = [name for name in CHANNELS if name in columns]
    together = np.ones(next(iter(columns.values())).size, dtype=np.bool_)
    if len(names) < 2:
        return ~together
    for name in names:
        together &= _same_as_before(columns[name])
    mask = only_long_runs(together, least - 1)
    mask[:-1] |= mask[1:]
    return mask


def _same_as_before(values: FloatArray) -> BoolArray:
    return np.concatenate([[False], np.diff(values) == 0])


def far_beyond(values: FloatArray) -> BoolArray:
    """Many times what the series ever needs."""
    known = np.abs(values[np.isfinite(values)])
    if known.size < 100:
        return np.zeros(values.size, dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(values) > 4 * np.quantile(known, 0.999) + 1e-9)


def unlike_volt_amperes(columns: dict[str, FloatArray]) -> BoolArray:
    """Active power above what voltage and current allow. Their product is scaled by its usual
    ratio, so three phases and line voltages are as good as one."""
    reactive = columns.get("reactive_power_kvar", np.zeros_like(columns["active_power_kw"]))
    apparent = np.hypot(columns["active_power_kw"], reactive)
    product = columns["voltage_v"] * np.abs(columns["current_a"]) / 1000.0
    with np.errstate(invalid="ignore", divide="ignore"):
        loaded = (product > 0.1) & (apparent > 0.1)
        ratio = np.where(loaded, apparent / product, np.nan)
        if loaded.sum() < 20:
            return np.zeros(product.size, dtype=np.bool_)
        usual = float(np.nanmedian(ratio))
        off = (ratio > 1.3 * usual) | (ratio < 0.5 * usual)
    return np.asarray(off & loaded)
