"""Does the centre have everything of an agent's day? What the box says, against what is here.

The box counts every turn of its poll grid (``models.contract.ledger``) and reports it; the store
counts the polls whose record has come. Decides what can be said from both: never that a day is
complete which the box has not spoken of to its end, and never that something is on its way when the
box has nothing left to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.table import Table

from central.store import Queries
from central.store.values import AgentState, ReportedDay
from models.contract.ledger import DayLedger, Reason, day_start
from models.contract.timestamps import DAY_MS, MINUTE_MS, Instant, format_iso8601

_SETTLE_MS = 10 * MINUTE_MS
"""A report and the records it counts travel apart: so long one may come without the other."""


class Verdict(StrEnum):
    """What can be said of a day."""

    COMPLETE = "complete"
    """Everything that the box has is here."""
    ON_ITS_WAY = "on its way"
    """The box has more and will send it, or may."""
    MISSING = "missing"
    """The box had more and has nothing left to send."""
    UNKNOWN = "unknown"
    """The box has not reported the day, or not to its end."""


_WORST_FIRST = (Verdict.MISSING, Verdict.UNKNOWN, Verdict.ON_ITS_WAY, Verdict.COMPLETE)


@dataclass(frozen=True)
class DeviceDay:
    """One device on the day."""

    device: str
    verdict: Verdict
    stored: int
    """Polls whose record is here."""
    ledger: DayLedger | None
    """What the box says."""
    reported_at: Instant | None

    @property
    def missing(self) -> int | None:
        """Polls that the box has stored and the centre has not; None when the box says nothing."""
        return None if self.ledger is None else max(0, self.ledger.stored - self.stored)


@dataclass(frozen=True)
class Completeness:
    """An agent's day. ``open_gaps`` are entries of any day that are known to be missing here."""

    agent: str
    day: str
    verdict: Verdict
    in_progress: bool
    reported_at: Instant | None
    open_gaps: int
    devices: tuple[DeviceDay, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and the API."""
        return {
            "agent": self.agent,
            "day": self.day,
            "verdict": self.verdict.value,
            "in_progress": self.in_progress,
            "reported_at": _iso(self.reported_at),
            "open_gaps": self.open_gaps,
            "devices": [_device_json(one) for one in self.devices],
        }


def completeness(ask: Queries, agent: str, day: str, now: Instant) -> Completeness:
    """What can be said of ``day`` (``2024-06-15``, UTC) of ``agent``.

    Raises ``ContractError`` when ``day`` is no day.
    """
    start = day_start(day)
    reported = ask.reported_days(agent, day)
    stored = ask.stored_polls(agent, start, start + DAY_MS)
    gaps = ask.open_gaps(agent)
    (state,) = ask.agents(agent) or [AgentState(agent, None, None)]
    devices = tuple(
        DeviceDay(
            device,
            _verdict(reported.get(device), stored.get(device, 0), start, gaps, state, now),
            stored.get(device, 0),
            reported[device].ledger if device in reported else None,
            reported[device].reported_at if device in reported else None,
        )
        for device in sorted(reported.keys() | stored.keys())
    )
    found = {one.verdict for one in devices}
    return Completeness(
        agent,
        day,
        next((verdict for verdict in _WORST_FIRST if verdict in found), Verdict.UNKNOWN),
        now < start + DAY_MS,
        max((one.reported_at for one in reported.values()), default=None),
        gaps,
        devices,
    )


def _verdict(
    report: ReportedDay | None,
    stored: int,
    start: Instant,
    gaps: int,
    state: AgentState,
    now: Instant,
) -> Verdict:
    end = start + DAY_MS
    if report is None or report.reported_at < end <= now:
        return Verdict.UNKNOWN
    missing = report.ledger.stored - stored
    if missing <= 0:
        # More than was reported: some came since, and what lies in a gap may have been before.
        return Verdict.ON_ITS_WAY if missing < 0 and gaps else Verdict.COMPLETE
    fresh = now - report.received_at < _SETTLE_MS
    return Verdict.ON_ITS_WAY if gaps or fresh or _may_send(state, report) else Verdict.MISSING


def _may_send(state: AgentState, report: ReportedDay) -> bool:
    """Whether the box has something to send, or has not said since that it has nothing."""
    status = state.status
    if status is None or not status.online or status.timestamp < report.reported_at:
        return True
    counters = status.counters
    return counters.get("journal_pending") != 0 or counters.get("journal_queued", 0) > 0


def completeness_table(found: Completeness) -> Table:
    """For a terminal."""
    reasons = [
        reason
        for reason in Reason
        if any(one.ledger is not None and reason in one.ledger.lost for one in found.devices)
    ]
    caption = [f"last report of the box: {_iso(found.reported_at) or 'none of this day'}"]
    if found.in_progress:
        caption.append("the day is in progress: so far")
    if found.open_gaps:
        caption.append(f"{found.open_gaps:,} entries (of any day) are known of and not here yet")
    if found.verdict is Verdict.MISSING:
        caption.append("the box does not have them to send: ask it to rewind, or compare journals")
    table = Table(
        title=f"{found.agent} on {found.day} (UTC): {found.verdict.value}",
        caption="\n".join(caption),
    )
    table.add_column("device")
    for name in ("turns", "had", "stored here", "missing here", "thinned", *reasons):
        table.add_column(str(name), justify="right")
    table.add_column("verdict")
    for one in found.devices:
        counts: list[int | None] = [None, None, one.stored, one.missing, None]
        lost: list[int | None] = [None] * len(reasons)
        if one.ledger is not None:
            ledger = one.ledger
            counts = [ledger.expected, ledger.have, one.stored, one.missing, ledger.thinned]
            lost = [ledger.lost.get(reason, 0) for reason in reasons]
        cells = ["-" if count is None else f"{count:,}" for count in (*counts, *lost)]
        style = "green" if one.verdict is Verdict.COMPLETE else "yellow"
        table.add_row(one.device, *cells, f"[{style}]{one.verdict.value}[/]")
    return table


def _device_json(one: DeviceDay) -> dict[str, Any]:
    ledger = one.ledger
    return {
        "device": one.device,
        "verdict": one.verdict.value,
        "stored": one.stored,
        "missing": one.missing,
        "reported_at": _iso(one.reported_at),
        "poll_ms": None if ledger is None else ledger.poll_ms,
        "expected": None if ledger is None else ledger.expected,
        "have": None if ledger is None else ledger.have,
        "thinned": None if ledger is None else ledger.thinned,
        "lost": None if ledger is None else {why.value: n for why, n in ledger.lost.items()},
    }


def _iso(instant: Instant | None) -> str | None:
    return None if instant is None else format_iso8601(instant)
