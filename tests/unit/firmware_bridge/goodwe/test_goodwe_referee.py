"""Every recorded reply of a real GoodWe inverter, value by value against the package ``goodwe``.

The referee maps a whole recording through its own sensors; our profile decodes the same bytes. What
both know must agree. Where we give no value and the referee gives one, the reason stands here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from goodwe.dt import DT
from goodwe.es import ES
from goodwe.et import ET
from goodwe.protocol import ProtocolResponse

from firmware_bridge.goodwe.framing import Aa55RtuFraming, decode_aa55_reply
from firmware_bridge.modbus.framing import TcpFraming
from firmware_bridge.modbus.request import READ_HOLDING, ReadRequest
from firmware_bridge.poll_plan import Block
from firmware_bridge.profile import load_profile
from firmware_bridge.values import Decoded
from models.contract.quantities import QUANTITIES

Names = tuple[str, ...]

# A name with a minus counts the other way round.
COMMON: dict[str, Names] = {
    "timestamp": ("device_time",),
    "error_codes": ("error_codes",),
    "safety_country": ("safety_country",),
    "rssi": ("rssi",),
    "warning_code": ("warning_code",),
    "work_mode": ("work_mode", "energy_mode"),
    "h_total": ("hours_total",),
    "diagnose_result": ("diagnose_status",),
}
DT_NAMES: dict[str, Names] = {
    **{f"vpv{n}": (f"dc_voltage_{n}",) for n in range(1, 5)},
    **{f"ipv{n}": (f"dc_current_{n}",) for n in range(1, 5)},
    **{f"ppv{n}": (f"dc_power_{n}",) for n in range(1, 5)},
    **{f"vgrid{n}": (f"ac_voltage_l{n}",) for n in range(1, 4)},
    **{f"igrid{n}": (f"ac_current_l{n}",) for n in range(1, 4)},
    **{f"pgrid{n}": (f"apparent_power_l{n}",) for n in range(1, 4)},
    "ppv": ("dc_power",),
    "vline1": ("ac_voltage_l1_l2",),
    "vline2": ("ac_voltage_l2_l3",),
    "vline3": ("ac_voltage_l3_l1",),
    "fgrid1": ("frequency",),
    "fgrid2": ("frequency_l2",),
    "fgrid3": ("frequency_l3",),
    "total_inverter_power": ("ac_power",),
    "apparent_power": ("apparent_power",),
    "reactive_power": ("reactive_power_as_sent",),
    "power_factor": ("power_factor_as_sent",),
    "temperature": ("temp_inverter",),
    "temperature_heatsink": ("heat_sink_temperature",),
    "e_day": ("energy_today",),
    "e_total": ("ac_energy",),
    "funbit": ("function_bits",),
    "vbus": ("bus_voltage",),
    "vnbus": ("bus_voltage_half",),
    "derating_mode": ("derating_mode",),
    "meter_active_power": ("-grid_power", "-meter_power_import"),
    "meter_e_total_exp": ("grid_export_energy", "meter_export_energy"),
    "meter_e_total_imp": ("grid_import_energy", "meter_import_energy"),
    "meter_comm_status": ("meter_communication",),
}
ET_NAMES: dict[str, Names] = {
    **{f"vpv{n}": (f"dc_voltage_{n}",) for n in range(1, 17)},
    **{f"ipv{n}": (f"dc_current_{n}",) for n in range(1, 17)},
    **{f"ppv{n}": (f"dc_power_{n}",) for n in range(1, 5)},
    **{f"backup_v{n}": (f"backup_voltage_l{n}",) for n in range(1, 4)},
    **{f"backup_i{n}": (f"backup_current_l{n}",) for n in range(1, 4)},
    **{f"backup_f{n}": (f"backup_frequency_l{n}",) for n in range(1, 4)},
    **{f"backup_p{n}": (f"backup_power_l{n}",) for n in range(1, 4)},
    **{f"load_mode{n}": (f"load_mode_l{n}",) for n in range(1, 4)},
    **{f"load_p{n}": (f"load_power_l{n}",) for n in range(1, 4)},
    **{f"active_power{n}": (f"meter_power_l{n}_short",) for n in range(1, 4)},
    **{
        f"meter_active_power{n}": (f"-grid_power_l{n}", f"-meter_power_l{n}_import")
        for n in range(1, 4)
    },
    **{f"meter_reactive_power{n}": (f"meter_reactive_power_l{n}",) for n in range(1, 4)},
    **{f"meter_apparent_power{n}": (f"meter_apparent_power_l{n}",) for n in range(1, 4)},
    **{f"meter_voltage{n}": (f"meter_voltage_l{n}",) for n in range(1, 4)},
    **{f"meter_current{n}": (f"meter_current_l{n}",) for n in range(1, 4)},
    **{f"meter_e_total_exp{n}": (f"meter_export_energy_l{n}",) for n in range(1, 4)},
    **{f"meter_e_total_imp{n}": (f"meter_import_energy_l{n}",) for n in range(1, 4)},
    **{f"pmppt{n}": (f"tracker_{n}_power",) for n in range(1, 9)},
    **{f"imppt{n}": (f"tracker_{n}_current",) for n in range(1, 9)},
    **{f"reactive_power{n}": (f"reactive_power_l{n}_as_sent",) for n in range(1, 4)},
    **{f"apparent_power{n}": (f"apparent_power_l{n}",) for n in range(1, 4)},
    "ppv": ("dc_power",),
    "vgrid": ("ac_voltage_l1",),
    "vgrid2": ("ac_voltage_l2", "voltage_l2_as_sent"),
    "vgrid3": ("ac_voltage_l3", "voltage_l3_as_sent"),
    "igrid": ("ac_current_l1",),
    "igrid2": ("ac_current_l2", "current_l2_as_sent"),
    "igrid3": ("ac_current_l3", "current_l3_as_sent"),
    "fgrid": ("frequency",),
    "fgrid2": ("frequency_l2",),
    "fgrid3": ("frequency_l3",),
    "pgrid": ("ac_power_l1",),
    "pgrid2": ("ac_power_l2", "power_l2_as_sent"),
    "pgrid3": ("ac_power_l3", "power_l3_as_sent"),
    "grid_mode": ("grid_mode",),
    "total_inverter_power": ("ac_power",),
    "active_power": ("-grid_power", "-grid_power_import"),
    "reactive_power": ("reactive_power_as_sent",),
    "apparent_power": ("apparent_power",),
    "backup_ptotal": ("backup_power",),
    "load_ptotal": ("grid_side_load_power",),
    "ups_load": ("backup_load",),
    "temperature_air": ("temp_inverter",),
    "temperature_module": ("module_temperature",),
    "temperature": ("heat_sink_temperature",),
    "function_bit": ("function_bits",),
    "bus_voltage": ("bus_voltage",),
    "nbus_voltage": ("bus_voltage_half",),
    "vbattery1": ("battery_voltage", "battery_1_voltage"),
    "ibattery1": ("battery_current", "battery_1_current"),
    "pbattery1": ("battery_1_power",),
    "battery_mode": ("battery_mode",),
    "operation_mode": ("operation_mode",),
    "e_total": ("dc_energy",),
    "e_day": ("dc_energy_today",),
    "e_total_exp": ("ac_energy",),
    "e_day_exp": ("ac_energy_today",),
    "e_total_imp": ("ac_energy_taken",),
    "e_day_imp": ("ac_energy_taken_today",),
    "e_load_total": ("load_energy",),
    "e_load_day": ("load_energy_today",),
    "e_bat_charge_total": ("battery_charge_energy",),
    "e_bat_charge_day": ("battery_charge_energy_today",),
    "e_bat_discharge_total": ("battery_discharge_energy",),
    "e_bat_discharge_day": ("battery_discharge_energy_today",),
    "battery_bms": ("battery_bms",),
    "battery_index": ("battery_index",),
    "battery_status": ("battery_status",),
    "battery_temperature": ("temp_battery", "battery_1_temperature"),
    "battery_charge_limit": ("battery_charge_limit",),
    "battery_discharge_limit": ("battery_discharge_limit",),
    "battery_error_l": ("battery_error_low",),
    "battery_error_h": ("battery_error_high",),
    "battery_warning_l": ("battery_warning_low",),
    "battery_warning_h": ("battery_warning_high",),
    "battery_soc": ("battery_soc", "battery_1_soc"),
    "battery_soh": ("battery_soh", "battery_1_soh"),
    "battery_modules": ("battery_modules",),
    "battery_protocol": ("battery_protocol",),
    "battery_sw_version": ("battery_software_version",),
    "battery_hw_version": ("battery_hardware_version",),
    "battery_max_cell_temp_id": ("battery_warmest_cell",),
    "battery_min_cell_temp_id": ("battery_coldest_cell",),
    "battery_max_cell_voltage_id": ("battery_highest_cell",),
    "battery_min_cell_voltage_id": ("battery_lowest_cell",),
    "battery_max_cell_temp": ("battery_warmest_cell_temperature",),
    "battery_min_cell_temp": ("battery_coldest_cell_temperature",),
    "battery_max_cell_voltage": ("battery_highest_cell_voltage",),
    "battery_min_cell_voltage": ("battery_lowest_cell_voltage",),
    "vbattery2": ("battery_2_voltage",),
    "ibattery2": ("battery_2_current",),
    "pbattery2": ("battery_2_power",),
    "battery2_mode": ("battery_2_mode",),
    "commode": ("communication_mode",),
    "manufacture_code": ("manufacturer_code",),
    "meter_test_status": ("meter_test_status",),
    "meter_comm_status": ("meter_communication",),
    "active_power_total": ("meter_power_short",),
    "reactive_power_total": ("meter_reactive_power_short",),
    "meter_freq": ("meter_frequency",),
    "meter_active_power_total": ("meter_power",),
    "meter_reactive_power_total": ("meter_reactive_power",),
    "meter_apparent_power_total": ("meter_apparent_power",),
    "meter_type": ("meter_type",),
    "meter_sw_version": ("meter_software_version",),
    "meter2_active_power": ("meter_2_power",),
    "meter2_e_total_exp": ("meter_2_export_energy",),
    "meter2_e_total_imp": ("meter_2_import_energy",),
    "meter2_comm_status": ("meter_2_communication",),
    "ppv_total": ("input_power_total",),
    "pv_channel": ("input_channels",),
}
ES_NAMES: dict[str, Names] = {
    **{f"vpv{n}": (f"dc_voltage_{n}",) for n in (1, 2)},
    **{f"ipv{n}": (f"dc_current_{n}",) for n in (1, 2)},
    **{f"ppv{n}": (f"dc_power_{n}",) for n in (1, 2)},
    **{f"pv{n}_mode": (f"input_{n}_mode",) for n in (1, 2)},
    "ppv": ("dc_power",),
    "vbattery1": ("battery_voltage", "battery_voltage_as_sent"),
    "ibattery1": ("battery_current",),
    "pbattery1": ("battery_power",),
    "battery_status": ("battery_status",),
    "battery_temperature": ("temp_battery", "battery_temperature"),
    "battery_charge_limit": ("battery_charge_limit",),
    "battery_discharge_limit": ("battery_discharge_limit",),
    "battery_error": ("battery_error",),
    "battery_warning": ("battery_warning",),
    "battery_soc": ("battery_soc", "battery_soc_as_sent"),
    "battery_soh": ("battery_soh", "battery_soh_as_sent"),
    "battery_mode": ("battery_mode",),
    "meter_status": ("meter_communication",),
    "vgrid": ("ac_voltage_l1",),
    "igrid": ("ac_current_l1",),
    "pgrid": ("-grid_power",),
    "fgrid": ("frequency",),
    "grid_mode": ("grid_mode",),
    "vload": ("backup_voltage",),
    "iload": ("backup_current",),
    "pload": ("grid_side_load_power",),
    "fload": ("backup_frequency",),
    "load_mode": ("load_mode",),
    "temperature": ("temp_inverter",),
    "e_total": ("dc_energy",),
    "e_day": ("dc_energy_today",),
    "e_load_day": ("load_energy_today",),
    "e_load_total": ("load_energy",),
    "total_power": ("ac_power",),
    "effective_work_mode": ("effective_work_mode",),
    "effective_relay_control": ("effective_relay_control",),
    "grid_in_out": ("grid_direction",),
    "pback_up": ("backup_power",),
    "plant_power": ("plant_power",),
    "meter_power_factor": ("meter_power_factor_as_sent",),
}
SETTING_NAMES: dict[str, Names] = {
    "backup_supply": ("backup_supply",),
    "off-grid_charge": ("off_grid_charge",),
    "shadow_scan": ("shadow_scan",),
    "grid_export": ("grid_export_limit_enabled",),
    "capacity": ("battery_capacity",),
    "charge_v": ("charge_voltage",),
    "charge_i": ("charge_current_limit",),
    "discharge_i": ("discharge_current_limit",),
    "discharge_v": ("discharge_voltage",),
    "battery_activated": ("battery_activated",),
    "bp_off_grid_charge": ("bp_off_grid_charge",),
    "bp_pv_discharge": ("bp_pv_discharge",),
    "bp_bms_protocol": ("bp_bms_protocol",),
    "power_factor": ("power_factor_setting",),
    "grid_export_limit": ("grid_export_limit",),
    "battery_soc_protection": ("battery_soc_protection",),
    "work_mode": ("work_mode_setting",),
    "grid_quality_check": ("grid_quality_check",),
}

LEFT_OUT = {
    r".*_label|errors|battery_error|battery_warning": "texts of codes that are there",
    r"pv[1-4]_mode": "two bytes in one register; the register is there",
    r"grid_in_out|house_consumption": "computed from others; load_power is measured",
    r"meter_power_factor.*": "24.236 on a GW25K-ET",
    r"total_input_power": "the referee reads the upper half of 32 bits",
    r"meter_e_total_(exp|imp)": "two registers under one name; tested below",
    r"dod": "100 less least_soc; tested below",
    r"eco_mode_.*": "schedules of the battery, read one by one",
}
"""What of the referee we do not give, as patterns, and why."""

WITHHELD: dict[tuple[str, str], str] = {
    ("GEH10-1U-10_running_data", "vgrid2"): "one phase: frequency all ones, voltage garbage",
    ("GEH10-1U-10_running_data", "vgrid3"): "the same",
    ("GEH10-1U-10_running_data", "backup_v2"): "the same",
    ("GEH10-1U-10_running_data", "backup_i2"): "the same",
}
"""Values of one recording that the referee believes and we do not."""


@dataclass(frozen=True)
class Compared:
    """One recording, read by both."""

    ours: Decoded
    theirs: dict[str, Any]
    units: dict[str, str]
    names: dict[str, Names]


def hex_of(path: Path) -> bytes:
    return bytes.fromhex(path.read_text().strip())


ADDRESSES = {
    "dt device_info": 30001,
    "dt running_data": 30100,
    "et device_info": 35000,
    "et running_data": 35100,
    "et battery2_info_extended": 35262,
    "et mppt_data": 35301,
    "et meter_data": 36000,
    "et battery_info": 37000,
}
"""What a recording holds, by the family and its name; a reply itself names no address."""


def registers_of(path: Path) -> tuple[Block, bytes]:
    """What a recording of the DT or ET family holds; checked as on a link."""
    (address,) = (
        address
        for kind, address in ADDRESSES.items()
        if kind.split()[0] == path.parent.name and kind.split()[1] in path.stem
    )
    frame = hex_of(path)
    if frame[:2] != b"\xaa\x55":
        transaction, unit = int.from_bytes(frame[:2], "big"), frame[6]
        request = ReadRequest(unit, READ_HOLDING, address, frame[8] // 2, transaction)
        data = TcpFraming().check(request, frame)
    else:
        if frame[: len(frame) // 2] == frame[len(frame) // 2 :]:
            frame = frame[: len(frame) // 2]  # this file holds its reply twice
        request = ReadRequest(frame[2], READ_HOLDING, address, frame[4] // 2)
        data = Aa55RtuFraming().check(request, frame)
    assert data is not None
    return Block(READ_HOLDING, address, request.count), data


def decode(path: Path) -> Decoded:
    profile = load_profile(f"goodwe-{path.parent.name}")
    if path.parent.name == "es":
        command, payload = decode_aa55_reply(hex_of(path))
        return profile.decode_recording([(Block(command, 0, len(payload)), payload)])
    return profile.decode_recording([registers_of(path)])


def registers_taken(sensor: Any) -> int:
    """The referee gives values of four bytes the size of two where they are var or VA."""
    return 2 if type(sensor).__name__.endswith("4") else max(1, sensor.size_ // 2)


def referee(path: Path) -> tuple[dict[str, Any], dict[str, str], dict[str, Names]]:
    """Values of the referee for a recording, their units, and what we call them."""
    family, frame = path.parent.name, hex_of(path)
    if family == "es":
        inverter: Any = ES("localhost", 8899)
        settings = path.stem.endswith("settings_data")
        sensors = (
            tuple(s for s in inverter._settings.values() if s.offset < 86)
            if settings
            else ES._ES__sensors  # type: ignore[attr-defined]
        )
        command = (
            inverter._READ_DEVICE_SETTINGS_DATA if settings else inverter._READ_DEVICE_RUNNING_DATA
        )
        names = SETTING_NAMES if settings else ES_NAMES
    else:
        inverter = (ET if family == "et" else DT)("localhost", 8899)
        read, data = registers_of(path)
        names = ET_NAMES if family == "et" else DT_NAMES
        command = inverter._read_command(read.address, read.count)
        frame = b"\xaa\x55" + bytes((0xF7, 3, len(data))) + data + b"\0\0"
        known = (
            inverter._sensors
            + inverter._sensors_meter
            + (
                inverter._sensors_battery
                + inverter._sensors_battery2
                + inverter._sensors_battery2_extended
                + inverter._sensors_mppt
                if family == "et"
                else ()
            )
        )
        end = read.address + read.count
        # Computed values have no place of their own: they belong to the running data.
        sensors = tuple(
            s
            for s in known
            if (s.offset == 0 and "running_data" in path.stem)
            or (read.address <= s.offset and s.offset + registers_taken(s) <= end)
        )
    values = inverter._map_response(ProtocolResponse(frame, command), sensors)
    return values, {s.id_: s.unit for s in sensors}, {**COMMON, **names}


def value_of(decoded: Decoded, name: str) -> Any:
    if name in decoded.readings:
        return decoded.readings[name].value
    return decoded.details[name].value


def unit_of(decoded: Decoded, name: str) -> str:
    return QUANTITIES[name].unit if name in decoded.readings else decoded.details[name].unit


def is_left_out(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in LEFT_OUT)


def means_nothing(value: Any) -> bool:
    """Whether the referee's value is what a sentinel looks like after its scaling."""
    return value is None or value in (0, -1, -0.1, -0.01, -0.001)


