"""The devices of a site as its settings name them: how to reach each, and what part it plays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from firmware_bridge import DeviceError, DeviceSettings, link_of, profile_of
from firmware_bridge.airtime import Polled, check_line
from firmware_bridge.modbus.buses import place_of
from firmware_bridge.settings import MODBUS_RTU, MODBUS_RTU_TCP
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
    port: int | None = None
    serial_port: str = ""
    baud_rate: int | None = None
    parity: str | None = None
    data_bits: int | None = None
    stop_bits: int | None = None
    unit: int | None = None
    timeout_s: float | None = None
    frame_gap_ms: float | None = None
    connect_delay_s: float | None = None
    reconnect_gap_s: float | None = None
    word_order: str | None = None
    rated_power_w: float | None = None
    control: bool = False

    def __post_init__(self) -> None:
        if not 0.1 <= self.poll_s <= 900:
            raise ValueError("poll_s: must be from 0.1 to 900 seconds: an interval needs a sample")
        try:
            profile_of(self.link())
        except DeviceError as error:
            text = str(error).removeprefix(f"{self.name}: ")
            raise ValueError(text) from None

    def link(self) -> DeviceSettings:
        """The same, in the words of the bridge. Raises ``DeviceError`` naming the field."""
        shared: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in fields(DeviceSettings)
        }
        return DeviceSettings(**shared)


def check_lines(devices: Sequence[DeviceTable]) -> dict[str, float]:
    """Share of its time that each serial line is planned to carry.

    Raises:
        DeviceError: A line would be too full; shows the sum.
    """
    lines: defaultdict[str, list[Polled]] = defaultdict(list)
    for device in devices:
        settings = device.link()
        link = link_of(settings)
        if link.protocol in (MODBUS_RTU, MODBUS_RTU_TCP):
            polled = Polled(device.name, link, profile_of(settings), device.poll_s)
            lines[place_of(link)[1]].append(polled)
    return {line: check_line(line, polled) for line, polled in lines.items()}
