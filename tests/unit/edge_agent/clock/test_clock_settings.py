"""``[clock]``: what is impossible is refused with file, line and key."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_agent.clock.settings import ClockSettings, Trust, Unknown
from models.contract.errors import SettingsError
from models.contract.settings import parse_settings


@dataclass(frozen=True)
class Tree:
    clock: ClockSettings = ClockSettings()


def test_every_key_is_read() -> None:
    text = """
    [clock]
    trust = "always"
    jump_s = 2
    settle_s = 0
    holdover_s = 0
    hold_s = 60.5
    unknown = "trusted"
    """
    read = parse_settings(text, Tree).clock
    assert read == ClockSettings(Trust.ALWAYS, 2.0, 0.0, 0.0, 60.5, Unknown.TRUSTED)


@pytest.mark.parametrize(
    "line",
    [
        'trust = "ntp"',
        "jump_s = 0.05",
        "jump_s = 3601",
        "settle_s = -1",
        "holdover_s = 8000000",
        "hold_s = -0.1",
        "hold_s = 1e9",
        'unknown = "maybe"',
        "jumps = 1",
    ],
)
def test_an_impossible_value_names_its_line_and_key(line: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings(f"[clock]\n{line}\n", Tree, file="site.toml")
    assert f"site.toml:2: clock.{line.partition(' ')[0]}" in str(refused.value)
