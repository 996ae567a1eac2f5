"""What the quality column says: flags by row, and a summary by file.

A row that is surely wrong is removed by a named rule; one that is doubtful stays and is flagged.
Which is which is decided in ``judge``; here are only the words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from .clock_shift import ClockJudgement
from .level_shift import LevelShift
from .table import BoolArray

FLAGS: dict[str, str] = {
    "clipped": "at the level above which the plant never goes: true, but not what the sun gave",
    "curtailed": "held at a level below what the days around give at this time",
    "dead": "zero for an hour or more where even the poor days around give power",
    "peers": "far below the other series of the file at the same time",
    "offset": "in a stretch whose nights are not zero",
    "outlier": "leaps away from its neighbours and back",
    "stuck": "equal to the last digit for long, but possibly true",
    "interpolated": "in a run that lies on one straight slanting line",
    "closure": "GHI, DNI and DHI do not add up (QCRad)",
    "inconsistent": "power does not fit voltage times current",
    "partial": "mean over fewer samples than usual",
}
"""Every flag of the ``quality`` column, and what it means."""

REMOVED: dict[str, str] = {
    "stuck_value": "equal to the last digit for an hour or more where it cannot be",
    "impossible_power": "far above all the plant gives, or far below zero",
    "physical_limit": "more irradiance than the sun can give (QCRad)",
}
"""Rules of ``judge`` that remove rows."""

_BITS = {name: 1 << number for number, name in enumerate(FLAGS)}
Marks = npt.NDArray[np.uint32]


class Verdict:
    """Flags and removals of one series, row by row of its grid."""

    def __init__(self, size: int) -> None:
        self.marks: Marks = np.zeros(size, dtype=np.uint32)
        self.removed: dict[str, BoolArray] = {}

    def flag(self, name: str, where: BoolArray) -> None:
        """Mark rows as doubtful."""
        self.marks[where] |= np.uint32(_BITS[name])

    def remove(self, rule: str, where: BoolArray) -> None:
        """Mark rows as surely wrong."""
        assert rule in REMOVED
        self.removed[rule] = self.removed.get(rule, np.zeros(where.size, dtype=np.bool_)) | where

    def gone(self) -> BoolArray:
        """Rows that some rule removed."""
        gone = np.zeros(self.marks.size, dtype=np.bool_)
        for where in self.removed.values():
            gone |= where
        return gone


def words(marks: Marks) -> pd.Categorical:
    """``good``, or the flags joined by ``;``, for each row."""
    values, codes = np.unique(marks, return_inverse=True)
    names = [";".join(n for n, bit in _BITS.items() if int(v) & bit) or "good" for v in values]
    return pd.Categorical(np.asarray(names, dtype=object)[codes], categories=names)


def flag_counts(marks: Marks) -> dict[str, int]:
    """How many rows carry each flag."""
    counts = {name: int(np.count_nonzero(marks & np.uint32(bit))) for name, bit in _BITS.items()}
    return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True)
class Shift:
    """Something of a file changed for good."""

    what: str
    """``clock``, ``clock_offset``, ``level`` or ``night_offset``."""
    series: str
    date: str | None
    """First day it held, on the stamps of the file; None for the whole file."""
    amount: float
    """Minutes of the clock, ratio of the levels, or units of the main column."""
    text: str


@dataclass(frozen=True)
class QualitySummary:
    """What the tests found in one file."""

    flagged: dict[str, int] = field(default_factory=dict)
    """Rows by flag."""
    tests: dict[str, dict[str, int]] = field(default_factory=dict)
    """Rows passed, failed and untested by test of irradiance."""
    shifts: tuple[Shift, ...] = ()
    clock: str = "untested"
    """``steady``, ``steps``, ``daylight_saving``, ``off`` or ``untested``."""
    capacity_seen: dict[str, float] = field(default_factory=dict)
    """By series: what the plant reaches, in the unit of the main column."""
    clipping_level: dict[str, float] = field(default_factory=dict)
    """By series that clips."""
    limits: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """By series: levels at which it was curtailed on several days."""
    suspicions: tuple[str, ...] = ()
    """Why the file as a whole may be wrong although each row is possible."""


def clock_shifts(name: str, clock: ClockJudgement) -> list[Shift]:
    """The steps of a clock, for the report."""
    label = f"{name}: " if name else ""
    how = (
        f" (daylight saving as in {clock.region}: stamps should not follow it)"
        if clock.region
        else ""
    )
    return [
        Shift(
            "clock",
            name,
            step.date,
            step.minutes,
            f"{label}the clock went {'forward' if step.minutes > 0 else 'back'} by "
            f"{abs(step.minutes):.0f} minutes against the sun on {step.date}{how}",
        )
        for step in clock.steps
    ]


def level_change(name: str, shift: LevelShift) -> Shift:
    """A change of level, for the report."""
    label = f"{name}: " if name else ""
    text = f"{label}the level is {shift.ratio:g} times what it was, from {shift.date} on"
    return Shift("level", name, shift.date, shift.ratio, text)
