"""Settings of the local page: what would show the site to strangers is refused, with the reason."""

from __future__ import annotations

import pytest

from edge_agent.status.local_settings import LocalSettings
from models.contract.errors import SettingsError
from models.contract.settings import parse_settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "8.8.8.8"])
def test_an_address_that_others_reach_is_refused_and_says_why(host: str) -> None:
    with pytest.raises(SettingsError, match=r"site.toml:1: host: .*reached by others.*ssh -L"):
        parse_settings(f'host = "{host}"', LocalSettings, file="site.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('host = "localhost"', "host: must be the address 127.0.0.1 or ::1"),
        ("port = 0", "port: must be between 1 and 65535"),
        ('names = ["ok.example", "box:8437"]', r"names\[1\]: 'box:8437' is no host name"),
        ("hots = 1", "hots: unknown key"),
    ],
)
def test_a_wrong_setting_is_named(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        parse_settings(text, LocalSettings)


def test_loopback_addresses_are_taken() -> None:
    for host in ("127.0.0.1", "127.0.0.9", "::1"):
        assert LocalSettings(host=host, names=("box.example",)).enabled
