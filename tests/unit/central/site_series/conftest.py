"""The weather that ships inside pvlib and its series, computed once."""

from __future__ import annotations

import pandas as pd
import pytest

from central.intake import Weather, read_weather
from central.intake.tmy3 import bundled_weather_file
from central.site_series import PlantDescription, compute_site_series, plant_at


@pytest.fixture(scope="session")
def greensboro() -> Weather:
    """A typical year of Greensboro, North Carolina, hourly means."""
    return read_weather(bundled_weather_file())


@pytest.fixture(scope="session")
def plant(greensboro: Weather) -> PlantDescription:
    """6 kW of modules behind a 4.6 kW inverter, facing south."""
    return plant_at(greensboro.source, dc_capacity_w=6000.0, ac_capacity_w=4600.0)


@pytest.fixture(scope="session")
def series(greensboro: Weather, plant: PlantDescription) -> pd.DataFrame:
    """The series of that plant; not to be changed."""
    return compute_site_series(greensboro, plant)
