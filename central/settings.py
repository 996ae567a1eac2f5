"""Settings of the centre: one tree of frozen values, filled from a TOML file.

Decides names, defaults and limits. A bare ``solar-central serve`` works with the defaults alone:
data under ``./var``, the local MQTT broker (its own one when none answers), HTTP on the loopback
address.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from central.training.settings import ReleaseSettings, SiteTable, TrainingSettings
from models.contract.settings import load_settings
from models.features.site import Site


@dataclass(frozen=True)
class StoreSettings:
    """``[store]``: where what the fleet sends is kept."""

    url: str | None = None
    """``sqlite:///relative/path`` or ``sqlite:////absolute/path``; None: ``central.sqlite`` in the
    data directory."""


@dataclass(frozen=True)
class MqttSettings:
    """``[mqtt]``: the broker the fleet speaks to."""

    host: str = "127.0.0.1"
    port: int = 1883
    client_id: str = "solar-central"
    """Names the session that the broker keeps for us. Two centres must not share one."""
    keepalive_s: int = 30
    session_expiry_s: int = 7 * 24 * 3600
    """How long the broker keeps messages of plain devices while the centre is away."""
    receive_maximum: int = 500
    """Messages the broker may send before we have committed the first: the bound on our memory."""

    def __post_init__(self) -> None:
        _port("port", self.port)
        if not self.client_id:
            raise ValueError("client_id: must not be empty; the broker keeps our session under it")
        if not 1 <= self.receive_maximum <= 65_535:
            raise ValueError("receive_maximum: must be from 1 to 65535")
        if self.keepalive_s < 1 or self.session_expiry_s < 1:
            raise ValueError("keepalive_s: and session_expiry_s must be at least 1")


class BrokerStart(StrEnum):
    """Whether the centre starts a broker of its own."""

    AUTO = "auto"
    """Only when nothing answers at ``[mqtt] host`` and ``port`` and the host is this machine."""
    YES = "yes"
    NO = "no"


@dataclass(frozen=True)
class EmbeddedBrokerSettings:
    """``[broker]``: the mosquitto of the one-host setting."""

    embedded: BrokerStart = BrokerStart.AUTO


@dataclass(frozen=True)
class IngestSettings:
    """``[ingest]``: how messages become commits."""

    group_messages: int = 500
    """Messages in one commit at most."""
    group_wait_ms: float = 5.0
    """How long a commit waits for company."""
    inbox_bytes: int = 64 * 1024 * 1024
    """Payload bytes waiting for a commit; above it the broker has to wait."""
    quarantine_rows: int = 10_000
    """Unreadable messages kept for inspection; the oldest go first."""

    def __post_init__(self) -> None:
        for name in ("group_messages", "inbox_bytes", "quarantine_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1")
        if not 0 <= self.group_wait_ms <= 1000:
            raise ValueError("group_wait_ms: must be from 0 to 1000")


@dataclass(frozen=True)
class ApiSettings:
    """``[api]``: the HTTP surface. Loopback by default, because there are no tokens yet."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one."""
    iot_port: int | None = 3000
    """Second port with the same surface, for clients of the device registry; None: not opened."""
    max_request_bytes: int = 100_000

    def __post_init__(self) -> None:
        _port("port", self.port, lowest=0)
        if self.iot_port is not None:
            _port("iot_port", self.iot_port, lowest=0)
        if self.max_request_bytes < 1:
            raise ValueError("max_request_bytes: must be at least 1")


@dataclass(frozen=True)
class PlainDeviceSettings:
    """``[plain_devices]``: what is assumed of a device that was never registered.

    Its forecasts say ``default-site`` in the model's name. At longitude 0 noon is 12:00 UTC.
    """

    latitude: float = 40.0
    longitude: float = 0.0
    elevation: float = 0.0
    capacity_w: float = 5000.0
    tilt: float = 0.0
    azimuth: float = 180.0
    min_interval_s: float = 1.0
    """Least real time between two forecasts for one device."""

    def __post_init__(self) -> None:
        if not 0 < self.capacity_w < 1e10:
            raise ValueError("capacity_w: must be above 0 W")
        if self.min_interval_s < 0:
            raise ValueError("min_interval_s: must not be negative")
        self.site()

    def site(self) -> Site:
        """The assumed site."""
        return Site(
            latitude=self.latitude,
            longitude=self.longitude,
            dc_capacity_w=self.capacity_w,
            ac_capacity_w=self.capacity_w,
            tilt=self.tilt,
            azimuth=self.azimuth,
            elevation=self.elevation,
        )


@dataclass(frozen=True)
class CentralSettings:
    """The whole tree."""

    data_dir: str = "var"
    """Directory of everything the centre keeps, relative to where it was started."""
    clock_anchor: str | None = None
    """Anchor file of a scaled clock (demo); None: the wall clock."""
    store: StoreSettings = field(default_factory=StoreSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    broker: EmbeddedBrokerSettings = field(default_factory=EmbeddedBrokerSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    plain_devices: PlainDeviceSettings = field(default_factory=PlainDeviceSettings)
    sites: tuple[SiteTable, ...] = ()
    """``[[sites]]``"""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    release: ReleaseSettings = field(default_factory=ReleaseSettings)

    def __post_init__(self) -> None:
        names = [site.id for site in self.sites]
        if len(set(names)) < len(names):
            raise ValueError("sites: an id is given twice")

    @property
    def work_dir(self) -> Path:
        """Where training leaves candidates and compiled libraries."""
        return Path(self.data_dir) / "training"

    @property
    def registry_dir(self) -> Path:
        """MLflow's database and artifacts."""
        return Path(self.data_dir) / "mlflow"

    @property
    def repository_dir(self) -> Path:
        """The signed repository."""
        return Path(self.release.repository or Path(self.data_dir) / "repository")

    @property
    def released_dir(self) -> Path:
        """Manifests of everything that was ever released, by bundle."""
        return Path(self.data_dir) / "released"

    @property
    def keys_dir(self) -> Path:
        """Private keys of the repository."""
        return Path(self.release.keys or Path(self.data_dir) / "keys")

    @property
    def store_url(self) -> str:
        """URL of the store, with the default filled in."""
        return self.store.url or f"sqlite:///{Path(self.data_dir) / 'central.sqlite'}"


def load_central_settings(file: Path | None) -> CentralSettings:
    """Settings of ``file``, or the defaults. Raises ``SettingsError`` naming file, line and key."""
    return CentralSettings() if file is None else load_settings(file, CentralSettings)


def _port(name: str, value: int, lowest: int = 1) -> None:
    if not lowest <= value <= 65_535:
        raise ValueError(f"{name}: must be a port from {lowest} to 65535")
