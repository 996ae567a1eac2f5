"""SunSpec registers become readings: scale factors, sentinels, sleep."""

from __future__ import annotations

import math

import pytest

from firmware_bridge import sunspec
from models.contract.record import Quality

NO_INT, NO_UINT = 0x8000, 0xFFFF


def model(**points: int) -> list[int]:
    """Model 103 with nothing in it but ``points`` (by the names of the specification)."""
    offsets = {
        "A": 2, "AphA": 3, "A_SF": 6, "PhVphA": 10, "PhVphB": 11, "PhVphC": 12, "V_SF": 13,
        "W": 14, "W_SF": 15, "Hz": 16, "Hz_SF": 17, "VA": 18, "VA_SF": 19, "VAr": 20, "VAr_SF": 21,
        "PF": 22, "PF_SF": 23, "WH_hi": 24, "WH_lo": 25, "WH_SF": 26, "DCA": 27, "DCA_SF": 28,
        "DCV": 29, "DCV_SF": 30, "DCW": 31, "DCW_SF": 32, "TmpCab": 33, "Tmp_SF": 37, "St": 38,
    }  # fmt: skip
    unsigned = {2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 16, 27, 29, 38, 39}
    registers = [NO_UINT if i in unsigned else NO_INT for i in range(52)]
    registers[0:2] = [103, 50]
    registers[24:26] = [0, 0]
    for name, value in points.items():
        registers[offsets[name]] = value & 0xFFFF
    return registers


def test_value_is_scaled_by_the_factor_beside_it() -> None:
    readings = sunspec.decode_inverter(model(W=13_950, W_SF=-1, Hz=4_999, Hz_SF=-2, St=4))
    assert readings["ac_power"].value == 1395.0
    assert readings["frequency"].value == 49.99
    assert readings["inverter_state"].value == 4


@pytest.mark.parametrize(("raw", "scale", "watts"), [(600, 0, 600), (60, 1, 600), (6000, -1, 600)])
def test_the_same_power_under_every_scale_factor(raw: int, scale: int, watts: float) -> None:
    assert sunspec.decode_inverter(model(W=raw, W_SF=scale, St=4))["ac_power"].value == watts


def test_values_that_are_not_implemented_are_missing() -> None:
    readings = sunspec.decode_inverter(model(St=4))
    state = readings.pop("inverter_state")
    assert state.value == 4
    assert {reading.quality for reading in readings.values()} == {Quality.MISSING}


@pytest.mark.parametrize("scale", [NO_INT, 11, -11, 0x7FFF])
def test_value_without_a_possible_scale_factor_is_missing(scale: int) -> None:
    reading = sunspec.decode_inverter(model(W=100, W_SF=scale, St=4))["ac_power"]
    assert reading.quality is Quality.MISSING


def test_zero_on_an_energy_counter_means_no_counter() -> None:
    readings = sunspec.decode_inverter(model(WH_hi=0, WH_lo=0, WH_SF=0, St=4))
    assert readings["ac_energy"].quality is Quality.MISSING
    readings = sunspec.decode_inverter(model(WH_hi=0x00DF, WH_lo=0xF1DA, WH_SF=0, St=4))
    assert readings["ac_energy"].value == 14_676_442


@pytest.mark.parametrize("state", [sunspec.OFF, sunspec.SLEEPING])
def test_sleeping_inverter_has_asleep_values_and_keeps_those_it_gives(state: int) -> None:
    readings = sunspec.decode_inverter(model(W=0, W_SF=0, St=state))
    assert readings["ac_power"].value == 0
    assert readings["ac_power"].quality is Quality.GOOD
    assert readings["dc_power"].quality is Quality.ASLEEP


def test_sleep_in_daylight_is_not_night() -> None:
    readings = sunspec.decode_inverter(model(St=sunspec.SLEEPING), daylight=True)
    assert readings["dc_power"].quality is Quality.MISSING
    readings = sunspec.decode_inverter(model(St=sunspec.SLEEPING), daylight=False)
    assert readings["dc_power"].quality is Quality.ASLEEP


def test_voltage_is_the_mean_of_the_phases_that_exist() -> None:
    one = sunspec.decode_inverter(model(PhVphA=2357, V_SF=-1, St=4))
    assert one["ac_voltage"].value == 235.7
    three = sunspec.decode_inverter(model(PhVphA=2286, PhVphB=2291, PhVphC=2274, V_SF=-1, St=4))
    assert three["ac_voltage"].value == pytest.approx(228.3667, abs=1e-4)


def test_value_beyond_the_possible_is_suspect_and_kept() -> None:
    reading = sunspec.decode_inverter(model(Hz=65_000, Hz_SF=-2, St=4))["frequency"]
    assert (reading.value, reading.quality) == (650.0, Quality.SUSPECT)


def test_power_factor_that_contradicts_the_powers_of_its_reply_is_suspect() -> None:
    powers = {"W": 940, "W_SF": 0, "VA": 978, "VA_SF": 0, "St": 4}
    percent = sunspec.decode_inverter(model(PF=-961, PF_SF=-1, **powers))["power_factor"]
    assert percent.value == pytest.approx(-0.961)
    assert percent.quality is Quality.GOOD
    plain = sunspec.decode_inverter(model(PF=961, PF_SF=-3, **powers))["power_factor"]
    assert plain.quality is Quality.SUSPECT


def test_every_register_at_every_extreme_gives_finite_values() -> None:
    for filler in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFF6, 0xFFFF):
        for reading in sunspec.decode_inverter([filler] * 52).values():
            assert reading.value is None or math.isfinite(reading.value)
