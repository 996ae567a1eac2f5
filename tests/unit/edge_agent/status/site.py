"""A site as the local page and the metrics see it: two devices, a forecast, a day half over."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable

from edge_agent.status.alert_board import AlertBoard
from edge_agent.status.day_band import DayBand
from edge_agent.status.local_page import open_local_page
from edge_agent.status.local_server import LocalServer
from edge_agent.status.local_settings import LocalSettings
from edge_agent.status.status_file import ClockState, DeviceState, Snapshot
from models.contract.forecast import LEVELS, Coverage, CoverageState, Forecast, ForecastSeries
from models.contract.ledger import DayLedger, Reason
from models.contract.messages import Alert, BundleState, BundleStatus, Severity, Status
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import HOUR_MS, STEP_MS, Instant
from models.features.intervals import Role

NOON = 1_705_492_800_000  # 2024-01-17 12:00 UTC
ROLES = {"roof": Role.INVERTER, "meter": Role.METER}
RECORDS = (
    Record(
        "roof",
        NOON - 4_000,
        {
            "ac_power": Reading(3210.0),
            "dc_power": Reading(3300.0, Quality.SUSPECT),
            "frequency": Reading(50.02),
            "temp_inverter": Reading(None, Quality.MISSING),
        },
    ),
    Record("meter", NOON - 9_000, {"grid_power": Reading(-1234.0)}),
)


def forecast(start: Instant = NOON, median: float = 3000.0) -> Forecast:
    """48 hours: a parabola of a day, 5 % of the median between neighbouring levels."""
    rows = []
    for level in range(len(LEVELS)):
        share = 1 + 0.05 * (level - 3)
        sun = (
            math.cos((k * STEP_MS - (NOON - start)) / HOUR_MS / 12 * math.pi) for k in range(192)
        )
        rows.append(tuple(max(0.0, median * share * one) for one in sun))
    coverage = Coverage(0.9, 0.88, 640, CoverageState.CALIBRATED)
    series = ForecastSeries("smart_persistence", tuple(rows), coverage)
    return Forecast("farm", start, start, {"ac_power": series})


def snapshot(*, online: bool = True, trusted: bool = True) -> Snapshot:
    """What the reporter gives."""
    lost = {Reason.ASLEEP: 3600, Reason.DEAD: 40}
    ledger = (
        DayLedger("2024-01-17", "meter", 10_000, 4320, 4320),
        DayLedger("2024-01-17", "roof", 5_000, 8640, 5000, lost=lost),
    )
    status = Status(
        "farm", NOON, online, "0.1.0", "0123456789abcdef", 7,
        BundleStatus(BundleState.ACTIVE, "bundle-7", 7, "bundle-8", "<b>too old</b>"),
        {"journal_pending": 12}, ledger,
    )  # fmt: skip
    clock = ClockState(trusted, "synchronised by a time service" if trusted else "it jumped", 3)
    devices = {
        "roof": DeviceState("well", None),
        "meter": DeviceState("failing", "no reply within 1 s"),
    }
    return Snapshot(status, forecast(), RECORDS, 0.0, clock, devices, True, 4.0)


def measured(until: Instant = NOON) -> Callable[[Instant, Instant], Awaitable[Iterable[float]]]:
    """Power before ``until``, with a gap of an hour."""

    async def read(start: Instant, end: Instant) -> list[float]:
        known = (at < until and not NOON - 3 * HOUR_MS <= at < NOON - 2 * HOUR_MS
                 for at in range(start, end, STEP_MS))  # fmt: skip
        return [2500.0 if one else math.nan for one in known]

    return read


class FixedClock:
    """Noon."""

    def __init__(self, now: Instant = NOON) -> None:
        self.time = now

    def now(self) -> Instant:
        return self.time

    def monotonic(self) -> float:
        return 0.0

    async def sleep_until(self, instant: Instant) -> None:
        self.time = max(self.time, instant)


def local_server(
    port: int,
    *,
    seen: Callable[[], Snapshot] = snapshot,
    metrics: Callable[[], str] = lambda: "solar_edge_info 1\n",
    names: tuple[str, ...] = (),
) -> LocalServer:
    """The server of that site."""
    band = DayBand()
    band.note(forecast(NOON - 6 * HOUR_MS, median=2000.0))
    band.note(forecast())
    board = AlertBoard()
    board.note(Alert("meter", NOON, "device-silent", Severity.ALARM, "gives <i>nothing</i>"))
    board.note(Alert("farm", NOON, "clock-jumped", Severity.INFO, "it jumped", active=False))
    return open_local_page(
        LocalSettings(port=port, names=names), seen, metrics,
        clock=FixedClock(), measured=measured(), band=band, alerts=board.alerts, roles=ROLES,
    )  # fmt: skip
