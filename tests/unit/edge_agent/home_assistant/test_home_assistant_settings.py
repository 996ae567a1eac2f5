"""``[home_assistant]``: what is refused, and names that must not meet the uplink's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.home_assistant.settings import HomeAssistantSettings
from models.contract.errors import SettingsError
from models.contract.settings import parse_settings
from models.contract.topics import check_identifier


@dataclass(frozen=True)
class File:
    home_assistant: HomeAssistantSettings | None = None


def read(text: str) -> HomeAssistantSettings:
    settings = parse_settings(f"[home_assistant]\n{text}", File).home_assistant
    assert settings is not None
    return settings


def test_a_host_is_enough() -> None:
    settings = read('host = "ha.local"')
    assert (settings.port, settings.discovery_prefix) == (1883, "homeassistant")
    assert settings.mqtt().session_expiry_s == 0
    assert settings.node_of("farm-7") == "farm-7"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "host"),
        ('host = "x"\nport = 0', "port"),
        ('host = "x"\npassword_file = "/etc/x"', "username"),
        ('host = "x"\ncert_file = "/etc/x"', "key_file"),
        ('host = "x"\ntimezone = "Europe/Munich"', "timezone"),
        ('host = "x"\ntimezone = "../etc/passwd"', "timezone"),
        ('host = "x"\ntimezone = ""', "timezone"),
        ('host = "x"\ndiscovery_prefix = "a/#"', "discovery_prefix"),
        ('host = "x"\ntopic_prefix = "/solar"', "topic_prefix"),
        ('host = "x"\ntopic_prefix = "homeassistant"', "topic_prefix"),
        ('host = "x"\nnode = "Farm 7"', "node"),
    ],
)
def test_a_wrong_value_names_its_key(text: str, key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert f"home_assistant.{key}" in str(caught.value)


@pytest.mark.parametrize("agent", ["farm-7", "a" * 64])
def test_the_client_id_is_never_the_uplinks(agent: str) -> None:
    client = read('host = "x"').client_id(agent)
    assert check_identifier(client) != agent


def test_without_a_zone_the_day_is_that_of_the_longitude() -> None:
    summer = datetime(2024, 6, 1, tzinfo=UTC)
    assert read('host = "x"').zone(11.58).utcoffset(summer) == timedelta(hours=1)
    assert read('host = "x"').zone(-179.9).utcoffset(summer) == timedelta(hours=-12)
    berlin = read('host = "x"\ntimezone = "Europe/Berlin"').zone(11.58)
    assert berlin.utcoffset(summer) == timedelta(hours=2)
