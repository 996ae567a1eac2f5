"""One raw file to its processed files and its report, in whatever process that happens."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from models.contract.units import from_base

from .blocks import TextStream
from .engineer import engineer
from .errors import IntakeError
from .judge_weather import judge_weather
from .output import replacing, writing
from .process_table import process_table
from .quality import Marks, words
from .read import read_weather
from .recognise import sign_of
from .report import FileReport
from .weather import Weather

_HEAD_LINES = 5

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
class Job:
    """One file to process."""

    path: Path
    output_dir: Path
    stamp: str
    name: str
    """The original name in that of the output."""
    capacity_kw: float
    validate: bool
    place: tuple[float, float] | None = None
    zone: str | None = None

    @property
    def output(self) -> Path:
        """The CSV file, without its source in front."""
        return self.output_dir / f"processed_{self.stamp}_{self.name}.csv"


def process_file(job: Job) -> FileReport:
    """Process one file and write its report. Never raises for a bad input file."""
    began = time.perf_counter()
    try:
        report = _process(job)
    except IntakeError as error:
        report = FileReport(job.path.name, output=None, error=str(error), validated=job.validate)
    report = replace(report, seconds=round(time.perf_counter() - began, 3))
    _write_report(job, report)
    return report


def _process(job: Job) -> FileReport:
    stream = TextStream(job.path)
    try:
        head = stream.head(_HEAD_LINES)
    finally:
        stream.close()
    if sign_of(head) is None:
        return process_table(
            job.path,
            job.output,
            capacity_kw=job.capacity_kw,
            validate=job.validate,
            place=job.place,
            zone=job.zone,
        )
    return _process_weather(job)


def _process_weather(job: Job) -> FileReport:
    """NSRDB and TMY3: rows whose past is not whole are left out."""
    weather = read_weather(job.path, validate=job.validate)
    engineered = engineer(weather, job.capacity_kw * 1000)
    verdict, summary = judge_weather(weather, engineered, validate=job.validate)
    removed = dict(weather.report.removed)
    gone = verdict.gone()
    left = ~gone
    for rule, where in verdict.removed.items():
        if count := int(where.sum()):
            removed[rule] = count
    if gone.any():
        # Lags must not reach into rows that were removed.
        weather = replace(weather, frame=weather.frame[left])
        engineered = engineer(weather, job.capacity_kw * 1000)
    table = processed_table(weather, engineered, verdict.marks[left])
    if lost := len(weather.frame) - len(table):
        removed["incomplete_history"] = lost
    rows_in = weather.report.rows_in
    if len(table) == 0:
        raise IntakeError(
            f"none of {rows_in} rows has a whole day before it; give a longer file",
            file=job.path.name,
        )
    target = job.output.with_name(f"solar_{job.output.name}")
    with writing(target) as writer:
        writer.write(table)
    return FileReport(
        input=job.path.name,
        output=str(target),
        validated=job.validate,
        kind="solar",
        parquet=str(target.with_suffix(".parquet")),
        source=weather.source,
        rows_in=rows_in,
        rows_out=len(table),
        columns=writer.columns,
        removed=removed,
        read=weather.report,
        quality=summary,
    )


def processed_table(weather: Weather, engineered: pd.DataFrame, marks: Marks) -> pd.DataFrame:
    """Source columns on the file's own clock and in its units, ``timestamp`` in UTC, ``quality``,
    engineered columns; without the rows that lack history."""
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
    source["timestamp"] = index
    source["quality"] = words(marks)
    table = pd.DataFrame(source, index=index).join(engineered)
    return table[engineered.notna().all(axis="columns")]


def _write_report(job: Job, report: FileReport) -> None:
    content = asdict(report) | {"retained_share": round(report.retained_share, 6)}
    content |= {"escalate": report.escalate}
    name = f"{report.kind or 'refused'}_{job.output.name}"
    if report.kind is None:
        name = name.replace("refused_processed_", "refused_", 1)
    with replacing((job.output_dir / name).with_suffix(".report.json")) as temporary:
        text = json.dumps(content, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
