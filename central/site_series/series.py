"""The series of a site and its two files: what the simulator replays, what the trainer learns from.

Two kinds of time, never mixed up:

- the *series* holds INSTANTANEOUS values at its stamps; the device simulator interpolates linearly
  between them, so a device polled at any moment answers with a plausible power;
- the *history* holds means over 15-minute intervals labelled by START, which is what an agent that
  polled that simulator would have written down. (The mean of a line is the mean of its ends.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from central.intake.preprocess import replacing
from central.intake.read import read_weather
from central.intake.sky import Place
from central.intake.weather import NOMINAL_YEAR, Weather

from .chain import plant_output
from .load import Household, SyntheticHousehold, read_household
from .plant import PlantDescription, SiteSeriesError, plant_at
from .quarter_hours import on_grid

SERIES_COLUMNS = (
    "timestamp",
    "ac_power",
    "dc_power",
    "load_power",
    "ghi",
    "poa_global",
    "temp_air",
    "temp_cell",
)
"""Header of the file that the device simulator replays; UTC, W, W/m2, degC."""
HISTORY_COLUMNS = ("ac_power", "load_power", "ghi", "temp_air")
"""Interval means of the history, after ``timestamp`` (interval START, UTC)."""
_FARTHEST_DEGREES = 0.5


@dataclass(frozen=True)
class SeriesSummary:
    """What ``run_site_series`` wrote."""

    rows: int
    start: str
    end: str
    """First and last stamp, ISO 8601 UTC."""
    yield_kwh_per_kwp: float
    """AC energy over DC capacity in the span of the series."""
    clipped_share: float
    """Share of the producing stamps at the inverter's limit."""
    load_label: str
    """``synthetic`` or the name of the recording."""
    source_minutes: int
    """Resolution of the weather; the series knows nothing of clouds between its samples."""
    nominal_year: int | None
    notes: tuple[str, ...]
    plant: PlantDescription
    """Where it stands and what was built, as used."""


def compute_site_series(
    weather: Weather,
    plant: PlantDescription,
    step_minutes: int = 15,
    household: Household | None = None,
) -> pd.DataFrame:
    """Instantaneous power of ``plant`` and its household under ``weather``.

    Args:
        weather: a typed weather series.
        plant: what stands there; must be within half a degree of the weather's place.
        step_minutes: distance of the stamps; divides 60.
        household: who uses power; the synthetic household when None.

    Returns:
        Columns timestamp (UTC), ghi, dni, dhi, poa_global [W/m2], temp_air, temp_cell [degC],
        dc_power, ac_power, load_power [W]; a regular grid without NaN. ``attrs`` holds ``notes``
        and ``load_label``.

    Raises:
        SiteSeriesError: the plant is elsewhere, or the weather has too long a hole.
    """
    source = weather.source
    for name in ("latitude", "longitude"):
        here, there = getattr(plant, name), getattr(source, name)
        if abs(here - there) > _FARTHEST_DEGREES:
            raise SiteSeriesError(
                f"{source.file} holds the weather of {name} {there:g}, the plant stands at "
                f"{here:g}; use a weather file of its place"
            )
    household = household or SyntheticHousehold()
    place = Place(plant.latitude, plant.longitude, plant.elevation_m)
    gridded = on_grid(weather, place, step_minutes)
    output = plant_output(gridded, plant)
    local = (gridded.times + pd.Timedelta(hours=source.site_offset_hours)).tz_localize(None)
    series = pd.DataFrame(
        {
            "timestamp": gridded.times,
            "ghi": gridded.ghi,
            "dni": gridded.dni,
            "dhi": gridded.dhi,
            "poa_global": output.poa_global,
            "temp_air": gridded.temp_air,
            "temp_cell": output.temp_cell,
            "dc_power": output.dc_power,
            "ac_power": output.ac_power,
            "load_power": household.load_power(local),
        }
    )
    series.attrs.update(notes=gridded.notes, load_label=household.label)
    return series


def history_intervals(series: pd.DataFrame) -> pd.DataFrame:
    """Interval means of ``series``, labelled by START: timestamp and ``HISTORY_COLUMNS``.

    The interval length is the step of the series; the last stamp only ends the last interval.
    """
    values = series[list(HISTORY_COLUMNS)].to_numpy(dtype=np.float64)
    means = pd.DataFrame((values[:-1] + values[1:]) / 2.0, columns=list(HISTORY_COLUMNS))
    means.insert(0, "timestamp", series["timestamp"].iloc[:-1].reset_index(drop=True))
    return means


