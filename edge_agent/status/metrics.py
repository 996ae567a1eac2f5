"""What monitoring sees of a running agent: names, units and labels of every metric.

The app hands in a :class:`MetricsSource` at each scrape; nothing is parsed out of names of status
counters. Base units, ``_total`` for what only grows, and labels from small closed sets: devices,
lines and workers of the settings, quantities of the glossary, qualities, reasons. What a row of a
table below does not name is not shown; a test holds the tables against the counters that there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edge_agent.supervision import Usage, WorkerReport
from models.contract.forecast import Forecast
from models.contract.ledger import DayLedger
from models.contract.messages import BundleState, BundleStatus
from models.contract.quantities import quantity
from models.contract.record import Record
from models.contract.timestamps import Instant

from .exposition import MEDIA_TYPE, Exposition, Labels
from .status_file import ClockState

__all__ = ["MEDIA_TYPE", "DeviceMetrics", "LineMetrics", "MetricsSource", "metrics_text"]

PREFIX = "solar_edge"
DEVICE_STATES = ("unknown", "well", "failing", "dead", "asleep", "overslept")

JOURNAL_GAUGES = {
    "journal_pending": ("journal_pending_entries", "Entries the centre has not acknowledged."),
    "journal_held": ("journal_held_entries", "Entries that wait for their true time."),
    "journal_queued": ("journal_queued_entries", "Entries in memory, not yet on the card."),
    "journal_committed": ("journal_entries", "Entries of the journal, sent or not."),
    "journal_acknowledged": (
        "journal_acknowledged_entries",
        "Entries of the journal that the centre has acknowledged.",
    ),
    "journal_void": ("journal_void_entries", "Sequence numbers declared void."),
}
JOURNAL_COUNTERS = {
    "journal_thinned": ("journal_thinned_entries", "Entries replaced by means for want of room."),
    "journal_refused": ("journal_refused_entries", "Entries there was no room for."),
    "journal_write_errors": ("journal_write_errors", "Groups that the card did not take at once."),
    "journal_watcher_errors": ("journal_watcher_errors", "Failures in telling of a commit."),
}
UPLINK_COUNTERS = {
    "uplink_live": ("uplink_live_entries", "Entries sent as news."),
    "uplink_batches": ("uplink_batches", "Compressed batches of backlog sent."),
    "uplink_batch_entries": ("uplink_batch_entries", "Entries sent in batches."),
    "uplink_batch_bytes": ("uplink_batch_bytes", "Bytes of the batches sent."),
    "uplink_acknowledged": ("uplink_acknowledged_entries", "Entries acknowledged by the centre."),
    "uplink_late": ("uplink_late_entries", "Entries that became backlog without an answer."),
    "uplink_not_passed_on": ("uplink_not_passed_on", "Messages the broker passed on to nobody."),
    "uplink_quarantined": ("uplink_quarantined_entries", "Entries that could not be sent."),
    "uplink_rewinds": ("uplink_rewinds", "Requests of the centre to send again."),
    "uplink_bad_messages": ("uplink_bad_messages", "Messages that could not be understood."),
    "uplink_errors": ("uplink_errors", "Failures of the sending loop."),
    "mqtt_connects": ("mqtt_connections", "Connections the broker accepted."),
    "mqtt_failures": ("mqtt_failed_connections", "Attempts that did not become a connection."),
    "mqtt_lost": ("mqtt_lost_connections", "Connections that were lost."),
    "mqtt_unexpected": ("mqtt_unexpected_events", "Events that did not fit the connection."),
}
DEVICE_COUNTERS = {
    "polls": ("device_polls", "Polls of a device."),
    "failures": ("device_failed_polls", "Polls without a record."),
    "skipped": ("device_skipped_turns", "Turns that passed without a poll."),
    "asleep": ("device_asleep_turns", "Turns at which the device slept."),
}


@dataclass(frozen=True)
class DeviceMetrics:
    """One device."""

    name: str
    state: str
    """``firmware_bridge.State``"""
    counters: Mapping[str, int]
    """``vars(DeviceCounters)``"""


@dataclass(frozen=True)
class LineMetrics:
    """One bus."""

    name: str
    busy_s: float
    """Real seconds in which the line was taken (``BusCounters.busy_s``)."""
    requests: int
    fences: int
    faults: Mapping[str, int]


@dataclass(frozen=True)
class MetricsSource:
    """Everything that metrics are made of, at one moment."""

    version: str
    now: Instant
    """Domain time, as in records and forecasts."""
    devices: Sequence[DeviceMetrics] = ()
    lines: Sequence[LineMetrics] = ()
    records: Sequence[Record] = ()
    """The newest of each device."""
    journal: Mapping[str, int] = field(default_factory=dict)
    """``Journal.counts()``"""
    uplink: Mapping[str, int] = field(default_factory=dict)
    """``Uplink.counts()``"""
    connected: bool = False
    last_ack_s: float | None = None
    """Real seconds since the centre's last acknowledgement."""
    forecast: Forecast | None = None
    forecast_failures: int = 0
    bundle: BundleStatus = BundleStatus()
    clock: ClockState | None = None
    workers: Sequence[WorkerReport] = ()
    supervisor_gaps: int = 0
    usage: Usage | None = None
    ledger: Sequence[DayLedger] = ()
    alerts_active: int = 0


