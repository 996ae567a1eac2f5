"""The power series a simulated site replays: what it generates and uses, moment by moment.

File format (docs/protocol/devices.md): CSV with a header, ``timestamp`` (ISO 8601 with zone,
strictly increasing), ``ac_power`` and ``load_power`` (W), and optionally ``dc_power`` (W) and
``temp_air`` (degC); other quantities are passed over. Between two rows every column runs in a
straight line; energy is the exact integral of that line, so a counter never disagrees with the
power it counts, at whatever speed the clock runs.

Outside the span of the file the site stands still: no power, counters hold.
"""

from __future__ import annotations

import csv
import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from models.contract.errors import ContractError
from models.contract.quantities import QUANTITIES
from models.contract.timestamps import HOUR_MS, Instant, parse_iso8601

_REQUIRED = ("timestamp", "ac_power", "load_power")
_OPTIONAL = ("dc_power", "temp_air")
_EFFICIENCY = 0.96  # of the inverter, where the file has no dc_power
_TEMP_AIR = 20.0  # degC, where the file has none


class SeriesError(ContractError):
    """A series file that cannot be replayed; names file and line."""


@dataclass(frozen=True, slots=True)
class SiteState:
    """One moment of a site, in base units."""

    ac_power: float
    dc_power: float
    load_power: float
    temp_air: float
    ac_energy: float
    """Wh generated since the start of the series."""
    grid_import_energy: float
    grid_export_energy: float

    @property
    def grid_power(self) -> float:
        """W at the connection point, import positive."""
        return self.load_power - self.ac_power


class PowerSeries:
    """Columns of equal length over strictly increasing instants, at least two."""

    def __init__(self, instants: Sequence[Instant], columns: Mapping[str, Sequence[float]]) -> None:
        """``columns`` must hold ``ac_power`` and ``load_power``. Raises ``SeriesError``."""
        if len(instants) < 2:
            raise SeriesError("a series needs at least two rows")
        if any(b <= a for a, b in pairwise(instants)):
            raise SeriesError("the instants of a series must increase")
        self._instants = array("q", instants)
        self._columns = {name: array("d", column) for name, column in columns.items()}
        generation, load = self._columns["ac_power"], self._columns["load_power"]
        if "dc_power" not in self._columns:
            self._columns["dc_power"] = array("d", [p / _EFFICIENCY for p in generation])
        if "temp_air" not in self._columns:
            self._columns["temp_air"] = array("d", [_TEMP_AIR]) * len(instants)
        self.rated_power = max(generation)
        """Highest ``ac_power`` (W)."""
        taken = [use - made for use, made in zip(load, generation, strict=True)]
        self._generated = self._accumulate(generation)
        self._imported = self._accumulate(taken)
        self._exported = self._accumulate([-power for power in taken])

    @property
    def start(self) -> Instant:
        return self._instants[0]

    @property
    def end(self) -> Instant:
        return self._instants[-1]

    def at(self, instant: Instant) -> SiteState:
        """The site at ``instant``."""
        last = len(self._instants) - 1
        if instant < self.start:
            return self._standing_still(0)
        if instant > self.end:
            return self._standing_still(last)
        i = min(bisect_right(self._instants, instant) - 1, last - 1)
        elapsed = instant - self._instants[i]
        share = elapsed / (self._instants[i + 1] - self._instants[i])
        hours = elapsed / HOUR_MS

        def line(name: str) -> tuple[float, float]:
            column = self._columns[name]
            return column[i], column[i] + share * (column[i + 1] - column[i])

        generation_0, generation = line("ac_power")
        load_0, load = line("load_power")
        net_0, net = load_0 - generation_0, load - generation
        return SiteState(
            ac_power=generation,
            dc_power=line("dc_power")[1],
            load_power=load,
            temp_air=line("temp_air")[1],
            ac_energy=self._generated[i] + _positive_area(generation_0, generation, hours),
            grid_import_energy=self._imported[i] + _positive_area(net_0, net, hours),
            grid_export_energy=self._exported[i] + _positive_area(-net_0, -net, hours),
        )

    def _standing_still(self, i: int) -> SiteState:
        return SiteState(
            ac_power=0.0,
            dc_power=0.0,
            load_power=0.0,
            temp_air=self._columns["temp_air"][i],
            ac_energy=self._generated[i],
            grid_import_energy=self._imported[i],
            grid_export_energy=self._exported[i],
        )

    def _accumulate(self, power: Sequence[float]) -> array[float]:
        """Wh of the positive part of ``power``, from the start to each row."""
        total, totals = 0.0, array("d", [0.0])
        for i, (a, b) in enumerate(pairwise(power)):
            total += _positive_area(a, b, (self._instants[i + 1] - self._instants[i]) / HOUR_MS)
            totals.append(total)
        return totals


def load_series(path: Path) -> PowerSeries:
    """Read a series file. Raises ``SeriesError`` naming file, line and column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(csv.reader(file), str(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SeriesError(f"{path}: cannot be read: {error}") from error


def _parse(rows: Iterable[list[str]], file: str) -> PowerSeries:
    lines = iter(rows)
    header = [name.strip() for name in next(lines, [])]
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise SeriesError(
            f"{file}:1: column {missing[0]} is missing; needed: {', '.join(_REQUIRED)}"
        )
    # Quantities that no device here shows (irradiance, say) may stand in the file; slips may not.
    unknown = [name for name in header if name not in QUANTITIES and name != "timestamp"]
    if unknown or len(set(header)) != len(header):
        known = ", ".join((*_REQUIRED, *_OPTIONAL))
        raise SeriesError(f"{file}:1: unknown or doubled column in {header}; used: {known}")
    instants = array("q")
    columns = {name: array("d") for name in header if name in (*_REQUIRED[1:], *_OPTIONAL)}
    for number, row in enumerate(lines, start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise SeriesError(f"{file}:{number}: {len(row)} fields, the header has {len(header)}")
        for name, cell in zip(header, row, strict=True):
            if name == "timestamp":
                instants.append(_instant(cell, instants, f"{file}:{number}: timestamp"))
            elif name in columns:
                columns[name].append(_number(cell, f"{file}:{number}: {name}"))
    try:
        return PowerSeries(instants, columns)
    except SeriesError as error:
        raise SeriesError(f"{file}: {error}") from error


def _instant(cell: str, before: Sequence[Instant], place: str) -> Instant:
    try:
        instant = parse_iso8601(cell.strip())
    except ContractError as error:
        raise SeriesError(f"{place}: {error}") from error
    if before and instant <= before[-1]:
        raise SeriesError(f"{place}: {cell} does not come after the row before it")
    return instant


def _number(cell: str, place: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SeriesError(f"{place}: not a number: {cell!r}; fill holes before replaying a series")
    return value


def _positive_area(start: float, end: float, hours: float) -> float:
    """Area between zero and the part above it of a straight line from ``start`` to ``end``."""
    if start >= 0 and end >= 0:
        return (start + end) / 2 * hours
    if start <= 0 and end <= 0:
        return 0.0
    above = max(start, end)
    return above / 2 * hours * above / abs(end - start)
