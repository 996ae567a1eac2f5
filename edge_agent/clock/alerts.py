"""What people are told when a period of the clock ends: at most one alert for each change."""

from __future__ import annotations

from models.contract.messages import Alert, Severity
from models.contract.timestamps import Instant

from .watch import ClockPeriod

UNTRUSTED = "clock-untrusted"
JUMPED = "clock-jumped"
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"))


def spoken(ms: int) -> str:
    """``+1 d 2 h``, ``-3 min 20 s``, ``+0.25 s``: two units say enough."""
    sign, left = ("-" if ms < 0 else "+"), abs(ms)
    if left < 60_000:
        return f"{sign}{left / 1000:g} s"
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    parts.append(f"{left // 1000} s")
    return sign + " ".join(part for part in parts[:2] if not part.startswith("0 "))


def alert_of(
    before: ClockPeriod | None, after: ClockPeriod, *, agent: str, timestamp: Instant
) -> Alert | None:
    """The alert for the change from ``before`` to ``after``, if it is worth one.

    ``before`` is ``None`` for the first period of a process. A jump that also changes trust is told
    in the alert about trust.
    """
    jump = f"The clock jumped by {spoken(after.jumped_ms)}. " if after.jumped_ms else ""
    if not after.trusted and (before is None or before.trusted):
        text = (
            f"{jump}The clock is not trusted: {after.reason}. Measuring goes on; forecasts wait, "
            "and the times of new records are corrected as soon as the clock is right. "
            "Check the time service (timedatectl) and that the box reaches it."
        )
        return Alert(agent, timestamp, UNTRUSTED, Severity.WARNING, text)
    if before is not None and after.trusted and not before.trusted:
        text = f"{jump}The clock is trusted again: {after.reason}."
        return Alert(agent, timestamp, UNTRUSTED, Severity.INFO, text, active=False)
    if after.jumped_ms:
        state = "still trusted" if after.trusted else "still not trusted"
        # An event without an end: nothing that would have to be closed later.
        text = f"{jump}It is {state}: {after.reason}."
        return Alert(agent, timestamp, JUMPED, Severity.INFO, text, active=False)
    return None