def recordings(data_dir: Path, *kinds: str) -> list[Path]:
    folder = data_dir / "devices" / "goodwe-modbus-replies"
    found = sorted(
        path for path in folder.glob("*/*.hex") if any(kind in path.name for kind in kinds)
    )
    assert found
    return found


def compared(path: Path) -> tuple[int, int, list[str]]:
    """Values that agree, values of the referee that mean nothing, and what is wrong."""
    ours = decode(path)
    theirs, units, names = referee(path)
    agreed, empty, wrong = 0, 0, []
    for key, value in theirs.items():
        if is_left_out(key):
            continue
        mine = [
            name for name in names.get(key, ()) if name.lstrip("-") in ours.readings | ours.details
        ]
        if not mine:
            wrong.append(f"{key}: not known to us")
        for name in mine:
            bare = name.lstrip("-")
            got = value_of(ours, bare)
            if got is None:
                if means_nothing(value) or (path.stem, key) in WITHHELD:
                    empty += 1
                else:
                    wrong.append(f"{key}: {value}, but our {bare} is missing")
                continue
            if isinstance(value, datetime):
                expected: Any = value.isoformat(" ")
                same = got == expected
            else:
                factor = 1000 if units[key] == "kWh" and unit_of(ours, bare) == "Wh" else 1
                expected = value * factor * (-1 if name != bare else 1)
                # The referee rounds products of volts and amperes, each by itself, to whole watts.
                rounds = key.startswith(("ppv", "pgrid", "pbattery", "plant")) and units[key] == "W"
                same = got == pytest.approx(expected, abs=2.0 if rounds else 1e-6, rel=1e-9)
                same = same or got == connected_power(ours, key)
            if same:
                agreed += 1
            else:
                wrong.append(f"{key}: {expected}, but our {bare} is {got}")
    return agreed, empty, wrong


