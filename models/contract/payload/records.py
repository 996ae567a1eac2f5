"""Records <-> JSON objects: strictly for agents, with some patience for plain devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import SCHEMA_VERSION
from ..errors import PayloadError
from ..fields import Fields, Json, checked
from ..quantities import ALIASES, QUANTITIES, quantity
from ..record import MAX_SAMPLES, Quality, Reading, Record
from ..timestamps import DAY_MS, SECOND_MS, format_iso8601
from .json_text import JOURNAL_KEY

TRUSTED, UNTRUSTED = "trusted", "untrusted"
"""Whether the box's clock could be believed when it stamped a record; the first is never said."""


def record_to_json(record: Record) -> dict[str, Json]:
    """Flat JSON object of a record, without a journal key."""
    body: dict[str, Json] = {
        "v": SCHEMA_VERSION,
        "timestamp": format_iso8601(record.measured_at),
        "device": record.device,
    }
    quality: dict[str, Json] = {}
    for name, reading in record.readings.items():
        if reading.value is not None:
            body[name] = reading.value
        if reading.quality is not Quality.GOOD:
            quality[name] = reading.quality.value
    if quality:
        body["quality"] = quality
    if record.window_ms:
        body["samples"] = record.samples
        body["window_s"] = record.window_ms // SECOND_MS
    if not record.clock_trusted:
        body["clock"] = UNTRUSTED
    return body


def record_from_json(body: Mapping[str, Any]) -> Record:
    """Strict inverse of :func:`record_to_json` (for records of agents)."""
    fields = Fields(body, ignore=JOURNAL_KEY)
    fields.version()
    device, measured_at = fields.identifier("device"), fields.instant("timestamp")
    qualities = {
        name: _quality(word, name)
        for name, word in fields.mapping("quality", optional=True).items()
    }
    window = fields.has("window_s")
    samples = fields.integer("samples", 1, MAX_SAMPLES) if window else 1
    window_ms = fields.integer("window_s", 1, DAY_MS // SECOND_MS) * SECOND_MS if window else 0
    clock = fields.text("clock", default=TRUSTED)
    if clock not in (TRUSTED, UNTRUSTED):
        raise PayloadError(f"must be {UNTRUSTED!r} or absent", "clock")
    readings: dict[str, Reading] = {}
    for name in fields.rest():
        _check_known(name)
        readings[name] = _reading(name, fields.number(name), qualities.get(name, Quality.GOOD))
    for name, flaw in qualities.items():
        if name not in readings:
            _check_known(name)
            readings[name] = _reading(name, None, flaw)
    trusted = clock == TRUSTED
    return checked(lambda: Record(device, measured_at, readings, samples, window_ms, trusted))


@dataclass(frozen=True)
class PlainRecord:
    """A record from a device without an agent, and the fields in it that nobody knows."""

    record: Record
    ignored: tuple[str, ...] = ()


def plain_record_from_json(body: Mapping[str, Any], device: str) -> PlainRecord:
    """A plain device's record: aliases accepted, unknown fields reported but not fatal.

    ``null`` means missing; a number outside the quantity's physical limits is kept as suspect.
    No journal key belongs here: ``epoch`` and ``seq`` count as unknown fields.
    Raises ``PayloadError`` when there is no timestamp or no known quantity.
    """
    fields = Fields(body)
    fields.version(optional=True)
    measured_at = fields.instant("timestamp")
    named = fields.text("device", default=device)
    if named != device:
        raise PayloadError(f"is {named!r} but came on the topic of {device!r}", "device")
    stated = fields.mapping("quality", optional=True)
    readings: dict[str, Reading] = {}
    ignored: list[str] = []
    for key in fields.rest():
        name = ALIASES.get(key, key)
        if name not in QUANTITIES:
            ignored.append(key)
            continue
        if name in readings:
            raise PayloadError("given twice, here and under its other name", key)
        word = stated.get(key, stated.get(name))
        readings[name] = _plain_reading(name, fields.number(key, nullable=True), word, key)
    for key, word in stated.items():
        name = ALIASES.get(key, key)
        if name not in QUANTITIES:
            ignored.append(f"quality.{key}")
        elif name not in readings:
            readings[name] = _plain_reading(name, None, word, key)
    if not readings:
        raise PayloadError("no known quantity; see docs/NOMENCLATURE.md for the names")
    return PlainRecord(checked(lambda: Record(device, measured_at, readings)), tuple(ignored))


def _plain_reading(name: str, value: float | None, word: Any, key: str) -> Reading:
    flaw = Quality.GOOD if word is None else _quality(word, key)
    if value is None:
        return _reading(key, None, Quality.MISSING if word is None else flaw)
    limits = quantity(name)
    inside = limits.lowest <= value <= limits.highest
    return _reading(key, value, flaw if inside else Quality.SUSPECT)


def _quality(word: Any, name: str) -> Quality:
    try:
        return Quality(word)
    except ValueError:
        known = ", ".join(quality.value for quality in Quality)
        raise PayloadError(
            f"unknown quality {str(word)[:40]!r}; known: {known}", f"quality.{name}"
        ) from None


def _check_known(name: str) -> None:
    if name not in QUANTITIES:
        raise PayloadError("unknown quantity; see docs/NOMENCLATURE.md", name)


def _reading(field: str, value: float | None, flaw: Quality) -> Reading:
    return checked(lambda: Reading(value, flaw), field)
