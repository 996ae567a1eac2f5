"""What became of one input file, for the report beside its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .quality import QualitySummary
from .read import LEAST_RETAINED_SHARE
from .series import SeriesSource
from .weather import ReadReport, WeatherSource


@dataclass(frozen=True)
class FileReport:
    """What became of one input file."""

    input: str
    """Name of the input file."""
    output: str | None
    """Path of the processed CSV file; None when the file was refused."""
    error: str | None = None
    """Why it was refused: ``file:line: reason; advice``."""
    validated: bool = True
    kind: str | None = None
    """``solar``, ``meter`` or ``weather``: the first word of the output's name."""
    parquet: str | None = None
    """Path of the same table as Parquet."""
    source: WeatherSource | SeriesSource | None = None
    rows_in: int = 0
    rows_out: int = 0
    columns: int = 0
    """Columns of the processed file."""
    removed: dict[str, int] | None = None
    """Rows removed by rule; ``incomplete_history`` are rows whose lags reach before the data."""
    filled_history: int = 0
    """Rows kept whose past is not whole: ``history_complete`` is 0 there."""
    read: ReadReport | None = None
    """Gaps, examples of removed rows, notes and suspicions."""
    quality: QualitySummary | None = None
    """Flags, tests, shifts, clipping, capacity."""
    seconds: float = 0.0
    """Wall time."""

    @property
    def retained_share(self) -> float:
        """Rows written over rows read, 0 to 1."""
        return self.rows_out / self.rows_in if self.rows_in else 0.0

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why somebody may want to look although the file went through."""
        if self.quality is None:
            return ()
        shifts = tuple(shift.text for shift in self.quality.shifts)
        return self.quality.suspicions + shifts

    @property
    def escalate(self) -> bool:
        """Whether somebody must look: refused, nothing left, or (unless told not to validate) more
        than half of the rows lost."""
        if self.error is not None or self.rows_out == 0:
            return True
        return self.validated and self.retained_share < LEAST_RETAINED_SHARE


def exit_status(reports: Sequence[FileReport]) -> int:
    """0 when every file went through, 1 when one was refused or lost more than half of its rows."""
    return 1 if any(report.escalate for report in reports) else 0
