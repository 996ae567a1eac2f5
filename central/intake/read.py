"""One call from a file to a typed weather series; the only place that knows the order of steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from . import row_rules
from .columns import ParsedWeather
from .errors import IntakeError
from .nsrdb import parse_nsrdb
from .recognise import SourceFormat, recognise
from .source_text import SourceText, read_text
from .stamps import on_nominal_year, to_utc, typical_months
from .sun_check import suspicions
from .tmy3 import parse_tmy3
from .weather import NOMINAL_YEAR, ReadReport, Weather, WeatherFormat, WeatherSource

LEAST_RETAINED_SHARE = 0.5
"""A file that loses more than this is not data with faults but a faulty file."""


def read_weather(path: Path, *, validate: bool = True, nominal_year: int = NOMINAL_YEAR) -> Weather:
    """Read an NSRDB or TMY3 file, plain or gzip.

    Args:
        path: the file.
        validate: remove values beyond physical limits, and refuse a file that loses more than half
            of its rows. Without it rows that cannot be read are still removed.
        nominal_year: calendar year for typical years; not a leap year.

    Raises:
        IntakeError: the file cannot be used; the text names file, line and what to do.
    """
    return parse_weather(read_text(path), validate=validate, nominal_year=nominal_year)


def parse_weather(
    text: SourceText, *, validate: bool = True, nominal_year: int = NOMINAL_YEAR
) -> Weather:
    """:func:`read_weather` for text that is already in memory."""
    format_ = recognise(text)
    parsed = parse_nsrdb(text) if format_ is SourceFormat.NSRDB else parse_tmy3(text)
    ledger, stamps = parsed.ledger, parsed.stamps
    notes = []
    months = typical_months(stamps, ledger.alive)
    if format_ is SourceFormat.TMY3 or months:
        row_rules.check_leap_days(stamps, ledger)
        stamps = on_nominal_year(stamps, nominal_year, file=text.file)
        notes.append(f"typical year, laid on the calendar of {nominal_year}")
    instants = to_utc(stamps, parsed.clock_offset_hours)
    notes += row_rules.check_stamps(instants, ledger)
    minutes = row_rules.resolution_minutes(instants, ledger)
    names, value_notes = row_rules.check_values(parsed, limits=validate)
    notes += value_notes
    gaps = row_rules.find_gaps(instants, ledger, minutes)
    _refuse_if_mostly_removed(parsed, refuse=validate)

    rows = np.flatnonzero(ledger.alive)
    rows = rows[np.argsort(instants[rows], kind="stable")]
    index = pd.DatetimeIndex(instants[rows], name="timestamp").tz_localize("UTC")
    frame = pd.DataFrame({name: parsed.columns[name][rows] for name in names}, index=index)
    source = WeatherSource(
        file=text.file,
        format=_format_name(format_, typical=bool(months)),
        location=parsed.location,
        latitude=parsed.latitude,
        longitude=parsed.longitude,
        elevation_m=parsed.elevation_m,
        clock_offset_hours=parsed.clock_offset_hours,
        site_offset_hours=parsed.site_offset_hours,
        resolution_minutes=minutes,
        irradiance="preceding_mean" if format_ is SourceFormat.TMY3 else "instant",
        sha256=text.sha256,
        nominal_year=nominal_year if format_ is SourceFormat.TMY3 or months else None,
        month_years=months,
    )
    report = ReadReport(
        rows_in=int(ledger.alive.size),
        rows_out=int(rows.size),
        removed=dict(ledger.removed),
        examples=tuple(ledger.examples),
        gaps=gaps,
        notes=tuple(notes),
    )
    weather = Weather(source, frame, report)
    doubts = suspicions(source, weather.irradiance_times, frame)
    return replace(weather, report=replace(report, suspicions=tuple(doubts)))


def _format_name(format_: SourceFormat, *, typical: bool) -> WeatherFormat:
    if format_ is SourceFormat.TMY3:
        return "tmy3"
    return "nsrdb-tmy" if typical else "nsrdb"


def _refuse_if_mostly_removed(parsed: ParsedWeather, *, refuse: bool) -> None:
    ledger = parsed.ledger
    kept, total = int(ledger.alive.sum()), int(ledger.alive.size)
    if kept == 0 or (refuse and kept < LEAST_RETAINED_SHARE * total):
        raise IntakeError(
            f"only {kept} of {total} rows can be used ({row_rules.describe_removed(ledger)}). "
            f"Repair or fetch the file again; --no-validate keeps values beyond physical limits",
            file=ledger.file,
            line=ledger.first_removed_line,
        )