def metrics_text(source: MetricsSource) -> str:
    """The answer to a scrape."""
    out = Exposition(PREFIX)
    out.gauge("info", "Always 1; the version is a label.", 1, {"version": source.version})
    _process(out, source)
    _devices(out, source)
    _lines(out, source.lines)
    _tables(out, source)
    _forecast(out, source)
    _bundle(out, source.bundle)
    _ledger(out, source.ledger)
    return out.text()


def _process(out: Exposition, source: MetricsSource) -> None:
    usage, clock = source.usage, source.clock
    if usage is not None:
        out.gauge("resident_memory_bytes", "Resident memory.", usage.resident_bytes)
        out.gauge("open_fds", "Open files, sockets and ports.", usage.descriptors)
    if clock is not None:
        out.gauge("clock_trusted", "1 while the clock of the box is believed.", clock.trusted)
    workers = source.workers
    out.family(
        "gauge", "loop_age_seconds", "Time since a loop last came round.",
        [({"loop": one.name}, round(one.moved_s_ago, 3)) for one in workers],
    )  # fmt: skip
    out.family(
        "gauge", "loop_running", "1 while a loop runs, 0 while it waits to be started again.",
        [({"loop": one.name}, one.state == "running") for one in workers],
    )  # fmt: skip
    out.family(
        "counter", "loop_restarts", "How often a loop was started again.",
        [({"loop": one.name}, one.restarts) for one in workers],
    )  # fmt: skip
    out.counter(
        "process_gaps", "How often nothing moved for a while: stopped, or blocked.",
        source.supervisor_gaps,
    )  # fmt: skip
    out.gauge("alerts_active", "Alerts that stand.", source.alerts_active)


def _devices(out: Exposition, source: MetricsSource) -> None:
    devices = source.devices
    for key, (name, about) in DEVICE_COUNTERS.items():
        out.family("counter", name, about, [(_of(one), one.counters.get(key)) for one in devices])
    out.family(
        "gauge", "device_state", "1 for the state a device is in, 0 for the others.",
        [
            (_of(one) | {"state": state}, one.state == state)
            for one in devices
            for state in DEVICE_STATES
        ],
    )  # fmt: skip
    out.family(
        "gauge", "record_age_seconds", "Age of the newest record of a device.",
        [
            ({"device": record.device}, (source.now - record.measured_at) / 1000)
            for record in source.records
        ],
    )  # fmt: skip
    out.family(
        "gauge", "value", "Newest value of a quantity, in the unit of its label.",
        [pair for record in source.records for pair in _values(record)],
    )  # fmt: skip


def _of(device: DeviceMetrics) -> dict[str, str]:
    return {"device": device.name}


