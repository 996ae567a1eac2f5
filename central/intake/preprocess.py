"""A directory of raw files to processed files, each with a report; several files at a time.

Output names follow the owner's runbook: ``{source}_processed_{timestamp}_{original_name}.csv``, and
the same with ``.report.json``. The source columns come first, on the file's own clock and in its
own units (Year, Month, Day, Hour, Minute, GHI, DNI, DHI, Temperature, ...), then ``timestamp`` in
UTC and the engineered columns in base units. A file appears only when it is complete (temporary
name, then rename), so a reader never meets half a file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from models.contract.units import from_base

from .engineer import engineer
from .errors import IntakeError
from .read import LEAST_RETAINED_SHARE, read_weather
from .weather import ReadReport, Weather, WeatherSource

_SUFFIXES = (".csv", ".csv.gz", ".gz")

_SOURCE_COLUMNS = (  # contract name, name in the processed file, unit there
    ("ghi", "GHI", "W/m2"),
    ("dni", "DNI", "W/m2"),
    ("dhi", "DHI", "W/m2"),
    ("temp_air", "Temperature", "degC"),
    ("wind_speed", "Wind Speed", "m/s"),
    ("wind_direction", "Wind Direction", "deg"),
    ("relative_humidity", "Relative Humidity", "%"),
    ("pressure", "Pressure", "mbar"),
    ("precipitable_water", "Precipitable Water", "cm"),
    ("cloud_cover", "Cloud Cover", "%"),
)


@dataclass(frozen=True)
class FileReport:
    """What became of one input file."""

    input: str
    """Name of the input file."""
    output: str | None
    """Path of the processed file; None when the file was refused."""
    error: str | None = None
    """Why it was refused: ``file:line: reason; advice``."""
    validated: bool = True
    source: WeatherSource | None = None
    rows_in: int = 0
    rows_out: int = 0
    removed: dict[str, int] | None = None
    """Rows removed by rule; ``incomplete_history`` are rows whose lags reach before the data."""
    read: ReadReport | None = None
    """Gaps, examples of removed rows, notes and suspicions."""

    @property
    def retained_share(self) -> float:
        """Rows written over rows read, 0 to 1."""
        return self.rows_out / self.rows_in if self.rows_in else 0.0

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


def preprocess(
    input_dir: Path,
    output_dir: Path,
    *,
    capacity_kw: float,
    workers: int = 1,
    validate: bool = True,
    progress: Callable[[FileReport], None] | None = None,
    now: datetime | None = None,
) -> list[FileReport]:
    """Process every ``.csv`` and ``.gz`` file of ``input_dir`` (not its sub-directories).

    Args:
        input_dir: where the raw files are.
        output_dir: where processed files and reports go; made when absent.
        capacity_kw: DC capacity that the power estimates stand for [kW].
        workers: processes at work; 1 stays in this process.
        validate: remove values beyond physical limits, refuse files that lose more than half.
        progress: called with each report as it comes, in any order.
        now: stamp for the output names; the wall clock when None.

    Returns:
        One report per file, in the order of their names. A refused file does not stop the others.

    Raises:
        IntakeError: the directory is missing or holds no such file, or an argument is impossible.
    """
    if not (np.isfinite(capacity_kw) and capacity_kw > 0):
        raise IntakeError(f"capacity must be above 0 kW, not {capacity_kw}", file="--capacity")
    if workers < 1:
        raise IntakeError(f"needs at least 1 worker, not {workers}", file="--workers")
    if not input_dir.is_dir():
        raise IntakeError("is no directory; give the one with the raw files", file=str(input_dir))
    if output_dir.resolve() == input_dir.resolve():
        raise IntakeError(
            "is the input directory too; give another one for the output, or the next run will "
            "read processed files as raw ones",
            file=str(output_dir),
        )
    inputs = find_inputs(input_dir)
    if not inputs:
        raise IntakeError("holds no .csv or .csv.gz file", file=str(input_dir))
    output_dir.mkdir(parents=True, exist_ok=True)
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    jobs = [
        Job(path, output_dir / f"solar_processed_{stamp}_{name}.csv", capacity_kw * 1000, validate)
        for path, name in zip(inputs, original_names(inputs), strict=True)
    ]
    reports = []
    for report in _run(jobs, workers):
        reports.append(report)
        if progress is not None:
            progress(report)
    return sorted(reports, key=lambda report: report.input)


def find_inputs(input_dir: Path) -> list[Path]:
    """The raw files of ``input_dir``, by name."""
    found = (path for path in input_dir.iterdir() if path.is_file())
    return sorted(path for path in found if path.name.lower().endswith(_SUFFIXES))


def original_names(paths: Sequence[Path]) -> list[str]:
    """Names without ``.csv`` and ``.gz``; where two would be equal, all dots become underscores."""

    def bare(name: str) -> str:
        for suffix in (".gz", ".csv"):
            name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
        return name

    counts = Counter(bare(path.name) for path in paths)
    return [
        bare(path.name) if counts[bare(path.name)] == 1 else path.name.replace(".", "_")
        for path in paths
    ]


@dataclass(frozen=True)
class Job:
    """One file to process."""

    path: Path
    output: Path
    capacity_w: float
    validate: bool


def process_file(job: Job) -> FileReport:
    """Process one file and write its report. Never raises for a bad input file."""
    try:
        weather = read_weather(job.path, validate=job.validate)
        table = processed_table(weather, job.capacity_w)
    except IntakeError as error:
        report = FileReport(job.path.name, output=None, error=str(error), validated=job.validate)
        _write_report(job, report)
        return report
    removed = dict(weather.report.removed)
    if lost := len(weather.frame) - len(table):
        removed["incomplete_history"] = lost
    report = FileReport(
        input=job.path.name,
        output=str(job.output),
        validated=job.validate,
        source=weather.source,
        rows_in=weather.report.rows_in,
        rows_out=len(table),
        removed=removed,
        read=weather.report,
    )
    with replacing(job.output) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    _write_report(job, report)
    return report


def processed_table(weather: Weather, capacity_w: float) -> pd.DataFrame:
    """Source columns, ``timestamp``, engineered columns; without the rows that lack history."""
    index = pd.DatetimeIndex(weather.frame.index)
    clock = index + pd.Timedelta(hours=weather.source.clock_offset_hours)
    source: dict[str, object] = {
        "Year": clock.year,
        "Month": clock.month,
        "Day": clock.day,
        "Hour": clock.hour,
        "Minute": clock.minute,
    }
    for name, header, unit in _SOURCE_COLUMNS:
        if name in weather.frame:
            # Conversions are affine, so this one call converts the column.
            zero, one = from_base(0.0, unit), from_base(1.0, unit)
            source[header] = weather.frame[name].to_numpy() * (one - zero) + zero
    source["timestamp"] = index.strftime("%Y-%m-%dT%H:%M:%SZ")
    engineered = engineer(weather, capacity_w)
    table = pd.DataFrame(source, index=index).join(engineered)
    return table[engineered.notna().all(axis="columns")]


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


def _run(jobs: Sequence[Job], workers: int) -> Iterator[FileReport]:
    if workers == 1 or len(jobs) == 1:
        yield from map(process_file, jobs)
        return
    # Not plain fork: forking a process that draws a progress bar in a thread can deadlock. The
    # fork server is a fresh interpreter that imports pandas and pvlib once for all workers.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        running: dict[Future[FileReport], Job] = {
            pool.submit(process_file, job): job for job in jobs
        }
        for future in as_completed(running):
            try:
                yield future.result()
            except BrokenProcessPool:
                yield FileReport(
                    input=running[future].path.name,
                    output=None,
                    error=f"{running[future].path.name}: a worker process died, most likely for "
                    f"want of memory; try again with fewer --workers",
                )


def _write_report(job: Job, report: FileReport) -> None:
    content = asdict(report) | {"retained_share": round(report.retained_share, 6)}
    with replacing(job.output.with_suffix(".report.json")) as temporary:
        text = json.dumps(content, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
