"""The table of devices in the documents says what the profiles say."""

from __future__ import annotations

from firmware_bridge.profile import known_profiles
from firmware_bridge.profile.table import table
from tests.environments import ROOT

AGAIN = "run: python -m firmware_bridge.profile.table docs/protocol/devices-table.md"


def test_the_device_table_is_out_of_date() -> None:
    written = (ROOT / "docs/protocol/devices-table.md").read_text(encoding="utf-8")
    assert written == table(), AGAIN
    for name in known_profiles():
        assert f"| `{name}` |" in written
