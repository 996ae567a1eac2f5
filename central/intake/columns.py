"""What the source columns of all weather formats become: contract names and base units.

Decides units and which columns may be absent. Formats bring only a tuple of ``SourceColumn``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.contract.errors import ContractError
from models.contract.quantities import quantity
from models.contract.units import base_unit, to_base

from .errors import IntakeError
from .stamps import ClockStamps
from .table import FloatArray, RowLedger

MISSING_BELOW = -9000.0
"""Archives write -9999, -9999.9 or -9900 for "not measured"."""


@dataclass(frozen=True)
class SourceColumn:
    """A column of a source format."""

    header: str
    """Its name in the header line."""
    name: str
    """The contract's quantity."""
    unit: str
    """Unit in the file: one of ``models.contract.units``, or ``tenths``."""
    required: bool = False


@dataclass(frozen=True)
class ParsedWeather:
    """One file of any format, before the row rules: columns in base units, still by row."""

    location: str
    latitude: float
    longitude: float
    elevation_m: float
    clock_offset_hours: float
    site_offset_hours: float
    stamps: ClockStamps
    columns: dict[str, FloatArray]
    ledger: RowLedger


def check_header(
    header: Sequence[str],
    columns: Sequence[SourceColumn],
    times: Sequence[str],
    *,
    file: str,
    line: int,
) -> list[SourceColumn]:
    """The columns that ``header`` has. Raises ``IntakeError`` naming the missing required ones."""
    needed = [*times, *(column.header for column in columns if column.required)]
    missing = [name for name in needed if name not in header]
    if missing:
        raise IntakeError(
            f"the header lacks {', '.join(missing)}; it reads {','.join(header)[:120]!r}. Restore "
            f"the header line, or export the file again with these columns",
            file=file,
            line=line,
        )
    return [column for column in columns if column.header in header]


def convert(column: SourceColumn, values: FloatArray) -> FloatArray:
    """``values`` in the base unit of their quantity; missing-value codes become NaN."""
    values = np.where(values <= MISSING_BELOW, np.nan, values)
    if column.unit == "tenths":
        return values * 10.0
    base = base_unit(column.unit)
    if base != quantity(column.name).unit:
        raise ContractError(f"{column.header}: {column.unit} is no unit of {column.name}")
    # Every conversion of the contract is affine: two points give it for the whole column.
    offset = to_base(0.0, column.unit)
    return values * (to_base(1.0, column.unit) - offset) + offset
