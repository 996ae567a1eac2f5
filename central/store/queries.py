"""The named questions to the store. All of one block see one state; nothing here writes.

An ``identifier`` is the agent or plain device that a topic named; a site has the identifier of the
agent that serves it. Values come back as the contract's own types.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from models.contract.forecast import Forecast
from models.contract.ledger import DayLedger, Reason
from models.contract.messages import SeqRange
from models.contract.payload import (
    forecast_from_json,
    record_from_json,
    status_from_json,
)
from models.contract.record import Record
from models.contract.timestamps import STEP_MS, Instant

from .values import (
    AgentState,
    IrradianceMean,
    KeyConflict,
    LatestRecord,
    QuarantineRow,
    RegisteredSite,
    ReportedDay,
    merge_ranges,
)

_FAR = 2**62
"""Later than any instant."""

# The rule of models.features.intervals: only good power counts, and a sleeping inverter gives none.
_GOOD_POWER = (
    "CASE coalesce(json_extract(body, '$.quality.ac_power'), 'good')"
    " WHEN 'good' THEN json_extract(body, '$.ac_power')"
    " WHEN 'asleep' THEN 0.0 END"
)


# A record that stands for several polls says so; some that it replaces may be here as well.
_POLLS = "CASE WHEN instr(body, '\"samples\":') THEN json_extract(body, '$.samples') ELSE 1 END"
_REPLACED = (
    "coalesce((SELECT last_seq FROM voids v WHERE v.agent = e.agent AND v.epoch = e.epoch"
    " AND v.first_seq <= e.seq ORDER BY v.first_seq DESC LIMIT 1) >= e.seq, 0)"
)


class EntryDigest(NamedTuple):
    """Name and content of one journal entry, as the journal comparison needs it."""

    epoch: str
    seq: int
    digest: bytes


class EpochState(NamedTuple):
    """What is known of one run of an agent."""

    epoch: str
    first_seq: int | None
    through: int
    highest: int | None


class Queries:
    """Questions on one connection inside one read transaction; made by ``Store.read``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    # --- journals ---------------------------------------------------------------------------------

    def epochs(self, agent: str) -> list[EpochState]:
        """Every epoch of ``agent`` that something is known of."""
        rows = self._db.execute(
            "SELECT epoch, first_seq, through, (SELECT max(seq) FROM entries e"
            " WHERE e.agent = p.agent AND e.epoch = p.epoch) FROM epochs p"
            " WHERE agent = ? ORDER BY epoch",
            (agent,),
        )
        return [EpochState(*row) for row in rows]

    def missing(self, agent: str, epoch: str) -> list[SeqRange]:
        """Sequence numbers below the highest known one that are neither stored nor void.

        Counted from the epoch's first number; from the lowest stored one while that is not known.
        """
        row = self._db.execute(
            "SELECT first_seq FROM epochs WHERE agent = ? AND epoch = ?", (agent, epoch)
        ).fetchone()
        stored = self._db.execute(
            "SELECT min(seq), max(seq) FROM (SELECT seq, seq - row_number() OVER (ORDER BY seq)"
            " AS island FROM entries WHERE agent = ? AND epoch = ?) GROUP BY island",
            (agent, epoch),
        )
        voids = self._db.execute(
            "SELECT first_seq, last_seq FROM voids WHERE agent = ? AND epoch = ?", (agent, epoch)
        )
        known = merge_ranges([(first, last) for first, last in (*stored, *voids)])
        if not known:
            return []
        expected = row["first_seq"] if row and row["first_seq"] is not None else known[0][0]
        gaps: list[SeqRange] = []
        for first, last in known:
            if first > expected:
                gaps.append((expected, first - 1))
            expected = max(expected, last + 1)
        return gaps

    def keys_and_digests(self, agent: str) -> Iterator[EntryDigest]:
        """Every entry of ``agent``, ascending by epoch and seq."""
        rows = self._db.execute(
            "SELECT epoch, seq, digest FROM entries WHERE agent = ? ORDER BY epoch, seq", (agent,)
        )
        return (EntryDigest(*row) for row in rows)

    def conflicts(self) -> list[KeyConflict]:
        """Keys that came with more than one body."""
        rows = self._db.execute(
            "SELECT DISTINCT agent, epoch, seq FROM key_conflicts ORDER BY agent, epoch, seq"
        )
        return [KeyConflict(*row) for row in rows]

    def open_gaps(self, agent: str) -> int:
        """Entries of ``agent`` that must exist, because later ones do, and are not here."""
        return sum(
            last - first + 1
            for epoch in self.epochs(agent)
            if epoch.highest is not None and epoch.highest > epoch.through
            for first, last in self.missing(agent, epoch.epoch)
        )

    # --- completeness -----------------------------------------------------------------------------

    def reported_days(self, agent: str, day: str) -> dict[str, ReportedDay]:
        """What ``agent`` has said of its devices on ``day`` (``2024-06-15``), by device."""
        rows = self._db.execute(
            "SELECT device, poll_ms, expected, have, thinned, reasons, reported_at, received_at"
            " FROM day_ledgers WHERE agent = ? AND day = ? ORDER BY device",
            (agent, day),
        )
        found: dict[str, ReportedDay] = {}
        for device, poll_ms, expected, have, thinned, reasons, reported_at, received_at in rows:
            lost = {Reason(name): turns for name, turns in json.loads(reasons).items()}
            ledger = DayLedger(day, device, poll_ms, expected, have, thinned, lost)
            found[device] = ReportedDay(ledger, reported_at, received_at)
        return found

    def stored_polls(self, agent: str, start: Instant, end: Instant) -> dict[str, int]:
        """Polls measured in ``[start, end)`` whose record is here, by device."""
        rows = self._db.execute(
            f"SELECT device, sum({_POLLS}) FROM entries e WHERE agent = ? AND kind = 'record'"
            f" AND measured_at >= ? AND measured_at < ? AND NOT {_REPLACED} GROUP BY device",
            (agent, start, end),
        )
        return dict(rows.fetchall())

    # --- measurements -----------------------------------------------------------------------------

    def records(
        self, identifier: str, start: Instant, end: Instant, device: str | None = None
    ) -> Iterator[Record]:
        """Records measured in ``[start, end)``, ascending by time; of one device or of all."""
        agents = self._db.execute(
            "SELECT body FROM entries WHERE agent = ? AND kind = 'record' AND measured_at >= ?"
            " AND measured_at < ? AND device = coalesce(?, device) ORDER BY measured_at, seq",
            (identifier, start, end, device),
        )
        for (body,) in agents:
            yield record_from_json(json.loads(body))
        plain = self._db.execute(
            "SELECT body FROM plain_records WHERE device = ? AND measured_at >= ?"
            " AND measured_at < ? AND device = coalesce(?, device) ORDER BY measured_at",
            (identifier, start, end, device),
        )
        for (body,) in plain:
            yield record_from_json(json.loads(body))

    def latest_records(self, identifier: str | None = None) -> list[LatestRecord]:
        """The newest record of every device, of all senders or of one."""
        rows = self._db.execute(
            "SELECT identifier, body, received_at FROM latest_records"
            " WHERE ?1 IS NULL OR identifier = ?1 ORDER BY identifier, device",
            (identifier,),
        )
        return [
            LatestRecord(identifier, record_from_json(json.loads(body)), received_at)
            for identifier, body, received_at in rows
        ]

    def power_means(
        self, identifier: str, start: Instant, end: Instant
    ) -> list[tuple[Instant, float]]:
        """Generation per 15-minute interval that begins in ``[start, end)``: start and mean [W].

        Mean per device, then the sum over the devices that measured ``ac_power``. Suspect and
        missing values take no part.
        """
        rows = self._db.execute(
            "WITH measured AS"
            f" (SELECT device, measured_at / {STEP_MS} AS step, {_GOOD_POWER} AS power"
            " FROM entries WHERE agent = :id AND kind = 'record' AND measured_at >= :start"
            " AND measured_at < :end"
            f" UNION ALL SELECT device, measured_at / {STEP_MS}, {_GOOD_POWER} FROM plain_records"
            " WHERE device = :id AND measured_at >= :start AND measured_at < :end),"
            " means AS (SELECT device, step, avg(power) AS power FROM measured"
            " WHERE power IS NOT NULL GROUP BY device, step)"
            f" SELECT step * {STEP_MS}, sum(power) FROM means GROUP BY step"
            " HAVING count(*) = (SELECT count(DISTINCT device) FROM means) ORDER BY step",
            {"id": identifier, "start": start, "end": end},
        )
        return [(step, power) for step, power in rows]

    def load_means(
        self, identifier: str, start: Instant, end: Instant
    ) -> list[tuple[Instant, float]]:
        """Demand of the site per 15-minute interval that begins in ``[start, end)`` [W].

        What is bought and what is generated is what is used (``models.features.intervals``); an
        interval without the meter, or without an inverter that the site has, is left out.
        """
        good = (
            "CASE WHEN json_extract(body, '$.quality.grid_power') IS NULL"
            " THEN json_extract(body, '$.grid_power') END"
        )
        rows = self._db.execute(
            f"SELECT measured_at / {STEP_MS} * {STEP_MS} AS step, avg({good}) AS grid FROM entries"
            " WHERE agent = ? AND kind = 'record' AND measured_at >= ? AND measured_at < ?"
            " GROUP BY step HAVING grid IS NOT NULL ORDER BY step",
            (identifier, start, end),
        )
        generated = dict(self.power_means(identifier, start, end))
        if not generated:
            return [(step, grid) for step, grid in rows]
        return [(step, grid + generated[step]) for step, grid in rows if step in generated]

    def irradiance_means(self, device: str, start: Instant, end: Instant) -> list[IrradianceMean]:
        """Good power, irradiance and air temperature of a plain device per 15-minute interval."""

        def good(name: str) -> str:
            return (
                f"avg(CASE WHEN json_extract(body, '$.quality.{name}') IS NULL"
                f" THEN json_extract(body, '$.{name}') END)"
            )

        rows = self._db.execute(
            f"SELECT measured_at / {STEP_MS} * {STEP_MS} AS start, avg({_GOOD_POWER}),"
            f" {good('ghi')}, {good('temp_air')} FROM plain_records WHERE device = ?"
            " AND measured_at >= ? AND measured_at < ? GROUP BY start ORDER BY start",
            (device, start, end),
        )
        return [IrradianceMean(*row) for row in rows]

    # --- forecasts --------------------------------------------------------------------------------

    def latest_forecast(self, identifier: str, issued_until: Instant = _FAR) -> Forecast | None:
        """The newest forecast issued at ``issued_until`` or before."""
        found = self._forecasts(
            identifier, "issued_at <= ?", (issued_until,), "issued_at DESC LIMIT 1"
        )
        return found[0] if found else None

    def earliest_forecast(self, identifier: str, issued_from: Instant) -> Forecast | None:
        """The oldest forecast issued at ``issued_from`` or later."""
        found = self._forecasts(identifier, "issued_at >= ?", (issued_from,), "issued_at LIMIT 1")
        return found[0] if found else None

    def forecasts_issued(self, identifier: str, start: Instant, end: Instant) -> list[Forecast]:
        """Every forecast issued in ``[start, end)``, ascending."""
        return self._forecasts(
            identifier, "issued_at >= ? AND issued_at < ?", (start, end), "issued_at"
        )

    def _forecasts(
        self, identifier: str, where: str, values: tuple[Instant, ...], order: str
    ) -> list[Forecast]:
        agent_where = where.replace("issued_at", "measured_at")
        agent_order = order.replace("issued_at", "measured_at")
        rows = self._db.execute(
            "SELECT body FROM (SELECT measured_at AS issued_at, body FROM entries WHERE agent = ?"
            f" AND kind = 'forecast' AND {agent_where} ORDER BY {agent_order}) UNION ALL"
            " SELECT body FROM (SELECT issued_at, body FROM plain_forecasts WHERE device = ?"
            f" AND {where} ORDER BY {order})",
            (identifier, *values, identifier, *values),
        )
        return [forecast_from_json(json.loads(body)) for (body,) in rows]

    # --- the fleet --------------------------------------------------------------------------------

    def sites(self) -> list[RegisteredSite]:
        """Every declared site or device."""
        return [_site(row) for row in self._db.execute("SELECT * FROM sites ORDER BY id")]

    def site(self, identifier: str) -> RegisteredSite | None:
        """What was declared of one of them."""
        row = self._db.execute("SELECT * FROM sites WHERE id = ?", (identifier,)).fetchone()
        return _site(row) if row else None

    def agents(self, agent: str | None = None) -> list[AgentState]:
        """Every agent that was heard of (or one of them), with its last status."""
        rows = self._db.execute(
            "SELECT agent, last_seen, status FROM agents WHERE ?1 IS NULL OR agent = ?1"
            " ORDER BY agent",
            (agent,),
        )
        return [
            AgentState(
                agent, last_seen, None if status is None else status_from_json(json.loads(status))
            )
            for agent, last_seen, status in rows
        ]

    def is_agent(self, identifier: str) -> bool:
        """Whether ``identifier`` has ever spoken as an agent."""
        row = self._db.execute("SELECT 1 FROM agents WHERE agent = ?", (identifier,)).fetchone()
        return row is not None

    def is_known(self, identifier: str) -> bool:
        """Whether anything was ever heard of or declared about ``identifier``."""
        row = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM agents WHERE agent = ?1)"
            " OR EXISTS (SELECT 1 FROM sites WHERE id = ?1)"
            " OR EXISTS (SELECT 1 FROM latest_records WHERE identifier = ?1)",
            (identifier,),
        ).fetchone()
        return bool(row[0])

    # --- bookkeeping ------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Rows per table."""
        tables = (
            "entries",
            "voids",
            "key_conflicts",
            "plain_records",
            "plain_forecasts",
            "sites",
            "agents",
            "day_ledgers",
            "quarantine",
        )
        return {
            table: int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table in tables
        }

    def quarantined(self, limit: int = 100) -> list[QuarantineRow]:
        """The newest messages that could not be believed, newest first."""
        rows = self._db.execute(
            "SELECT topic, payload, reason, received_at FROM quarantine ORDER BY id DESC LIMIT ?",
            (limit,),
        )
        return [QuarantineRow(*row) for row in rows]


def _site(row: sqlite3.Row) -> RegisteredSite:
    return RegisteredSite(**dict(row))
