"""Status, alert, risk, weather and enrolment <-> JSON objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import SCHEMA_VERSION
from ..checks import MAX_LONG_TEXT
from ..errors import PayloadError
from ..fields import Fields, Json, checked
from ..forecast import MAX_STEP_MINUTES
from ..ledger import MAX_POLL_MS, DayLedger, Reason
from ..messages import (
    MAX_CERTIFICATE,
    MAX_CERTIFICATE_CHAIN,
    MAX_SETTINGS,
    MAX_TUF_ROOT,
    Alert,
    BundleState,
    BundleStatus,
    Enrolment,
    EnrolmentRequest,
    Risk,
    Severity,
    Status,
    WeatherForecast,
)
from ..timestamps import MINUTE_MS, format_iso8601
from .json_text import JOURNAL_KEY


def status_to_json(status: Status) -> dict[str, Json]:
    """JSON object of an agent's status. Without ledger rows it is what it was before there were."""
    bundle = status.bundle
    body: dict[str, Json] = {
        "v": SCHEMA_VERSION,
        "agent": status.agent,
        "timestamp": format_iso8601(status.timestamp),
        "online": status.online,
        "version": status.version,
        "journal_epoch": status.epoch,
        "first_seq": status.first_seq,
        "bundle": {
            "state": bundle.state.value,
            "active": bundle.active,
            "release": bundle.release,
            "refused": bundle.refused,
            "reason": bundle.reason,
        },
        "counters": dict(status.counters),
    }
    if status.ledger:
        body["ledger"] = [day_ledger_to_json(row) for row in status.ledger]
    return body


def status_from_json(body: Mapping[str, Any]) -> Status:
    """Inverse of :func:`status_to_json`."""
    fields = Fields(body, ignore=JOURNAL_KEY)
    fields.version()
    inner, counters = fields.object("bundle"), fields.object("counters")
    bundle = (
        inner.enum("state", BundleState),
        inner.text("active", nullable=True),
        inner.integer("release"),
        inner.text("refused", nullable=True),
        inner.text("reason", nullable=True, longest=MAX_LONG_TEXT),
    )
    inner.finish()
    counted = {name: counters.integer(name) for name in counters.rest()}
    values = (
        fields.identifier("agent"),
        fields.instant("timestamp"),
        fields.boolean("online"),
        fields.text("version"),
        fields.text("journal_epoch"),
        fields.integer("first_seq", 1),
    )
    ledger = tuple(
        day_ledger_from_json(row, f"ledger[{index}]")
        for index, row in enumerate(fields.array("ledger", optional=True))
    )
    fields.finish()
    return checked(lambda: Status(*values, BundleStatus(*bundle), counted, ledger))


def day_ledger_to_json(row: DayLedger) -> dict[str, Json]:
    """JSON object of one device's day; reasons without a turn are left out."""
    return {
        "day": row.day,
        "device": row.device,
        "poll_ms": row.poll_ms,
        "expected": row.expected,
        "have": row.have,
        "thinned": row.thinned,
        "lost": {reason.value: turns for reason, turns in row.lost.items()},
    }


def day_ledger_from_json(body: object, path: str = "") -> DayLedger:
    """Inverse of :func:`day_ledger_to_json`; ``path`` says in errors where it stands."""
    if not isinstance(body, Mapping):
        raise PayloadError("must be an object", path)
    fields = Fields(body, path)
    lost = fields.object("lost")
    by_reason = {name: lost.integer(name) for name in lost.rest()}
    values = (
        fields.text("day"),
        fields.identifier("device"),
        fields.integer("poll_ms", 1, MAX_POLL_MS),
        fields.integer("expected"),
        fields.integer("have"),
        fields.integer("thinned"),
    )
    fields.finish()
    unknown = sorted(set(by_reason) - set(Reason))
    if unknown:
        known = ", ".join(Reason)
        raise PayloadError(f"{unknown[0][:40]!r} is no reason; known: {known}", f"{path}.lost")
    reasons = {Reason(name): turns for name, turns in by_reason.items()}
    return checked(lambda: DayLedger(*values, reasons), path)


