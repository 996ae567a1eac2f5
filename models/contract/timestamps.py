"""Instants and intervals: UTC epoch milliseconds inside, ISO 8601 at the rim.

An interval is labelled by its START and covers ``[start, start + STEP_MS)``. Local time zones never
enter here; screens convert with ``zoneinfo`` at the last moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from .errors import ContractError

Instant = int
"""Milliseconds since 1970-01-01T00:00:00Z."""

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
STEP_MS = 15 * MINUTE_MS
"""The grid of intervals and forecasts."""
STEPS_PER_DAY = DAY_MS // STEP_MS
HORIZON_STEPS = 2 * STEPS_PER_DAY
"""Steps of one forecast: 48 hours."""

ISO8601_PATTERN = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})"
)
"""Regular expression of the times that :func:`parse_iso8601` reads."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(ISO8601_PATTERN)
_LOWEST = -62_135_596_800_000  # 0001-01-01T00:00:00Z, the first instant datetime can show
_HIGHEST = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last


def parse_iso8601(text: str) -> Instant:
    """Instant named by ``text``, which must carry a zone (``Z`` or an offset).

    Fractions below a millisecond are cut. Raises ``ContractError`` for anything else: a time
    without a zone is not guessed.
    """
    if not _ISO.fullmatch(text):
        raise ContractError(
            f"not an ISO 8601 instant with a zone: {text[:40]!r}; write 2024-01-17T12:00:00Z"
        )
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
        return check_instant((moment - _EPOCH) // timedelta(milliseconds=1))
    except (ValueError, OverflowError) as error:
        raise ContractError(f"not a possible instant: {text[:40]!r} ({error})") from None


def check_instant(instant: Instant) -> Instant:
    """Return ``instant`` if it is a whole number of milliseconds in the years 1 to 9999 (UTC).

    Raises ``ContractError`` otherwise: such a time has no ISO 8601 form.
    """
    if type(instant) is not int:
        raise ContractError(f"an instant is a whole number of milliseconds, not {instant!r}")
    if not _LOWEST <= instant <= _HIGHEST:
        raise ContractError("an instant must lie in the years 1 to 9999 (UTC)")
    return instant


def format_iso8601(instant: Instant) -> str:
    """``2024-01-17T12:00:00Z``, with milliseconds only when there are any."""
    moment = _EPOCH + timedelta(milliseconds=check_instant(instant))
    timespec = "milliseconds" if instant % SECOND_MS else "seconds"
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def floor_to_step(instant: Instant, step_ms: int = STEP_MS) -> Instant:
    """Start of the interval that holds ``instant``."""
    return instant - instant % step_ms


def next_step(instant: Instant, step_ms: int = STEP_MS) -> Instant:
    """First interval start strictly after ``instant``."""
    return floor_to_step(instant, step_ms) + step_ms
