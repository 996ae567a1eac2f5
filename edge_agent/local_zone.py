"""The clock that the people of a site live by: named in the settings, or the sun's own hour."""

from __future__ import annotations

from datetime import timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo


def check_zone(name: str | None) -> None:
    """Raise ``ValueError`` as ``timezone: reason`` for a name that is not known here."""
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(
            f"timezone: {name!r} is not known here; write a name like Europe/Berlin (and see that"
            " Debian's package tzdata is installed)"
        ) from None


def local_zone(name: str | None, longitude: float) -> tzinfo:
    """The zone of that name; without one the whole hour nearest to the sun at ``longitude``."""
    return ZoneInfo(name) if name else timezone(timedelta(hours=round(longitude / 15)))
