"""What becomes of records that have no room any more: fewer, for longer windows. Pure.

Decides the order in which a full journal gives way and how several polls become one record. It
leaves to others: when there is no room (``room``), and rows and sequence numbers (``file``).

The rule of a window is the one of an interval (``models.features.intervals``): the mean of the good
values of an ``instant`` quantity, the last good value of any other. So an interval that is built
from thinned records is the one that would have been built from the polls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.contract.payload import RecordForm
from models.contract.quantities import quantity
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import DAY_MS, HOUR_MS, MINUTE_MS, STEP_MS, Instant
from models.features.intervals import ZERO_ASLEEP

_DECIMALS = 3
"""Of a mean: a tenth of what the finest device tells."""
_WITHOUT_GAIN = 0.9
"""A step that leaves more than this share of the rows is not worth the writing."""


@dataclass(frozen=True)
class Step:
    """One step down: records with a shorter window, older than ``keep_ms``, get this window."""

    window_ms: int
    keep_ms: int
    """Newer ones are spared, counted from the newest record."""
    counters_only: bool = False
    """Only what counts energy is kept."""

    @property
    def reason(self) -> str:
        """What the centre is told of the numbers that are gone."""
        window = f"thinned to {self.window_ms // MINUTE_MS} min"
        return f"{window}, energy only" if self.counters_only else window


STEPS = (
    Step(MINUTE_MS, HOUR_MS),
    Step(STEP_MS, DAY_MS),
    Step(MINUTE_MS, 0),
    Step(STEP_MS, 0),
    Step(HOUR_MS, 0, counters_only=True),
)
"""In this order, each only when the one before gives no room any more."""


class KeptRow(NamedTuple):
    """A record as its row says it; ``values`` stand in the order of ``form.names``."""

    seq: int
    form: RecordForm
    measured_at: Instant
    values: Sequence[float]


@dataclass(frozen=True)
class Thinned:
    """What replaces some rows."""

    gone: tuple[int, ...]
    """Sequence numbers that are replaced, ascending."""
    records: tuple[Record, ...]
    """What stands for them; fewer, perhaps none."""


def is_candidate(form: RecordForm, step: Step) -> bool:
    """Whether records of ``form`` can be thinned by ``step``."""
    return form.window_ms < step.window_ms and form.clock_trusted


def thin(rows: Iterable[KeptRow], step: Step) -> Thinned | None:
    """Combine ``rows`` window by window; None when that would gain next to nothing."""
    windows: dict[tuple[str, Instant], list[KeptRow]] = {}
    count = 0
    for row in rows:
        start = row.measured_at - row.measured_at % step.window_ms
        windows.setdefault((row.form.device, start), []).append(row)
        count += 1
    gone: list[int] = []
    records: list[Record] = []
    for (device, start), group in windows.items():
        record = _combine(device, start, group, step)
        if record is not None and len(group) == 1 and not step.counters_only:
            continue  # already as far apart as the window is long
        gone += [row.seq for row in group]
        if record is not None:
            records.append(record)
    left = count - len(gone) + len(records)
    if not gone or left > _WITHOUT_GAIN * count:
        return None
    return Thinned(tuple(sorted(gone)), tuple(records))


def _combine(device: str, start: Instant, group: list[KeptRow], step: Step) -> Record | None:
    good: dict[str, list[float]] = {}
    asleep: dict[str, int] = {}
    last: dict[str, Reading] = {}
    for row in sorted(group, key=lambda one: one.measured_at):
        flaws = dict(row.form.flaws)
        values = dict(zip(row.form.names, row.values, strict=True))
        for name in values.keys() | flaws.keys():
            if step.counters_only and quantity(name).behaviour != "counter":
                continue
            reading = Reading(values.get(name), flaws.get(name, Quality.GOOD))
            if reading.quality is Quality.GOOD and reading.value is not None:
                good.setdefault(name, []).append(reading.value)
            if reading.quality is Quality.ASLEEP and name in ZERO_ASLEEP:
                asleep[name] = asleep.get(name, 0) + 1
            last[name] = reading
    if not last:
        return None
    readings = {}
    for name, reading in last.items():
        if name in good:
            readings[name] = Reading(_value(name, good[name], asleep.get(name, 0)))
        else:
            readings[name] = Reading(None, Quality.ASLEEP) if name in asleep else reading
    samples = sum(row.form.samples for row in group)
    return Record(device, start, readings, samples, step.window_ms)


def _value(name: str, values: list[float], zeros: int) -> float:
    if quantity(name).behaviour == "instant":
        count = len(values) + zeros
        return round(math.fsum(value / count for value in values), _DECIMALS)
    return values[-1]
