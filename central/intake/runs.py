"""Runs in a regular series: values that stand still, values that somebody drew with a ruler.

NumPy on grids with NaN holes. Whether a run is a fault is judged by the callers, who know what the
series is. The tests are those of the literature on photovoltaic data quality (Perry et al.,
PVAnalytics, 2022: stale values, interpolated values, Hampel's outliers), written anew.
"""

from __future__ import annotations

import numpy as np

from .table import BoolArray, FloatArray, IntArray


def run_bounds(mask: BoolArray) -> tuple[IntArray, IntArray]:
    """First index and length of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2] - edges[::2]


def only_long_runs(mask: BoolArray, least: int) -> BoolArray:
    """``mask`` without its runs shorter than ``least``."""
    starts, lengths = run_bounds(mask)
    kept = np.zeros_like(mask)
    for start, length in zip(starts[lengths >= least], lengths[lengths >= least], strict=True):
        kept[start : start + length] = True
    return kept


def stuck(values: FloatArray, least: int, *, tolerance: float = 0.0) -> BoolArray:
    """Values in runs of ``least`` or more that differ by no more than ``tolerance`` from the one
    before."""
    with np.errstate(invalid="ignore"):
        same = np.abs(np.diff(values)) <= tolerance
    starts, lengths = run_bounds(np.asarray(same))
    mask = np.zeros(values.size, dtype=np.bool_)
    for start, length in zip(
        starts[lengths >= least - 1], lengths[lengths >= least - 1], strict=True
    ):
        mask[start : start + length + 1] = True
    return mask


def ruled(values: FloatArray, least: int) -> BoolArray:
    """Values in runs of ``least`` or more on one slanting straight line.

    The slope must be several times the resolution of the values, else rounding makes lines.
    """
    if values.size < least:
        return np.zeros(values.size, dtype=np.bool_)
    steps = np.diff(values)
    moves = np.abs(steps[np.isfinite(steps) & (steps != 0)])
    if moves.size == 0:
        return np.zeros(values.size, dtype=np.bool_)
    finest, scale = float(moves.min()), float(np.median(moves))
    with np.errstate(invalid="ignore"):
        straight = np.abs(np.diff(steps)) <= 1e-6 * scale
        slanting = np.abs(steps[:-1]) > max(3 * finest, 0.05 * scale)
    starts, lengths = run_bounds(np.asarray(straight & slanting))
    mask = np.zeros(values.size, dtype=np.bool_)
    for start, length in zip(
        starts[lengths >= least - 2], lengths[lengths >= least - 2], strict=True
    ):
        mask[start : start + length + 2] = True
    return mask


def upsampled_by(values: FloatArray) -> int:
    """How many rows share one original value where all others were interpolated; 1 when none.

    Between the originals the second difference is zero.
    """
    bend = np.abs(np.diff(values, 2))
    usable = np.isfinite(bend) & (np.abs(np.diff(values)[:-1]) > 0)
    if usable.sum() < 100:
        return 1
    scale = float(np.median(np.abs(np.diff(values)[:-1])[usable]))
    with np.errstate(invalid="ignore"):
        zero = bend <= 1e-6 * scale
    places = np.arange(bend.size)
    for factor in (12, 6, 4, 3, 2):
        shares = np.array(
            [
                zero[usable & (places % factor == phase)].mean()
                if (usable & (places % factor == phase)).any()
                else 0.0
                for phase in range(factor)
            ]
        )
        # One phase of each factor bends, the others never do.
        if np.sort(shares)[1:].min() > 0.98 and shares.min() < 0.5:
            return factor
    return 1


def hampel(values: FloatArray, half_window: int, *, threshold: float, floor: float) -> BoolArray:
    """Values further from the median of their neighbourhood than ``threshold`` times its scaled
    median deviation, and than ``floor``."""
    width = 2 * half_window + 1
    if values.size < width:
        return np.zeros(values.size, dtype=np.bool_)
    mask = np.zeros(values.size, dtype=np.bool_)
    padded = np.pad(values, half_window, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    block = 100_000
    for start in range(0, values.size, block):
        part = windows[start : start + block]
        middle = nan_quantile(part, 0.5)
        spread = 1.4826 * nan_quantile(np.abs(part - middle[:, None]), 0.5)
        away = np.abs(values[start : start + block] - middle)
        with np.errstate(invalid="ignore"):
            mask[start : start + block] = away > np.maximum(threshold * spread, floor)
    return mask


def nan_quantile(values: FloatArray, share: float) -> FloatArray:
    """Lower quantile along the last axis, NaN aside; NaN where nothing is left. Much faster than
    ``np.nanquantile``."""
    ordered = np.sort(values, axis=-1)
    count = np.sum(np.isfinite(ordered), axis=-1)
    place = np.maximum(np.ceil(share * count).astype(np.int64) - 1, 0)
    return np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
