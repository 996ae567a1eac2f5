"""What became of every turn of a device's poll grid on one day: the completeness ledger.

A day is a UTC day. It has a turn every ``poll_ms`` from its start on, and each turn has exactly one
outcome: its record was committed to the journal, or it was lost for one reason. So
``expected == have + sum(lost.values())`` holds for every ledger that can be built.

A device asleep gives records that say so. They are committed like others, but tell nothing of the
device: they count as ``asleep`` and not as had. What must be at the centre is their sum,
:attr:`DayLedger.stored`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from .checks import check_count
from .errors import ContractError
from .record import Quality, Record
from .timestamps import DAY_MS, MINUTE_MS, Instant, format_iso8601
from .topics import check_identifier

MAX_LEDGERS = 1000
"""Rows of one status: a fleet-sized site over some days."""
MAX_POLL_MS = 24 * 60 * MINUTE_MS
DAY_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DAY = re.compile(DAY_PATTERN)


class Reason(StrEnum):
    """Why a turn gave no record of a device awake."""

    ASLEEP = "asleep"
    """Night: the device was asked or left to sleep, and a record says so."""
    DEAD = "dead"
    """It did not answer, or was left alone because it does not."""
    BAD = "bad"
    """It answered with what cannot be believed."""
    BUSY = "busy"
    """An earlier poll of this device, or another one on its line, was under way."""
    CLOCK = "clock"
    """The box's clock jumped over it, or could not be trusted."""
    REFUSED = "refused"
    """There was no room for the record."""
    DROPPED = "dropped"
    """The record was deleted for want of room before the centre had it."""
    OFF = "off"
    """The agent did not run; or its last minutes before a power cut were lost."""


@dataclass(frozen=True)
class DayLedger:
    """One device on one day. For the day in progress: its turns so far that have an outcome."""

    day: str
    """UTC day as ``2024-06-15``."""
    device: str
    poll_ms: int
    """Time between two turns, the last one where it was changed during the day."""
    expected: int
    have: int
    """Records committed of the device awake; also those that are kept only in means."""
    thinned: int = 0
    """How many of those stored are kept only in means, for want of room."""
    lost: Mapping[Reason, int] = field(default_factory=dict)
    """Turns by reason; reasons without one are left out."""

    def __post_init__(self) -> None:
        day_start(self.day)
        check_identifier(self.device)
        check_count(self.poll_ms, "poll_ms", 1, MAX_POLL_MS)
        for name in ("expected", "have", "thinned"):
            check_count(getattr(self, name), name)
        for reason, turns in self.lost.items():
            check_count(turns, f"lost.{reason.value}")
        kept = {reason: self.lost[reason] for reason in Reason if self.lost.get(reason)}
        object.__setattr__(self, "lost", kept)
        if self.expected != self.have + sum(kept.values()):
            raise ContractError(
                f"ledger of {self.device} on {self.day}: {self.expected} turns expected, but"
                f" {self.have} had and {sum(kept.values())} lost"
            )
        if self.thinned > self.stored:
            raise ContractError(
                f"ledger of {self.device} on {self.day}: {self.thinned} thinned of {self.stored}"
            )

    @property
    def stored(self) -> int:
        """Polls whose record the journal has taken: what the centre must hold in the end."""
        return self.have + self.lost.get(Reason.ASLEEP, 0)


def day_of(instant: Instant) -> str:
    """The UTC day that holds ``instant``, as ``2024-06-15``."""
    return format_iso8601(instant)[:10]


def day_start(day: str) -> Instant:
    """Start of a day written ``2024-06-15``. Raises ``ContractError`` for anything else."""
    try:
        if not _DAY.fullmatch(day):
            raise ValueError("not of this form")
        parsed = date.fromisoformat(day)
    except (ValueError, TypeError):
        raise ContractError(f"not a day: {str(day)[:40]!r}; write 2024-06-15") from None
    return (parsed - date(1970, 1, 1)).days * DAY_MS


def turns_in_a_day(poll_ms: int) -> int:
    """How many turns a whole day has."""
    return -(-DAY_MS // poll_ms)


def turn_at(instant: Instant, poll_ms: int) -> Instant:
    """The newest turn at ``instant`` or before: the grid begins anew at the start of each day."""
    into = instant % DAY_MS
    return instant - into + into // poll_ms * poll_ms


def turn_after(turn: Instant, poll_ms: int, turns: int = 1) -> Instant:
    """The turn that follows as the ``turns``-th: the last one of a day may be shorter."""
    days, place = divmod(_turns_before(turn, poll_ms) - 1 + turns, turns_in_a_day(poll_ms))
    return days * DAY_MS + place * poll_ms


def turns_between(after: Instant, upto: Instant, poll_ms: int) -> int:
    """Turns in ``after < turn <= upto``; 0 when there are none."""
    return max(0, _turns_before(upto, poll_ms) - _turns_before(after, poll_ms))


def _turns_before(instant: Instant, poll_ms: int) -> int:
    """Turns since 1970 at ``instant`` or before."""
    days, into = divmod(instant, DAY_MS)
    return days * turns_in_a_day(poll_ms) + into // poll_ms + 1


def is_asleep(record: Record) -> bool:
    """Whether a record says nothing but that its device is asleep."""
    return all(reading.quality is Quality.ASLEEP for reading in record.readings.values())
