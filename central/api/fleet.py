"""The fleet as a screen shows it: one view per agent, plain device or registered site."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from central.store import Queries
from central.store.values import AgentState, LatestRecord, RegisteredSite
from models.contract.messages import BundleStatus
from models.contract.record import Quality, Record
from models.contract.timestamps import HOUR_MS, MINUTE_MS, Instant, format_iso8601
from models.contract.units import from_base

_LIVE_MS = 15 * MINUTE_MS
"""Power older than this, against the newest word of the same site, is not live any more."""
_PLAIN_ONLINE_MS = HOUR_MS
"""A plain device has no birth or death; it counts as online this long after its last record."""
_TRUE = frozenset({Quality.GOOD, Quality.CURTAILED, Quality.CLIPPED})


class BundleView(BaseModel):
    """Where the box stands with its model bundle."""

    state: Literal["none", "staged", "trial", "active", "refused"]
    active: str | None
    release: int
    refused: str | None
    reason: str | None


class SiteView(BaseModel):
    """One site. Power in kW, instants in ISO 8601 UTC."""

    id: str
    kind: Literal["agent", "plain_device", "registered"]
    online: bool
    last_seen: str | None
    measured_at: str | None
    ac_power_kw: float | None
    ghi: float | None
    capacity_kw: float | None
    latitude: float | None
    longitude: float | None
    version: str | None
    bundle: BundleView | None


def site_views(ask: Queries, now: Instant) -> list[SiteView]:
    """Everything known of the fleet, ascending by name."""
    return _views(ask.agents(), ask.sites(), ask.latest_records(), now)


def site_view(ask: Queries, site: RegisteredSite, now: Instant) -> SiteView:
    """What is known of one registered site."""
    (view,) = _views(ask.agents(site.id), [site], ask.latest_records(site.id), now)
    return view


def _views(
    states: list[AgentState],
    sites: list[RegisteredSite],
    records: list[LatestRecord],
    now: Instant,
) -> list[SiteView]:
    agents = {state.agent: state for state in states}
    declared = {site.id: site for site in sites}
    latest: dict[str, list[LatestRecord]] = {}
    for row in records:
        latest.setdefault(row.identifier, []).append(row)
    names = sorted(agents.keys() | declared.keys() | latest.keys())
    return [
        _view(name, agents.get(name), declared.get(name), latest.get(name, []), now)
        for name in names
    ]


def live_power(records: list[Record]) -> float | None:
    """Generation now [W]: the sum over the devices that measure it, None when none does.

    Devices long silent against the newest of them take no part; a sleeping inverter gives 0.
    """
    newest = max((record.measured_at for record in records), default=0)
    total: float | None = None
    for record in records:
        reading = record.readings.get("ac_power")
        if reading is None or newest - record.measured_at > _LIVE_MS:
            continue
        if reading.quality in _TRUE and reading.value is not None:
            total = (total or 0.0) + reading.value
        elif reading.quality is Quality.ASLEEP:
            total = (total or 0.0) + (reading.value or 0.0)
    return total


def _view(
    name: str,
    agent: AgentState | None,
    declared: RegisteredSite | None,
    latest: list[LatestRecord],
    now: Instant,
) -> SiteView:
    records = [row.record for row in latest]
    received = max((row.received_at for row in latest), default=None)
    status = agent.status if agent else None
    last_seen = received
    if agent is not None:
        online = status.online if status else False
        last_seen = agent.last_seen if agent.last_seen is not None else received
    else:
        online = received is not None and now - received < _PLAIN_ONLINE_MS
    power = live_power(records)
    ghi = next((value for r in records if (value := r.value("ghi")) is not None), None)
    return SiteView(
        id=name,
        kind="agent" if agent else "plain_device" if latest else "registered",
        online=online,
        last_seen=_iso(last_seen),
        measured_at=_iso(max((record.measured_at for record in records), default=None)),
        ac_power_kw=None if power is None else from_base(power, "kW"),
        ghi=ghi,
        capacity_kw=from_base(declared.capacity_w, "kW") if declared else None,
        latitude=declared.latitude if declared else None,
        longitude=declared.longitude if declared else None,
        version=status.version if status else None,
        bundle=_bundle(status.bundle) if status else None,
    )


def _bundle(bundle: BundleStatus) -> BundleView:
    return BundleView(
        state=bundle.state.value,
        active=bundle.active,
        release=bundle.release,
        refused=bundle.refused,
        reason=bundle.reason,
    )


def _iso(instant: Instant | None) -> str | None:
    return None if instant is None else format_iso8601(instant)
