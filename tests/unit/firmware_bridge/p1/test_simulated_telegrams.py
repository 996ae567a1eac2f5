"""The simulated meter says what it was told to, in telegrams that a referee reads too."""

from __future__ import annotations

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

from firmware_bridge.drivers.p1 import decode_telegrams
from firmware_bridge.simulator.p1 import build_telegram
from firmware_bridge.values import Decoded
from models.contract.timestamps import parse_iso8601

SUMMER = parse_iso8601("2026-06-21T12:00:00Z")
VALUES = {
    "grid_power": -1234.0,
    "grid_power_l1": 100.0,
    "grid_power_l2": -1400.0,
    "grid_power_l3": 66.0,
    "ac_voltage_l1": 231.5,
    "ac_voltage_l2": 229.0,
    "ac_voltage_l3": 230.5,
    "ac_current_l1": 0.43,
    "ac_current_l2": 6.1,
    "ac_current_l3": 0.25,
    "grid_import_energy": 12_345_678.0,
    "grid_export_energy": 1_000_001.0,
}


def test_what_goes_in_comes_out() -> None:
    (decoded,) = decode_telegrams(build_telegram(VALUES, SUMMER))
    assert isinstance(decoded, Decoded)
    for name, value in VALUES.items():
        assert decoded.readings[name].value == value, name
    assert not decoded.reasons


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-01T00:00:00Z",
        "2026-06-21T12:00:00Z",
        "2026-03-29T00:59:59Z",
        "2026-03-29T01:00:00Z",
        "2026-10-25T00:59:59Z",
        "2026-10-25T01:00:00Z",
        "2027-10-31T00:30:00Z",
    ],
)
def test_the_meter_clock_keeps_summer_time(time: str) -> None:
    (decoded,) = decode_telegrams(build_telegram(VALUES, parse_iso8601(time)))
    assert isinstance(decoded, Decoded)
    assert decoded.details["meter_time"].value == time


@pytest.mark.filterwarnings("ignore")
def test_the_referee_reads_the_simulated_meter() -> None:
    text = build_telegram(VALUES, SUMMER).decode("ascii")
    other = TelegramParser(telegram_specifications.V5).parse(text)
    assert float(other.CURRENT_ELECTRICITY_DELIVERY.value) == 1.234
    assert float(other.INSTANTANEOUS_VOLTAGE_L2.value) == 229.0
    assert other.P1_MESSAGE_TIMESTAMP.value.timestamp() * 1000 == SUMMER


def test_counters_never_run_back_between_two_telegrams() -> None:
    before = 0.0
    for step in range(200):
        values = {"grid_import_energy": 999_000.0 + 0.7 * step}
        (decoded,) = decode_telegrams(build_telegram(values, SUMMER))
        assert isinstance(decoded, Decoded)
        now = decoded.readings["grid_import_energy"].value
        assert now is not None
        assert now >= before
        before = now
