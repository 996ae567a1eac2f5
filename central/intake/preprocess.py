"""A directory of raw files to processed files, each with a report; several files at a time.

Output names follow the owner's runbook: ``{source}_processed_{timestamp}_{original_name}.csv``, and
the same with ``.parquet`` and ``.report.json``; a refused file leaves only
``refused_{timestamp}_{original_name}.report.json``. The source is ``solar`` (NSRDB and TMY3 files,
and any table with power of a photovoltaic system), ``meter`` or ``weather``. A file appears only
when it is complete (temporary name, then rename), so a reader never meets half a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from .errors import IntakeError
from .output import replacing
from .process import Job, process_file
from .report import FileReport, exit_status

__all__ = [
    "FileReport",
    "exit_status",
    "find_inputs",
    "original_names",
    "preprocess",
    "process_file",
    "replacing",
]

_SUFFIXES = (".csv", ".txt", ".dat", ".gz")


def preprocess(
    input_dir: Path,
    output_dir: Path,
    *,
    capacity_kw: float,
    workers: int = 1,
    validate: bool = True,
    place: tuple[float, float] | None = None,
    zone: str | None = None,
    progress: Callable[[FileReport], None] | None = None,
    now: datetime | None = None,
) -> list[FileReport]:
    """Process every .csv, .txt, .dat and .gz file of ``input_dir`` (not of its sub-directories).

    Args:
        input_dir: where the raw files are.
        output_dir: where processed files and reports go; made when absent.
        capacity_kw: DC capacity that the power estimates stand for [kW].
        workers: processes at work; 1 stays in this process.
        validate: remove values beyond physical limits, refuse files that lose more than half.
        place: latitude and longitude of the site, for files that do not know theirs.
        zone: time zone of stamps that state none (``Europe/Paris``); None keeps them as they are.
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
    if place is not None and not (abs(place[0]) <= 90 and abs(place[1]) <= 180):
        raise IntakeError(f"is no place on Earth: {place[0]}, {place[1]}", file="--latitude")
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise IntakeError(
                f"{zone!r} is no time zone; write it as Europe/Paris", file="--timezone"
            ) from error
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
        raise IntakeError("holds no .csv, .txt, .dat or .gz file", file=str(input_dir))
    output_dir.mkdir(parents=True, exist_ok=True)
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    jobs = [
        Job(path, output_dir, stamp, name, capacity_kw, validate, place, zone)
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
    """Names without their suffixes; where two would be equal, all dots become underscores."""

    def bare(name: str) -> str:
        for suffix in (".gz", ".csv", ".txt", ".dat"):
            name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
        return name

    counts = Counter(bare(path.name) for path in paths)
    return [
        bare(path.name) if counts[bare(path.name)] == 1 else path.name.replace(".", "_")
        for path in paths
    ]


def _run(jobs: Sequence[Job], workers: int) -> Iterator[FileReport]:
    if workers == 1 or len(jobs) == 1:
        yield from map(process_file, jobs)
        return
    # Not plain fork: forking a process that draws a progress bar in a thread can deadlock. The
    # fork server is a fresh interpreter that imports pandas and pvlib once for all workers.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    # The largest file must not be the last that somebody begins.
    largest_first = sorted(jobs, key=lambda job: -job.path.stat().st_size)
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        running: dict[Future[FileReport], Job] = {
            pool.submit(process_file, job): job for job in largest_first
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
