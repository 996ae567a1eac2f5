"""Numbers as readers see them: percent of the AC capacity, a dash where there is none."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from central.evaluation.scores import Score
from models.contract.timestamps import HOUR_MS, MINUTE_MS, SECOND_MS, Instant, format_iso8601

NOTHING = "–"
MINUS = "−"


def percent(share: float, digits: int = 1) -> str:
    """``0.1234`` as ``12.3``; the unit stands in the heading."""
    return NOTHING if math.isnan(share) else _minus(f"{100 * share:.{digits}f}")


def signed_percent(share: float, digits: int = 1) -> str:
    """``0.1234`` as ``+12.3``."""
    return NOTHING if math.isnan(share) else _minus(f"{100 * share:+.{digits}f}")


def interval(score: Score, digits: int = 1) -> str:
    """The bootstrap interval of the skill as ``+3.1 to +20.4``; a dash when there is none."""
    if math.isnan(score.skill_low) or math.isnan(score.skill_high):
        return NOTHING
    return (
        f"{signed_percent(score.skill_low, digits)} to {signed_percent(score.skill_high, digits)}"
    )


def count(number: int) -> str:
    """``12345`` as ``12 345`` with a thin space that does not break."""
    return f"{number:,}".replace(",", "\u202f")


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 day``, ``2 days``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def small(value: float) -> str:
    """A small difference, as ``1.9e-05`` or ``0.016``."""
    return NOTHING if math.isnan(value) else f"{value:.2g}".replace("e-0", "e-")


def watts(power: float) -> str:
    """``5000.0`` as ``5 kW``."""
    return f"{power / 1000:.4g} kW" if power >= 1000 else f"{power:.4g} W"


def seconds(duration_s: float) -> str:
    """``83.2`` as ``1 min 23 s``."""
    if duration_s < 10:
        return f"{duration_s:.1f} s"
    whole = round(duration_s)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def day(instant: Instant) -> str:
    """``2024-01-17``."""
    return format_iso8601(instant)[:10]


def minute(instant: Instant) -> str:
    """``2024-01-17 12:00``; UTC."""
    return format_iso8601(instant)[:16].replace("T", " ")


def solar_offset_ms(longitude: float) -> int:
    """Whole hours by which the sun's time at ``longitude`` differs from UTC."""
    return round(longitude / 15.0) * HOUR_MS


def offset_name(offset_ms: int) -> str:
    """``UTC``, ``UTC+1``, ``UTC−8``."""
    hours = offset_ms // HOUR_MS
    return "UTC" if not hours else _minus(f"UTC{hours:+d}")


def day_name(instant: Instant) -> str:
    """``17 Jan``; UTC."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=instant)
    return f"{moment.day} {moment:%b}"


def latitude_longitude(latitude: float, longitude: float) -> str:
    """``37.77° N, 122.42° W``."""
    north, east = ("N" if latitude >= 0 else "S"), ("E" if longitude >= 0 else "W")
    return f"{abs(latitude):.2f}° {north}, {abs(longitude):.2f}° {east}"


def duration(span_ms: int) -> str:
    """``8 days``, ``7 h`` or ``15 min``: a span of time in the largest unit that fits."""
    if span_ms >= 48 * HOUR_MS:
        return counted(round(span_ms / (24 * HOUR_MS)), "day")
    if span_ms >= 2 * HOUR_MS:
        return f"{span_ms / HOUR_MS:.0f} h"
    return (
        f"{span_ms / MINUTE_MS:.0f} min" if span_ms >= MINUTE_MS else f"{span_ms / SECOND_MS:g} s"
    )


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
