"""Judges the rows of a table by what it is: photovoltaic power, a meter, or weather.

Surely wrong and removed: values stuck where they cannot be, power far beyond the plant, irradiance
beyond the sun. Doubtful and flagged: everything else in ``quality.FLAGS``. Nothing is corrected.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import qcrad
from .clock_shift import judge_clock
from .known_columns import BY_NAME
from .level_shift import level_shifts
from .meter_quality import all_stuck, far_beyond, unlike_volt_amperes
from .peers import below_peers, shares_of_capacity, weak_series
from .power_quality import judge_power
from .quality import QualitySummary, Shift, Verdict, clock_shifts, flag_counts, level_change
from .runs import hampel, nan_quantile, ruled, stuck, upsampled_by
from .series import Series, SeriesFile, SeriesSource
from .sky import Place, Sky, sky_at
from .table import BoolArray, FloatArray

_IRRADIANCE = ("ghi_wm2", "dni_wm2", "dhi_wm2", "poa_wm2")
_POWER_CLOCK_LIMIT = 45.0
"""Minutes. A roof that looks east or west shifts the middle of its day by half an hour."""
_SUN_CLOCK_LIMIT = 15.0
_PV_LEVEL, _METER_LEVEL = 1.35, 20.0
_RAW_LIGHT_LEVEL = 1.6
"""Irradiance without a cloudless sky beside it also steps where a dull winter ends."""
_LEAST_LIT = 20.0
_LEAST_PEERS = 4
_CUT_SHARE = 0.05
_SMOOTH = {  # column: (Hampel's threshold, least distance from the neighbours)
    "temperature_c": (8.0, 4.0),
    "pressure_mb": (8.0, 4.0),
    "humidity_percent": (8.0, 30.0),
    "voltage_v": (8.0, 10.0),
    "frequency_hz": (8.0, 0.3),
}


class Judge:
    """Judges series by series and keeps the summary of the file."""

    def __init__(self, file: SeriesFile, *, validate: bool) -> None:
        self._source, self._validate = file.source, validate
        self._flagged: dict[str, int] = {}
        self._tests: dict[str, dict[str, int]] = {}
        self._shifts: list[Shift] = []
        self._suspicions: list[str] = []
        self._clocks: list[str] = []
        self._capacity: dict[str, float] = {}
        self._clipping: dict[str, float] = {}
        self._limits: dict[str, tuple[float, ...]] = {}
        self._peers: dict[str, BoolArray] = {}
        self._interpolated: set[str] = set()
        if file.source.kind == "solar" and len(file.series) >= _LEAST_PEERS:
            shares = shares_of_capacity(file)
            self._peers = below_peers(file, shares)
            self._suspicions += weak_series(shares)

    def judge(self, series: Series) -> Verdict:
        """Flags and removals of one series; adds to the summary."""
        verdict = Verdict(series.present.size)
        self._lines(series, verdict)
        {"solar": self._power, "meter": self._meter, "weather": self._weather}[self._source.kind](
            series, verdict
        )
        verdict.flag("partial", series.columns["_partial"] == 1)
        if not self._validate:
            verdict.removed.clear()
        kept = series.present & ~verdict.gone()
        verdict.marks[~kept] = 0
        for name, count in flag_counts(verdict.marks).items():
            self._flagged[name] = self._flagged.get(name, 0) + count
        return verdict

    def summary(self) -> QualitySummary:
        """What was found in all series so far."""
        worst = ("daylight_saving", "steps", "off", "steady", "untested")
        return QualitySummary(
            flagged=self._flagged,
            tests=self._tests,
            shifts=tuple(self._shifts),
            clock=min(self._clocks, key=worst.index) if self._clocks else "untested",
            capacity_seen=self._capacity,
            clipping_level=self._clipping,
            limits=self._limits,
            suspicions=tuple(dict.fromkeys(self._suspicions)),
        )

    def _power(self, series: Series, verdict: Verdict) -> None:
        values = series.columns[self._source.main]
        found = judge_power(values, series.step_seconds / 60)
        name = series.name
        self._capacity[name] = round(found.capacity, 4)
        if found.clipping_level is not None:
            self._clipping[name] = round(found.clipping_level, 4)
        if found.limits:
            self._limits[name] = tuple(round(limit, 4) for limit in found.limits)
        verdict.remove("stuck_value", found.stuck)
        verdict.remove("impossible_power", found.impossible)
        for flag in ("clipped", "curtailed", "dead", "offset", "outlier"):
            verdict.flag(flag, getattr(found, flag))
        for first, last, amount in found.offsets:
            day, end = series.index[first], series.index[last]
            text = (
                f"{name}{': ' if name else ''}nights read {amount:+.3g} {_unit(self._source)} from "
                f"{day:%Y-%m-%d} to {end:%Y-%m-%d}: sensor offset"
            )
            self._shifts.append(Shift("night_offset", name, str(day.date()), amount, text))
        clean = np.where(found.stuck | found.impossible, np.nan, values)
        self._clock(series, clean, _POWER_CLOCK_LIMIT)
        lit = np.where(found.dead, np.nan, clean)
        changes = level_shifts(series.index, lit, series.step_seconds, least_ratio=_PV_LEVEL)
        self._shifts += [level_change(name, change) for change in changes]
        if name in self._peers:
            verdict.flag("peers", self._peers[name])
        self._dc_against_ac(series)

    def _dc_against_ac(self, series: Series) -> None:
        if not {"ac_power_kw", "dc_power_kw"} <= series.columns.keys():
            return
        ac, dc = series.columns["ac_power_kw"], series.columns["dc_power_kw"]
        with np.errstate(invalid="ignore"):
            by_day = ac > 0.1 * np.nanmax(ac)
        if by_day.sum() >= 20:
            ratio = float(np.median(dc[by_day] / ac[by_day]))
            if not 0.9 <= ratio <= 1.5:
                self._suspicions.append(
                    f"dc_power_kw is {ratio:.1f} times ac_power_kw (median by day): check its unit"
                )

    def _meter(self, series: Series, verdict: Verdict) -> None:
        columns = series.columns
        least = max(4, 1800 // series.step_seconds + 1)
        verdict.remove("stuck_value", all_stuck(columns, least))
        main = columns[self._source.main]
        long = max(8, 6 * 3600 // series.step_seconds)
        with np.errstate(invalid="ignore"):
            verdict.flag("stuck", stuck(main, long) & (main != 0))
        verdict.flag("outlier", self._outliers(columns) | far_beyond(main))
        if {"active_power_kw", "voltage_v", "current_a"} <= columns.keys():
            verdict.flag("inconsistent", unlike_volt_amperes(columns))
        changes = level_shifts(
            series.index, np.abs(main), series.step_seconds, least_ratio=_METER_LEVEL
        )
        self._shifts += [level_change(series.name, change) for change in changes]

    def _weather(self, series: Series, verdict: Verdict) -> None:
        columns = series.columns
        least = max(4, 3600 // series.step_seconds + 1)
        for name in [name for name in _IRRADIANCE if name in columns]:
            if name in self._interpolated:
                continue
            with np.errstate(invalid="ignore"):
                lit = columns[name] > _LEAST_LIT
            verdict.remove("stuck_value", stuck(columns[name], least) & lit)
        if "temperature_c" in columns:
            warm = columns["temperature_c"]
            verdict.flag("stuck", stuck(warm, max(24, 24 * 3600 // series.step_seconds)))
            known = warm[np.isfinite(warm)]
            if known.min() == 0 and (share := float(np.mean(known == 0))) > _CUT_SHARE:
                self._suspicions.append(
                    f"temperature_c is never below 0 and exactly 0 in {share:.0%} of the rows: "
                    f"frost was cut off"
                )
        verdict.flag("outlier", self._outliers(columns))
        light = next((name for name in ("ghi_wm2", "poa_wm2") if name in columns), None)
        if light is None:
            return
        self._clock(series, columns[light], _SUN_CLOCK_LIMIT)
        sky = self._sky(series)
        level, ratio, clear = columns[light], _RAW_LIGHT_LEVEL, columns.get("ghi_clear_wm2")
        if sky is not None:
            self._irradiance(series, sky, verdict)
            clear = sky.ghi_clear
        if clear is not None and light == "ghi_wm2":
            with np.errstate(invalid="ignore", divide="ignore"):
                level, ratio = np.where(clear > 200, level / clear, np.nan), _PV_LEVEL
        changes = level_shifts(series.index, level, series.step_seconds, least_ratio=ratio)
        self._shifts += [level_change(series.name, change) for change in changes]
        dark = _night_reading(series.index, columns[light], series.step_seconds)
        if dark is not None and abs(dark) > 5.0:
            text = f"{light} reads {dark:+.1f} W/m2 by night (median): sensor offset"
            self._shifts.append(Shift("night_offset", series.name, None, round(dark, 2), text))

    def _irradiance(self, series: Series, sky: Sky, verdict: Verdict) -> None:
        ghi, dni, dhi = (series.columns.get(f"{name}_wm2") for name in ("ghi", "dni", "dhi"))
        tests = qcrad.qcrad(ghi, dni, dhi, sky.zenith, sky.dni_extra)
        tests = {
            name: np.where(series.present, states, qcrad.UNTESTED).astype(np.int8)
            for name, states in tests.items()
        }
        for name, counts in qcrad.count(tests).items():
            self._tests[name] = counts
        for name, states in tests.items():
            failed: BoolArray = states == qcrad.FAIL
            if name.endswith("_limit"):
                # Below the lowest limit is a thermal offset of the night, not too much sun.
                values = series.columns[f"{name.removesuffix('_limit')}_wm2"]
                verdict.flag("offset", failed & (values < 0))
                verdict.remove("physical_limit", failed & (values > 0))
            else:
                verdict.flag("closure", failed)

    def _outliers(self, columns: dict[str, FloatArray]) -> BoolArray:
        found = np.zeros(next(iter(columns.values())).size, dtype=np.bool_)
        for name, (threshold, floor) in _SMOOTH.items():
            if name in columns:
                found |= hampel(columns[name], 4, threshold=threshold, floor=floor)
        return found

    def _lines(self, series: Series, verdict: Verdict) -> None:
        """Interpolation of what clouds or people move."""
        names = [name for name in (self._source.main, *_IRRADIANCE) if name in series.columns]
        least = max(6, 3600 // series.step_seconds + 1)
        for name in dict.fromkeys(names):
            if BY_NAME[name].role == "weather" and name not in _IRRADIANCE:
                continue
            values = series.columns[name]
            factor = upsampled_by(values)
            if factor > 1:
                self._interpolated.add(name)
                self._suspicions.append(
                    f"{name} was interpolated: of {factor} rows only one is a value of its own "
                    f"(every {factor * series.step_seconds / 60:g} minutes)"
                )
                continue
            verdict.flag("interpolated", ruled(values, least))

    def _clock(self, series: Series, values: FloatArray, limit: float) -> None:
        longitude = self._source.longitude if self._source.clock == "utc" else None
        clock = judge_clock(series.index, values, series.step_seconds / 60, longitude)
        state = clock.state
        self._shifts += clock_shifts(series.name, clock)
        if state == "steady" and clock.off_minutes is not None and abs(clock.off_minutes) > limit:
            state = "off"
            way = "late" if clock.off_minutes > 0 else "early"
            text = f"the sun comes {abs(clock.off_minutes):.0f} minutes {way} on these stamps"
            self._shifts.append(
                Shift("clock_offset", series.name, None, round(clock.off_minutes, 1), text)
            )
        self._clocks.append(state)

    def _sky(self, series: Series) -> Sky | None:
        source = self._source
        if source.latitude is None or source.longitude is None or source.clock != "utc":
            return None
        place = Place(source.latitude, source.longitude, source.elevation_m)
        return sky_at(series.index.tz_localize("UTC"), place)


def _unit(source: SeriesSource) -> str:
    return "of 1" if source.main.endswith("normalized") else BY_NAME[source.main].unit


def _night_reading(index: pd.DatetimeIndex, values: FloatArray, step_seconds: int) -> float | None:
    """Median of what the darkest tenth of each day reads; None without whole days."""
    slots = 86_400 // step_seconds
    days = values.size // slots
    if days < 3:
        return None
    by_day = values[: days * slots].reshape(days, slots)
    whole = np.isfinite(by_day).mean(axis=1) > 0.8
    if whole.sum() < 3:
        return None
    return float(np.median(nan_quantile(by_day[whole], 0.1)))
