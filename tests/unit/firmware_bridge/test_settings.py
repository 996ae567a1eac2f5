"""Settings that cannot work are refused with device and field; devices of one line agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firmware_bridge import Buses, DeviceSettings, PermanentDeviceError, open_driver
from firmware_bridge.modbus.buses import frame_gap_s

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
        (TCP, {"name": "Inverter 1"}, "name: .*identifier"),
        (RTU, {"serial_port": ""}, "meter-1: serial_port: needed"),
        (RTU, {"unit": 0}, "meter-1: unit: 0 is not in 1..247"),
        (RTU, {"baud_rate": 1}, "meter-1: baud_rate"),
        (RTU, {"parity": "X"}, "meter-1: parity"),
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


def test_gap_between_frames() -> None:
    assert frame_gap_s(DeviceSettings(**TCP)) == 0
    assert frame_gap_s(DeviceSettings(**RTU)) == 0.030
    slow = DeviceSettings(**RTU, baud_rate=600, parity="E")
    assert frame_gap_s(slow) == pytest.approx(3.5 * 11 / 600)
    assert frame_gap_s(DeviceSettings(**RTU, frame_gap_ms=5)) == 0.005


def test_devices_of_one_line_share_a_bus_and_must_agree(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    alias = tmp_path / "by-id"
    alias.symlink_to(port)
    buses = Buses()
    first = buses.acquire(DeviceSettings(**{**RTU, "serial_port": str(port)}))
    same = buses.acquire(
        DeviceSettings(**{**RTU, "name": "meter-2", "unit": 2, "serial_port": str(alias)})
    )
    assert same is first
    with pytest.raises(PermanentDeviceError, match=r"meter-3.*used by meter-1 with other"):
        buses.acquire(
            DeviceSettings(
                **{**RTU, "name": "meter-3", "serial_port": str(port), "baud_rate": 19_200}
            )
        )
    other = buses.acquire(DeviceSettings(**TCP))
    assert other is not first
    assert set(buses.all()) == {str(port), "10.0.0.7:502"}
