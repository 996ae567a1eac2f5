"""The settings file: defaults that work, mistakes that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from central.settings import BrokerStart, CentralSettings, load_central_settings
from models.contract.errors import SettingsError


def test_a_bare_start_keeps_everything_under_var_and_listens_on_loopback() -> None:
    settings = load_central_settings(None)
    assert settings.store_url == "sqlite:///var/central.sqlite"
    assert (settings.api.host, settings.api.port, settings.api.iot_port) == (
        "127.0.0.1",
        8000,
        3000,
    )
    assert settings.broker.embedded is BrokerStart.AUTO


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "central.toml"
    file.write_text(
        'data_dir = "/srv/solar"\n[broker]\nembedded = "no"\n[mqtt]\nhost = "broker"\nport = 8883\n'
        "[plain_devices]\nlatitude = 52\nlongitude = 13.4\n"
    )
    settings = load_central_settings(file)
    assert settings.store_url == "sqlite:////srv/solar/central.sqlite"
    assert settings.broker.embedded is BrokerStart.NO
    assert (settings.mqtt.host, settings.mqtt.port) == ("broker", 8883)
    assert settings.plain_devices.site().latitude == 52.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mqtt]\nprot = 1", r"central\.toml:2: mqtt\.prot: unknown key"),
        ("[mqtt]\nport = 99999", r"central\.toml:2: mqtt\.port: must be a port"),
        ('[broker]\nembedded = "perhaps"', r"central\.toml:2: broker\.embedded: must be one of"),
        ("[plain_devices]\ncapacity_w = 0", r"central\.toml:2: plain_devices\.capacity_w"),
        ("[plain_devices]\nlatitude = 91", r"central\.toml:2: plain_devices\.latitude"),
        ("[ingest]\ngroup_messages = 0", r"central\.toml:2: ingest\.group_messages"),
        ("[api]\nport = '8000'", r"central\.toml:2: api\.port: must be a whole number"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "central.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_central_settings(file)


def test_every_default_passes_its_own_checks() -> None:
    assert CentralSettings() == CentralSettings()
