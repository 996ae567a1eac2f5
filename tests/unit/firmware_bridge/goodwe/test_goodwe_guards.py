"""Values of GoodWe inverters that another byte gives their sign, or says that they mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.goodwe.framing import decode_aa55_reply
from firmware_bridge.poll_plan import Block
from firmware_bridge.profile import load_profile
from firmware_bridge.values import Decoded

MODE, DIRECTION, METER = 30, 80, 33  # bytes of the running data of an ES


@pytest.fixture
def replies(data_dir: Path) -> Path:
    return data_dir / "devices" / "goodwe-modbus-replies"


def es(replies: Path, name: str, changes: dict[int, int] | None = None) -> Decoded:
    text = (replies / "es" / f"{name}_running_data.hex").read_text()
    command, payload = decode_aa55_reply(bytes.fromhex(text.strip()))
    changed = bytearray(payload)
    for at, byte in (changes or {}).items():
        changed[at] = byte
    block = Block(command, 0, len(payload))
    return load_profile("goodwe-es").decode_recording([(block, bytes(changed))])


def et(replies: Path, name: str, address: int, changes: dict[int, int] | None = None) -> Decoded:
    frame = bytes.fromhex((replies / "et" / f"{name}.hex").read_text().strip())
    data = bytearray(frame[5 : 5 + frame[4]])
    for register, number in (changes or {}).items():
        at = 2 * (register - address)
        data[at : at + 2] = number.to_bytes(2, "big")
    block = Block(3, address, len(data) // 2)
    return load_profile("goodwe-et").decode_recording([(block, bytes(data))])


def test_a_charging_es_takes_power_and_a_discharging_one_gives_it(replies: Path) -> None:
    charging, giving = es(replies, "GW5000S-BP"), es(replies, "GW5048D-ES")
    assert charging.readings["battery_current"].value == pytest.approx(-9.9)
    assert charging.readings["battery_power"].value == pytest.approx(-9.9 * 50.3)
    assert giving.readings["battery_power"].value == pytest.approx(9.5 * 49.4)


def test_an_es_without_a_battery_has_no_battery_values(replies: Path) -> None:
    decoded = es(replies, "GW5048-EM-no-bat")
    for name in ("battery_power", "battery_current", "battery_voltage", "battery_soc"):
        assert decoded.readings[name].value is None, name


@pytest.mark.parametrize(("direction", "power"), [(0, -184), (1, -184), (2, 184), (7, None)])
def test_the_grid_power_of_an_es_has_its_sign_elsewhere(
    replies: Path, direction: int, power: int | None
) -> None:
    decoded = es(replies, "GW5000S-BP", {DIRECTION: direction})
    assert decoded.readings["grid_power"].value == power


def test_without_a_meter_an_es_has_no_grid_power(replies: Path) -> None:
    assert es(replies, "GW5048-EM", {METER: 0}).readings["grid_power"].value is None


def test_inputs_that_a_bp_does_not_have_give_no_power(replies: Path) -> None:
    assert es(replies, "GW5000S-BP").readings["dc_power"].value == 0


def test_voltages_of_phases_that_an_inverter_does_not_have_are_not_believed(
    replies: Path,
) -> None:
    decoded = et(replies, "GEH10-1U-10_running_data", 35100)
    for name in ("ac_voltage_l2", "ac_voltage_l3", "ac_power_l2", "ac_current_l3"):
        assert decoded.readings[name].value is None, name
    assert decoded.readings["ac_voltage"].value == 242.9
    assert decoded.readings["ac_current"].value == 36.5


def test_export_is_negative_grid_power(replies: Path) -> None:
    assert et(replies, "GW25K-ET_running_data", 35100).readings["grid_power"].value == -1511
    meter = et(replies, "GW25K-ET_meter_data", 36000)
    assert [meter.readings[f"grid_power_l{n}"].value for n in (1, 2, 3)] == [208, 166, 114]


def test_a_meter_that_does_not_answer_gives_no_power(replies: Path) -> None:
    decoded = et(replies, "GW10K-ET_meter_data", 36000, {36004: 0})
    assert decoded.readings["grid_power_l1"].value is None
    assert decoded.readings["grid_import_energy"].value is None


def test_an_et_of_50_kw_does_not_turn_negative(replies: Path) -> None:
    decoded = et(replies, "GW25K-ET_running_data", 35100, {35137: 0, 35138: 50_000})
    assert decoded.readings["ac_power"].value == 50_000


def test_the_meter_energies_are_watt_hours(replies: Path) -> None:
    decoded = et(replies, "GW10K-ET_meter_data", 36000)
    assert decoded.readings["grid_import_energy"].value == pytest.approx(3_254_462.25)
    assert decoded.readings["grid_export_energy"].value == pytest.approx(10_514.375)
