"""Clear sky against pvlib, alone and end to end from our own sun position, and its own laws."""

import warnings

import numpy as np
import pandas as pd
import pvlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.clearsky import ClearSky, clearsky_ac_power, clearsky_poa, simplified_solis
from models.features.solar_geometry import apparent_elevation, solar_position

COMPONENTS = ("ghi", "dni", "dhi")
SAME_ELEVATION_RTOL = 1e-9
END_TO_END_W_M2 = 0.25

finite = st.floats(allow_nan=False, allow_infinity=False)


def our_sky(time_ms, latitude, longitude):
    position = solar_position(time_ms, latitude, longitude)
    refracted = apparent_elevation(position.elevation)
    return position, simplified_solis(refracted, dni_extra=position.dni_extra)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(11)
    n = 20_000
    time_ms = rng.integers(631_152_000_000, 2_556_144_000_000, n)
    latitude, longitude = rng.uniform(-90, 90, n), rng.uniform(-180, 180, n)
    latitude[:1_000] = rng.choice([-90.0, 90.0], 1_000)
    return time_ms, latitude, longitude


def test_default_atmosphere_agrees_with_pvlib_at_every_elevation() -> None:
    elevation = np.linspace(-90.0, 90.0, 18_001)
    expected = pvlib.clearsky.simplified_solis(elevation)
    ours = simplified_solis(elevation)
    for component in COMPONENTS:
        np.testing.assert_allclose(
            getattr(ours, component), expected[component], rtol=SAME_ELEVATION_RTOL, atol=1e-25
        )


def test_any_atmosphere_in_the_models_span_agrees_with_pvlib() -> None:
    rng = np.random.default_rng(12)
    n = 50_000
    elevation = rng.uniform(-10.0, 90.0, n)
    atmosphere = {
        "aod700": rng.uniform(0.0, 0.45, n),
        "precipitable_water": rng.uniform(0.1, 10.0, n),  # both sides treat < 0.2 as 0.2
        "pressure": rng.uniform(41_000.0, 108_000.0, n),
        "dni_extra": rng.uniform(1315.0, 1410.0, n),
    }
    expected = pvlib.clearsky.simplified_solis(elevation, **atmosphere)
    ours = simplified_solis(elevation, **atmosphere)
    for component in COMPONENTS:
        np.testing.assert_allclose(
            getattr(ours, component), expected[component], rtol=SAME_ELEVATION_RTOL, atol=1e-25
        )


def test_end_to_end_agrees_with_pvlib_spa_and_solis(world) -> None:
    index = pd.DatetimeIndex(pd.to_datetime(world[0], unit="ms", utc=True))
    sun = pvlib.solarposition.spa_python(index, *world[1:], altitude=0.0, delta_t=None)
    extra = pvlib.irradiance.get_extra_radiation(index, solar_constant=1361.0, method="nrel")
    expected = pvlib.clearsky.simplified_solis(
        sun["apparent_elevation"].to_numpy(), dni_extra=extra.to_numpy()
    )
    position, ours = our_sky(*world)
    assert (expected["ghi"] > 100.0).mean() > 0.3  # the sample has daylight in it
    for component in COMPONENTS:
        difference = np.abs(getattr(ours, component) - expected[component])
        assert difference.max() < END_TO_END_W_M2, component
    plane = pvlib.irradiance.get_total_irradiance(
        30.0,
        160.0,
        90.0 - sun["elevation"].to_numpy(),
        sun["azimuth"].to_numpy(),
        expected["dni"],
        expected["ghi"],
        expected["dhi"],
        albedo=0.2,
        model="isotropic",
    )
    poa = clearsky_poa(position, ours, 30.0, 160.0)
    assert np.abs(poa - plane["poa_global"]).max() < END_TO_END_W_M2


def test_plane_of_array_agrees_with_pvlib_given_the_same_sun_and_sky(world) -> None:
    position, sky = our_sky(*world)
    rng = np.random.default_rng(13)
    tilt, azimuth = (rng.uniform(0, 90, len(world[0])), rng.uniform(0, 360, len(world[0])))
    expected = pvlib.irradiance.get_total_irradiance(
        tilt,
        azimuth,
        90.0 - position.elevation,
        position.azimuth,
        sky.dni,
        sky.ghi,
        sky.dhi,
        albedo=0.3,
        model="isotropic",
    )
    poa = clearsky_poa(position, sky, tilt, azimuth, albedo=0.3)
    np.testing.assert_allclose(poa, expected["poa_global"], rtol=1e-9, atol=1e-9)


def test_sky_is_exactly_dark_when_the_refracted_sun_is_down() -> None:
    sky = simplified_solis([-1e300, -90.0, -18.0, -0.5, -1e-12, 0.0])
    for component in COMPONENTS:
        assert (getattr(sky, component) == 0.0).all()


def test_rising_sun_brings_more_global_light() -> None:
    ghi = simplified_solis(np.linspace(0.5, 90.0, 1_000)).ghi
    assert (np.diff(ghi) > 0.0).all()


