"""Recorded replies whose values were read off the bytes by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.goodwe.framing import Aa55RtuFraming, decode_aa55_reply
from firmware_bridge.modbus.request import READ_HOLDING, ReadRequest
from firmware_bridge.poll_plan import Block
from firmware_bridge.profile import load_profile
from firmware_bridge.values import Decoded


def read(data_dir: Path, name: str, address: int) -> Decoded:
    path = data_dir / "devices" / "goodwe-modbus-replies" / name
    frame = bytes.fromhex(path.read_text().strip())
    request = ReadRequest(frame[2], READ_HOLDING, address, frame[4] // 2)
    data = Aa55RtuFraming().check(request, frame)
    assert data is not None
    profile = load_profile(f"goodwe-{path.parent.name}")
    return profile.decode_recording([(Block(READ_HOLDING, address, request.count), data)])


def values(decoded: Decoded) -> dict[str, float | None]:
    return {name: reading.value for name, reading in decoded.readings.items()}


def test_a_gw17k_dt_at_noon(data_dir: Path) -> None:
    got = values(read(data_dir, "dt/GW17K-DT_running_data.hex", 30100))
    assert got["dc_voltage_1"] == 540.0  # 0x1518
    assert got["dc_current_1"] == 10.5  # 0x0069
    assert got["dc_voltage_3"] is None  # 0xFFFF: two inputs only
    assert got["ac_voltage_l1"] == 236.7  # 0x093F
    assert got["frequency"] == 50.02  # 0x138A
    assert got["ac_power"] == 12_470  # 0x30B6
    assert got["temp_inverter"] == 45.7  # 0x01C9
    assert got["ac_energy"] == 29_984_400  # 0x00049344 tenths of a kWh
    assert got["inverter_state"] == 4
    assert got["apparent_power"] is None  # 0 at 12 kW: this model does not tell
    assert got["ac_voltage"] == pytest.approx((236.7 + 238.3 + 237.3) / 3)


def test_the_mean_voltage_of_one_phase_leaves_out_the_phases_that_read_zero(
    data_dir: Path,
) -> None:
    got = values(read(data_dir, "dt/GW10K-MS-30_running_data.hex", 30100))
    assert got["ac_voltage_l1"] == 236.2
    assert got["ac_voltage_l2"] is None
    assert got["ac_voltage"] == 236.2


def test_active_power_is_not_what_volts_times_amperes_give(data_dir: Path) -> None:
    decoded = read(data_dir, "dt/GW20K-SDT-20_running_data.hex", 30100)
    apparent = sum(decoded.details[f"apparent_power_l{n}"].value for n in (1, 2, 3))  # type: ignore[misc]
    assert decoded.readings["ac_power"].value == 4461
    assert decoded.readings["apparent_power"].value == 5840
    assert apparent == pytest.approx(5840, rel=0.05)
    # The total of the inputs takes 32 bits: its lower half alone holds the number.
    assert decoded.details["total_input_power"].value == 6094


def test_a_gw10k_et_charging_its_battery(data_dir: Path) -> None:
    decoded = read(data_dir, "et/GW10K-ET_running_data.hex", 35100)
    got = values(decoded)
    assert got["dc_power_1"] == 1695  # 0x0000069F
    assert got["dc_power"] == 3456
    assert got["ac_power"] == 831  # 0x033F
    assert decoded.details["battery_1_power"].value == -2512  # charging
    assert got["dc_energy"] == 6_085_300  # 0x0000EDB5 tenths of a kWh
    assert got["load_energy"] == 8_820_200


@pytest.mark.parametrize(
    ("name", "export"),
    [
        ("GEH10-1U-10_running_data", 4277),
        ("GW10K-ET_running_data", -3),
        ("GW25K-ET_running_data", 1511),
    ],
)
def test_load_is_what_leaves_the_inverter_and_does_not_go_to_the_grid(
    data_dir: Path, name: str, export: int
) -> None:
    got = values(read(data_dir, f"et/{name}.hex", 35100))
    assert got["ac_power"] is not None
    assert got["load_power"] == got["ac_power"] - export


def test_an_es_by_its_bytes(data_dir: Path) -> None:
    path = data_dir / "devices/goodwe-modbus-replies/es/GW5048-EM_running_data.hex"
    command, payload = decode_aa55_reply(bytes.fromhex(path.read_text().strip()))
    assert (command, len(payload)) == (0x0106, 140)
    decoded = load_profile("goodwe-es").decode_recording([(Block(command, 0, 140), payload)])
    got = values(decoded)
    assert got["dc_voltage_2"] == 340.9  # 0x0D51
    assert got["ac_voltage_l1"] == 241.5  # 0x096F
    assert got["ac_current_l1"] == 4.3  # 0x002B
    assert got["frequency"] == 49.87  # 0x137B
    assert got["ac_power"] == 1032  # 0x0408
    assert got["temp_inverter"] == 34.8  # 0x015C
    assert got["dc_energy"] == 957_800  # 0x0000256A tenths of a kWh
    assert got["inverter_state"] == 4


def test_a_payload_of_an_older_firmware_ends_before_the_newer_values(data_dir: Path) -> None:
    path = data_dir / "devices/goodwe-modbus-replies/es/GW5048D-ES_running_data.hex"
    command, payload = decode_aa55_reply(bytes.fromhex(path.read_text().strip()))
    whole = load_profile("goodwe-es").decode_recording([(Block(command, 0, 95), payload)])
    cut = load_profile("goodwe-es").decode_recording([(Block(command, 0, 60), payload[:60])])
    assert whole.readings["ac_power"].value == 393
    assert "ac_power" not in cut.readings or cut.readings["ac_power"].value is None
