"""Settings of sites, training and releases in the centre's file."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models.bundle.manifest import CPUS
from models.contract.forecast import WeatherMode
from models.contract.topics import check_identifier
from models.features.site import Site

from .presets import PresetName


@dataclass(frozen=True)
class SiteTable:
    """``[[sites]]``: a site of the fleet, declared; named like its agent."""

    id: str
    latitude: float
    longitude: float
    dc_capacity_w: float
    ac_capacity_w: float
    tilt: float = 0.0
    azimuth: float = 180.0
    elevation: float = 0.0
    history: str | None = None
    """CSV of interval means from before the site was connected (``solar-central series``)."""
    history_resolution_minutes: int = 15
    """Resolution of the recording behind ``history``; said in every bundle trained on it."""
    timezone: str = "UTC"
    """IANA name of the clock its people live by; their demand follows it."""
    weather: str | None = None
    """Archive of weather forecasts (``central.training.weather_archive``), for a weather mode."""

    def __post_init__(self) -> None:
        try:
            check_identifier(self.id)
        except ValueError as error:
            raise ValueError(f"id: {error}") from None
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(
                f"timezone: {self.timezone!r} is not known here; write a name like Europe/Berlin"
            ) from None
        if not 1 <= self.history_resolution_minutes <= 60:
            raise ValueError("history_resolution_minutes: must be from 1 to 60")
        self.site()

    def site(self) -> Site:
        """What features need to know."""
        return Site(
            latitude=self.latitude,
            longitude=self.longitude,
            dc_capacity_w=self.dc_capacity_w,
            ac_capacity_w=self.ac_capacity_w,
            tilt=self.tilt,
            azimuth=self.azimuth,
            elevation=self.elevation,
        )


@dataclass(frozen=True)
class TrainingSettings:
    """``[training]``"""

    preset: PresetName = PresetName.FULL
    weather_mode: WeatherMode = WeatherMode.NONE
    """What the sites' weather archives are; ``none`` leaves them unread."""
    cpus: tuple[str, ...] = ("x86_64", "aarch64")
    """What the trees are compiled for."""

    def __post_init__(self) -> None:
        unknown = set(self.cpus) - set(CPUS)
        if unknown or not self.cpus:
            raise ValueError(f"cpus: must be some of {', '.join(CPUS)}")


@dataclass(frozen=True)
class ReleaseSettings:
    """``[release]``: where signed releases are made. Root keys belong offline in earnest."""

    repository: str | None = None
    """TUF repository; default ``repository`` in the data directory."""
    keys: str | None = None
    """Key directory; default ``keys`` in the data directory."""
    ring: str = "fleet"
    """Ring of ``retrain`` and the default of ``release``."""
