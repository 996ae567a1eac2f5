"""``solar-edge status`` and ``read`` as Rich tables; kW and local words live only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from models.contract.forecast import Forecast
from models.contract.messages import BundleState, BundleStatus
from models.contract.quantities import quantity
from models.contract.record import Quality, Record
from models.contract.timestamps import HOUR_MS, format_iso8601

from .ledger_view import ledger_table
from .status_file import ClockState, DeviceState, Snapshot

STALE_S = 120.0
"""A status older than this is said to be old."""
_HOURS_AHEAD = (0, 1, 3, 6, 24, 47)


def status_view(snapshot: Snapshot) -> RenderableType:
    """The whole screen."""
    status = snapshot.status
    head = Table.grid(padding=(0, 2))
    head.add_row("agent", f"{status.agent}  (solar-edge {status.version})")
    age = f"{snapshot.age_s:.0f} s ago"
    stale = snapshot.age_s > STALE_S or not status.online
    head.add_row(
        "written",
        Text(age if status.online else f"stopped {age}", style="red bold" if stale else "")
        + Text(f"  at {format_iso8601(status.timestamp)}"),
    )
    head.add_row("centre", _centre(snapshot))
    if snapshot.clock is not None:
        head.add_row("clock", _clock(snapshot.clock))
    head.add_row("bundle", _bundle(status.bundle))
    counters = Table("counter", "value", box=None)
    for name, value in sorted(status.counters.items()):
        counters.add_row(name, str(value))
    parts: list[RenderableType] = [head, records_table(snapshot.records)]
    if troubles := _troubles(snapshot.devices):
        parts.append(troubles)
    if status.ledger:
        parts.append(ledger_table(status.ledger))
    if snapshot.forecast:
        parts.append(_forecast(snapshot.forecast))
    return Group(*parts, counters)


def _centre(snapshot: Snapshot) -> Text:
    pending = snapshot.status.counters.get("journal_pending", 0)
    text = Text("connected" if snapshot.connected else "not connected", style="")
    if not snapshot.connected:
        text.stylize("yellow")
    if snapshot.last_ack_s is not None:
        text.append(f", acknowledged {snapshot.last_ack_s + snapshot.age_s:.0f} s ago")
    return text.append(f", {pending} entries on their way")


def _clock(clock: ClockState) -> Text:
    if clock.trusted:
        return Text(f"trusted: {clock.reason}")
    waiting = f"; {clock.held} entries wait for their true time" if clock.held else ""
    return Text(f"not trusted: {clock.reason}{waiting}", style="red")


def _troubles(devices: Mapping[str, DeviceState]) -> Table | None:
    """Devices that do not do well, and what they said last."""
    rows = [(name, one) for name, one in devices.items() if one.last_error]
    if not rows:
        return None
    table = Table("device", "state", "last error", title="not well")
    for name, one in rows:
        table.add_row(name, one.state, Text(one.last_error or ""))
    return table


def records_table(records: Sequence[Record]) -> Table:
    """Devices side by side, quantities below each other."""
    table = Table(title="devices")
    table.add_column("quantity")
    for record in records:
        table.add_column(f"{record.device}\n{format_iso8601(record.measured_at)}", justify="right")
    names = sorted({name for record in records for name in record.readings})
    for name in names:
        cells = []
        for record in records:
            reading = record.readings.get(name)
            if reading is None:
                cells.append("")
                continue
            text = "-" if reading.value is None else f"{reading.value:,.1f}"
            if reading.quality is not Quality.GOOD:
                text += f" ({reading.quality.value})"
            cells.append(text)
        table.add_row(f"{name} [{quantity(name).unit}]", *cells)
    return table


def _bundle(bundle: BundleStatus) -> Text:
    if bundle.active:
        style = "yellow" if bundle.state is BundleState.TRIAL else "green"
        text = Text(f"{bundle.active} (release {bundle.release}, {bundle.state.value})", style)
    else:
        text = Text("none: forecasting by smart persistence")
    if bundle.refused:
        text.append(f"\nrefused {bundle.refused}: {bundle.reason}", "red")
    return text


def _forecast(forecast: Forecast) -> Table:
    table = Table(title=f"forecast issued {format_iso8601(forecast.issued_at)}, kW")
    table.add_column("quantity, model")
    for hours in _HOURS_AHEAD:
        table.add_column(f"+{hours} h", justify="right")
    for name, series in forecast.series.items():
        cells = []
        for hours in _HOURS_AHEAD:
            step = min(hours * HOUR_MS // forecast.step_ms, len(series.median) - 1)
            low, high = series.quantiles[0][step], series.quantiles[-1][step]
            middle = series.median[step]
            cells.append(f"{middle / 1000:.2f}\n{low / 1000:.2f}-{high / 1000:.2f}")
        coverage = series.coverage
        seen = "not yet measured" if coverage.observed is None else f"{coverage.observed:.0%}"
        table.add_row(
            f"{name}\n{series.model}\n{coverage.nominal:.0%} interval holds {seen}", *cells
        )
    return table
