"""Processed files on disk: CSV and Parquet, block by block, whole or not at all.

Values are rounded to six significant digits, more than any sensor has. Arrow writes both forms,
many times faster than pandas.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from .table import FloatArray

_DIGITS = 6


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``: moved over it when the block ends well, else removed."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class TableWriter:
    """Writes tables of the same columns one after the other. Made by :func:`writing`."""

    def __init__(self, csv: Path, parquet: Path) -> None:
        self._csv_path, self._parquet_path = csv, parquet
        self._csv: pa.csv.CSVWriter | None = None
        self._parquet: pa.parquet.ParquetWriter | None = None
        self.rows = 0
        self.columns = 0

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        columns = {str(name): _column(frame[name]) for name in frame.columns}
        stored = pa.table(columns)
        texts = {
            name: pa.compute.strftime(column, format="%Y-%m-%dT%H:%M:%S" + ("Z" * _is_utc(column)))
            if pa.types.is_timestamp(column.type)
            else column
            for name, column in columns.items()
        }
        shown = pa.table(texts)
        if self._csv is None or self._parquet is None:
            options = pa.csv.WriteOptions(quoting_style="needed")
            self._csv = pa.csv.CSVWriter(self._csv_path, shown.schema, write_options=options)
            self._parquet = pa.parquet.ParquetWriter(self._parquet_path, stored.schema)
            self.columns = stored.num_columns
        self._csv.write_table(shown)
        self._parquet.write_table(stored)
        self.rows += stored.num_rows

    def close(self) -> None:
        """Write what is pending."""
        for writer in (self._csv, self._parquet):
            if writer is not None:
                writer.close()


def _column(values: pd.Series) -> pa.Array:
    if values.dtype.kind == "f":
        return pa.array(rounded(values.to_numpy(dtype=np.float64)))
    if values.dtype.kind == "M":
        zone = "UTC" if isinstance(values.dtype, pd.DatetimeTZDtype) else None
        stamps = pd.DatetimeIndex(values)
        naive = stamps.tz_localize(None) if zone else stamps
        seconds = naive.to_numpy(dtype="datetime64[s]")
        return pa.array(seconds, type=pa.timestamp("s", tz=zone))
    if values.dtype.kind in "iub":
        return pa.array(values.to_numpy())
    return pa.array(values).cast(pa.string())


def _is_utc(column: pa.Array) -> bool:
    return column.type.tz is not None


@contextmanager
def writing(csv: Path) -> Iterator[TableWriter]:
    """A writer of ``csv`` and the Parquet file beside it; both appear at the end or neither."""
    parquet = csv.with_suffix(".parquet")
    with replacing(csv) as csv_part, replacing(parquet) as parquet_part:
        writer = TableWriter(csv_part, parquet_part)
        try:
            yield writer
        finally:
            writer.close()


def rounded(values: FloatArray) -> FloatArray:
    """``values`` to six significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.floor(np.log10(np.abs(values)))
    places = np.where(np.isfinite(exponent), _DIGITS - 1 - exponent, 0.0)
    places = np.clip(places, -15, 15)
    up = 10.0 ** np.maximum(places, 0)
    down = 10.0 ** np.maximum(-places, 0)
    # Dividing whole numbers gives the double that prints shortest.
    return np.asarray(np.round(values * up / down) * down / up)
