"""The site's settings file: one tree of frozen values, every key explained where it is declared.

An unknown key, a wrong type or an impossible value is an error that names file, line and key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.contract.settings import load_settings
from models.contract.topics import check_identifier
from models.features.intervals import Role
from models.features.site import Site

from .clock.settings import ClockSettings
from .devices.tables import DeviceTable
from .home_assistant import HomeAssistantSettings
from .journal.journal import JournalSettings
from .local_zone import check_zone
from .status.local_settings import LocalSettings
from .supervision import ResourceLimits, SupervisionSettings
from .updating.update_settings import UpdateSettings
from .uplink.mqtt_client import MqttSettings
from .uplink.reconnect import ReconnectSettings
from .uplink.uplink import UplinkSettings


@dataclass(frozen=True)
class AgentSettings:
    """``[agent]``"""

    id: str
    """Name of this box in every topic; the name in its certificate."""
    data_dir: str = "/var/lib/solar-edge"
    """Holds ``journal.sqlite``, ``state.sqlite`` and what else must last."""
    run_dir: str = "/run/solar-edge"
    """Holds ``status.json``, in memory; where it is not there, ``data_dir`` does."""
    clock_anchor: str | None = None
    """File of a scaled clock (the demo); without it the wall clock."""
    timezone: str | None = None
    """IANA name of the clock that the people of the site live by, for their demand; default: the
    sun's own hour at the site's longitude."""
    status_every_s: float = 30.0
    """How often the status is published and written, real time."""

    def __post_init__(self) -> None:
        try:
            check_identifier(self.id)
        except ValueError as error:
            raise ValueError(f"id: {error}") from None
        check_zone(self.timezone)
        if not 0.2 <= self.status_every_s <= 3600:
            raise ValueError("status_every_s: must be between 0.2 and 3600 seconds")


@dataclass(frozen=True)
class EdgeSettings:
    """The whole file."""

    agent: AgentSettings
    site: Site
    """``[site]``: where the plant stands and what it can do."""
    devices: tuple[DeviceTable, ...]
    """``[[devices]]``"""
    mqtt: MqttSettings
    bundles: UpdateSettings | None = None
    """``[bundles]``; without it the agent forecasts by smart persistence and looks for nothing."""
    journal: JournalSettings = JournalSettings()
    uplink: UplinkSettings = UplinkSettings()
    reconnect: ReconnectSettings = ReconnectSettings()
    home_assistant: HomeAssistantSettings | None = None
    """``[home_assistant]``; without it nothing is shown there."""
    clock: ClockSettings = ClockSettings()
    supervision: SupervisionSettings = SupervisionSettings()
    resources: ResourceLimits = ResourceLimits()
    local: LocalSettings = LocalSettings()

    def __post_init__(self) -> None:
        if not self.devices:
            raise ValueError("devices: at least one [[devices]] table is needed")
        names = [device.name for device in self.devices]
        for name in names:
            if names.count(name) > 1 or name == self.agent.id:
                raise ValueError(f"devices: the name {name!r} is given twice")
        if sum(device.role is Role.METER for device in self.devices) > 1:
            raise ValueError("devices: a site has one meter at its connection point")

    @property
    def data_dir(self) -> Path:
        """Where the agent keeps its files."""
        return Path(self.agent.data_dir)

    @property
    def run_dir(self) -> Path:
        """Where the status file is, if the directory is there."""
        return Path(self.agent.run_dir)

    @property
    def roles(self) -> dict[str, Role]:
        """Role of each device."""
        return {device.name: device.role for device in self.devices}


def read_settings(file: Path) -> EdgeSettings:
    """Read ``file``. Raises ``SettingsError`` naming file, line and key."""
    return load_settings(file, EdgeSettings)
