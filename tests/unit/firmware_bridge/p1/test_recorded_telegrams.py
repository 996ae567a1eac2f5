"""Recorded telegrams against the numbers written in them, and against dsmr-parser as a referee."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

from firmware_bridge.drivers.p1 import decode_telegrams
from firmware_bridge.p1 import identify_telegram
from firmware_bridge.recorded import Refused
from firmware_bridge.values import Decoded
from models.contract.record import Quality

WRITTEN: dict[str, dict[str, float]] = {
    "esy5q3db1024_v304": {
        "grid_power": 2124.86,
        "grid_power_l1": 747.85,
        "grid_power_l2": 737.28,
        "grid_power_l3": 639.73,
        "grid_import_energy": 52185782.5309,
        "grid_export_energy": 19949322.1493,
    },
    "fluvius_v171": {
        "grid_power": 0.0,
        "grid_import_energy": 15792.0,
        "grid_export_energy": 11.0,
        "ac_voltage": 234.7,
        "ac_voltage_l3": 234.7,
        "ac_current": 0.0,
        "grid_power_l2": 0.0,
    },
    "v2_2": {"grid_power": 1010.0, "grid_import_energy": 2002.0, "grid_export_energy": 2002.0},
    "v3": {"grid_power": 1190.0, "grid_import_energy": 24691356.0},
    "v4_2": {
        "grid_power": 2027.0,
        "grid_import_energy": 3016829.0,
        "grid_power_l1": 170.0,
        "grid_power_l2": 1247.0,
        "grid_power_l3": 209.0,
        "ac_current": 8.0,
        "ac_current_l2": 6.0,
    },
    "v5": {
        "grid_power": 244.0,
        "grid_import_energy": 6825.0,
        "grid_export_energy": 2444.0,
        "ac_voltage_l3": 229.0,
        "ac_voltage": 689.0 / 3,
        "ac_current": 1.78,
        "grid_power_l3": 142.0,
    },
    "v5_two_mbus": {
        "grid_power": 111.0,
        "grid_import_energy": 2375582.0,
        "ac_voltage_l2": 229.2,
        "ac_current": 1.0,
        "grid_power_l3": 55.0,
    },
}
REFEREES: dict[str, Any] = {
    "esy5q3db1024_v304": telegram_specifications.Q3D,
    "fluvius_v171": telegram_specifications.BELGIUM_FLUVIUS,
    "v2_2": telegram_specifications.V2_2,
    "v3": telegram_specifications.V3,
    "v4_2": telegram_specifications.V4,
    "v5": telegram_specifications.V5,
    "v5_two_mbus": telegram_specifications.V5,
}


def decoded(data: bytes) -> Decoded:
    (result,) = decode_telegrams(data)
    assert isinstance(result, Decoded), result
    return result


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_written_in_the_telegram(telegrams: dict[str, bytes], name: str) -> None:
    readings = decoded(telegrams[name]).readings
    for quantity, number in WRITTEN[name].items():
        assert readings[quantity].value == pytest.approx(number, rel=1e-15), quantity
        assert readings[quantity].quality is Quality.GOOD, quantity


def test_a_heat_meter_has_details_alone(telegrams: dict[str, bytes]) -> None:
    heat = decoded(telegrams["unpadded_crc"])
    assert not heat.readings
    assert (heat.details["heat_1_reading"].value, heat.details["heat_1_reading"].unit) == (
        240.86,
        "GJ",
    )
    assert heat.details["heat_1_reading_time"].value == "2026-02-15T19:05:23Z"


def test_gas_of_old_meters_goes_over_two_lines(telegrams: dict[str, bytes]) -> None:
    for name, time in (("v2_2", "2016-11-07T19:00:00"), ("v3", "2009-02-12T16:00:00")):
        details = decoded(telegrams[name]).details
        assert details["gas_1_reading"].value == 1.001, name
        assert details["gas_1_reading_time"].value == time, name


def test_a_gas_meter_that_was_never_read_shows_no_reading(telegrams: dict[str, bytes]) -> None:
    details = decoded(telegrams["v5_two_mbus"]).details
    assert details["gas_1_reading"].quality is Quality.MISSING
    assert details["gas_2_reading"].value == 246.138


def test_meters_say_who_they_are(telegrams: dict[str, bytes], read: Callable[..., Any]) -> None:
    (telegram,) = read(telegrams["v5"])
    identity = identify_telegram(telegram, "meter")
    assert identity.manufacturer == "Iskraemeco"
    assert identity.serial_number == "K8EG004046395507"
    assert identity.version == "DSMR 5.0"


@pytest.mark.parametrize("name", REFEREES)
@pytest.mark.filterwarnings("ignore")
def test_the_referee_reads_the_same(telegrams: dict[str, bytes], name: str) -> None:
    text = telegrams[name].decode("latin-1")
    other = TelegramParser(REFEREES[name]).parse(text)
    mine = decoded(telegrams[name]).readings
    compared = 0

    def base(field: str) -> float | None:
        found = getattr(other, field, None)
        if found is None:
            return None
        factor = 1000 if str(found.unit).startswith("k") else 1
        return float(found.value * factor)

    def same(quantity: str, *parts: float | None) -> None:
        nonlocal compared
        numbers = [part for part in parts if part is not None]
        if numbers:
            assert mine[quantity].value == pytest.approx(sum(numbers), rel=1e-12), quantity
            compared += 1

    def minus(number: float | None) -> float | None:
        return None if number is None else -number

    same(
        "grid_power", base("CURRENT_ELECTRICITY_USAGE"), minus(base("CURRENT_ELECTRICITY_DELIVERY"))
    )
    for quantity, what, total in (
        ("grid_import_energy", "ELECTRICITY_USED_TARIFF_{}", "ELECTRICITY_IMPORTED_TOTAL"),
        ("grid_export_energy", "ELECTRICITY_DELIVERED_TARIFF_{}", "ELECTRICITY_EXPORTED_TOTAL"),
    ):
        same(quantity, base(total), *(base(what.format(tariff)) for tariff in (1, 2, 3, 4)))
    for phase in (1, 2, 3):
        same(f"ac_voltage_l{phase}", base(f"INSTANTANEOUS_VOLTAGE_L{phase}"))
        same(f"ac_current_l{phase}", base(f"INSTANTANEOUS_CURRENT_L{phase}"))
        power = f"INSTANTANEOUS_ACTIVE_POWER_L{phase}_"
        same(f"grid_power_l{phase}", base(power + "POSITIVE"), minus(base(power + "NEGATIVE")))
    assert compared >= 3


def test_what_is_refused_in_a_file_says_why(telegrams: dict[str, bytes]) -> None:
    spoilt = telegrams["v5"].replace(b"00.244*kW", b"09.244*kW")
    first, second = decode_telegrams(spoilt + telegrams["v4_2"])
    assert isinstance(first, Refused)
    assert "checksum" in first.reason
    assert isinstance(second, Decoded)


def test_a_flight_recording_decodes_like_the_stream(telegrams: dict[str, bytes]) -> None:
    data = telegrams["v5"]
    lines = ["# solar-edge flight recording 1", "# bus: /dev/ttyUSB0", "0.0 event opened"]
    for at in range(0, len(data), 100):
        lines.append(f"{at / 1000:.3f} recv {data[at : at + 100].hex(' ')}")
    assert decode_telegrams("\n".join(lines).encode()) == decode_telegrams(data)
