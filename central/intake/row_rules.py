"""Which rows may stay: named rules in a fixed order, each row counted under the first it broke.

| rule | a row is removed because |
|---|---|
| ``wrong_cell_count`` | it has more or fewer cells than the header |
| ``unparsable_cell`` | a cell that should hold a number does not |
| ``bad_timestamp`` | its calendar cells are no possible date and time |
| ``leap_day_in_typical_year`` | a typical year has no 29 February |
| ``duplicate_timestamp`` | an earlier row has the same stamp |
| ``stray_timestamp`` | it and a few others lie more than a year away from the rest |
| ``off_grid_timestamp`` | its stamp does not fit the file's own resolution |
| ``missing_value`` | a quantity is empty, NaN or a missing-value code |
| ``out_of_limits`` | a value is beyond the physical limits of ``models.contract.quantities`` |

The first two are decided in ``table``. An optional column that is missing in more than 5 % of the
rows is left out whole instead (a note says so). Rows out of order are sorted, not removed. Limits
of irradiance against the sun, stale runs and clocks are judged later (``judge_weather``); tables
with time stamps have their own rules (``series_rules``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from models.contract.quantities import QUANTITIES, Quantity

from .columns import ParsedWeather
from .errors import IntakeError
from .stamps import ClockStamps, Instants
from .table import BoolArray, FloatArray, RowLedger
from .weather import OPTIONAL, REQUIRED, Gap

RARELY_MISSING = 0.05
"""Share of rows up to which a missing optional value costs its row, not its column."""
COARSEST_MINUTES = 60
"""Coarser data cannot be brought to the 15-minute grid with any honesty."""
_MINUTE = np.timedelta64(60_000, "ms")
_YEAR = np.timedelta64(366, "D")
_SMALL_ISLAND = 0.01  # share of the rows


def check_leap_days(stamps: ClockStamps, ledger: RowLedger) -> None:
    """Remove 29 February from a typical year."""
    ledger.remove(
        "leap_day_in_typical_year",
        np.asarray((stamps.month == 2) & (stamps.day == 29)),
        lambda row: "29 February in a typical year",
    )


def check_stamps(stamps: Instants, ledger: RowLedger) -> list[str]:
    """Remove rows without a usable stamp or with one that came before. Returns notes."""
    ledger.remove("bad_timestamp", np.isnat(stamps), lambda row: "no possible date and time")
    rows = np.flatnonzero(ledger.alive)
    first = np.unique(stamps[rows], return_index=True)[1]
    repeated = np.zeros_like(ledger.alive)
    repeated[rows] = True
    repeated[rows[first]] = False
    ledger.remove("duplicate_timestamp", repeated, lambda row: f"{_iso(stamps[row])} came before")
    ledger.remove(
        "stray_timestamp",
        _stray(stamps, ledger),
        lambda row: f"{_iso(stamps[row])} is more than a year away from the rest of the file",
    )
    kept = stamps[ledger.alive]
    backwards = int(np.count_nonzero(np.diff(kept) < np.timedelta64(0, "ms")))
    return (
        [f"rows were out of order at {backwards} places and have been sorted"] if backwards else []
    )


def _stray(stamps: Instants, ledger: RowLedger) -> BoolArray:
    """Rows in islands of less than 1 % of the file, such as one mistyped year makes."""
    rows = np.flatnonzero(ledger.alive)
    rows = rows[np.argsort(stamps[rows], kind="stable")]
    island = np.concatenate([[0], np.cumsum(np.diff(stamps[rows]) > _YEAR)])[: rows.size]
    small = np.bincount(island, minlength=1) < _SMALL_ISLAND * rows.size
    stray = np.zeros_like(ledger.alive)
    stray[rows[small[island]]] = True
    return stray


def resolution_minutes(stamps: Instants, ledger: RowLedger) -> int:
    """The commonest step between rows; removes the rows that do not fit it.

    Raises:
        IntakeError: fewer than two rows are left, or the step does not divide an hour.
    """
    rows = np.flatnonzero(ledger.alive)
    if rows.size < 2:
        raise IntakeError(
            f"has {rows.size} usable rows of {ledger.alive.size} ({describe_removed(ledger)}); "
            f"a series needs at least two",
            file=ledger.file,
            line=ledger.first_removed_line,
        )
    steps, counts = np.unique(np.diff(np.sort(stamps[rows])), return_counts=True)
    step = steps[counts.argmax()]
    minutes = int(step // _MINUTE)
    whole = step % _MINUTE == np.timedelta64(0, "ms") and minutes >= 1
    if not whole or COARSEST_MINUTES % minutes:
        raise IntakeError(
            f"the commonest step between rows is {step / _MINUTE:g} minutes; steps that divide "
            f"{COARSEST_MINUTES} minutes can be read",
            file=ledger.file,
            line=int(ledger.lines[rows[0]]),
        )
    phases = (stamps - np.datetime64(0, "ms")) % step
    values, counts = np.unique(phases[rows], return_counts=True)
    ledger.remove(
        "off_grid_timestamp",
        ~np.isnat(stamps) & (phases != values[counts.argmax()]),
        lambda row: f"{_iso(stamps[row])} does not fit steps of {minutes} minutes",
    )
    return minutes


def check_values(parsed: ParsedWeather, *, limits: bool) -> tuple[list[str], list[str]]:
    """Remove rows with missing or impossible values. Returns the columns that stay, and notes."""
    ledger, notes = parsed.ledger, []
    names = [*REQUIRED, *(name for name in OPTIONAL if name in parsed.columns)]
    for name in list(names):
        missing = np.isnan(parsed.columns[name])
        share = float(missing[ledger.alive].mean()) if ledger.alive.any() else 0.0
        if name in OPTIONAL and share > RARELY_MISSING:
            names.remove(name)
            notes.append(f"{name} is missing in {share:.0%} of the rows and was left out")
            continue
        ledger.remove("missing_value", missing, _missing(name))
    for name in names if limits else ():
        allowed, values = QUANTITIES[name], parsed.columns[name]
        inside = (values >= allowed.lowest) & (values <= allowed.highest)
        ledger.remove("out_of_limits", ~inside, _impossible(allowed, values))
    return names, notes


def find_gaps(stamps: Instants, ledger: RowLedger, minutes: int) -> tuple[Gap, ...]:
    """Stretches of missing stamps between the rows that are left."""
    rows = np.flatnonzero(ledger.alive)
    rows = rows[np.argsort(stamps[rows], kind="stable")]
    step = minutes * _MINUTE
    holes = np.flatnonzero(np.diff(stamps[rows]) > step)
    return tuple(
        Gap(
            start=_iso(stamps[rows[hole]] + step),
            end=_iso(stamps[rows[hole + 1]] - step),
            rows=int((stamps[rows[hole + 1]] - stamps[rows[hole]]) // step) - 1,
            after_line=int(ledger.lines[rows[hole]]),
        )
        for hole in holes
    )


def describe_removed(ledger: RowLedger) -> str:
    """``missing_value 12, out_of_limits 3`` and the first example, for error texts."""
    counts = ", ".join(f"{rule} {count}" for rule, count in ledger.removed.items())
    return f"{counts}; first: {ledger.examples[0]}" if ledger.examples else counts or "none removed"


def _missing(name: str) -> Callable[[int], str]:
    return lambda row: f"{name} is missing"


def _impossible(allowed: Quantity, values: FloatArray) -> Callable[[int], str]:
    limits = f"possible are {allowed.lowest:g} to {allowed.highest:g}"
    return lambda row: f"{allowed.name} is {values[row]:g} {allowed.unit}, {limits}"


def _iso(stamp: np.datetime64) -> str:
    return f"{pd.Timestamp(stamp).isoformat()}Z"
