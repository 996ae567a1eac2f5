"""Lines of comma-separated cells to columns of numbers, keeping the line number of every row.

Decides what an unreadable cell is. Rows at fault are marked in the ``RowLedger``, not dropped: the
rules in ``row_rules`` come after, and each row is counted under the first rule it broke.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import IntakeError
from .source_text import SourceText

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_EXAMPLES_PER_RULE = 3


@dataclass
class RowLedger:
    """Which rows are still in, and which rule took the others. Rows are numbered from 0."""

    file: str
    lines: npt.NDArray[np.int64]
    """Line number in the file of each row."""
    alive: BoolArray
    removed: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    first_removed_line: int | None = None

    def remove(self, rule: str, bad: BoolArray, describe: Callable[[int], str]) -> None:
        """Take out the rows of ``bad`` that are still in; ``describe(row)`` says what was wrong."""
        rows = np.flatnonzero(bad & self.alive)
        if rows.size == 0:
            return
        self.alive[rows] = False
        before = self.removed.get(rule, 0)
        self.removed[rule] = before + int(rows.size)
        for row in rows[: max(0, _EXAMPLES_PER_RULE - before)]:
            self.examples.append(
                f"{self.file}:{self.lines[row]}: {describe(int(row))}; row removed"
            )
        first = int(self.lines[rows].min())
        if self.first_removed_line is None or first < self.first_removed_line:
            self.first_removed_line = first


@dataclass
class Table:
    """Columns of equal length by header name (numbers, or text where asked), and their ledger."""

    numbers: dict[str, FloatArray]
    texts: dict[str, list[str]]
    ledger: RowLedger


def split_header(text: SourceText, line: int) -> list[str]:
    """Cell texts of 1-based ``line``; quotes are honoured, trailing empty cells dropped."""
    cells = [cell.strip() for cell in next(csv.reader([text.lines[line - 1]]))]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def parse_table(
    text: SourceText, header_line: int, numeric: Sequence[str], textual: Sequence[str] = ()
) -> Table:
    """Parse everything below ``header_line``, keeping the named columns (they must be there).

    Cells that are not finite numbers become NaN and their rows are removed by the rule
    ``unparsable_cell``; empty cells become NaN and stay for the rules on missing values. A row of
    more or fewer cells than the header is removed by ``wrong_cell_count``.

    Raises:
        IntakeError: there are no data lines.
    """
    header = split_header(text, header_line)
    body = text.lines[header_line:]
    if not body:
        raise IntakeError(
            "has no data below the header; export it again", file=text.file, line=header_line
        )
    width = text.lines[header_line - 1].count(",") + 1
    ledger = RowLedger(
        text.file,
        np.arange(len(body), dtype=np.int64) + header_line + 1,
        np.ones(len(body), dtype=np.bool_),
    )
    ragged = np.zeros(len(body), dtype=np.bool_)
    counts: dict[int, int] = {}
    for row, line in enumerate(body):
        cells = line.count(",") + 1
        if cells == width:
            continue
        # Exports pad rows with empty cells, up to the width of the metadata lines.
        cells = line.rstrip(", ").count(",") + 1
        if cells > len(header) or line.count(",") + 1 < len(header):
            ragged[row] = True
            counts[row] = line.count(",") + 1
    ledger.remove(
        "wrong_cell_count",
        ragged,
        lambda row: f"{counts[row]} cells where the header has {len(header)}",
    )
    blank = "," * (width - 1)
    wanted = {header.index(name): name for name in (*numeric, *textual)}
    regular = [blank if ragged[row] else line for row, line in enumerate(body)]
    frame = pd.read_csv(
        io.StringIO("\n".join(regular)),
        header=None,
        names=list(range(max(line.count(",") for line in regular) + 1)),
        usecols=sorted(wanted),
        skip_blank_lines=False,
        quoting=csv.QUOTE_NONE,
        low_memory=False,
        dtype={header.index(name): str for name in textual},
    )
    numbers = {
        name: _numbers(frame[position], name, ledger)
        for position, name in wanted.items()
        if name not in textual
    }
    texts = {name: [str(cell) for cell in frame[header.index(name)]] for name in textual}
    return Table(numbers, texts, ledger)


def _numbers(column: pd.Series, name: str, ledger: RowLedger) -> FloatArray:
    values = np.array(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    present = column.notna().to_numpy(dtype=np.bool_)
    ledger.remove(
        "unparsable_cell",
        present & ~np.isfinite(values),
        lambda row: f"{name}: {str(column.iloc[row])[:40]!r} is not a finite number",
    )
    values[~np.isfinite(values)] = np.nan
    return values
