"""Wrong clocks, made from right files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from central.intake import read_weather
from central.intake.sun_check import clock_shift_minutes, cosine_of_zenith, suspicions
from central.intake.tmy3 import bundled_weather_file


@pytest.mark.parametrize("shift", [-360, -60, -30, 30, 60, 360])
def test_shifted_clock_is_measured(shift: int) -> None:
    weather = read_weather(bundled_weather_file())
    times = weather.irradiance_times + pd.Timedelta(minutes=shift)
    ghi = weather.frame["ghi"].to_numpy()
    assert clock_shift_minutes(weather.source, times, ghi) == pytest.approx(shift, abs=4)
    (first, *_) = suspicions(weather.source, times, weather.frame)
    assert first.startswith("GHI runs ")
    assert (" late " in first) == (shift > 0)


def test_hourly_means_taken_for_instants_are_noticed() -> None:
    weather = read_weather(bundled_weather_file())
    stamps = pd.DatetimeIndex(weather.frame.index)
    assert " minutes late " in suspicions(weather.source, stamps, weather.frame)[0]
    assert clock_shift_minutes(
        weather.source, stamps, weather.frame["ghi"].to_numpy()
    ) == pytest.approx(30, abs=3)


def test_swapped_columns_do_not_close() -> None:
    weather = read_weather(bundled_weather_file())
    swapped = weather.frame.rename(columns={"dni": "dhi", "dhi": "dni"})
    found = suspicions(weather.source, weather.irradiance_times, swapped)
    assert any("GHI, DNI and DHI disagree" in text for text in found)


def test_wrong_hemisphere_is_noticed(data_dir: Path) -> None:
    weather = read_weather(data_dir / "nsrdb" / "nsrdb_psm3_39.77_-74.22_2013_60min.csv")
    elsewhere = replace(weather.source, latitude=-39.77)
    assert suspicions(elsewhere, weather.irradiance_times, weather.frame)


def test_cosine_of_zenith_is_close_to_spa() -> None:
    import pvlib

    times = pd.date_range("2020-01-01", "2020-12-31", freq="47min", tz="UTC")
    spa = pvlib.solarposition.get_solarposition(times, -33.9, 18.4)["zenith"]
    error = np.abs(cosine_of_zenith(times, -33.9, 18.4) - np.cos(np.radians(spa)))
    assert float(error.max()) < 0.01
