"""What is the case at this site, as the payload of each topic. Pure; time is handed in.

Decides what may be shown as a value: what is good, or true though held down. Anything else is
"unknown", and a device that sleeps or is silent is "unavailable". Domain time labels and schedules,
the monotonic clock tells silence. It leaves to others: when to send (``publisher``), descriptions
(``discovery``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from models.contract.fields import Json
from models.contract.forecast import Forecast
from models.contract.messages import Alert, Status
from models.contract.record import Quality, Record
from models.contract.timestamps import SECOND_MS, Instant, format_iso8601

from .alerts import Alerts, alert_words
from .discovery import OFFLINE, ONLINE, DeviceInfo, Topics
from .outlook import RENEW_MS, household_view, series_view

_TRUE = frozenset({Quality.GOOD, Quality.CURTAILED, Quality.CLIPPED})
_MISSED = 3
"""A device that has missed so many polls is silent."""
_SHORTEST_SILENCE_S = 30.0


@dataclass
class _Device:
    info: DeviceInfo
    quantities: dict[str, None] = field(default_factory=dict)
    """Every quantity that it has ever given a value of, in that order."""
    values: dict[str, tuple[float | None, Instant]] = field(default_factory=dict)
    record: Record | None = None
    heard_at: float = 0.0
    is_new: bool = True
    condition: str | None = None


@dataclass(frozen=True)
class AgentState:
    """How the agent is doing: its status, and what its status does not hold."""

    status: Status
    clock_trusted: bool | None = None
    last_sync: Instant | None = None


class Board:
    """Takes in what happens, gives out payloads of what has changed."""

    def __init__(
        self, topics: Topics, agent: str, devices: Iterable[DeviceInfo], zone: tzinfo
    ) -> None:
        self._topics, self._agent, self._zone = topics, agent, zone
        self._devices = {info.name: _Device(info) for info in devices}
        self._alerts = Alerts(agent, frozenset(self._devices))
        self._alerted: set[str] = {agent, *self._devices}  # at a start all is well
        self._is_alert_new = False
        self._forecast: Forecast | None = None
        self._outlook_of: tuple[Forecast | None, int] | None = None
        self._series_of: Forecast | None = None
        self._agent_state: AgentState | None = None
        self._agent_state_new = False

    # --- what happens: cheap, from the event loop ------------------------------------------------

    def note_record(self, record: Record, monotonic: float) -> None:
        """One poll of one device."""
        device = self._devices.get(record.device)
        if device is None:
            return
        for name, reading in record.readings.items():
            is_true = reading.value is not None and reading.quality in _TRUE
            if reading.value is not None and reading.quality is not Quality.ASLEEP:
                device.quantities[name] = None
            device.values[name] = (reading.value if is_true else None, record.measured_at)
        device.record, device.heard_at, device.is_new = record, monotonic, True

    def note_forecast(self, forecast: Forecast) -> None:
        """A new forecast."""
        self._forecast = forecast

    def note_alert(self, alert: Alert) -> None:
        """Something is wrong, or right again."""
        self._alerted.add(self._alerts.note(alert))
        self._is_alert_new = True

    def note_agent(self, state: AgentState) -> None:
        """How the agent is doing."""
        self._agent_state, self._agent_state_new = state, True

    # --- what is told ----------------------------------------------------------------------------

    def quantities(self, device: str) -> list[str]:
        """What a sensor is wanted for."""
        return list(self._devices[device].quantities)

    def expect(self, device: str, quantities: Iterable[str]) -> None:
        """``device`` has given these before this start."""
        self._devices[device].quantities |= dict.fromkeys(quantities)

    def changes(self, now: Instant, monotonic: float) -> dict[str, Json]:
        """Payloads that may have changed since they were last asked for, by topic."""
        changed: dict[str, Json] = {}
        for name, device in self._devices.items():
            changed |= self._device(name, device, monotonic)
        for owner in sorted(self._alerted):
            changed[self._topics.of(owner, "problem")] = self._alerts.problem(owner)
        self._alerted.clear()
        if self._is_alert_new and self._alerts.last is not None:
            changed[self._topics.of(self._agent, "last_alert")] = alert_words(self._alerts.last)
            self._is_alert_new = False
        if self._agent_state_new and self._agent_state is not None:
            changed[self._topics.of(self._agent, "state")] = _agent(self._agent_state)
            self._agent_state_new = False
        return changed | self._outlook(now)

    def _device(self, name: str, device: _Device, monotonic: float) -> dict[str, Json]:
        condition, trouble = _condition(device, monotonic)
        changed: dict[str, Json] = {}
        if device.is_new and device.record is not None:
            changed[self._topics.of(name, "state")] = _values(device, device.record)
        if device.is_new or condition != device.condition:
            is_there = condition in ("well", "suspect")
            changed[self._topics.of(name, "availability")] = ONLINE if is_there else OFFLINE
            changed[self._topics.of(name, "condition")] = {
                "condition": condition,
                "attributes": {"in_doubt": trouble},
            }
        device.is_new, device.condition = False, condition
        return changed

    def _outlook(self, now: Instant) -> dict[str, Json]:
        state = self._agent_state
        is_lost = state is not None and state.clock_trusted is False
        forecast = None if is_lost else self._forecast  # "now" means nothing without a clock
        changed: dict[str, Json] = {}
        if self._outlook_of is None or self._outlook_of != (forecast, now // RENEW_MS):
            self._outlook_of = (forecast, now // RENEW_MS)
            view = household_view(forecast, now, self._zone)
            changed[self._topics.of(self._agent, "forecast")] = view
        if forecast is not None and forecast is not self._series_of:
            self._series_of = forecast
            changed[self._topics.of(self._agent, "forecast_series")] = series_view(forecast)
        return changed


def _condition(device: _Device, monotonic: float) -> tuple[str | None, list[Json]]:
    """How a device is doing, and which of its quantities are in doubt."""
    record = device.record
    if record is None:
        return None, []
    silent_s = max(_SHORTEST_SILENCE_S, _MISSED * device.info.poll_s)
    if monotonic - device.heard_at > silent_s:
        return "silent", []
    if not any(reading.value is not None for reading in record.readings.values()):
        asleep = any(one.quality is Quality.ASLEEP for one in record.readings.values())
        return ("asleep" if asleep else "silent"), []
    doubtful: list[Json] = [
        f"{name}: {reading.quality.value}"
        for name, reading in record.readings.items()
        if reading.quality in (Quality.SUSPECT, Quality.MISSING)
    ]
    return ("suspect" if doubtful else "well"), doubtful


def _values(device: _Device, record: Record) -> Mapping[str, Json]:
    """Every quantity of the device; one that comes seldom keeps its value until it is overdue."""
    longest_ms = (_MISSED * device.info.poll_s + 2 * device.info.slow_s) * SECOND_MS
    values: dict[str, Json] = {"measured_at": format_iso8601(record.measured_at)}
    for name in device.quantities:
        value, at = device.values.get(name, (None, 0))
        is_fresh = name in record.readings or (
            device.info.slow_s > 0 and 0 <= record.measured_at - at <= longest_ms
        )
        values[name] = value if is_fresh else None
    return values


def _agent(state: AgentState) -> dict[str, Json]:
    status, bundle = state.status, state.status.bundle
    words = {None: None, True: "ON", False: "OFF"}
    return {
        "pending": status.counters.get("journal_pending"),
        "bundle": bundle.active or "none",
        "bundle_attributes": {
            "state": bundle.state.value,
            "release": bundle.release,
            "refused": bundle.refused,
            "reason": bundle.reason,
        },
        "last_sync": format_iso8601(state.last_sync) if state.last_sync is not None else None,
        "clock_trusted": words[state.clock_trusted],
    }
