"""One table with time stamps to its processed file: read, settle, judge, engineer, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import IntakeError
from .features import engineered_blocks
from .judge import Judge
from .output import TableWriter, writing
from .quality import Verdict, words
from .read import LEAST_RETAINED_SHARE
from .report import FileReport
from .row_rules import describe_removed
from .runs import run_bounds
from .series import Series, SeriesFile
from .series_parse import parse_series
from .series_rules import settle
from .table import BoolArray, RowLedger
from .weather import Gap, ReadReport

_MOST_GAPS = 50
_EXAMPLES = 3


def process_table(
    path: Path,
    output: Path,
    *,
    capacity_kw: float,
    validate: bool,
    place: tuple[float, float] | None,
    zone: str | None,
) -> FileReport:
    """Process a table.

    Args:
        path: the raw file.
        output: what comes before ``_processed...`` is put in front of its name here.
        capacity_kw: of the site.
        validate: apply limits and judgements, and refuse a file that loses more than half.
        place: latitude and longitude, for files that do not know theirs.
        zone: time zone of stamps that state none.

    Raises:
        IntakeError: the file cannot be used.
    """
    found, parsed = parse_series(path, zone=zone)
    if place is not None and found.latitude is None:
        found = replace(found, latitude=place[0], longitude=place[1])
    file = settle(found, parsed, validate=validate)
    del parsed  # as large as what was made of it
    judge = Judge(file, validate=validate)
    verdicts = [judge.judge(series) for series in file.series]
    kept = [
        series.present & ~verdict.gone()
        for series, verdict in zip(file.series, verdicts, strict=True)
    ]
    removed, examples = _removed(file, verdicts)
    rows_in, rows_out = int(file.ledger.alive.size), sum(int(rows.sum()) for rows in kept)
    if rows_out == 0 or (validate and rows_out < LEAST_RETAINED_SHARE * rows_in):
        raise IntakeError(
            f"only {rows_out} of {rows_in} rows can be used "
            f"({describe_removed(_ledger(file.ledger, removed, examples))}). Repair or fetch the "
            f"file again; --no-validate keeps doubtful values",
            file=path.name,
            line=file.ledger.first_removed_line,
        )
    target = output.with_name(f"{file.source.kind}_{output.name}")
    incomplete = 0
    with writing(target) as writer:
        for series, verdict, rows in zip(file.series, verdicts, kept, strict=True):
            incomplete += _write(writer, file, series, verdict, rows, capacity_kw)
    gaps, gap_note = _gaps(file.series, kept, utc=file.source.clock == "utc")
    summary = judge.summary()
    notes = [*file.notes, *gap_note, *_capacity_note(summary.capacity_seen, file, capacity_kw)]
    return FileReport(
        input=path.name,
        output=str(target),
        validated=validate,
        kind=file.source.kind,
        parquet=str(target.with_suffix(".parquet")),
        source=file.source,
        rows_in=rows_in,
        rows_out=rows_out,
        columns=writer.columns,
        removed=removed,
        filled_history=incomplete,
        read=ReadReport(
            rows_in=rows_in,
            rows_out=rows_out,
            removed=removed,
            examples=tuple(examples),
            gaps=gaps,
            notes=tuple(notes),
            suspicions=summary.suspicions,
        ),
        quality=summary,
    )


def _write(
    writer: TableWriter,
    file: SeriesFile,
    series: Series,
    verdict: Verdict,
    kept: BoolArray,
    capacity_kw: float,
) -> int:
    """Write one series; gives how many rows have an incomplete past."""
    incomplete = 0
    names = [name for name in series.columns if not name.startswith("_")]
    names.sort(key=lambda name: name != file.source.main)
    for part, engineered in engineered_blocks(series, kept, file.source, capacity_kw):
        rows = kept[part]
        if not rows.any():
            continue
        index = series.index[part][rows]
        columns: dict[str, object] = {
            "timestamp": index.tz_localize("UTC") if file.source.clock == "utc" else index
        }
        if len(file.series) > 1 or series.name:
            columns["series"] = pd.Categorical([series.name] * len(index))
        columns |= {name: series.columns[name][part][rows] for name in names}
        columns["quality"] = words(verdict.marks[part][rows])
        made = engineered[rows].reset_index(drop=True)
        incomplete += int((made["history_complete"] == 0).sum())
        writer.write(pd.concat([pd.DataFrame(columns), made], axis="columns", sort=False))
    return incomplete


def _removed(file: SeriesFile, verdicts: Sequence[Verdict]) -> tuple[dict[str, int], list[str]]:
    """Rows removed by rule, each under the first it broke, and examples."""
    removed, examples = dict(file.ledger.removed), list(file.ledger.examples)
    for series, verdict in zip(file.series, verdicts, strict=True):
        left = series.present.copy()
        for rule, where in verdict.removed.items():
            rows = np.flatnonzero(where & left)
            left[rows] = False
            if rows.size == 0:
                continue
            before = removed.get(rule, 0)
            removed[rule] = before + int(rows.size)
            main = file.source.main
            examples += [
                f"{file.source.file}:{series.lines[row]}: {main} is "
                f"{series.columns[main][row]:g}: {rule.replace('_', ' ')}; row removed"
                for row in rows[: max(0, _EXAMPLES - before)]
            ]
    return removed, examples


def _ledger(ledger: RowLedger, removed: dict[str, int], examples: list[str]) -> RowLedger:
    return replace(ledger, removed=removed, examples=examples)


def _gaps(
    series: Sequence[Series], kept: Sequence[BoolArray], *, utc: bool
) -> tuple[tuple[Gap, ...], list[str]]:
    """The longest gaps, and a note when there are more."""
    found = []
    suffix = "Z" if utc else ""
    for one, rows in zip(series, kept, strict=True):
        for start, length in zip(*run_bounds(~rows), strict=True):
            if start == 0 or start + length == rows.size:
                continue
            first, last = one.index[start], one.index[start + length - 1]
            found.append(
                Gap(
                    start=first.isoformat() + suffix,
                    end=last.isoformat() + suffix,
                    rows=int(length),
                    after_line=int(one.lines[start - 1]),
                )
            )
    longest = sorted(found, key=lambda gap: -gap.rows)[:_MOST_GAPS]
    note = []
    if len(found) > _MOST_GAPS:
        note = [f"{len(found)} gaps, the longest {_MOST_GAPS} are listed"]
    return tuple(sorted(longest, key=lambda gap: gap.start)), note


def _capacity_note(seen: dict[str, float], file: SeriesFile, capacity_kw: float) -> list[str]:
    """A word when the plant is not of the size that was given."""
    if not file.source.main.endswith("_kw"):
        return []
    off = [
        f"{name or 'the plant'} reaches {value:g} kW"
        for name, value in seen.items()
        if value > 1.2 * capacity_kw or 0 < value < 0.2 * capacity_kw
    ]
    if not off:
        return []
    more = f" (and {len(off) - 3} more)" if len(off) > 3 else ""
    return [f"--capacity is {capacity_kw:g} kW, but {', '.join(off[:3])}{more}"]
