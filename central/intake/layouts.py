"""How tables with time stamps are laid out: one declarative line per kind of file.

A layout says by which columns it is recognised, where its stamps are and what clock they follow,
which units differ from the usual (``known_columns``), and whether several series share the file.
The last one is for every table with a stamp column and a column we know.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import Literal

from .errors import IntakeError
from .known_columns import known_column, simple_form
from .recognise import KNOWN_FORMATS

Clock = Literal["utc", "file"]
"""Of stamps that state no offset: UTC, or the file's own clock, of which nothing is known."""

_STAMP_NAMES = (
    "timestamp", "time", "datetime", "date_time", "measured_on", "ts", "date", "utc_time", "",
)  # fmt: skip
_HEAD_LINES = 5


@dataclass(frozen=True)
class Layout:
    """One way to lay out a table."""

    name: str
    needs: tuple[str, ...]
    """Header names in simple form that must all be there."""
    stamp: tuple[str, ...] = ()
    """Header names of the stamp, joined by a space; empty: whichever usual name is there."""
    formats: tuple[str, ...] = ()
    """Formats of the stamps; empty: the one that reads the file best."""
    clock: Clock = "file"
    units: dict[str, str] = field(default_factory=dict)
    """Units by simple form, where a column's unit differs from the usual one."""
    keys: tuple[str, ...] = ()
    """Columns that tell apart the series in one file."""
    long: tuple[str, str] | None = None
    """Names and values of a long table: (column of names, column of values)."""
    sums_of: int = 0
    """Values are sums over this many samples per row, where a missing sample counts as zero."""
    whitespace_columns: tuple[str, ...] = ()
    """Names of the columns of a file without header line, separated by white space."""
    flags: bool = False
    """Each value is followed by its quality flag (0 is good)."""
    note: str = ""


_SURFRAD = (
    "year", "jday", "month", "day", "hour", "minute", "dt", "zenith",
    *(
        cell
        for name in (
            "dw_solar", "uw_solar", "direct_n", "diffuse", "dw_ir", "dw_casetemp", "dw_dometemp",
            "uw_ir", "uw_casetemp", "uw_dometemp", "uvb", "par", "netsolar", "netir", "totalnet",
            "temperature", "rh", "windspd", "winddir", "pressure",
        )
        for cell in (name, f"qc_{name}")
    ),
)  # fmt: skip

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "uci-minute",
        ("date", "time", "global_active_power", "global_intensity"),
        stamp=("date", "time"),
        formats=("%d/%m/%Y %H:%M:%S",),
    ),
    Layout(
        "uci-hourly",
        ("datetime", "global_active_power", "global_intensity", "voltage"),
        stamp=("datetime",),
        sums_of=60,
        note="hourly sums of minute values, turned into means of the minutes that were there",
    ),
    Layout(
        "openmeteo",
        ("time", "temperature_2m"),
        stamp=("time",),
        note="stamps taken for UTC when that makes the file begin at a local midnight",
    ),
    Layout(
        "surfrad",
        (),
        stamp=("year", "month", "day", "hour", "minute"),
        clock="utc",
        whitespace_columns=_SURFRAD,
        flags=True,
    ),
    Layout(
        "rooftop-long",
        ("site", "meas_name", "ts", "sensor", "meas_val_f"),
        stamp=("ts",),
        clock="utc",
        keys=("site", "sensor"),
        long=("meas_name", "meas_val_f"),
        units={"ac_power": "kW", "dc_power": "kW"},
    ),
    Layout(
        "inverter-generation",
        ("date_time", "source_key", "ac_power", "dc_power"),
        stamp=("date_time",),
        formats=("%d-%m-%Y %H:%M", "%Y-%m-%d %H:%M:%S"),
        keys=("source_key",),
        units={"ac_power": "kW", "dc_power": "kW"},
    ),
    Layout(
        "plant-sensors",
        ("date_time", "source_key", "irradiation"),
        stamp=("date_time",),
        formats=("%Y-%m-%d %H:%M:%S", "%d-%m-%Y %H:%M"),
        keys=("source_key",),
    ),
    Layout("pvdaq", ("measured_on",), stamp=("measured_on",)),
    Layout("normalized-power", ("timestamp", "value_normalized"), stamp=("timestamp",)),
    Layout("table", ()),
)


