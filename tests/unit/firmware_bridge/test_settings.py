"""Settings that cannot work are refused with device and field; devices of one line agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firmware_bridge import (
    Buses,
    DeviceSettings,
    PermanentDeviceError,
    link_of,
    open_driver,
    profile_of,
)
from firmware_bridge.settings import resolve

TCP: dict[str, Any] = {
    "name": "inverter-1", "protocol": "modbus-tcp", "profile": "sunspec", "host": "10.0.0.7",
}  # fmt: skip
RTU: dict[str, Any] = {
    "name": "meter-1", "protocol": "modbus-rtu", "profile": "eastron-sdm630",
    "serial_port": "/dev/serial/by-id/usb-1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("base", "change", "message"),
    [
        (TCP, {"protocol": "modbus-udp"}, "inverter-1: protocol: 'modbus-udp' is unknown"),
        (TCP, {"host": ""}, "inverter-1: host: needed"),
        (TCP, {"port": 0}, "inverter-1: port: 0 is not in"),
        (TCP, {"unit": 256}, "inverter-1: unit"),
        (TCP, {"timeout_s": 0}, "inverter-1: timeout_s"),
        (TCP, {"frame_gap_ms": -1}, "inverter-1: frame_gap_ms"),
        (TCP, {"connect_delay_s": 31}, "inverter-1: connect_delay_s"),
        (TCP, {"reconnect_gap_s": -1}, "inverter-1: reconnect_gap_s"),
        (TCP, {"word_order": "DABC"}, "inverter-1: word_order"),
        (TCP, {"rated_power_w": 0}, "inverter-1: rated_power_w"),
        (TCP, {"name": "Inverter 1"}, "name: .*identifier"),
        (RTU, {"serial_port": ""}, "meter-1: serial_port: needed"),
        (RTU, {"unit": 0}, "meter-1: unit: 0 is not in 1..247"),
        (RTU, {"baud_rate": 1}, "meter-1: baud_rate"),
        (RTU, {"parity": "X"}, "meter-1: parity"),
        (RTU, {"data_bits": 9}, "meter-1: data_bits"),
        (RTU, {"stop_bits": 3}, "meter-1: stop_bits"),
    ],
)
def test_impossible_settings_name_device_and_field(
    base: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(PermanentDeviceError, match=message):
        DeviceSettings(**{**base, **change})


def test_unknown_profile_names_the_device() -> None:
    with pytest.raises(PermanentDeviceError, match="inverter-1: profile: 'sunspek' is unknown"):
        open_driver(DeviceSettings(**{**TCP, "profile": "sunspek"}), Buses())


@pytest.mark.parametrize(
    ("profile", "protocol", "allowed"),
    [("dsmr-p1", "modbus-tcp", "serial, tcp"), ("eastron-sdm630", "tcp", "modbus-tcp")],
)
def test_a_profile_over_a_link_it_cannot_use_is_refused(
    profile: str, protocol: str, allowed: str
) -> None:
    settings = DeviceSettings("a", protocol, profile, host="10.0.0.7")
    with pytest.raises(PermanentDeviceError, match=f"a: protocol: {profile} is read over .*"):
        profile_of(settings)
    with pytest.raises(PermanentDeviceError, match=allowed):
        link_of(settings)


def test_gap_between_frames() -> None:
    assert resolve(DeviceSettings(**TCP)).frame_gap_s == 0
    assert resolve(DeviceSettings(**RTU)).frame_gap_s == 0.030
    slow = DeviceSettings(**RTU, baud_rate=600, parity="E")
    assert resolve(slow).frame_gap_s == pytest.approx(3.5 * 11 / 600)
    assert resolve(DeviceSettings(**RTU, frame_gap_ms=5)).frame_gap_s == 0.005


def test_settings_win_over_the_profile_and_the_profile_over_the_usual() -> None:
    solaredge = DeviceSettings("a", "modbus-tcp", "solaredge", host="10.0.0.7")
    link = link_of(solaredge)
    assert link.one_connection
    assert link.port == 1502
    assert link.reconnect_gap_s > 0
    own = DeviceSettings(
        "a", "modbus-tcp", "solaredge", host="10.0.0.7", port=502, reconnect_gap_s=0
    )
    assert link_of(own).port == 502
    assert link_of(own).reconnect_gap_s == 0
    assert link_of(DeviceSettings(**TCP)).port == 502


def test_devices_of_one_line_share_a_bus_and_must_agree(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    alias = tmp_path / "by-id"
    alias.symlink_to(port)
    buses = Buses()

    def link(**change: Any) -> Any:
        return resolve(DeviceSettings(**{**RTU, "serial_port": str(port), **change}))

    first = buses.acquire("meter-1", link())
    assert buses.acquire("meter-2", link(unit=2, serial_port=str(alias))) is first
    with pytest.raises(PermanentDeviceError, match=r"meter-3.*used by meter-1 with other"):
        buses.acquire("meter-3", link(baud_rate=19_200))
    other = buses.acquire("inverter-1", resolve(DeviceSettings(**TCP)))
    assert other is not first
    assert set(buses.all()) == {str(port), "10.0.0.7:502"}
    assert buses.find(link(unit=7)) is first