def test_dirtier_air_moves_light_from_beam_to_diffuse() -> None:
    clean, dirty = (simplified_solis(40.0, aod700=0.05), simplified_solis(40.0, aod700=0.35))
    assert dirty.dni < clean.dni
    assert dirty.dhi > clean.dhi
    assert dirty.ghi < clean.ghi


@given(elevation=finite, aod700=finite, precipitable_water=finite, pressure=finite)
@settings(deadline=None)
def test_sky_is_finite_positive_and_nearly_closed_for_any_atmosphere(
    elevation, aod700, precipitable_water, pressure
) -> None:
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        sky = simplified_solis(
            elevation, aod700=aod700, precipitable_water=precipitable_water, pressure=pressure
        )
    for component in COMPONENTS:
        assert 0.0 <= getattr(sky, component) < 1364.0
    sine = np.sin(np.radians(np.clip(elevation, 0.0, 90.0)))
    assert abs(sky.ghi - (sky.dni * sine + sky.dhi)) < 25.0


def test_closure_of_the_default_atmosphere_is_as_documented() -> None:
    elevation = np.linspace(0.0, 90.0, 9_001)
    sky = simplified_solis(elevation)
    gap = sky.ghi - sky.dni * np.sin(np.radians(elevation)) - sky.dhi
    assert np.abs(gap).max() < 11.0


@pytest.mark.parametrize(
    "field", ["aod700", "precipitable_water", "pressure", "dni_extra", "apparent_elevation"]
)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_atmosphere_is_refused_by_name(field, bad) -> None:
    arguments = {"apparent_elevation": [30.0, 40.0]} | {field: [1.0, bad]}
    with pytest.raises(ValueError, match=field):
        simplified_solis(**arguments)


@given(
    time_ms=st.integers(631_152_000_000, 2_556_144_000_000),
    latitude=st.floats(-90.0, 90.0),
    longitude=st.floats(-180.0, 180.0),
    tilt=st.floats(0.0, 90.0),
    azimuth=st.floats(0.0, 360.0),
    albedo=st.floats(0.0, 1.0),
)
@settings(deadline=None)
def test_plane_of_array_is_never_negative_and_dark_with_a_dark_sky(
    time_ms, latitude, longitude, tilt, azimuth, albedo
) -> None:
    position, sky = our_sky(time_ms, latitude, longitude)
    poa = clearsky_poa(position, sky, tilt, azimuth, albedo)
    assert 0.0 <= poa < 2_000.0
    if sky.ghi == 0.0:
        assert poa == 0.0


def test_horizontal_plane_gets_the_horizontal_components() -> None:
    position, sky = our_sky(1_718_971_200_000, 52.0, 5.0)  # 2024-06-21 12:00 UTC
    flat = clearsky_poa(position, sky, 0.0, 123.0)
    assert flat == pytest.approx(sky.dni * np.sin(np.radians(position.elevation)) + sky.dhi)


def test_plane_with_its_back_to_the_sun_gets_no_beam() -> None:
    position = solar_position(1_718_971_200_000, 52.0, 5.0)  # the sun is in the south
    beam_only = ClearSky(ghi=np.zeros(()), dni=np.asarray(900.0), dhi=np.zeros(()))
    assert clearsky_poa(position, beam_only, 90.0, 0.0) == 0.0
    assert clearsky_poa(position, beam_only, 90.0, 180.0) > 300.0


def test_power_is_nameplate_at_1000_watts_and_clipped_by_the_inverter() -> None:
    power = clearsky_ac_power([0.0, 500.0, 1000.0, 1200.0], 5_000.0, 4_600.0)
    np.testing.assert_array_equal(power, [0.0, 2_500.0, 4_600.0, 4_600.0])


def test_temperature_derate_agrees_with_pvlib() -> None:
    poa, temp_air = np.meshgrid(np.linspace(0.0, 1_100.0, 23), np.linspace(-25.0, 45.0, 15))
    cell = pvlib.temperature.ross(poa, temp_air, noct=45.0)
    expected = pvlib.pvsystem.pvwatts_dc(poa, cell, pdc0=5_000.0, gamma_pdc=-0.004)
    power = clearsky_ac_power(poa, 5_000.0, 1e9, temp_air=temp_air)
    np.testing.assert_allclose(power, expected, rtol=1e-12)


@given(
    poa=st.floats(0.0, 2_000.0),
    dc=st.floats(0.0, 1e9),
    ac=st.floats(0.0, 1e9),
    temp_air=st.none() | st.floats(-90.0, 500.0),
)
def test_power_stays_between_zero_and_the_inverter_limit(poa, dc, ac, temp_air) -> None:
    assert 0.0 <= clearsky_ac_power(poa, dc, ac, temp_air=temp_air) <= ac


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("poa_global", np.nan),
        ("dc_capacity_w", -1.0),
        ("ac_capacity_w", np.inf),
        ("temp_air", np.nan),
    ],
)
def test_unusable_plant_description_is_refused_by_name(field, bad) -> None:
    arguments = {"poa_global": 500.0, "dc_capacity_w": 5_000.0, "ac_capacity_w": 4_600.0}
    with pytest.raises(ValueError, match=field):
        clearsky_ac_power(**(arguments | {field: bad}))