@dataclass(frozen=True)
class Found:
    """A layout, and where it was found in a file."""

    layout: Layout
    header: tuple[str, ...]
    header_lines: int
    """Lines before the first row."""
    separator: str
    stamp: tuple[str, ...]
    """Header names of the stamp."""
    latitude: float | None = None
    longitude: float | None = None
    elevation_m: float = 0.0
    offset_hours: float | None = None
    """Of the clock that the head of the file states."""


_SURFRAD_PLACE = re.compile(r"^\s*(-?\d+\.\d+)\s+(-?\d+\.\d+)\s+(\d+)\s+m\s+version\s+\d+", re.I)


def find_layout(head: list[str], file: str) -> Found:
    """The layout of a file that begins with the lines ``head``.

    Raises:
        IntakeError: none fits; names what was seen, what is known and what would be enough.
    """
    if len(head) > 1 and (place := _SURFRAD_PLACE.match(head[1])):
        layout = next(one for one in LAYOUTS if one.whitespace_columns)
        # SURFRAD counts longitude westward.
        latitude, west, height = (float(part) for part in place.groups())
        station = Found(
            layout, layout.whitespace_columns, 2, " ", layout.stamp, latitude, -west, height
        )
        return _on_earth(station, file)
    for number, line in enumerate(head[:_HEAD_LINES]):
        separator = max(",;\t", key=line.count)
        header = tuple(cell.strip() for cell in _cells(line, separator))
        while header and not header[-1]:
            header = header[:-1]
        if len(header) < 2:
            continue
        found = _match(header, number + 1, separator)
        if found is not None:
            return _on_earth(_with_place(found, head[:number]), file)
    shown = next((line for line in head if line.strip()), "")
    stamps = ", ".join(name for name in _STAMP_NAMES if name)
    raise IntakeError(
        f"unknown format, begins with {shown[:60]!r}; known formats: {KNOWN_FORMATS}; SURFRAD "
        f".dat; and tables with a stamp column ({stamps}) and "
        f"at least one of active_power_kw (meter), ac_power_kw (photovoltaic), temperature_c, ghi "
        f"(weather) or one of their usual names (docs/operations/intake.md). Rename the columns or "
        f"export the file again",
        file=file,
        line=1,
    )


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line.replace("\r", " ")], delimiter=separator), [])


def _match(header: tuple[str, ...], lines: int, separator: str) -> Found | None:
    simple = [simple_form(cell) for cell in header]
    for layout in LAYOUTS:
        if layout.whitespace_columns or any(name not in simple for name in layout.needs):
            continue
        names = layout.stamp or next(((n,) for n in _STAMP_NAMES if n in simple), ())
        if not names:
            continue
        stamp = tuple(header[simple.index(name)] for name in names)
        others = [cell for cell in header if cell not in stamp]
        if layout.long or any(known_column(cell, layout.units) for cell in others):
            return Found(layout, header, lines, separator, stamp)
    return None


def _with_place(found: Found, above: list[str]) -> Found:
    """Position and clock from the lines above the header (Open-Meteo writes names and values)."""
    if len(above) < 2:
        return found
    names = [cell.strip() for cell in above[0].split(",")]
    values = dict(zip(names, above[1].split(","), strict=False))
    try:
        return Found(
            found.layout,
            found.header,
            found.header_lines,
            found.separator,
            found.stamp,
            float(values["latitude"]),
            float(values["longitude"]),
            float(values.get("elevation", 0.0)),
            float(values["utc_offset_seconds"]) / 3600,
        )
    except (KeyError, ValueError):
        return found


def _on_earth(found: Found, file: str) -> Found:
    if found.latitude is None or found.longitude is None:
        return found
    if abs(found.latitude) <= 90 and abs(found.longitude) <= 180:
        return found
    raise IntakeError(
        f"says its place is {found.latitude:g}, {found.longitude:g} (degrees north, east), which "
        f"is not on Earth; correct it from the original download",
        file=file,
        line=2,
    )
