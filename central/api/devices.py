"""``/api/iot/devices``: the registry of sites and devices, in the runbook's words.

Agents and plain devices share it. Registering again replaces what was declared before.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from central.store.values import RegisteredSite
from models.contract import topics
from models.contract.timestamps import format_iso8601
from models.contract.units import from_base, to_base

from .context import Context, Identifier
from .fleet import SiteView, site_view, site_views

router = APIRouter(prefix="/api/iot/devices", tags=["devices"])

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Location(BaseModel):
    """Where it stands, in degrees."""

    model_config = ConfigDict(extra="forbid")
    lat: Annotated[Finite, Field(ge=-90, le=90)]
    lng: Annotated[Finite, Field(ge=-180, le=180)]


class Declared(BaseModel):
    """What a device says of itself when it registers."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "device_id": "solar_01",
                "device_type": "solar_inverter",
                "location": {"lat": 37.7749, "lng": -122.4194},
                "system_capacity_kw": 5.0,
                "mqtt_topic": "solar/solar_01/data",
            }
        },
    )
    device_id: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    device_type: Annotated[str, Field(pattern=r"^[\w .-]{1,64}$")] = "solar_inverter"
    location: Location
    system_capacity_kw: Annotated[Finite, Field(gt=0, lt=1e6)]
    mqtt_topic: str | None = None
    """Always ``solar/{device_id}/data``; checked when given."""
    elevation_m: Annotated[Finite, Field(ge=-450, le=9000)] = 0.0
    tilt_deg: Annotated[Finite, Field(ge=0, le=90)] = 0.0
    azimuth_deg: Annotated[Finite, Field(ge=0, le=360)] = 180.0

    @model_validator(mode="after")
    def _topic_of_this_device(self) -> Declared:
        if self.device_id == topics.BUNDLES:
            raise ValueError(f"device_id: {topics.BUNDLES!r} is reserved for model bundles")
        wanted = topics.build(self.device_id, "data")
        if self.mqtt_topic not in (None, wanted):
            raise ValueError(f"mqtt_topic: must be {wanted}, the topic of this device")
        return self


class Device(Declared):
    """A registered device and what was heard of it."""

    mqtt_topic: str
    registered_at: str
    status: Literal["online", "offline", "never_seen"]
    last_seen: str | None


class Devices(BaseModel):
    """Every registered device; ``length`` is their number."""

    length: int
    devices: list[Device]


@router.post("/register", status_code=201, responses={200: {"description": "replaced"}})
def register(declared: Declared, context: Context, response: Response) -> Device:
    """Register a device, or replace what was declared of it (200)."""
    site = RegisteredSite(
        id=declared.device_id,
        device_type=declared.device_type,
        latitude=declared.location.lat,
        longitude=declared.location.lng,
        capacity_w=to_base(declared.system_capacity_kw, "kW"),
        registered_at=context.clock.now(),
        elevation=declared.elevation_m,
        tilt=declared.tilt_deg,
        azimuth=declared.azimuth_deg,
    )
    if not context.store.register(site):
        response.status_code = 200
    return get_device(site.id, context)


@router.get("")
def list_devices(context: Context) -> Devices:
    """Every registered device."""
    with context.store.read() as ask:
        views = {view.id: view for view in site_views(ask, context.clock.now())}
        devices = [_device(site, views[site.id]) for site in ask.sites()]
    return Devices(length=len(devices), devices=devices)


@router.get("/{device_id}", responses={404: {"description": "not registered"}})
def get_device(device_id: Identifier, context: Context) -> Device:
    """One registered device."""
    with context.store.read() as ask:
        site = ask.site(device_id)
        if site is None:
            raise HTTPException(404, f"{device_id}: no such device; register it first")
        view = site_view(ask, site, context.clock.now())
    return _device(site, view)


def _device(site: RegisteredSite, view: SiteView) -> Device:
    status: Literal["online", "offline", "never_seen"] = "never_seen"
    if view.last_seen is not None:
        status = "online" if view.online else "offline"
    return Device(
        device_id=site.id,
        device_type=site.device_type,
        location=Location(lat=site.latitude, lng=site.longitude),
        system_capacity_kw=from_base(site.capacity_w, "kW"),
        mqtt_topic=topics.build(site.id, "data"),
        elevation_m=site.elevation,
        tilt_deg=site.tilt,
        azimuth_deg=site.azimuth,
        registered_at=format_iso8601(site.registered_at),
        status=status,
        last_seen=view.last_seen,
    )
