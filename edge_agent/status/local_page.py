"""What stands at each path of the local page: its own files, two JSON documents, metrics.

    server = open_local_page(settings.local, reporter.snapshot, metrics, ...)
    supervisor.add("local page", server.run, 120.0, essential=False)

Decides what the page is told beside the snapshot: alerts, roles, the power of the whole site now,
and today on one grid. How it looks is the page's own matter (``page/``).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from models.contract.clock import Clock
from models.contract.messages import Alert
from models.contract.payload import alert_to_json
from models.contract.quantities import quantity
from models.contract.record import Quality, Record
from models.contract.timestamps import MINUTE_MS, STEP_MS, Instant, format_iso8601
from models.features.intervals import Role

from .day_band import DayBand, Grid
from .local_server import LocalServer, Resource
from .local_settings import LocalSettings
from .metrics import MEDIA_TYPE
from .status_file import Snapshot

_log = logging.getLogger(__name__)

Measured = Callable[[Instant, Instant], Awaitable[Iterable[float]]]
"""Mean power [W] of the site in every step from one time to before another; NaN where unknown."""

_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/plot.js": ("plot.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
_JSON = "application/json"
_MEASURED_WITHIN_S = 3.0
"""The worker that reads the card may be busy; the page then says so."""
_TODAY_FRESH_S = 5.0
OLD_AFTER_MS = 20 * MINUTE_MS
"""A value older than this is no value of now; the longest poll interval is 15 minutes."""


class LocalPage:
    """Puts the documents together. Event loop only."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        clock: Clock,
        measured: Measured,
        band: DayBand,
        alerts: Callable[[], Sequence[Alert]],
        roles: Mapping[str, Role],
    ) -> None:
        self._snapshot, self._clock, self._measured = snapshot, clock, measured
        self._band, self._alerts, self._roles = band, alerts, roles
        self._complained = False

    def status(self) -> bytes:
        """``/status.json``."""
        snapshot = self._snapshot()
        body = snapshot.to_json() | {
            "alerts": [alert_to_json(alert) for alert in self._alerts()],
            "roles": {name: role.value for name, role in self._roles.items()},
            "site": site_now(snapshot.records, self._roles, snapshot.status.timestamp),
            "quantities": _glossary(snapshot.records),
        }
        return _encoded(body)

    async def today(self) -> bytes:
        """``/today.json``."""
        now = self._clock.now()
        grid = Grid.around(now)
        measured = await self._measured_until(now, grid)
        return _encoded(
            {
                "now": format_iso8601(now),
                "start": format_iso8601(grid.start),
                "step_minutes": STEP_MS // MINUTE_MS,
                "unit": "W",
                "measured": measured,
                "forecast": self._band.on(grid),
            }
        )

    async def _measured_until(self, now: Instant, grid: Grid) -> list[float | None] | None:
        """On ``grid``, None for unknown ones; None for all when the card does not answer."""
        try:
            async with asyncio.timeout(_MEASURED_WITHIN_S):
                found = list(await self._measured(grid.start, grid.end))
        except TimeoutError:
            return None  # the card is busy: the next time
        except Exception:
            if not self._complained:
                _log.exception("the measured power of today cannot be read for the local page")
            self._complained = True
            return None
        return [round(float(value), 1) if math.isfinite(value) else None for value in found]


def _glossary(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    names = {name for record in records for name in record.readings}
    found = (quantity(name) for name in sorted(names))
    return {one.name: {"unit": one.unit, "meaning": one.meaning} for one in found}


def site_now(
    records: Sequence[Record], roles: Mapping[str, Role], now: Instant
) -> dict[str, float | str | None]:
    """Power of the whole site [W]: generation only if every inverter has a value of now."""
    newest = {record.device: record for record in records}

    def power(device: str, name: str) -> float | None:
        record = newest.get(device)
        if record is None or now - record.measured_at > OLD_AFTER_MS:
            return None
        reading = record.readings.get(name)
        if reading is None:
            return None
        if reading.quality is Quality.ASLEEP:
            return 0.0
        is_believed = reading.quality not in (Quality.SUSPECT, Quality.MISSING)
        return reading.value if is_believed else None

    inverters = [name for name, role in roles.items() if role is Role.INVERTER]
    meters = [name for name, role in roles.items() if role is Role.METER]
    given = {name: power(name, "ac_power") for name in inverters}
    lacking = sorted(name for name, value in given.items() if value is None)
    known = [value for value in given.values() if value is not None]
    grid = [value for name in meters if (value := power(name, "grid_power")) is not None]
    return {
        "ac_power": sum(known) if inverters and not lacking else None,
        "grid_power": grid[0] if grid else None,
        "lacking": ", ".join(lacking),
    }


def open_local_page(
    settings: LocalSettings,
    snapshot: Callable[[], Snapshot],
    metrics: Callable[[], str],
    *,
    clock: Clock,
    measured: Measured,
    band: DayBand,
    alerts: Callable[[], Sequence[Alert]],
    roles: Mapping[str, Role],
) -> LocalServer:
    """The server of page, status and metrics; it listens once its ``run`` runs."""
    page = LocalPage(
        snapshot, clock=clock, measured=measured, band=band, alerts=alerts, roles=roles
    )
    folder = resources.files(__package__) / "page"
    served = {
        path: _file((folder / name).read_bytes(), media_type)
        for path, (name, media_type) in _FILES.items()
    }
    served["/status.json"] = Resource(_JSON, page.status)
    served["/today.json"] = Resource(_JSON, page.today, _TODAY_FRESH_S)
    served["/metrics"] = Resource(MEDIA_TYPE, lambda: metrics().encode())
    return LocalServer(settings, served)


def _file(content: bytes, media_type: str) -> Resource:
    return Resource(media_type, lambda: content)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
