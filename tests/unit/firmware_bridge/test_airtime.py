"""A line that could not carry its poll plan is refused before anything is started."""

from __future__ import annotations

import pytest

from firmware_bridge import DeviceSettings, PermanentDeviceError, link_of
from firmware_bridge.airtime import TURNAROUND_S, Polled, check_line, device_load, exchange_s
from firmware_bridge.profile import load_profile


def polled(name: str, poll_s: float, baud_rate: int = 9600) -> Polled:
    settings = DeviceSettings(
        name, "modbus-rtu", "eastron-sdm630", serial_port="/dev/x", baud_rate=baud_rate
    )
    return Polled(name, link_of(settings), load_profile("eastron-sdm630"), poll_s)


def test_an_exchange_takes_its_characters_turnaround_and_gap() -> None:
    link = link_of(
        DeviceSettings("a", "modbus-rtu", "eastron-sdm630", serial_port="/dev/x", frame_gap_ms=30)
    )
    characters = 8 + 5 + 20  # ten registers
    assert exchange_s(link, 10) == pytest.approx(characters * 10 / 9600 + TURNAROUND_S + 0.030)


def test_a_line_with_room_tells_its_share() -> None:
    one = polled("meter-1", 10.0)
    share = check_line("/dev/x", [one, polled("meter-2", 10.0)])
    assert share == pytest.approx(2 * device_load(one).share)
    assert 0.02 < share < 0.2


def test_an_overfull_line_is_refused_with_the_sum_shown() -> None:
    devices = [polled(f"meter-{n}", 1.0) for n in range(1, 9)]
    with pytest.raises(PermanentDeviceError) as caught:
        check_line("/dev/x", devices)
    text = str(caught.value)
    assert "70% are allowed" in text
    assert text.count("requests, ") == 8
    assert "sum " in text
    assert "baud_rate" in text


def test_a_faster_line_carries_more() -> None:
    slow, fast = device_load(polled("a", 1.0)), device_load(polled("a", 1.0, 115_200))
    assert fast.share < slow.share / 2
