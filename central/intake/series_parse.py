"""Blocks of a table to arrays: stamps, columns in their own units, and which series a row is of.

Decides what an unreadable cell and a code for "missing" are. Which rows may stay is decided in
``series_rules``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from .blocks import Block, TextStream
from .errors import IntakeError
from .known_columns import Known, factor_and_offset, known_column, simple_form
from .layouts import Found, find_layout
from .series import ParsedSeries
from .series_stamps import StampReader
from .stamps import Instants
from .table import BoolArray, FloatArray, RowLedger

SENTINELS = (-9999.0, -9999.9, -9900.0, -99999.0, -999999.0, -1000000.0, -9999999.0)
"""Loggers and archives write these for "no value"."""
_MISSING_TEXT = ["?", "-", "--", "null", "NULL", "Null", "none", "missing"]
LARGEST = 1e15
"""What is beyond this was never measured, and its square would not fit a number."""
MOST_SERIES = 1000
"""Series in one file; more are no inverters but a column taken for a key."""
_TRUE = re.compile(r"^\s*(true|1|1\.0|yes)\s*$", re.I)


def parse_series(path: Path, *, zone: str | None = None) -> tuple[Found, ParsedSeries]:
    """Read a table.

    Args:
        path: the file, plain or gzip.
        zone: time zone of stamps that state no offset, where the layout does not know better.

    Raises:
        IntakeError: unknown layout, no rows, or not text; names file and line.
    """
    stream = TextStream(path)
    try:
        head = stream.head(8)
        if not any(line.strip() for line in head):
            raise IntakeError("is empty; export it again", file=stream.file)
        found = find_layout(head, stream.file)
        table = _Table(found, head, stream.file, zone)
        for block in stream.blocks(
            skip=found.header_lines, separator=found.separator, width=len(found.header)
        ):
            table.take(block)
        return found, table.finish(stream.sha256)
    finally:
        stream.close()


class _Table:
    """Collects arrays block by block."""

    def __init__(self, found: Found, head: list[str], file: str, zone: str | None) -> None:
        layout, header = found.layout, list(found.header)
        self._found, self._file = found, file
        self._stamps = StampReader(found, file, zone)
        self._columns: dict[str, tuple[Known, str, int]] = {}
        for position, cell in enumerate(header):
            known = None if cell in found.stamp else known_column(cell, layout.units)
            if known is not None:
                self._columns.setdefault(known[0].name, (*known, position))
        self._long: tuple[int, int] | None = None
        if layout.long:
            names, values = (header.index(_spelled(name, header)) for name in layout.long)
            self._long = names, values
        self._keys = [header.index(_spelled(name, header)) for name in layout.keys]
        self._long_columns: dict[str, tuple[Known, str]] = {}
        used = (
            {header.index(cell) for cell in found.stamp} | set(self._keys) | set(self._long or ())
        )
        used |= {position for _, _, position in self._columns.values()}
        self._used = sorted(used)
        flags = layout.flags
        if flags:
            # The flag of a column stands beside it.
            self._used = sorted({*self._used, *(p + 1 for _, _, p in self._columns.values())})
        self._unused = [] if flags else [c for p, c in enumerate(header) if p not in used]
        first_row = head[found.header_lines] if len(head) > found.header_lines else ""
        self._decimal = "," if found.separator == ";" and re.search(r"\d,\d", first_row) else "."
        self._names: dict[str, int] = {}
        self._parts: list[_Part] = []
        self._removed: dict[str, int] = {}
        self._examples: list[str] = []
        self._first_removed: int | None = None

    def take(self, block: Block) -> None:
        """Parse one block."""
        header = self._found.header
        text = [header.index(cell) for cell in self._found.stamp]
        text += self._keys + ([self._long[0]] if self._long else [])
        frame = pd.read_csv(
            io.BytesIO(block.text),
            header=None,
            names=list(range(len(header))),
            usecols=self._used,
            sep="," if self._found.separator == " " else self._found.separator,
            decimal=self._decimal,
            dtype=dict.fromkeys(text, str),
            na_values=_MISSING_TEXT,
            skip_blank_lines=False,
            low_memory=False,
        )
        alive = np.ones(block.lines.size, dtype=np.bool_)
        ledger = RowLedger(self._file, block.lines, alive, self._removed, self._examples)
        ledger.remove(
            "wrong_cell_count",
            block.ragged,
            lambda row: f"{block.cells[row]} cells where the header has {len(header)}",
        )
        part = _Part(ledger, self._stamps.read(frame), self._codes(frame))
        if self._long is not None:
            self._take_long(frame, self._long, part)
        for name, (known, unit, position) in self._columns.items():
            values = self._numbers(frame[position], known, part)
            if self._found.layout.flags:
                values[frame[position + 1].to_numpy(dtype=np.float64) != 0] = np.nan
            part.columns[name] = _convert(known, unit, values)
        if ledger.first_removed_line is not None and self._first_removed is None:
            self._first_removed = ledger.first_removed_line
        self._parts.append(part)

    def _take_long(self, frame: pd.DataFrame, long: tuple[int, int], part: _Part) -> None:
        """The column of a long table: one quantity, by the name that stands in each row."""
        cells = frame[long[0]]
        codes, names = pd.factorize(cells)
        known = [known_column(str(name), self._found.layout.units) for name in names]
        wanted = [number for number, one in enumerate(known) if one is not None]
        found = {one[0].name: one for one in known if one is not None}
        found |= self._long_columns
        if len(found) > 1:
            raise IntakeError(
                f"holds {', '.join(sorted(found))} one below the other; write one file for each",
                file=self._file,
                line=int(part.ledger.lines[0]),
            )
        part.ledger.remove(
            "unknown_quantity",
            ~np.isin(codes, wanted),
            lambda row: f"{str(cells.iloc[row])[:40]!r} is no column we know",
        )
        self._long_columns = found
        for name, (one, unit) in found.items():
            part.columns[name] = _convert(one, unit, self._numbers(frame[long[1]], one, part))

    def _codes(self, frame: pd.DataFrame) -> npt.NDArray[np.int32]:
        if not self._keys:
            self._names.setdefault("", 0)
            return np.zeros(len(frame), dtype=np.int32)
        joined = frame[self._keys[0]].fillna("")
        for position in self._keys[1:]:
            joined = joined + " " + frame[position].fillna("")
        codes, names = pd.factorize(joined)
        mapped = [self._names.setdefault(str(name), len(self._names)) for name in names]
        if len(self._names) > MOST_SERIES:
            raise IntakeError(f"holds more than {MOST_SERIES} series; split it", file=self._file)
        return np.asarray(mapped, dtype=np.int32)[codes]

    def _numbers(self, cells: pd.Series, known: Known, part: _Part) -> FloatArray:
        if known.role == "label":
            return np.array([bool(_TRUE.match(str(cell))) for cell in cells], dtype=np.float64)
        if cells.dtype.kind in "fiu":
            values = cells.to_numpy(dtype=np.float64, copy=True)
            strange = np.abs(values) > LARGEST
        else:
            values = np.array(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
            unread = cells.notna().to_numpy(dtype=np.bool_) & ~np.isfinite(values)
            strange = unread | (np.abs(values) > LARGEST)
        part.ledger.remove(
            "unparsable_cell",
            strange,
            lambda row: f"{known.name}: {str(cells.iloc[row])[:40]!r} is not a possible number",
        )
        sentinel = np.isin(values, SENTINELS)
        if sentinel.any():
            part.sentinels[known.name] = sentinel
        values[strange | sentinel] = np.nan
        return values

    def finish(self, sha256: str) -> ParsedSeries:
        """All blocks together. Raises ``IntakeError`` when there was none."""
        if not self._parts:
            raise IntakeError(
                "has no data below the header; export it again",
                file=self._file,
                line=self._found.header_lines,
            )
        parts = self._parts
        columns = [*self._long_columns, *self._columns]
        ledger = RowLedger(
            self._file,
            np.concatenate([part.ledger.lines for part in parts]),
            np.concatenate([part.ledger.alive for part in parts]),
            self._removed,
            self._examples,
            self._first_removed,
        )
        stamps = np.concatenate([part.stamps for part in parts])
        stamps, clock, offset, notes = self._stamps.on_utc(stamps)
        if self._unused:
            notes.append(f"columns not used: {', '.join(self._unused)[:200]}")
        if self._found.layout.note:
            notes.append(self._found.layout.note)
        return ParsedSeries(
            stamps=stamps,
            clock=clock,
            clock_offset_hours=offset,
            codes=np.concatenate([part.codes for part in parts]),
            names=tuple(self._names),
            columns={name: _joined(name, parts, _column) for name in columns},
            sentinels={
                name: _joined(name, parts, _sentinel).astype(np.bool_)
                for name in columns
                if any(name in part.sentinels for part in parts)
            },
            ledger=ledger,
            sha256=sha256,
            notes=tuple(notes),
        )


@dataclass
class _Part:
    """What one block gave."""

    ledger: RowLedger
    stamps: Instants
    codes: npt.NDArray[np.int32]
    columns: dict[str, FloatArray] = field(default_factory=dict)
    sentinels: dict[str, BoolArray] = field(default_factory=dict)


def _column(part: _Part, name: str) -> FloatArray:
    return part.columns.get(name, np.full(part.codes.size, np.nan))


def _sentinel(part: _Part, name: str) -> FloatArray:
    return np.asarray(part.sentinels.get(name, np.zeros(part.codes.size)), dtype=np.float64)


def _joined(
    name: str, parts: Sequence[_Part], take: Callable[[_Part, str], FloatArray]
) -> FloatArray:
    return np.concatenate([take(part, name) for part in parts])


def _spelled(simple: str, header: list[str]) -> str:
    return next(cell for cell in header if simple_form(cell) == simple)


def _convert(known: Known, unit: str, values: FloatArray) -> FloatArray:
    factor, offset = factor_and_offset(known, unit)
    return values if (factor, offset) == (1.0, 0.0) else values * factor + offset
