"""What stands on the site: the few numbers a PVWatts chain needs."""

from __future__ import annotations

from dataclasses import dataclass

from central.intake.weather import WeatherSource
from models.features.site import Site


class SiteSeriesError(ValueError):
    """A series that cannot be made; the text names the field or file and says what to do."""


@dataclass(frozen=True)
class PlantDescription:
    """A fixed array behind one inverter.

    Raises:
        SiteSeriesError: a field is outside its range.
    """

    latitude: float
    """Degrees, north positive."""
    longitude: float
    """Degrees, east positive."""
    elevation_m: float
    tilt: float
    """Degrees from horizontal."""
    azimuth: float
    """Where the array looks, degrees clockwise from north."""
    dc_capacity_w: float
    """Of the array at 1000 W/m2 and 25 degC [W]."""
    ac_capacity_w: float
    """Of the inverter: the level it clips at [W]."""
    losses: float = 0.10
    """Share lost between module rating and inverter: soiling, mismatch, wiring, nameplate, 0 to 1.
    PVWatts says 0.14 with shading and availability, which a simulated site has not."""
    temperature_coefficient: float = -0.0035
    """Of power [1/K]; crystalline silicon."""
    albedo: float = 0.2
    """Reflectivity of the ground, 0 to 1."""

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("latitude", -90, 90),
            ("longitude", -180, 180),
            ("elevation_m", -500, 9000),
            ("tilt", 0, 90),
            ("azimuth", 0, 360),
            ("dc_capacity_w", 1, 1e9),
            ("ac_capacity_w", 1, 1e9),
            ("losses", 0, 0.99),
            ("temperature_coefficient", -0.02, 0.0),
            ("albedo", 0, 1),
        ):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise SiteSeriesError(f"{name} must be from {lowest:g} to {highest:g}, not {value}")

    def site(self) -> Site:
        """The same as models see it."""
        return Site(
            latitude=self.latitude,
            longitude=self.longitude,
            dc_capacity_w=self.dc_capacity_w,
            ac_capacity_w=self.ac_capacity_w,
            tilt=self.tilt,
            azimuth=self.azimuth,
            elevation=self.elevation_m,
        )


def plant_at(
    source: WeatherSource,
    *,
    dc_capacity_w: float = 6000.0,
    ac_capacity_w: float = 5000.0,
    tilt: float = 30.0,
    azimuth: float | None = None,
    losses: float = 0.10,
) -> PlantDescription:
    """A plant at the place of a weather file, facing the equator unless ``azimuth`` is given."""
    return PlantDescription(
        latitude=source.latitude,
        longitude=source.longitude,
        elevation_m=source.elevation_m,
        tilt=tilt,
        azimuth=azimuth if azimuth is not None else (180.0 if source.latitude >= 0 else 0.0),
        dc_capacity_w=dc_capacity_w,
        ac_capacity_w=ac_capacity_w,
        losses=losses,
    )