def connected_power(ours: Decoded, key: str) -> float | None:
    """ES: power of the inputs that are connected; the referee also counts the others."""
    if key not in ("ppv", "ppv1", "ppv2") or "input_1_mode" not in ours.details:
        return None
    numbers = (1, 2) if key == "ppv" else (int(key[-1]),)
    return sum(
        value_of(ours, f"dc_voltage_{n}") * value_of(ours, f"dc_current_{n}")
        for n in numbers
        if value_of(ours, f"input_{n}_mode")
    )


def test_all_measured_values_agree_with_the_referee(data_dir: Path) -> None:
    total = 0
    problems: list[str] = []
    kinds = ("running_data", "meter_data", "battery", "mppt", "settings")
    for path in recordings(data_dir, *kinds):
        agreed, empty, wrong = compared(path)
        print(f"{path.stem}: {agreed} values agree, {empty} are none, {len(wrong)} wrong")
        problems += [f"{path.stem}: {one}" for one in wrong]
        total += agreed
        assert agreed >= 4, path.stem
    print(f"together: {total} values agree")
    assert not problems, "\n".join(problems)
    assert total > 800


@pytest.mark.parametrize(
    ("family", "numbers", "texts"),
    [
        (
            "et",
            {"modbus_version": 0, "rated_power": 2, "dsp1_version": 32, "dsp2_version": 34}
            | {"dsp_svn_version": 36, "arm_version": 38, "arm_svn_version": 40},
            {"serial_number": (6, 22), "model_name": (22, 32), "arm_firmware": (54, 66)},
        ),
        (
            "dt",
            {"dsp1_version": 66, "dsp2_version": 68, "arm_version": 70}
            | {"dsp_svn_version": 72, "arm_svn_version": 74},
            {"serial_number": (6, 22)},
        ),
        (
            "es",
            {},
            {"firmware": (0, 5), "model_name": (5, 15)}
            | {"serial_number": (31, 47), "arm_firmware": (51, 63)},
        ),
    ],
)
def test_what_devices_say_of_themselves_stands_where_the_referee_finds_it(
    data_dir: Path, family: str, numbers: dict[str, int], texts: dict[str, tuple[int, int]]
) -> None:
    count = 0
    for path in recordings(data_dir, "device_info"):
        if path.parent.name != family:
            continue
        ours = decode(path)
        data = decode_aa55_reply(hex_of(path))[1] if family == "es" else registers_of(path)[1]
        for name, at in numbers.items():
            number = int.from_bytes(data[at : at + 2], "big")
            assert value_of(ours, name) == (None if number == 0xFFFF else number), path.stem
            count += 1
        for name, (start, stop) in texts.items():
            raw = data[start:stop]
            expected = "" if raw.strip(b"\0\xff") == b"" else raw.decode("ascii").rstrip(" \0")
            assert value_of(ours, name) == expected, path.stem
            count += 1
    print(f"{family}: {count} values agree")
    assert count >= 8


