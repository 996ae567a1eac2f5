"""The devices of a site as its settings name them: how to reach each, and what part it plays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from firmware_bridge import DeviceError, DeviceSettings
from firmware_bridge.profile import load_profile
from models.features.intervals import Role


@dataclass(frozen=True)
class DeviceTable:
    """``[[devices]]``: see ``firmware_bridge.DeviceSettings`` for what each key of a link means."""

    name: str
    role: Role
    protocol: str
    profile: str
    poll_s: float = 60.0
    """Domain seconds between two polls."""
    host: str = ""
    port: int = 502
    serial_port: str = ""
    baud_rate: int = 9600
    parity: str = "N"
    stop_bits: int = 1
    unit: int = 1
    timeout_s: float = 1.0
    frame_gap_ms: float | None = None

    def __post_init__(self) -> None:
        if not 0.1 <= self.poll_s <= 900:
            raise ValueError("poll_s: must be from 0.1 to 900 seconds: an interval needs a sample")
        try:
            self.link()
            if self.profile != "sunspec":
                load_profile(self.profile)
        except DeviceError as error:
            text = str(error).removeprefix(f"{self.name}: ")
            raise ValueError(text) from None

    def link(self) -> DeviceSettings:
        """The same, in the words of the bridge. Raises ``DeviceError`` naming the field."""
        shared: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in fields(DeviceSettings)
        }
        return DeviceSettings(**shared)
