"""Irradiance to power, against pvlib's own PVWatts and Erbs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pvlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.irradiance_power import (
    INVERTER_EFFICIENCY,
    SYSTEM_LOSSES,
    ac_power_from_ghi,
    ac_power_in_plane,
    erbs,
)
from models.contract.timestamps import HOUR_MS, parse_iso8601
from models.features.site import Site
from models.features.solar_geometry import solar_position

SITE = Site(latitude=40.0, longitude=0.0, dc_capacity_w=5000.0, ac_capacity_w=5000.0, tilt=30.0)
MIDNIGHT = parse_iso8601("2026-06-01T00:00:00Z")


def test_pvwatts_agrees_with_pvlib() -> None:
    poa, temp_air = np.linspace(0, 1000, 21), 25.0
    temp_cell = temp_air + 25.0 / 800.0 * poa
    dc = pvlib.pvsystem.pvwatts_dc(poa, temp_cell, 5000.0, -0.004)
    expected = dc * (1 - SYSTEM_LOSSES) * INVERTER_EFFICIENCY
    np.testing.assert_allclose(ac_power_in_plane(poa, temp_air, 5000.0, 5000.0), expected)


def test_the_runbooks_example_by_hand() -> None:
    # 5 kW at half sun, cell at 40.6 degC: 5000 * 0.5 * (1 - 0.004 * 15.625) * 0.86 * 0.96
    assert float(ac_power_in_plane(500.0, 25.0, 5000.0, 5000.0)) == pytest.approx(1935.0)


def test_power_ends_at_the_inverters_limit_and_never_goes_below_zero() -> None:
    assert float(ac_power_in_plane(1400.0, -10.0, 5000.0, 3000.0)) == pytest.approx(3000.0)
    assert float(ac_power_in_plane(-15.0, 10.0, 5000.0, 3000.0)) == 0.0


def test_erbs_agrees_with_pvlib_while_the_sun_is_up() -> None:
    time_ms = MIDNIGHT + np.arange(24) * HOUR_MS
    position = solar_position(time_ms, SITE.latitude, SITE.longitude)
    up = position.elevation > 3.0
    assert up.sum() > 10
    index = pd.to_datetime(time_ms, unit="ms", utc=True)
    for ghi in (20.0, 200.0, 500.0, 900.0, 1300.0):
        ours = erbs(np.full(24, ghi), position)
        theirs = pvlib.irradiance.erbs(
            pd.Series(ghi, index), pd.Series(90.0 - position.elevation, index), index
        )
        np.testing.assert_allclose(ours.dhi[up], theirs["dhi"].to_numpy()[up], rtol=0.02, atol=2)
        np.testing.assert_allclose(ours.dni[up], theirs["dni"].to_numpy()[up], rtol=0.05, atol=8)


def test_a_horizontal_plant_gets_exactly_the_measured_irradiance() -> None:
    flat = Site(latitude=40.0, longitude=0.0, dc_capacity_w=5000.0, ac_capacity_w=5000.0)
    noon = MIDNIGHT + 12 * HOUR_MS
    direct = ac_power_in_plane(500.0, 25.0, 5000.0, 5000.0)
    assert float(ac_power_from_ghi(flat, noon, 500.0, 25.0)) == pytest.approx(float(direct))


@given(
    st.integers(MIDNIGHT, MIDNIGHT + 366 * 24 * HOUR_MS),
    st.floats(-20, 2000),
    st.floats(-80, 70),
    st.floats(-90, 90),
    st.floats(0, 90),
)
def test_power_is_finite_and_within_the_plant_anywhere_at_any_time(
    time_ms: int, ghi: float, temp_air: float, latitude: float, tilt: float
) -> None:
    site = Site(
        latitude=latitude, longitude=0.0, dc_capacity_w=5000.0, ac_capacity_w=4000.0, tilt=tilt
    )
    power = float(ac_power_from_ghi(site, time_ms, ghi, temp_air))
    assert 0.0 <= power <= 4000.0