def _values(record: Record) -> Iterator[tuple[Labels, float | None]]:
    for name, reading in record.readings.items():
        labels = {
            "device": record.device,
            "quantity": name,
            "unit": quantity(name).unit,
            "quality": reading.quality.value,
        }
        yield labels, reading.value


def _lines(out: Exposition, lines: Sequence[LineMetrics]) -> None:
    out.family(
        "counter", "line_busy_seconds", "Time in which a line was taken.",
        [({"line": one.name}, one.busy_s) for one in lines],
    )  # fmt: skip
    out.family(
        "counter", "line_requests", "Requests sent on a line.",
        [({"line": one.name}, one.requests) for one in lines],
    )  # fmt: skip
    out.family(
        "counter", "line_fences", "Waits for late replies to pass.",
        [({"line": one.name}, one.fences) for one in lines],
    )  # fmt: skip
    out.family(
        "counter", "line_faults", "Requests without a reply to believe, by kind.",
        [
            ({"line": one.name, "fault": fault}, count)
            for one in lines
            for fault, count in one.faults.items()
        ],
    )  # fmt: skip


def _tables(out: Exposition, source: MetricsSource) -> None:
    for key, (name, about) in JOURNAL_GAUGES.items():
        out.gauge(name, about, source.journal.get(key))
    for counts, table in ((source.journal, JOURNAL_COUNTERS), (source.uplink, UPLINK_COUNTERS)):
        for key, (name, about) in table.items():
            if key in counts:
                out.counter(name, about, counts[key])
    out.gauge("connected", "1 while there is a connection to the broker.", source.connected)
    out.gauge(
        "last_ack_age_seconds", "Time since the centre's last acknowledgement.", source.last_ack_s
    )


def _forecast(out: Exposition, source: MetricsSource) -> None:
    out.counter("forecast_failures", "Forecasts that failed.", source.forecast_failures)
    forecast = source.forecast
    if forecast is None:
        return
    age_s = (source.now - forecast.issued_at) / 1000
    out.gauge("forecast_age_seconds", "Age of the newest forecast.", age_s)
    covered = [({"quantity": name}, one.coverage) for name, one in forecast.series.items()]
    out.family(
        "gauge", "forecast_coverage_ratio", "Share of outcomes within the outer quantiles.",
        [(labels, one.observed) for labels, one in covered],
    )  # fmt: skip
    out.family(
        "gauge", "forecast_coverage_nominal_ratio", "What that share should be.",
        [(labels, one.nominal) for labels, one in covered],
    )  # fmt: skip
    out.family(
        "gauge", "forecast_coverage_outcomes", "Outcomes that were counted.",
        [(labels, one.count) for labels, one in covered],
    )  # fmt: skip


def _bundle(out: Exposition, bundle: BundleStatus) -> None:
    out.gauge("bundle_release", "Release number of the active bundle; 0: none.", bundle.release)
    out.family(
        "gauge", "bundle_state", "1 for the state of the model bundle, 0 for the others.",
        [({"state": state.value}, bundle.state is state) for state in BundleState],
    )  # fmt: skip


def _ledger(out: Exposition, rows: Sequence[DayLedger]) -> None:
    """The day in progress: older ones do not change, and days are no label."""
    if not rows:
        return
    today = max(row.day for row in rows)
    of_today = [row for row in rows if row.day == today]
    out.family(
        "gauge", "turns_today", "Turns of a device since the start of the UTC day.",
        [({"device": row.device}, row.expected) for row in of_today],
    )  # fmt: skip
    out.family(
        "gauge", "turns_had_today", "Turns of them that gave a record.",
        [({"device": row.device}, row.have) for row in of_today],
    )  # fmt: skip
    out.family(
        "gauge", "turns_lost_today", "Turns of them that gave none, by reason.",
        [
            ({"device": row.device, "reason": reason.value}, turns)
            for row in of_today
            for reason, turns in row.lost.items()
        ],
    )  # fmt: skip
