"""What the lines of a telegram mean: signs, sums, and values that are not there."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from firmware_bridge.errors import Fault, TransientDeviceError
from firmware_bridge.p1 import RefusedTelegram, Telegram, decode_telegram, identify_telegram
from firmware_bridge.p1.crc import crc16
from firmware_bridge.values import Decoded
from models.contract.record import Quality

Decode = Callable[..., Decoded]


def value(decoded: Decoded, name: str) -> tuple[float | None, Quality]:
    reading = decoded.readings[name]
    return reading.value, reading.quality


@pytest.mark.parametrize(
    ("lines", "watts"),
    [
        (("1-0:1.7.0(01.193*kW)", "1-0:2.7.0(00.000*kW)"), 1193.0),
        (("1-0:1.7.0(00.000*kW)", "1-0:2.7.0(02.001*kW)"), -2001.0),
        (("1-0:1.7.0(00.250*kW)", "1-0:2.7.0(00.100*kW)"), 150.0),
        (("1-0:1.7.0(0000000744*W)", "1-0:2.7.0(0*W)"), 744.0),
        (("1-0:1.7.0(01.5*kW)",), 1500.0),
        (("1-0:2.7.0(01.5*kW)",), -1500.0),
        (("1-0:16.7.0(-00.300*kW)",), -300.0),
        (("1-0:16.7.0(00.300*kW)", "1-0:2.7.0(00.000*kW)"), 300.0),
        (("1-0:1.7.0(-00.300*kW)",), -300.0),
        (("1-0:1.7.255*255(000628.85*W)",), 628.85),
    ],
)
def test_grid_power_is_import_minus_export(
    decode: Decode, lines: tuple[str, ...], watts: float
) -> None:
    assert value(decode(*lines), "grid_power") == (watts, Quality.GOOD)


def test_zero_import_alone_may_hide_export(decode: Decode) -> None:
    lonely = decode("1-0:1.7.0(00.000*kW)", "1-0:21.7.0(00.000*kW)")
    assert value(lonely, "grid_power") == (0.0, Quality.SUSPECT)
    assert value(lonely, "grid_power_l1") == (0.0, Quality.SUSPECT)
    assert "2.7.0" in lonely.reasons["grid_power"]
    assert value(decode("1-0:1.7.0(+0*W)"), "grid_power") == (0.0, Quality.GOOD)
    two_way = decode("1-0:1.7.0(0*W)", "1-0:2.8.0*255(5*kWh)", head="/ESY5Q3DB1024 V3.04")
    assert value(two_way, "grid_power") == (0.0, Quality.GOOD)


def test_each_phase_has_its_own_power(decode: Decode) -> None:
    decoded = decode(
        "1-0:21.7.0(00.100*kW)",
        "1-0:22.7.0(00.000*kW)",
        "1-0:41.7.0(00.000*kW)",
        "1-0:42.7.0(01.200*kW)",
        "1-0:61.7.0(00.030*kW)",
        "1-0:62.7.0(00.000*kW)",
    )
    powers = [value(decoded, f"grid_power_l{n}")[0] for n in (1, 2, 3)]
    assert powers == [100.0, -1200.0, 30.0]
    assert "grid_power" not in decoded.readings  # the meter did not say it


def test_energy_is_the_total_or_the_sum_of_the_tariffs(decode: Decode) -> None:
    tariffs = decode("1-0:1.8.1(000002.1*kWh)", "1-0:1.8.2(000003.2*kWh)", "1-0:2.8.1(7*Wh)")
    assert value(tariffs, "grid_import_energy")[0] == 5300.0
    assert value(tariffs, "grid_export_energy")[0] == 7.0
    both = decode("1-0:1.8.0(6*kWh)", "1-0:1.8.1(2*kWh)", "1-0:1.8.2(4*kWh)")
    assert value(both, "grid_import_energy")[0] == 6000.0
    assert both.details["energy_import_tariff_2"].value == 4.0


def test_a_sum_with_a_lost_part_is_no_sum(decode: Decode) -> None:
    decoded = decode("1-0:1.8.1(000002.1*kWh)", "1-0:1.8.2(------*kWh)")
    assert value(decoded, "grid_import_energy") == (None, Quality.MISSING)
    assert "1.8.2" in decoded.reasons["grid_import_energy"]


@pytest.mark.parametrize(
    "text", ["12,5*V", "*V", "230.0", "230*A", "NaN*V", "1e3*V", "230.0*V*V", "23²*V", ""]
)
def test_a_malformed_value_is_missing_and_the_others_stand(decode: Decode, text: str) -> None:
    decoded = decode(f"1-0:32.7.0({text})", "1-0:14.7.0(50.01*Hz)")
    assert value(decoded, "ac_voltage_l1") == (None, Quality.MISSING)
    assert decoded.reasons["ac_voltage_l1"]
    assert value(decoded, "frequency") == (50.01, Quality.GOOD)


@pytest.mark.parametrize(
    "line",
    ["1-0:1.7.0(00.0%1*kW)", "1-0:1.7.0(00.001*kwh)", "0-0:96.14.0(0%02)", "0-0:1.0.0(2x0101)"],
)
def test_a_malformed_value_without_crc_refuses_the_whole_telegram(
    decode: Decode, line: str
) -> None:
    assert decode("1-0:1.8.0(1*kWh)", line).readings["grid_import_energy"].value == 1000.0
    with pytest.raises(TransientDeviceError, match="no checksum") as caught:
        decode("1-0:1.8.0(1*kWh)", line, crc=False)
    assert caught.value.fault is Fault.MALFORMED


def test_two_lines_that_contradict_each_other_give_nothing(decode: Decode) -> None:
    decoded = decode("1-0:1.8.0(1*kWh)", "1-0:1.8.0(2*kWh)")
    assert value(decoded, "grid_import_energy") == (None, Quality.MISSING)
    again = decode("1-0:1.8.0(1*kWh)", "1-0:1.8.0(1*kWh)")
    assert value(again, "grid_import_energy") == (1000.0, Quality.GOOD)


def test_voltage_is_the_mean_of_live_phases_and_current_the_sum(decode: Decode) -> None:
    decoded = decode(
        *(f"1-0:{n}.7.0({text}*V)" for n, text in ((32, "230.0"), (52, "000.0"), (72, "232.0"))),
        *(f"1-0:{n}.7.0({text}*A)" for n, text in ((31, "1.5"), (51, "000"), (71, "2.25"))),
    )
    assert value(decoded, "ac_voltage") == (231.0, Quality.GOOD)
    assert value(decoded, "ac_voltage_l2") == (0.0, Quality.GOOD)
    assert value(decoded, "ac_current") == (3.75, Quality.GOOD)


def test_what_no_grid_can_have_is_suspect(decode: Decode) -> None:
    decoded = decode("1-0:14.7.0(500.0*Hz)")
    assert value(decoded, "frequency") == (500.0, Quality.SUSPECT)


def test_reactive_power_is_what_the_site_injects(decode: Decode) -> None:
    decoded = decode("1-0:3.7.0(00.300*kvar)", "1-0:4.7.0(00.100*kvar)")
    assert value(decoded, "reactive_power") == (-200.0, Quality.GOOD)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("170102192002W", "2017-01-02T18:20:02Z"),
        ("200426223325S", "2020-04-26T20:33:25Z"),
        ("161107190000", "2016-11-07T19:00:00"),  # the meter's own time, of no known zone
        ("241027020000S", "2024-10-27T00:00:00Z"),  # the hour that comes twice: first
        ("241027020000W", "2024-10-27T01:00:00Z"),  # and again
    ],
)
def test_times_of_the_meter(decode: Decode, sent: str, shown: str) -> None:
    assert decode(f"0-0:1.0.0({sent})").details["meter_time"].value == shown


def test_a_clock_that_is_not_set_is_no_time_and_no_damage(decode: Decode) -> None:
    decoded = decode("1-0:1.8.0(1*kWh)", "0-0:1.0.0(632525252525W)", crc=False)
    assert decoded.details["meter_time"].value is None
    assert "not set" in decoded.reasons["meter_time"]
    assert value(decoded, "grid_import_energy") == (1000.0, Quality.GOOD)


def test_devices_behind_the_meter_are_told_apart(decode: Decode) -> None:
    decoded = decode(
        "0-1:24.1.0(003)",
        "0-1:96.1.1(37464C4F32313139303333373333)",
        "0-1:24.2.3(200512134558S)(00112.384*m3)",
        "0-1:24.4.0(1)",
        "0-2:24.1.0(007)",
        "0-2:24.2.1(200512134558S)(00872.234*m3)",
        "0-3:24.1.0(004)",
        "0-3:24.2.1(200512134558S)(12.345*GJ)",
        "0-4:24.1.0(099)",
        "0-4:24.2.1(700101010000W)(00000000)",
    )
    details = decoded.details
    assert details["gas_1_id"].value == "7FLO2119033733"
    assert (details["gas_1_reading"].value, details["gas_1_reading"].unit) == (112.384, "m3")
    assert details["gas_1_reading_time"].value == "2020-05-12T11:45:58Z"
    assert details["gas_1_valve"].value == 1.0
    assert details["water_2_reading"].value == 872.234
    assert (details["heat_3_reading"].value, details["heat_3_reading"].unit) == (12.345, "GJ")
    assert details["mbus_4_type"].value == "type 099"
    assert details["mbus_4_reading"].quality is Quality.MISSING


def test_lines_that_no_table_knows_are_shown_as_they_are(decode: Decode) -> None:
    decoded = decode(
        "1-0:0.2.0((ER11))", "1-1:31.4.0(200*A)(-200*A)", "0-0:96.50.68(1)", "9-9:1.2.3(5.5*x)",
        "what is this",
    )  # fmt: skip
    assert decoded.details["firmware"].value == "(ER11)"
    assert decoded.details["current_limit_l1"].value == "(200*A)(-200*A)"
    assert decoded.details["breaker_state"].value == 1.0
    assert decoded.details["obis_9_9_1_2_3"].value == 5.5
    assert decoded.details["unread_line_1"].quality is Quality.MISSING
    assert "what is this" in decoded.reasons["unread_line_1"]


def test_raw_is_what_the_telegram_says(decode: Decode) -> None:
    decoded = decode("1-0:1.7.0(01.193*kW)", "1-0:2.7.0(00.000*kW)")
    assert decoded.raw["grid_power"] == "1-0:1.7.0(01.193*kW) 1-0:2.7.0(00.000*kW)"


def test_any_nonsense_with_a_right_crc_gives_values_or_reasons(
    telegrams: dict[str, bytes], read: Callable[[bytes], list[Telegram | RefusedTelegram]]
) -> None:
    """A meter may send what it likes: nothing but a reason comes of it."""
    source = random.Random(9)
    alphabet = bytes(byte for byte in range(256) if byte not in b"/!\xaf")
    decoded_ones = 0
    for data in telegrams.values():
        body = data[: data.index(b"!")]
        for _ in range(400):
            spoilt = bytearray(body)
            for _ in range(source.randrange(1, 12)):
                spoilt[source.randrange(1, len(spoilt))] = source.choice(alphabet)
            text = bytes(spoilt) + b"!"
            for telegram in read(text + f"{crc16(text):04X}\r\n".encode()):
                assert isinstance(telegram, Telegram)
                decoded = decode_telegram(telegram, raw=True)
                identify_telegram(telegram, "meter")
                for name, reading in decoded.readings.items():
                    assert reading.quality is Quality.GOOD or decoded.reasons[name]
                decoded_ones += 1
    assert decoded_ones == 400 * len(telegrams)
