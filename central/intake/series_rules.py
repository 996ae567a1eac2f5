"""Which rows of a table may stay, and the series laid on their regular grids.

| rule | a row is removed because |
|---|---|
| ``wrong_cell_count`` ``unparsable_cell`` ``unknown_quantity`` | see ``series_parse`` |
| ``bad_timestamp`` | its stamp cannot be read, or does not exist on the local clock |
| ``empty_interval`` | a sum over an interval in which nothing was measured |
| ``sentinel_value`` | the main column holds a code for "no value" |
| ``missing_value`` | the main column, or one that is rarely missing, is empty |
| ``out_of_limits`` | a value is beyond the limits of ``known_columns`` |
| ``duplicate_timestamp`` | an earlier row of the same series has the same stamp |
| ``stray_timestamp`` | it and a few others lie more than a year away from the rest |
| ``off_grid_timestamp`` | its stamp does not fit the file's own steps |
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import IntakeError
from .known_columns import BY_NAME, source_of
from .layouts import Found
from .row_rules import RARELY_MISSING, describe_removed
from .runs import nan_quantile
from .series import MAIN_COLUMNS, ParsedSeries, Series, SeriesFile, SeriesSource
from .stamps import Instants
from .table import BoolArray, FloatArray, RowLedger

_DAY_SECONDS = 86_400
_COARSEST_SECONDS = 3_600
_YEAR = np.timedelta64(366, "D")
_SMALL_ISLAND = 0.01
_JITTER_SHARE = 0.05
_TREMBLE = 0.1
_USUAL_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 360, 600, 900, 1200, 1800, 3600)
_FULL_INTERVAL = 0.95
_LEAST_INTERVAL = 0.5
_MOST_GRID = 40
"""Grid stamps per row: a file with fewer rows than that is no time series of its step."""


def settle(found: Found, parsed: ParsedSeries, *, validate: bool) -> SeriesFile:
    """Apply the rules. Raises ``IntakeError`` when no series is left or the steps make no sense."""
    ledger, notes = parsed.ledger, list(parsed.notes)
    kind = source_of([BY_NAME[name] for name in parsed.columns])
    main = next((name for name in MAIN_COLUMNS[kind] if name in parsed.columns), "")
    if not main:
        raise IntakeError(
            f"is a {kind} file without {', '.join(MAIN_COLUMNS[kind])}; add one of them",
            file=ledger.file,
            line=found.header_lines,
        )
    columns = dict(parsed.columns)
    ledger.remove("bad_timestamp", np.isnat(parsed.stamps), lambda row: "no possible date and time")
    partial = np.zeros(ledger.alive.size, dtype=np.bool_)
    if found.layout.sums_of:
        columns, partial = _means_of_sums(columns, found.layout.sums_of, ledger, notes)
    if (coded := parsed.sentinels.get(main)) is not None:
        ledger.remove("sentinel_value", coded, lambda row: f"{main} is a code for no value")
    _remove_missing(columns, main, ledger, notes)
    _wrap_directions(columns, notes)
    if validate:
        _remove_impossible(columns, ledger)
    stamps = parsed.stamps.copy()
    step = _step_seconds(stamps, parsed.codes, ledger)
    _snap(stamps, step, parsed, ledger, notes)
    _remove_repeats(stamps, parsed.codes, ledger)
    columns["_partial"] = partial.astype(np.float64)
    series = _grids(stamps, step, parsed, columns, ledger)
    source = SeriesSource(
        file=ledger.file,
        format=found.layout.name,
        kind=kind,
        main=main,
        series=tuple(one.name for one in series),
        clock=parsed.clock,
        clock_offset_hours=parsed.clock_offset_hours,
        step_seconds=step,
        latitude=found.latitude,
        longitude=found.longitude,
        elevation_m=found.elevation_m,
        sha256=parsed.sha256,
    )
    return SeriesFile(source, tuple(series), ledger, tuple(notes))


def _means_of_sums(
    columns: dict[str, FloatArray], samples: int, ledger: RowLedger, notes: list[str]
) -> tuple[dict[str, FloatArray], BoolArray]:
    """Sums to means over the samples that were there, which the sum of the voltage tells."""
    volts = columns["voltage_v"]
    # What one sample reads is that of the full intervals around: mains sag in the evening.
    near = np.where(volts > 0.8 * np.nanmax(volts), volts, np.nan)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(near, 3, mode="edge"), 7)
    usual = nan_quantile(around, 0.5) / samples
    usual = np.where(np.isfinite(usual), usual, np.nanmedian(near) / samples)
    count = np.clip(np.round(volts / usual), 0, samples)
    # The voltage itself moves by some percent, so nearly full is full.
    count = np.where(count >= _FULL_INTERVAL * samples, samples, count)
    ledger.remove("empty_interval", count == 0, lambda row: "nothing was measured in this interval")
    ledger.remove(
        "empty_interval",
        count < _LEAST_INTERVAL * samples,
        lambda row: f"only {count[row]:.0f} of {samples} samples were measured",
    )
    partial: BoolArray = ledger.alive & (count < samples)
    notes.append(
        f"{int(partial.sum())} intervals hold fewer than {samples} samples: mean of those there"
    )
    counters = {name for name in columns if name.startswith(("sub_metering", "label"))}
    divisor = np.maximum(count, 1)
    means = {
        name: values if name in counters else values / divisor for name, values in columns.items()
    }
    return means, partial


def _remove_missing(
    columns: dict[str, FloatArray], main: str, ledger: RowLedger, notes: list[str]
) -> None:
    ledger.remove("missing_value", np.isnan(columns[main]), lambda row: f"{main} is missing")
    for name in [name for name in columns if name != main]:
        missing = np.isnan(columns[name])
        share = float(missing[ledger.alive].mean()) if ledger.alive.any() else 0.0
        if share > RARELY_MISSING:
            del columns[name]
            notes.append(f"{name} is missing in {share:.0%} of the rows and was left out")
        elif share:
            ledger.remove("missing_value", missing, _is_missing(name))


def _is_missing(name: str) -> Callable[[int], str]:
    return lambda row: f"{name} is missing"


def _wrap_directions(columns: dict[str, FloatArray], notes: list[str]) -> None:
    """A vane that is a little off zero gives -1 degrees, which is 359."""
    for name in [name for name in columns if name.startswith("wind_direction")]:
        values = columns[name]
        with np.errstate(invalid="ignore"):
            beyond = (np.abs(values - 180) > 180) & (np.abs(values - 180) <= 190)
        if beyond.any():
            columns[name] = np.where(beyond, np.mod(values, 360.0), values)
            notes.append(f"{name}: {int(beyond.sum())} values just beyond 0 to 360 were wrapped")


def _remove_impossible(columns: dict[str, FloatArray], ledger: RowLedger) -> None:
    for name, values in columns.items():
        lowest, highest = BY_NAME[name].limits

        def describe(row: int, name: str = name, values: FloatArray = values) -> str:
            limits = BY_NAME[name].limits
            return f"{name} is {values[row]:g}, possible are {limits[0]:g} to {limits[1]:g}"

        with np.errstate(invalid="ignore"):
            ledger.remove("out_of_limits", (values < lowest) | (values > highest), describe)


def _step_seconds(stamps: Instants, codes: npt.NDArray[np.int32], ledger: RowLedger) -> int:
    """The commonest step within a series."""
    rows = np.flatnonzero(ledger.alive)
    rows = rows[np.lexsort((stamps[rows], codes[rows]))]
    steps = np.diff(stamps[rows])[np.diff(codes[rows]) == 0]
    steps = steps[steps > np.timedelta64(0, "ms")]
    if steps.size == 0:
        raise IntakeError(
            f"has {rows.size} usable rows of {ledger.alive.size} ({describe_removed(ledger)}); "
            f"a series needs at least two",
            file=ledger.file,
            line=ledger.first_removed_line,
        )
    seconds = np.round(steps / np.timedelta64(1, "s")).astype(np.int64)
    values, counts = np.unique(seconds, return_counts=True)
    step = int(values[counts.argmax()])
    if _DAY_SECONDS % step if step else True:
        # A logger whose stamps tremble by seconds: the usual step that lies close to the middle.
        middle = float(np.median(seconds))
        step = min(_USUAL_STEPS, key=lambda usual: abs(usual - middle))
        step = step if abs(step - middle) <= _TREMBLE * step else round(middle)
    if step < 1 or step > _COARSEST_SECONDS or _DAY_SECONDS % step:
        raise IntakeError(
            f"the commonest step between rows is {step / 60:g} minutes; steps of at most "
            f"{_COARSEST_SECONDS // 60} minutes that divide a day can be read",
            file=ledger.file,
            line=int(ledger.lines[rows[0]]),
        )
    return step


def _snap(
    stamps: Instants, step: int, parsed: ParsedSeries, ledger: RowLedger, notes: list[str]
) -> None:
    """Loggers that write a little late are put on the grid; single strays are removed."""
    size = np.timedelta64(step * 1000, "ms")
    phase = (stamps - np.datetime64(0, "ms")) % size
    rows = np.flatnonzero(ledger.alive)
    values, counts = np.unique(phase[rows], return_counts=True)
    usual = values[counts.argmax()]
    odd = ledger.alive & (phase != usual)
    if odd.sum() <= _JITTER_SHARE * rows.size:
        ledger.remove(
            "off_grid_timestamp",
            odd,
            lambda row: f"{_iso(stamps[row])} does not fit steps of {step / 60:g} minutes",
        )
        return
    grid = np.datetime64(0, "ms") + np.round((stamps - np.datetime64(0, "ms")) / size) * size
    moved = np.abs((grid - stamps)[rows])
    stamps[rows] = grid[rows]
    notes.append(
        f"stamps do not lie on a grid and were moved to it, by up to "
        f"{moved.max() / np.timedelta64(1, 's'):.0f} s"
    )


def _remove_repeats(stamps: Instants, codes: npt.NDArray[np.int32], ledger: RowLedger) -> None:
    rows = np.flatnonzero(ledger.alive)
    order = rows[np.lexsort((rows, stamps[rows], codes[rows]))]
    same = (np.diff(stamps[order]) == np.timedelta64(0, "ms")) & (np.diff(codes[order]) == 0)
    repeated = np.zeros_like(ledger.alive)
    repeated[order[1:][same]] = True
    ledger.remove("duplicate_timestamp", repeated, lambda row: f"{_iso(stamps[row])} came before")
    rows = np.flatnonzero(ledger.alive)
    rows = rows[np.argsort(stamps[rows], kind="stable")]
    island = np.concatenate([[0], np.cumsum(np.diff(stamps[rows]) > _YEAR)])[: rows.size]
    small = np.bincount(island, minlength=1) < _SMALL_ISLAND * rows.size
    stray = np.zeros_like(ledger.alive)
    stray[rows[small[island]]] = True
    ledger.remove(
        "stray_timestamp",
        stray,
        lambda row: f"{_iso(stamps[row])} is more than a year away from the rest of the file",
    )


def _grids(
    stamps: Instants,
    step: int,
    parsed: ParsedSeries,
    columns: dict[str, FloatArray],
    ledger: RowLedger,
) -> list[Series]:
    series = []
    size = np.timedelta64(step * 1000, "ms")
    for code, name in enumerate(parsed.names):
        rows = np.flatnonzero(ledger.alive & (parsed.codes == code))
        if rows.size < 2:
            continue
        first = stamps[rows].min()
        places = ((stamps[rows] - first) // size).astype(np.int64)
        length = int(places.max()) + 1
        if length > _MOST_GRID * rows.size + 10 * _DAY_SECONDS // step:
            raise IntakeError(
                f"{name or 'the series'} has {rows.size} rows where steps of {step / 60:g} minutes "
                f"would make {length}; give the time between rows a meaning or split the file",
                file=ledger.file,
                line=int(ledger.lines[rows[0]]),
            )
        present = np.zeros(length, dtype=np.bool_)
        present[places] = True
        lines = np.zeros(length, dtype=np.int64)
        lines[places] = ledger.lines[rows]
        grid = {}
        for column, values in columns.items():
            laid = np.full(length, np.nan)
            laid[places] = values[rows]
            grid[column] = laid
        index = pd.DatetimeIndex(first + np.arange(length) * size, name="timestamp")
        series.append(Series(name, index, grid, present, lines, step))
    if not series:
        raise IntakeError(
            f"no series has two usable rows ({describe_removed(ledger)})",
            file=ledger.file,
            line=ledger.first_removed_line,
        )
    return series


def _iso(stamp: np.datetime64) -> str:
    return pd.Timestamp(stamp).isoformat()