def alert_to_json(alert: Alert) -> dict[str, Json]:
    """JSON object of an alert."""
    return {
        "v": SCHEMA_VERSION,
        "device": alert.device,
        "timestamp": format_iso8601(alert.timestamp),
        "code": alert.code,
        "severity": alert.severity.value,
        "text": alert.text,
        "active": alert.active,
    }


def alert_from_json(body: Mapping[str, Any]) -> Alert:
    """Inverse of :func:`alert_to_json`."""
    fields = Fields(body, ignore=JOURNAL_KEY)
    fields.version()
    values = (
        fields.identifier("device"),
        fields.instant("timestamp"),
        fields.identifier("code"),
        fields.enum("severity", Severity),
        fields.text("text", longest=MAX_LONG_TEXT),
        fields.boolean("active"),
    )
    fields.finish()
    return checked(lambda: Alert(*values))


def risk_to_json(risk: Risk) -> dict[str, Json]:
    """JSON object of a risk message."""
    return {
        "v": SCHEMA_VERSION,
        "site": risk.site,
        "issued_at": format_iso8601(risk.issued_at),
        "until": format_iso8601(risk.until),
        "probabilities": dict(risk.probabilities),
        "causes": dict(risk.causes),
    }


def risk_from_json(body: Mapping[str, Any]) -> Risk:
    """Inverse of :func:`risk_to_json`."""
    fields = Fields(body)
    fields.version()
    shares, causes = fields.object("probabilities"), fields.object("causes")
    values = (
        fields.identifier("site"),
        fields.instant("issued_at"),
        fields.instant("until"),
        {name: shares.number(name) for name in shares.rest()},
        {name: causes.text(name, longest=MAX_LONG_TEXT) for name in causes.rest()},
    )
    fields.finish()
    return checked(lambda: Risk(*values))


def weather_to_json(weather: WeatherForecast) -> dict[str, Json]:
    """JSON object of a site's numerical weather forecast."""
    return {
        "v": SCHEMA_VERSION,
        "site": weather.site,
        "issued_at": format_iso8601(weather.issued_at),
        "start": format_iso8601(weather.start),
        "step_minutes": weather.step_ms // MINUTE_MS,
        "source": weather.source,
        "values": {name: list(row) for name, row in weather.values.items()},
    }


def weather_from_json(body: Mapping[str, Any]) -> WeatherForecast:
    """Inverse of :func:`weather_to_json`."""
    fields = Fields(body)
    fields.version()
    rows = fields.object("values")
    values = (
        fields.identifier("site"),
        fields.instant("issued_at"),
        fields.instant("start"),
        fields.integer("step_minutes", 1, MAX_STEP_MINUTES) * MINUTE_MS,
        fields.text("source"),
        {name: rows.numbers(name) for name in rows.rest()},
    )
    fields.finish()
    return checked(lambda: WeatherForecast(*values))


def enrolment_request_to_json(request: EnrolmentRequest) -> dict[str, Json]:
    """JSON object of a request to join."""
    return {"v": SCHEMA_VERSION} | vars(request)


def enrolment_request_from_json(body: Mapping[str, Any]) -> EnrolmentRequest:
    """Inverse of :func:`enrolment_request_to_json`."""
    fields = Fields(body)
    fields.version()
    values = (
        fields.identifier("agent"),
        fields.text("hardware"),
        fields.text("certificate_request", longest=MAX_CERTIFICATE),
        fields.text("token"),
    )
    fields.finish()
    return checked(lambda: EnrolmentRequest(*values))


def enrolment_to_json(enrolment: Enrolment) -> dict[str, Json]:
    """JSON object of the centre's answer to a request to join."""
    return {"v": SCHEMA_VERSION} | vars(enrolment)


def enrolment_from_json(body: Mapping[str, Any]) -> Enrolment:
    """Inverse of :func:`enrolment_to_json`."""
    fields = Fields(body)
    fields.version()
    values = (
        fields.identifier("agent"),
        fields.text("certificate", longest=MAX_CERTIFICATE),
        fields.text("ca_certificate", longest=MAX_CERTIFICATE_CHAIN),
        fields.text("tuf_root", longest=MAX_TUF_ROOT),
        fields.text("settings", longest=MAX_SETTINGS),
    )
    fields.finish()
    return checked(lambda: Enrolment(*values))
