"""The site's file: what is wrong in it is said with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.settings import EdgeSettings, read_settings
from models.contract.errors import SettingsError
from models.features.intervals import Role

GOOD = """[agent]
id = "farm-1"

[site]
latitude = 48.1
longitude = 11.5
dc_capacity_w = 6000
ac_capacity_w = 5000

[[devices]]
name = "inverter"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "192.0.2.7"

[[devices]]
name = "meter"
role = "meter"
protocol = "modbus-rtu"
profile = "eastron-sdm630"
serial_port = "/dev/serial/by-id/usb-1"
poll_s = 10

[mqtt]
host = "broker.example"
"""


def load(tmp_path: Path, text: str) -> EdgeSettings:
    file = tmp_path / "site.toml"
    file.write_text(text, encoding="utf-8")
    return read_settings(file)


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    assert settings.roles == {"inverter": Role.INVERTER, "meter": Role.METER}
    assert settings.site.ac_capacity_w == 5000.0
    assert settings.journal.commit_window_s == 30.0
    assert settings.bundles is None


@pytest.mark.parametrize(
    ("change", "line", "key", "says"),
    [
        (('poll_s = 10', 'poll_sec = 10'), 23, "devices[1].poll_sec", "unknown key"),
        (('"eastron-sdm630"', '"sdm"'), 21, "devices[1].profile", "'sdm' is unknown"),
        (('poll_s = 10', 'poll_s = 5000'), 23, "devices[1].poll_s", "0.1 to 900"),
        (('role = "meter"', 'role = "motor"'), 19, "devices[1].role", "inverter, meter"),
        (('host = "192.0.2.7"', 'unit = 7'), 10, "host", "needed for modbus-tcp"),
        (('latitude = 48.1', 'latitude = 480'), 5, "site.latitude", "from -90 to 90"),
        (('latitude = 48.1', ''), 4, "site.latitude", "is required"),
        (('id = "farm-1"', 'id = "Farm 1"'), 2, "agent.id", "is not an identifier"),
        (('name = "meter"', 'name = "inverter"'), None, "devices", "given twice"),
        (('role = "inverter"', 'role = "meter"'), None, "devices", "one meter"),
        (('host = "broker.example"', 'host = ""'), 26, "mqtt.host", "must not be empty"),
        (('id = "farm-1"', 'id = "farm-1'), 2, "", "not valid TOML"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_place(
    tmp_path: Path, change: tuple[str, str], line: int | None, key: str, says: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, GOOD.replace(*change, 1))
    error = caught.value
    assert says in str(error), error
    assert str(tmp_path / "site.toml") in str(error)
    assert key in error.key, error
    if line is not None:
        assert error.line == line, error


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read"):
        read_settings(tmp_path / "nowhere.toml")
