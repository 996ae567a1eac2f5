"""What one message says, as rows for the store. Pure: no broker, no database, no clock.

Decides which messages are believed. Refused as a whole (an exception, the message goes to
quarantine): bytes that are not the contract's JSON, topics outside it, keys that are no keys. An
entry with a good key whose body breaks the contract is stored and acknowledged all the same, so
that the agent need not send it for ever; it is also put into quarantine, and no query by time sees
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from central.store.values import (
    EntryRow,
    Group,
    LedgerRow,
    PlainRow,
    QuarantineRow,
    RiskRow,
    StatusRow,
    VoidRow,
)
from models.contract import topics
from models.contract.errors import ContractError, PayloadError
from models.contract.messages import Entry, Kind, Status, body_digest
from models.contract.payload import (
    RecordBlock,
    alert_from_json,
    canonical,
    decode_batch,
    decode_entry,
    entry_body,
    forecast_from_json,
    parse_json,
    plain_record_from_json,
    record_from_json,
    record_to_json,
    risk_from_json,
    risk_to_json,
    status_from_json,
    status_to_json,
)
from models.contract.record import Record
from models.contract.timestamps import DAY_MS, Instant, format_iso8601

CHANNELS = ("data", "batch", "forecast", "alert", "status", "risk")
"""What the centre listens to, of every agent and device."""
_QUARANTINE_BYTES = 4096
"""How much of an unreadable payload is kept."""


@dataclass(frozen=True)
class Understood:
    """What a message brings: rows, and the record in it when it came from a plain device."""

    rows: Group = field(default_factory=Group)
    plain: Record | None = None


def understand(
    topic: str, payload: bytes, *, own: bool, retained: bool, now: Instant
) -> Understood:
    """Read one message. Raises ``ContractError`` or ``UnicodeEncodeError`` for one not to be
    believed.

    ``own``: the centre published it; ``retained``: it stood on the broker when we subscribed.
    """
    parsed = topics.parse(topic)
    if own or (not payload and parsed.channel in topics.RETAINED_CHANNELS):
        return Understood()  # our echo, or a retained message being cleared
    name, rows = parsed.identifier, Group()
    if not retained:
        rows.seen[name] = now
    if parsed.channel == "batch":
        _batch(name, payload, rows, now)
    elif parsed.channel == "data":
        body = parse_json(payload)
        if "epoch" not in body and "seq" not in body:
            return _plain(name, body, now)
        _entry(name, payload, Kind.RECORD, rows, now)
    elif parsed.channel == "forecast":
        _entry(name, payload, Kind.FORECAST, rows, now)
    elif parsed.channel == "alert":
        _entry(name, payload, Kind.ALERT, rows, now)
    elif parsed.channel == "status":
        _status(name, payload, rows, now)
    elif parsed.channel == "risk":
        risk = risk_from_json(parse_json(payload))
        rows.risks.append(RiskRow(name, risk.site, risk.issued_at, canonical(risk_to_json(risk))))
    else:
        raise ContractError(f"nothing is expected on {topic}")
    return Understood(rows)


def quarantine_row(topic: str, payload: bytes, error: Exception, now: Instant) -> QuarantineRow:
    """How an unbelievable message is kept."""
    clean = str(error).encode("utf-8", "replace").decode()
    shown = topic.encode("utf-8", "replace").decode()
    return QuarantineRow(shown, payload[:_QUARANTINE_BYTES], clean[:500], now)


def _entry(agent: str, payload: bytes, kind: Kind, rows: Group, now: Instant) -> None:
    entry = decode_entry(payload, kind)
    if _add(agent, entry, rows, now) and kind is Kind.STATUS:
        _note_status(agent, status_from_json(entry_body(entry)), rows, now, forced=False)


def _batch(agent: str, payload: bytes, rows: Group, now: Instant) -> None:
    batch = decode_batch(payload)
    rows.first_seqs[(agent, batch.epoch)] = batch.first_seq
    rows.voids.extend(
        VoidRow(agent, batch.epoch, void.first, void.last, _storable(void.reason))
        for void in batch.voids
    )
    for entry in batch.entries:
        if _add(agent, entry, rows, now) and entry.kind is Kind.STATUS:
            _note_status(agent, status_from_json(entry_body(entry)), rows, now, forced=False)
    for block in batch.blocks:
        rows.entries.extend(_block_rows(agent, batch.epoch, block, now))


def _block_rows(agent: str, epoch: str, block: RecordBlock, now: Instant) -> Iterator[EntryRow]:
    """Rows of records that were checked together, by their form: a week of backlog is many."""
    kind, device = Kind.RECORD.value, block.form.device
    trusted = block.form.clock_trusted
    for seq, at, body in zip(block.seqs, block.times, block.bodies(), strict=True):
        digest = body_digest(kind, body)
        yield EntryRow(agent, epoch, seq, kind, device, at if trusted else None, digest, body, now)


def _add(agent: str, entry: Entry, rows: Group, now: Instant) -> bool:
    """Add the row of an entry; False when its body breaks the contract."""
    digest = entry.digest
    device: str | None = None
    measured_at: Instant | None = None
    try:
        device, measured_at = _named(agent, entry)
    except (ContractError, UnicodeEncodeError) as error:
        topic = f"solar/{agent} {entry.kind.value} {entry.key.epoch}:{entry.key.seq}"
        rows.quarantine.append(quarantine_row(topic, entry.body.encode(), error, now))
    rows.entries.append(
        EntryRow(
            agent,
            entry.key.epoch,
            entry.key.seq,
            entry.kind.value,
            device,
            measured_at,
            digest,
            entry.body,
            now,
        )
    )
    return device is not None


def _named(agent: str, entry: Entry) -> tuple[str, Instant | None]:
    """Device (or site) and time that the body of ``entry`` names."""
    body = entry_body(entry)
    if entry.kind is Kind.RECORD:
        record = record_from_json(body)
        # What a clock says that nobody had set is kept, and no query by time sees it.
        return record.device, record.measured_at if record.clock_trusted else None
    if entry.kind is Kind.FORECAST:
        forecast = forecast_from_json(body)
        return forecast.site, forecast.issued_at
    if entry.kind is Kind.ALERT:
        alert = alert_from_json(body)
        return alert.device, alert.timestamp
    status = _status_of(agent, body)
    return status.agent, status.timestamp


def _status(agent: str, payload: bytes, rows: Group, now: Instant) -> None:
    body = parse_json(payload)
    if "epoch" in body or "seq" in body:
        _entry(agent, payload, Kind.STATUS, rows, now)
        return
    status = _status_of(agent, body)
    if not status.online:
        rows.seen.pop(agent, None)  # a death is the broker's word, not the agent's
    _note_status(agent, status, rows, now, forced=True)


def _status_of(agent: str, body: dict[str, Any]) -> Status:
    status = status_from_json(body)
    if status.agent != agent:
        raise PayloadError(f"is {status.agent!r} but came from {agent!r}", "agent")
    return status


def _note_status(agent: str, status: Status, rows: Group, now: Instant, *, forced: bool) -> None:
    """``forced``: it is live. From the journal it may be old, and a report of days is no state."""
    rows.first_seqs[(agent, status.epoch)] = status.first_seq
    rows.ledgers.extend(
        LedgerRow(
            agent,
            one.day,
            one.device,
            one.poll_ms,
            one.expected,
            one.have,
            one.thinned,
            canonical({reason.value: turns for reason, turns in one.lost.items()}),
            status.timestamp,
            now,
        )
        for one in status.ledger
    )
    if forced or not status.ledger:
        text = _storable(canonical(status_to_json(replace(status, ledger=()))))
        rows.statuses.append(StatusRow(agent, status.timestamp, text, forced))


def _plain(device: str, body: dict[str, Any], now: Instant) -> Understood:
    record = plain_record_from_json(body, device).record
    if record.measured_at > now + DAY_MS:
        raise PayloadError(
            f"{format_iso8601(record.measured_at)} is more than a day ahead of the centre's clock"
            f" ({format_iso8601(now)}); set the device's clock",
            "timestamp",
        )
    text = canonical(record_to_json(record))
    digest = hashlib.sha256(text.encode()).digest()
    rows = Group(plain=[PlainRow(device, record.measured_at, digest, text, now)])
    return Understood(rows, record)


def _storable(text: str) -> str:
    """``text``, unless it holds half a surrogate pair, which no database takes."""
    text.encode()
    return text
