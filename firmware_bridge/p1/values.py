"""What stands between the brackets of a line: numbers with units, times, texts. Pure.

Three things can be wrong with one: the meter gives none (:class:`Absent`), it is in no known form
(:class:`Malformed`: in a telegram without a CRC a sign of damage), or it is of another kind than
its code says (also :class:`Malformed`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

_NUMBER = re.compile(r"([+-]?[0-9]{1,14}(?:\.[0-9]{1,9})?)(?:\*([A-Za-z0-9/%]{1,8}))?")
_TIME = re.compile(r"([0-9]{12})([SW]?)")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_TO_BASE: dict[str, tuple[str, int]] = {
    "kW": ("W", 1000),
    "kWh": ("Wh", 1000),
    "MWh": ("Wh", 1_000_000),
    "kvar": ("var", 1000),
    "kVA": ("VA", 1000),
}
_ZONES = {"S": timezone(timedelta(hours=2)), "W": timezone(timedelta(hours=1))}
"""Summer and winter time of central Europe; the flag leaves no hour of the year in doubt."""
_SHORTEST_ID = 16
"""Digits. A shorter identifier may be hexadecimal by chance."""


class Absent(ValueError):
    """The meter gives no value."""


class Malformed(ValueError):
    """Not a value of this kind."""


def parse_number(text: str) -> tuple[Decimal, str]:
    """Number and unit as sent; the unit may be empty."""
    if not text:
        raise Absent("the meter gives none")
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise Malformed(f"not a number: {text[:40]!r}")
    return Decimal(match[1]), match[2] or ""


def in_base(text: str, base_unit: str) -> Decimal:
    """The number in ``text`` in ``base_unit`` (``1``: it has none), exact to the last digit."""
    number, unit = parse_number(text)
    if base_unit == "1" and not unit:
        return number
    base, factor = _TO_BASE.get(unit, (unit, 1))
    if base != base_unit:
        raise Malformed(f"in {unit or 'no unit'}, not in {base_unit}: {text[:40]!r}")
    return number * factor


def parse_time(text: str) -> str:
    """ISO 8601 of ``YYMMDDhhmmss``: in UTC if ``S`` or ``W`` follows, else the meter's own time."""
    if not text:
        raise Absent("the meter gives none")
    match = _TIME.fullmatch(text)
    if match is None:
        raise Malformed(f"not a time: {text[:40]!r}")
    try:
        local = datetime.strptime(match[1], "%y%m%d%H%M%S")  # noqa: DTZ007  # zone: below
    except ValueError:
        raise Absent(f"{text} is no time: not set") from None
    zone = _ZONES.get(match[2])
    if zone is None:
        return local.isoformat()
    return local.replace(tzinfo=zone).astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_identifier(text: str) -> str:
    """An identifier: the characters that its hexadecimal digits stand for, or itself."""
    if len(text) >= _SHORTEST_ID:
        return parse_message(text)
    return text


def parse_message(text: str) -> str:
    """A text sent as hexadecimal; as it is if that gives nothing readable."""
    if _HEXADECIMAL.fullmatch(text):
        shown = bytes.fromhex(text).decode("latin-1").rstrip("\0")
        if shown and shown.isascii() and shown.isprintable():
            return shown
    return text
