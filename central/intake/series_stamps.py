"""Stamps of a table to instants: which format they have, and which clock they follow.

Formats are tried on the first block: the one that reads most cells wins, then the one that makes
the steps most regular (so 1/2/2022 is the second of January where the rows are five minutes apart).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from .errors import IntakeError
from .layouts import Found
from .stamps import Instants

ISO = "ISO8601"
_FORMATS = (
    ISO,
    "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M",
    "%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%m-%d-%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%m/%d/%y %H:%M", "%d/%m/%y %H:%M",
)  # fmt: skip
_SAMPLE = 5000
_LEAST_READABLE = 0.5
_OFFSET = re.compile(r"(Z|[+-]\d{2}:?\d{2})\s*$")
_NUMBER = re.compile(r"^\d{9,13}(\.\d+)?$")
_CALENDAR = ("year", "month", "day", "hour", "minute")


class StampReader:
    """Reads the stamps of block after block by what the first one was like."""

    def __init__(self, found: Found, file: str, zone: str | None) -> None:
        self._found, self._file, self._zone = found, file, zone
        self._positions = [found.header.index(cell) for cell in found.stamp]
        self._format: str | None = None
        self._stated: float | None = None
        self._offsets = False

    def read(self, frame: pd.DataFrame) -> Instants:
        """Stamps of the rows of ``frame``; UTC where they state an offset, NaT where unreadable."""
        cells = frame[self._positions[0]].str.strip()
        if self._found.stamp == _CALENDAR:
            return _from_calendar([frame[position] for position in self._positions])
        for position in self._positions[1:]:
            cells = cells + " " + frame[position].str.strip()
        if self._format is None:
            self._choose(cells)
        assert self._format is not None
        return _parse(cells, self._format)

    def _choose(self, cells: pd.Series) -> None:
        sample = cells.dropna().head(_SAMPLE)
        if sample.empty:
            raise IntakeError(
                f"column {self._found.stamp[0]!r} has no time stamps; export the file again",
                file=self._file,
                line=self._found.header_lines + 1,
            )
        first = str(sample.iloc[0])
        if _NUMBER.match(first):
            self._format = "ms" if float(first) > 1e11 else "s"
            self._offsets, self._stated = True, 0.0
            return
        scores = [
            (*_quality(_parse(sample, one)), -number, one)
            for number, one in enumerate(self._found.layout.formats or _FORMATS)
        ]
        readable, _, _, self._format = max(scores)
        if readable < _LEAST_READABLE:
            raise IntakeError(
                f"time stamps such as {first[:40]!r} cannot be read; write them as "
                f"2024-01-31T12:00:00Z",
                file=self._file,
                line=self._found.header_lines + 1,
            )
        if self._format == ISO and (match := _OFFSET.search(first)):
            self._offsets = True
            self._stated = _hours(match.group(1))

    def on_utc(self, stamps: Instants) -> tuple[Instants, str, float | None, list[str]]:
        """The stamps in UTC where that can be known; the clock, its offset, and notes."""
        if self._offsets:
            return stamps, "utc", self._stated, []
        if self._found.layout.clock == "utc":
            return stamps, "utc", 0.0, []
        offset = self._found.offset_hours
        if offset is not None:
            return _by_stated_offset(stamps, offset)
        if self._zone is not None:
            zone = ZoneInfo(self._zone)
            local = pd.DatetimeIndex(stamps)
            try:
                known = local.tz_localize(zone, ambiguous="infer", nonexistent="NaT")
            except ValueError:
                known = local.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
            utc = known.tz_convert("UTC").tz_localize(None).to_numpy(dtype="datetime64[ms]")
            return utc, "utc", None, [f"stamps read on the clock of {self._zone}"]
        return stamps, "file", None, ["the stamps state no time zone and are kept as they are"]


def _hours(offset: str) -> float:
    """``-07:00`` or ``+0530`` as hours; ``Z`` is 0."""
    if offset == "Z":
        return 0.0
    hours = int(offset[1:3]) + int(offset[-2:]) / 60
    return -hours if offset[0] == "-" else hours


def _by_stated_offset(
    stamps: Instants, offset: float
) -> tuple[Instants, str, float | None, list[str]]:
    """An archive begins at a local midnight: that tells whether its stamps are local or UTC."""
    day = np.timedelta64(86_400_000, "ms")
    ahead = np.timedelta64(round(offset * 3_600_000), "ms")
    first = stamps[np.flatnonzero(~np.isnat(stamps))[:1]] - np.datetime64(0, "ms")
    if first.size and (first[0] + ahead) % day == np.timedelta64(0, "ms") and offset:
        return stamps, "utc", 0.0, [
            f"the head states {offset:+g} h, but the stamps begin at a local midnight only when "
            f"they are UTC: taken for UTC"
        ]  # fmt: skip
    return stamps - ahead, "utc", offset, []


def _parse(cells: pd.Series, form: str) -> Instants:
    if form in {"s", "ms"}:
        numbers = np.array(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
        scale = 1000.0 if form == "s" else 1.0
        good = np.isfinite(numbers) & (np.abs(numbers * scale) < 1e14)
        milliseconds = np.where(good, numbers * scale, 0).astype("int64")
        stamps = milliseconds.astype("datetime64[ms]")
        stamps[~good] = np.datetime64("NaT")
        return stamps
    parsed = pd.to_datetime(cells, format=form, errors="coerce", utc=True)
    return pd.DatetimeIndex(parsed).tz_localize(None).to_numpy(dtype="datetime64[ms]")


def _quality(stamps: Instants) -> tuple[float, float]:
    """Share of readable stamps, and of the commonest step among the steps forward."""
    good = stamps[~np.isnat(stamps)]
    if good.size < 2:
        return good.size / max(stamps.size, 1), 0.0
    steps = np.diff(good)
    _, counts = np.unique(steps[steps >= np.timedelta64(0, "ms")], return_counts=True)
    return good.size / stamps.size, float(counts.max(initial=0)) / steps.size


def _from_calendar(cells: Sequence[pd.Series]) -> Instants:
    numbers = [pd.to_numeric(cell, errors="coerce") for cell in cells]
    frame = pd.DataFrame(dict(zip(_CALENDAR, numbers, strict=True)))
    return pd.to_datetime(frame, errors="coerce").to_numpy(dtype="datetime64[ms]")
