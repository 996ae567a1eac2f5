"""Judges the rows of an NSRDB or TMY3 file, whose place and clock are known.

As ``judge`` does for tables: irradiance that the sun cannot give and values that stand still by day
are removed, what does not close or lies on a ruled line is flagged, a clock or a level that stepped
is reported. A file whose whole clock is wrong loses nothing to limits computed from that clock.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from . import qcrad
from .clock_shift import judge_clock
from .level_shift import level_shifts
from .quality import QualitySummary, Verdict, clock_shifts, flag_counts, level_change
from .runs import ruled, stuck, upsampled_by
from .table import BoolArray, FloatArray
from .weather import Weather

_LEAST_STUCK_HOURS = 3
_LEAST_LIT = 20.0
_LEVEL = 1.35


def judge_weather(
    weather: Weather, engineered: pd.DataFrame, *, validate: bool
) -> tuple[Verdict, QualitySummary]:
    """Flags and removals by row of ``weather.frame``, and what was found in the file.

    ``engineered`` has the sun of each row (``central.intake.engineer``).
    """
    frame, source = weather.frame, weather.source
    index = pd.DatetimeIndex(frame.index).tz_localize(None)
    grid = pd.date_range(index[0], index[-1], freq=f"{source.resolution_minutes}min")
    places = grid.get_indexer(index)
    columns = {name: _on_grid(frame[name], places, grid.size) for name in ("ghi", "dni", "dhi")}
    verdict = Verdict(len(frame))
    suspicions = list(weather.report.suspicions)

    rows_per_hour = 60 / source.resolution_minutes
    longest = max(4, round(_LEAST_STUCK_HOURS * rows_per_hour) + 1)
    for name, values in columns.items():
        with np.errstate(invalid="ignore"):
            still = stuck(values, longest) & (values > _LEAST_LIT)
        # Two decimals of dni come back after a cloudless hour; ghi follows the sun's height.
        if name == "ghi":
            verdict.remove("stuck_value", still[places])
        factor = upsampled_by(values)
        if factor > 1:
            suspicions.append(f"{name} was interpolated: of {factor} rows only one is its own")
        else:
            verdict.flag("interpolated", ruled(values, max(6, round(rows_per_hour) + 1))[places])

    middle = pd.Timedelta(
        minutes=source.resolution_minutes / 2 if source.irradiance != "instant" else 0
    )
    clock = judge_clock(grid - middle, columns["ghi"], source.resolution_minutes, source.longitude)
    shifts = clock_shifts("", clock)
    trusted = not weather.report.suspicions and not shifts
    tests = qcrad.qcrad(
        frame["ghi"].to_numpy(dtype=np.float64),
        frame["dni"].to_numpy(dtype=np.float64),
        frame["dhi"].to_numpy(dtype=np.float64),
        engineered["solar_zenith"].to_numpy(dtype=np.float64),
        engineered["dni_extra"].to_numpy(dtype=np.float64),
        spread_minutes=0.0 if source.irradiance == "instant" else source.resolution_minutes,
    )
    for name, states in tests.items():
        failed: BoolArray = states == qcrad.FAIL
        if name.endswith("_limit"):
            values = frame[name.removesuffix("_limit")].to_numpy(dtype=np.float64)
            verdict.flag("offset", failed & (values < 0))
            if trusted:
                verdict.remove("physical_limit", failed & (values > 0))
        else:
            verdict.flag("closure", failed)
    if not validate:
        verdict.removed.clear()

    clear = _on_grid(engineered["ghi_clear"], places, grid.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(clear > 200, columns["ghi"] / clear, np.nan)
    seconds = source.resolution_minutes * 60
    shifts += [
        level_change("", change)
        for change in level_shifts(grid, share, seconds, least_ratio=_LEVEL)
    ]
    verdict.marks[verdict.gone()] = 0
    summary = QualitySummary(
        flagged=flag_counts(verdict.marks),
        tests=qcrad.count(tests),
        shifts=tuple(shifts),
        clock="off" if clock.state == "steady" and weather.report.suspicions else clock.state,
        suspicions=tuple(suspicions),
    )
    return verdict, summary


def _on_grid(values: pd.Series, places: npt.NDArray[np.intp], size: int) -> FloatArray:
    laid = np.full(size, np.nan)
    laid[places] = values.to_numpy(dtype=np.float64)
    return laid
