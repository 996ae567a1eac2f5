"""Counting turns by device and day, over jumps of the clock, restarts and changed grids. Pure.

Decides what is expected of a device on a day: every turn from the first one it was known at to the
newest one that was told of, and the whole day once a later one has begun. What is expected and was
told by nobody is *off*, so the sum is right after any crash. Not thread-safe; ``ledger`` locks.

When the clock is set back, turns come again. Those that it had jumped over before are taken back;
the others are polled twice, have two records, and are expected twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from models.contract.ledger import DayLedger, Reason, day_of, turn_after, turn_at, turns_between
from models.contract.timestamps import DAY_MS, Instant

FILL_DAYS = 35
"""A device that was away for longer is not said to have been expected meanwhile: a box in a drawer,
or a clock that woke up in 1970."""
EARLIEST: Instant = 1_577_836_800_000
"""2020-01-01: before it, a day is the word of a clock that nobody has set, and not reported."""


@dataclass
class DayRow:
    """Counts of one device on one day. ``lost`` is without *off*, which is what is left."""

    device: str
    day: Instant
    poll_ms: int
    last: Instant
    """The newest turn that is expected; before the day: none yet."""
    expected: int = 0
    have: int = 0
    thinned: int = 0
    lost: dict[Reason, int] = field(default_factory=dict)
    ended: bool = False
    """The device left the settings: no later turn is expected."""
    reported: bool = False
    waiting: int = 0
    """Records handed to the journal and not yet committed; of this start of the agent only."""
    version: int = 0
    saved: int = -1
    """Version that is on the disk."""

    def ledger(self) -> DayLedger:
        """As it is told. Turns whose record waits for the disk have no outcome yet."""
        counted = self.have + sum(self.lost.values())
        expected = max(self.expected - self.waiting, counted)
        lost = dict(self.lost) | {Reason.OFF: expected - counted}
        thinned = min(self.thinned, self.have + self.lost.get(Reason.ASLEEP, 0))
        return DayLedger(
            day_of(self.day), self.device, self.poll_ms, expected, self.have, thinned, lost
        )

    def touch(self) -> None:
        """Something has changed: it is to be saved and reported again."""
        self.version += 1
        self.reported = False

    def add(self, reason: Reason, turns: int) -> None:
        """Count ``turns`` as lost for ``reason``, or take them back."""
        self.lost[reason] = max(0, self.lost.get(reason, 0) + turns)

    def take_back(self, turns: int) -> int:
        """Turns that the clock had jumped over come after all; how many of ``turns`` did not."""
        taken = min(turns, self.lost.get(Reason.CLOCK, 0))
        self.add(Reason.CLOCK, -taken)
        return turns - taken

    def expect_until(self, turn: Instant) -> int:
        """Expect every turn up to ``turn``; how many were not expected before."""
        new = turns_between(self.last, turn, self.poll_ms)
        self.expected += new
        self.last = max(self.last, turn)
        return new


class Tally:
    """The rows of all devices that are in memory."""

    def __init__(self, load: Callable[[str, Instant], DayRow | None]) -> None:
        """``load`` finds a row that is not in memory any more."""
        self._load = load
        self._poll_ms: dict[str, int] = {}
        self._rows: dict[tuple[str, Instant], DayRow] = {}

    def begin(self, devices: dict[str, int], rows: Iterable[DayRow]) -> None:
        """Take up ``rows`` of an earlier start; ``devices`` are polled now, every so many ms."""
        self._poll_ms = dict(devices)
        self._rows = {(row.device, row.day): row for row in rows}
        for device in {row.device for row in self}:
            newest = self._newest(device)
            if newest is not None and device not in devices and not newest.ended:
                newest.ended = True
                newest.version += 1

    def __iter__(self) -> Iterator[DayRow]:
        return iter(self._rows.values())

    # -- turns

    def count(self, device: str, at: Instant, reason: Reason | None, turns: int) -> None:
        """``turns`` in a row from the one at ``at`` on had this outcome (None: a record)."""
        poll_ms = self._poll_ms.get(device)
        if poll_ms is None or turns * poll_ms > FILL_DAYS * DAY_MS:
            return
        first = turn_at(at, poll_ms)
        while turns > 0:
            midnight = _day(first) + DAY_MS
            here = min(turns, turns_between(first - 1, midnight - 1, poll_ms))
            row = self._row(device, first, poll_ms)
            self._count(row, first + (here - 1) * poll_ms, reason, here)
            turns -= here
            first = midnight

    def _count(self, row: DayRow, last: Instant, reason: Reason | None, turns: int) -> None:
        again = max(0, turns - row.expect_until(last))
        if reason is Reason.CLOCK:
            row.add(reason, turns - again)  # a turn that has its outcome already is not lost
        else:
            row.expected += row.take_back(again)
            if reason is None:
                row.waiting += turns
            else:
                row.add(reason, turns)
        row.touch()

    def unplaced(self, device: str, before: Instant, turns: int) -> None:
        """So many turns passed before the one at ``before`` while nobody knew the time."""
        row = self._row_at(device, before)
        if row is not None:
            turn = turn_at(before, row.poll_ms)
            turns = min(turns, turns_between(row.last, turn, row.poll_ms) - 1)
            if turns > 0:
                self.count(device, turn_after(turn, row.poll_ms, -turns), Reason.CLOCK, turns)

    # -- records

    def committed(self, device: str, at: Instant, *, asleep: bool) -> None:
        """The journal has a record that it was handed a while ago."""
        if (row := self._row_at(device, at)) is not None:
            row.waiting -= 1
            _had(row, 1, asleep=asleep)

    def found(self, device: str, at: Instant, *, asleep: bool, records: int = 1) -> None:
        """The journal has records that an earlier start of the agent did not come to count."""
        if (row := self._row_at(device, at)) is not None:
            row.expect_until(turn_at(at, row.poll_ms))
            _had(row, records, asleep=asleep)

    def dated(self, device: str, at: Instant, *, asleep: bool) -> None:
        """The true time of a record has become known, whose turn nobody counted."""
        if (row := self._row_at(device, at)) is not None:
            if not row.expect_until(turn_at(at, row.poll_ms)):
                row.take_back(1)  # if it is not the clock's, it was off, as far as anybody knew
            _had(row, 1, asleep=asleep)

    def thinned(self, device: str, day: Instant, records: int) -> None:
        """``records`` of a day are kept only in means from now on; fewer than 0: no more."""
        if row := self.row(device, day):
            row.thinned = max(0, row.thinned + records)
            row.touch()

    def dropped(self, device: str, day: Instant, records: int) -> None:
        """``records`` of a day were deleted before the centre had them."""
        if row := self.row(device, day):
            awake = min(records, row.have)
            asleep = min(records - awake, row.lost.get(Reason.ASLEEP, 0))
            row.have -= awake
            row.add(Reason.ASLEEP, -asleep)
            row.add(Reason.DROPPED, awake + asleep)
            row.touch()

    def _row_at(self, device: str, at: Instant) -> DayRow | None:
        newest = self._newest(device)
        poll_ms = self._poll_ms.get(device) or (newest.poll_ms if newest else None)
        return None if poll_ms is None else self._row(device, turn_at(at, poll_ms), poll_ms)

    # -- rows

    def row(self, device: str, at: Instant) -> DayRow | None:
        """The row of the day that holds ``at``, if there is one."""
        key = device, _day(at)
        if key not in self._rows:
            newest = self._newest(device)
            if newest is None or key[1] > newest.day:
                return None  # a device's newest day is always in memory
            if (loaded := self._load(*key)) is not None:
                self._rows[key] = loaded
        return self._rows.get(key)

    def forget(self, keep_days: int) -> None:
        """Leave what is saved and reported to the disk; each device keeps its newest days."""
        for device in {row.device for row in self}:
            newest = self._newest(device)
            horizon = newest.day - keep_days * DAY_MS if newest else 0
            for row in [one for one in self if one.device == device and one.day < horizon]:
                if row.saved == row.version and (row.reported or row.day < EARLIEST):
                    del self._rows[device, row.day]

    def _row(self, device: str, turn: Instant, poll_ms: int) -> DayRow:
        """The row of ``turn``; a new one expects what lies between it and the device's last day."""
        row = self.row(device, turn)
        if row is None:
            day = _day(turn)
            previous = self._newest(device, before=day)
            row = DayRow(device, day, poll_ms, turn - 1)
            self._rows[device, day] = row
            if previous is not None and self._goes_on(previous, day):
                row.last = day - 1
                self._complete(previous, day)
            row.touch()
        row.poll_ms, row.ended = poll_ms, device not in self._poll_ms
        return row

    def _goes_on(self, previous: DayRow, day: Instant) -> bool:
        """Whether the device was expected from ``previous`` until ``day``."""
        away_ms = day - previous.day
        return previous.day >= EARLIEST and not previous.ended and away_ms <= FILL_DAYS * DAY_MS

    def _complete(self, previous: DayRow, day: Instant) -> None:
        for start in range(previous.day, day, DAY_MS):
            row = self.row(previous.device, start)
            if row is None:
                row = DayRow(previous.device, start, previous.poll_ms, start - 1)
                self._rows[row.device, start] = row
            row.expect_until(start + DAY_MS - 1)
            row.touch()

    def _newest(self, device: str, before: Instant = 2**62) -> DayRow | None:
        rows = [row for row in self if row.device == device and row.day < before]
        return max(rows, key=lambda row: row.day, default=None)


def _had(row: DayRow, records: int, *, asleep: bool) -> None:
    if asleep:
        row.add(Reason.ASLEEP, records)
    else:
        row.have += records
    row.touch()


def _day(instant: Instant) -> Instant:
    return instant - instant % DAY_MS
