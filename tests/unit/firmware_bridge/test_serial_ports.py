"""A port is proposed by the name that unplugging does not change."""

from __future__ import annotations

from pathlib import Path

from firmware_bridge.serial_ports import stable_name


def test_a_usb_port_has_a_stable_name_and_others_have_none(tmp_path: Path) -> None:
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    for name in ("ttyUSB0", "ttyUSB1", "ttyAMA0"):
        (tmp_path / name).touch()
    stable = by_id / "usb-FTDI_A1B2-if00-port0"
    stable.symlink_to("../ttyUSB1")
    assert stable_name(str(tmp_path / "ttyUSB1"), by_id) == str(stable)
    assert stable_name(str(stable), by_id) is None
    assert stable_name(str(tmp_path / "ttyAMA0"), by_id) is None
    assert stable_name(str(tmp_path / "ttyUSB9"), by_id) is None
    assert stable_name(str(tmp_path / "ttyUSB1"), tmp_path / "none") is None