def test_meter_energies_of_a_gw10k_are_the_floats(data_dir: Path) -> None:
    (path,) = [p for p in recordings(data_dir, "meter_data") if p.stem == "GW10K-ET_meter_data"]
    ours = decode(path)
    # 0x46244980 and 0x4a46a2f9 as IEEE 754, in watt-hours.
    assert value_of(ours, "meter_export_energy") == pytest.approx(10_514.375)
    assert value_of(ours, "meter_import_energy") == pytest.approx(3_254_462.25)


def test_zero_counters_of_platform_745_are_no_energies(data_dir: Path) -> None:
    (path,) = [p for p in recordings(data_dir, "meter_data") if p.stem == "GW25K-ET_meter_data"]
    assert value_of(decode(path), "meter_import_energy") is None


@pytest.mark.parametrize("name", ["goodwe-et", "goodwe-dt"])
def test_recorded_replies_have_the_length_of_a_read_that_the_profile_names(
    data_dir: Path, name: str
) -> None:
    requests = load_profile(name).file.requests
    assert requests is not None
    family = name.removeprefix("goodwe-")
    for path in recordings(data_dir, "_"):
        if path.parent.name == family:
            block, _ = registers_of(path)
            assert (block.function, block.address, block.count) in requests.usual, path.stem