def write_series(series: pd.DataFrame, path: Path) -> None:
    """Write the CSV that the device simulator replays (``SERIES_COLUMNS``)."""
    _write_csv(series[list(SERIES_COLUMNS)], path)


def write_history(history: pd.DataFrame, path: Path) -> None:
    """Write the history: Parquet when ``path`` ends in ``.parquet``, else CSV."""
    if path.suffix == ".parquet":
        with replacing(path) as temporary:
            history.to_parquet(temporary, index=False)
    else:
        _write_csv(history, path)


def run_site_series(
    weather_file: Path,
    out_file: Path,
    *,
    dc_capacity_w: float = 6000.0,
    ac_capacity_w: float = 5000.0,
    tilt: float = 30.0,
    azimuth: float | None = None,
    losses: float = 0.10,
    history_file: Path | None = None,
    household_file: Path | None = None,
    annual_load_wh: float = 3.5e6,
    seed: int = 1,
    step_minutes: int = 15,
    nominal_year: int = NOMINAL_YEAR,
    typical_from: int = 1,
) -> SeriesSummary:
    """Weather file to series file (and history file), for a plant at the place of the weather.

    ``typical_from``: month that a typical year begins with; it is a circle without a first month.

    Raises:
        IntakeError: the weather or household file cannot be used.
        SiteSeriesError: a plant field is out of range, or the series cannot be made.
    """
    weather = begin_typical_year(
        read_weather(weather_file, nominal_year=nominal_year), typical_from
    )
    plant = plant_at(
        weather.source,
        dc_capacity_w=dc_capacity_w,
        ac_capacity_w=ac_capacity_w,
        tilt=tilt,
        azimuth=azimuth,
        losses=losses,
    )
    household = (
        read_household(household_file)
        if household_file is not None
        else SyntheticHousehold(annual_energy_wh=annual_load_wh, seed=seed)
    )
    series = compute_site_series(weather, plant, step_minutes, household)
    write_series(series, out_file)
    if history_file is not None:
        write_history(history_intervals(series), history_file)
    ac_power = series["ac_power"].to_numpy(dtype=np.float64)
    producing = ac_power > 0
    clipped = ac_power >= 0.999 * plant.ac_capacity_w
    stamps = pd.DatetimeIndex(series["timestamp"]).strftime(_ISO)
    return SeriesSummary(
        rows=len(series),
        start=stamps[0],
        end=stamps[-1],
        yield_kwh_per_kwp=float(ac_power.sum() * step_minutes / 60.0 / plant.dc_capacity_w),
        clipped_share=float(clipped.sum() / max(1, producing.sum())),
        load_label=household.label,
        source_minutes=weather.source.resolution_minutes,
        nominal_year=weather.source.nominal_year,
        notes=(
            *weather.report.notes,
            *weather.report.suspicions,
            *series.attrs["notes"],
        ),
        plant=plant,
    )


def begin_typical_year(weather: Weather, month: int) -> Weather:
    """A typical year from ``month`` on: that month and those after it move a year back.

    Recorded years stay as they are. Raises ``SiteSeriesError`` for no month of the calendar.
    """
    if not 1 <= month <= 12:
        raise SiteSeriesError(f"typical_from must be a month from 1 to 12, not {month}")
    year = weather.source.nominal_year
    if year is None or month == 1:
        return weather
    index = pd.DatetimeIndex(weather.frame.index)
    moved = index >= pd.Timestamp(year=year, month=month, day=1, tz="UTC")
    stamps = index.where(~moved, index - pd.DateOffset(years=1))
    frame = weather.frame.set_axis(stamps.rename(index.name)).sort_index()
    note = f"typical year laid from month {month} of {year - 1} on"
    report = replace(weather.report, notes=(*weather.report.notes, note))
    return replace(weather, frame=frame, report=report)


_ISO = "%Y-%m-%dT%H:%M:%SZ"


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    texts = frame.assign(timestamp=pd.DatetimeIndex(frame["timestamp"]).strftime(_ISO))
    with replacing(path) as temporary:
        texts.to_csv(temporary, index=False, float_format="%.3f")
